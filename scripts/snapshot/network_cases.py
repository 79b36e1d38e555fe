"""Training, recording, interventions, predictions, generation, verification, and imported networks."""

from __future__ import annotations

from functools import cache
from typing import Any

import names
import numpy as np
from registry import case
from shared import BRIEF, corpus, labels, library, network, population, relevance, rng, states, text

import dni_jax as dni

KINDS = tuple(f"{cell}, {layers}" for cell in ("lstm", "gru", "rnn") for layers in (1, 2))


def kind_of(name: str) -> Any:
    cell, layers = name.split(", ")
    return network(cell, int(layers))


def trained(model: Any) -> dict[str, Any]:
    losses = [{name: row[name] for name in row if "second" not in name} for row in model.history]
    loss = names.cross_entropy(model.weights, text())
    return {"weights": names.weight_arrays(model), "history": losses, "loss": loss}


@case("train", *KINDS)
def train(kind: str) -> Any:
    return trained(kind_of(kind))


@case("train/settings")
def train_settings() -> Any:
    short = {**BRIEF, "steps": 8, "evaluate_every": 4}
    return {
        "linear": trained(names.train(corpus(), schedule="linear", warmup=2, clip=0.1, seed=3, **short)),
        "constant": trained(names.train(corpus(), schedule="constant", learning_rate=0.03, **short)),
        "bfloat16": trained(names.train(corpus(), matmul_dtype="bfloat16", **short)),
    }


@case("train/population")
def train_population() -> Any:
    found = population()
    numbers = {"seeds": found.seeds, "rates": found.learning_rates, "losses": found.validation_losses}
    best = {"best": found.best.validation_loss}
    return {**numbers, **best, "models": [trained(model) for model in found]}


@case("train/saved and continued")
def saved() -> Any:
    short = {**BRIEF, "evaluate_every": 4}
    names.train(corpus(), checkpoints="checkpoints", **{**short, "steps": 8})
    continued = names.train(corpus(), checkpoints="checkpoints", **{**short, "steps": 8})
    network().save("network")
    population().save("population")
    again = names.load_population("population")
    return {
        "continued": trained(continued),
        "loaded": trained(dni.load("network")),
        "population": [names.weight_arrays(model) for model in again],
        "untrained": names.weight_arrays(names.untrained(corpus().vocabulary, network().config)),
    }


def recorded(found: Any) -> dict[str, Any]:
    parts = {name: getattr(found, name) for name in ("hidden", "cell", "gates", "logits")}
    return {name: np.asarray(value) for name, value in parts.items() if value is not None}


@case("record", *KINDS)
def record(kind: str) -> Any:
    more = {"lstm": ("gates", "cell"), "gru": ("gates",), "rnn": ()}[kind.split(", ")[0]]
    return recorded(dni.record(kind_of(kind), text(), ("hidden", "logits", *more)))


@case("record/population, half precision, on disk")
def record_otherwise() -> Any:
    stored = dni.record(network(), text(), ("hidden", "cell"), store="states", chunk=150, dtype="float16")
    streamed = names.stream(network(), text(), chunk=150)
    return {
        "population": recorded(dni.record(population(), text(), ("hidden", "logits"))),
        "half": recorded(dni.record(network(), text(), dtype="float16")),
        "stored": recorded(stored.load()),
        "read": stored.read([(2, 3), (5, 7)], slice(3, 6)),
        "streamed": streamed.read([(2, 3), (5, 7)], slice(3, 6)),
        "pieces": recorded(dni.record(network(), names.cut(text(), 7))),
    }


N_STEPS = 60  # of generated text


@cache
def interventions() -> dict[str, Any]:
    """Each kind of intervention on the recorded text."""
    held, n = states(), text().n_positions
    digit, depth = labels()["digit"].astype(np.float32), labels()["depth"] / labels()["depth"].max()
    other = dni.record(network(), text(), ("hidden", "cell"), intervention=dni.ablate([0, 4]))
    when = np.arange(n) % 3 == 0
    made = {
        "zero": dni.ablate([0, 5]),
        "zero, readout": dni.ablate([0, 5], where="readout"),
        "zero, memory, at times": dni.ablate([2], part="c", when=when),
        "zero, gates": dni.ablate([1, 2], part="i").then(dni.ablate([3], part="o")),
        "mean": dni.ablate([1, 7], "mean", reference=held),
        "mean, memory": dni.ablate([1], "mean", reference=held, part="c"),
        "resample": dni.ablate([1, 7], "resample", reference=held, seed=3),
        "resample, matched": dni.ablate([1, 7], "resample", reference=held, match=digit, seed=3),
        "clamp": dni.clamp([3, 8], 1.0),
        "clamp, each": dni.clamp([3, 8], [0.5, -0.25], where="readout"),
        "labels": dni.clamp_to_labels([2, 6], digit, -0.5, 0.5),
        "labels, lines": dni.clamp_to_labels([2, 6], depth, reference=held, when=~when),
        "patch": dni.patch([2, 6, 9], other),
        "patch, readout, at times": dni.patch([2, 6], other, where="readout", when=when),
        "then": dni.clamp([3], 1.0).then(dni.ablate([3, 4])).then(dni.clamp([5], -1.0, where="readout")),
    }
    return made


@case("interventions", *("zero", "zero, readout", "zero, memory, at times", "zero, gates", "mean", "mean, memory",
      "resample", "resample, matched", "clamp", "clamp, each", "labels", "labels, lines", "patch",
      "patch, readout, at times", "then"))  # fmt: skip
def intervened(name: str) -> Any:
    return recorded(dni.record(network(), text(), ("hidden", "cell", "logits"), intervention=interventions()[name]))


@case("interventions/other networks")
def intervened_elsewhere() -> Any:
    both = dni.ablate([1]).then(dni.clamp([15], 0.5))
    return {
        "stored": recorded(dni.record(network(), text(), store="held", chunk=150, intervention=both_of(12)).load()),
        "population": recorded(dni.record(population(), text(), intervention=dni.clamp([3], 1.0))),
        "gru, 2": recorded(dni.record(network("gru", 2), text(), ("hidden", "logits"), intervention=both)),
        "gru gate": recorded(dni.record(network("gru"), text(), intervention=dni.ablate([2], part="z"))),
        "rnn, 2": recorded(dni.record(network("rnn", 2), text(), ("hidden", "logits"), intervention=both)),
    }


def both_of(n_neurons: int) -> Any:
    return dni.ablate([0]).then(dni.clamp([n_neurons - 1], 0.5))


@case("predictions under sets", *KINDS)
def predictions(kind: str) -> Any:
    model, sets = kind_of(kind), rng(1).random((5, kind_of(kind).n_neurons)) < 0.3
    sets[0] = False
    classes = np.eye(len(corpus().vocabulary), 3, k=-1, dtype=np.float32)
    drive = labels()["digit"].astype(np.float32)
    return {
        "held": names.losses_under(model, text(), sets, 0.0, 0.0, None, classes),
        "driven": names.losses_under(model, text(), sets, -1.0, 1.0, drive, None),
    }


@case("generate", *KINDS)
def generate(kind: str) -> Any:
    model, asked = kind_of(kind), {"n": 3, "length": N_STEPS}
    return {
        "plain": dni.generate(model, seed=4, **asked),
        "cold": dni.generate(model, temperature=0, prime="0(", **asked),
        "warm": dni.generate(model, temperature=1.5, seed=1, **asked),
        "held": dni.generate(model, intervention=both_of(model.n_neurons), **asked),
    }


@case("generate/interventions")
def generate_held() -> Any:
    signal, rows = np.arange(N_STEPS) % 2, states().hidden[:N_STEPS]
    held = [None, dni.ablate([0, 5]), dni.ablate([3], "mean", reference=states(), part="c"), dni.clamp([3, 8], 2.0),
            dni.clamp([1], 1.0, where="readout"), dni.patch([4, 7], rows),
            dni.ablate([1, 7], "resample", reference=rows), dni.clamp([3], 1.0).then(dni.ablate([4]))]  # fmt: skip
    texts = names.generate_each(network(), held, n=3, length=N_STEPS, seed=2)
    one = dni.generate(network(), 3, N_STEPS, 2, intervention=dni.clamp_to_labels([2, 6], signal))
    measured = [names.text_measures(names.measure_texts(each, "\n")) for each in texts]
    return {"texts": texts, "one": one, "measures": measured}


@case("verify", "ablate", "mean", "resample", "clamp", "oracle", "fitted")
def verify(intervention: str) -> Any:
    asked = {"ks": (1, 3), "n_random": 6, "intervention": intervention, "seed": 1}
    matched = dni.verify(network(), text(), relevance(), ["digit", "depth"], **asked)
    free = dni.verify(network(), text(), relevance(), "range:e3", match=None, where="readout", by="auc", **asked)
    return {"matched": matched, "free": free}


@case("verify/other calls")
def verify_otherwise() -> Any:
    bare = relevance().assign_attrs(library=None)
    asked = {"ks": (2,), "n_random": 4}
    lower = {"intervention": "clamp", "value": -0.5, "labels": labels()}
    return {
        "value": dni.verify(network(), text(), bare, "digit", **lower, **asked),
        "library": dni.verify(network(), text(), bare, ["digit", "symbol:2"], match=None, labels=library(), **asked),
        "two layers": dni.verify(network("gru", 2), text(), two_layers(), "digit", **asked),
    }


def two_layers() -> Any:
    return dni.inspect(dni.record(network("gru", 2), text()), labels(), folds=3)


@case("adapters/arrays and tokens")
def adapters() -> Any:
    some = dni.Corpus.from_strings(["ab c", " xy(z "])
    token_states = [rng(1).normal(size=(4, 2)), rng(2).normal(size=(6, 2))]
    offsets = [[(0, 0), (0, 2), (3, 4), (0, 0)], [(0, 0), (1, 3), (3, 4), (4, 5), (0, 0), (0, 0)]]
    made = {assign: dni.from_tokens(token_states, offsets, some, assign) for assign in ("containing", "completed")}
    rows = [rng(3).normal(size=(len(string), 3)) for string in some.strings]
    arrays = {"list": dni.from_arrays(rows, some), "flat": dni.from_arrays(np.concatenate(rows), some)}
    return {name: {"hidden": one.hidden, "mask": np.asarray(one.mask if one.mask is not None else 1)}
            for name, one in (made | arrays).items()}  # fmt: skip


CHARACTERS = ["c", "a", "<s>", "b"]
BLOCKS = {"lstm": 4, "gru": 3, "rnn": 1}


@case("adapters/torch", *BLOCKS)
def torch_weights(cell: str) -> Any:
    draw, n, wide = rng(7), 5, BLOCKS[cell] * 5
    shapes = {"weight_ih_l0": (wide, 4), "weight_hh_l0": (wide, n), "bias_ih_l0": (wide,), "bias_hh_l0": (wide,)}
    state = {name: draw.normal(size=shape) for name, shape in shapes.items()}
    head = {"weight": draw.normal(size=(4, n)), "bias": draw.normal(size=4)}
    return taken_over(
        dni.from_torch(state, head, CHARACTERS, boundary=2, nonlinearity="tanh" if cell == "rnn" else None)
    )


@case("adapters/flax", "lstm", "gru", "rnn")
def flax_weights(cell: str) -> Any:
    from flax import nnx

    rngs = nnx.Rngs(3)
    kinds = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}
    layers, head = [kinds[cell](4, 5, rngs=rngs), kinds[cell](5, 5, rngs=rngs)], nnx.Linear(5, 4, rngs=rngs)
    found = taken_over(dni.from_flax(layers, head, CHARACTERS, boundary=2))
    if cell != "gru":  # Flax's has fewer biases than ours
        (back,) = names.to_flax(network(cell))
        found["back"] = back(np.eye(len(corpus().vocabulary), dtype=np.float32)[None])
    return found


def taken_over(model: Any) -> dict[str, Any]:
    some = dni.Corpus.from_strings(["abcab", "c", "bbac"])
    texts = dni.generate(model, n=2, length=20, intervention=dni.clamp([1], 1.0))
    return {"states": recorded(dni.record(model, some, ("hidden", "logits"))), "texts": texts}


@case("adapters/modules")
def modules() -> Any:
    from flax import nnx

    rngs = nnx.Rngs(0)
    module = nnx.Sequential(nnx.RNN(nnx.LSTMCell(3, 8, rngs=rngs)), nnx.Linear(8, 2, rngs=rngs))
    return names.record_module(module, rng().normal(size=(5, 7, 3)).astype(np.float32), "layers/*", batch=2)
