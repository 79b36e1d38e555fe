"""Section 5 of Lin & Wu 2017: networks that read the Linux kernel's C.

Claim     (k) Neurons know ten kinds of nodes, by range and by impulse; and with the top 1 and the top 10 parenthesis
          neurons set to 1 the network writes more matched parentheses; likewise digits, function declarations and
          statement terminators.
Command   python -m experiments.inspection.linux_c --text linux-6.1.tar.xz     (a tar archive or folder of C)
          python -m experiments.inspection.linux_c --text PATH --glob '**/*.c' (other files than kernel/)
Run time  see README.md in this folder; training and measurements resume where they stopped
Result    its tables
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import dni_jax as dni
from dni_jax.models import cross_entropy
from dni_jax.text import to_string
from experiments._shared.networks import kept
from experiments._shared.subjects import both_protocols, spread, table
from experiments.inspection._claims import Effort, Row, against
from experiments.inspection._compression import compressor_bits, ngram_bits

KINDS = (
    "terminator",
    "function definition",
    "braces",
    "parentheses",
    "if",
    "loop",
    "assignment",
    "call",
    "return",
    "number",
)
SET_TO_ONE = {
    "range:parentheses": "brackets with a partner, share of characters",
    "digit": "digits, share of characters",
    "function": "functions in 1,000 characters",
    "range:terminator": "`;`, share of characters",
}
CHARACTERS, INSPECTED = 2_600_000, 50_000
TRAINING = {"batch": 64, "learning_rate": 5e-3, "evaluate_every": 250, "patience": 20}
KS = (1, 10)


def networks(corpus: dni.Corpus, asked: argparse.Namespace) -> list[dni.models.TrainedModel]:
    """Train the networks as one population, resume a run that was stopped, or take those that are there."""
    paths = [asked.folder / f"{asked.hidden}-{asked.steps}" / str(seed) for seed in asked.seeds]
    missing = [seed for seed, path in zip(asked.seeds, paths, strict=True) if not (path / "network").exists()]
    if missing:
        checkpoints = asked.folder / f"training-{asked.hidden}-{asked.steps}-{'-'.join(map(str, missing))}"
        settings = TRAINING | {"hidden": asked.hidden, "steps": asked.steps}
        population = dni.train_population(corpus, missing, checkpoints=checkpoints, **settings)
        for seed, model in zip(missing, population, strict=True):
            model.save(paths[asked.seeds.index(seed)] / "network")
    return [dni.load(path / "network") for path in paths]


def compare_losses(models: Sequence[dni.models.TrainedModel], corpus: dni.Corpus) -> None:
    """Print the networks' loss on the files that stopped their training, beside models that only count."""
    train, unseen = corpus.train, corpus.validation
    losses = [cross_entropy(model.weights, unseen) / np.log(2) for model in models]
    bits = {f"networks of {models[0].n_neurons} neurons": spread(losses)}
    for order in (1, 3, 5, 7):
        found = ngram_bits(train.flat_codes, unseen.flat_codes, order, len(corpus.vocabulary))
        bits[f"{order}-gram, Witten-Bell"] = f"{found:.3f}"
    bits |= {name: f"{bit:.3f}" for name, bit in compressor_bits(*(to_string(p.text) for p in (train, unseen))).items()}
    table(["model", "bits per character"], list(bits.items()))


def measure(model: dni.models.TrainedModel, held_out: dni.Corpus, seed: int, effort: Effort) -> list[Row]:
    """Return how well the ten kinds of nodes are known, and what held neurons do to the texts."""
    states = dni.record(model, held_out)
    library = dni.languages.get("c").features()
    names = [f"{form}:{kind}" for kind in KINDS for form in ("range", "impulse")]
    function = (library["range:function definition"] & ~library["range:braces"]).rename("function")
    labels = (library.select([*names, "digit"]) + function).label(held_out)
    paper, ours = (found.mean("fold") for found in both_protocols(states.hidden, labels, states.groups, 0))
    rows = []
    for name in names:
        best, base = (float(paper[which].sel(feature=name).max()) for which in ("accuracy", "baseline"))
        rows.append(Row("k", f"best accuracy, {name}", best, base))
        rows.append(Row("k", f"best AUC, {name}", float(ours["auc"].sel(feature=name).max()), 0.5))
    holds = {name: labels[name] == 1 for name in SET_TO_ONE}
    signs = {n: np.sign(states.hidden[on].mean(0) - states.hidden[~on].mean(0)) for n, on in holds.items()}
    return [*rows, *set_to_one(model, ours, signs, seed, effort)]


def _rows(*case: Any) -> list[dict[str, Any]]:
    return [row._asdict() for row in measure(*case)]


def written(texts: list[str]) -> dict[str, float]:
    """Count what the claim is about in texts."""
    whole = "".join(texts)
    found = dni.verification.measure_texts(texts)
    brackets = sum(whole.count(bracket) for bracket in "()[]{}")
    functions = [dni.languages.get("c").try_parse(text).counts for text in texts]
    return {
        "range:parentheses": np.nan_to_num(found.matched) * brackets / len(whole),  # NaN: none but cut-off ones
        "digit": found.shares.get("digit", 0.0),
        "function": 1_000 * sum(each.get("functions", 0) for each in functions) / len(whole),
        "range:terminator": whole.count(";") / len(whole),
    }


def set_to_one(
    model: dni.models.TrainedModel, relevance: xr.Dataset, signs: dict[str, np.ndarray], seed: int, effort: Effort
) -> list[Row]:
    """Hold the top k of each feature at 1, as the paper does, or at 1 or -1 as it is where the feature holds."""
    rng, ones = np.random.default_rng(seed), np.ones(model.n_neurons)
    ways = {}
    for name in SET_TO_ONE:
        order = dni.top(relevance, name, k=max(KS), by="auc")["neuron"].to_numpy()
        ways |= {("at 1", name): (order, ones), ("own signs", name): (order, signs[name])}
    for draw in range(effort.random_sets):
        order = rng.permutation(model.n_neurons)
        ways |= {("at 1", draw): (order, ones), ("own signs", draw): (order, rng.choice([-1.0, 1.0], len(ones)))}
    sets = [(way, k, where) for where in ("recurrent", "readout") for way in ways for k in KS]
    held = [
        dni.clamp(ways[w][0][:k].tolist(), ways[w][1][ways[w][0][:k]].tolist(), where=where) for w, k, where in sets
    ]
    texts = dni.models.generate_each(model, [None, *held], n=effort.texts, length=effort.length, seed=seed, prime="\n")
    intact = written(texts[0])
    found = {which: written(each) for which, each in zip(sets, texts[1:], strict=True)}
    rows = []
    for name, k, how, where in itertools.product(SET_TO_ONE, KS, ("at 1", "own signs"), ("recurrent", "readout")):
        random = np.asarray([found[(how, draw), k, where][name] for draw in range(effort.random_sets)])
        what = f"{SET_TO_ONE[name]}, top {k} {how}, {where}"
        rows.append(against("k", what, found[(how, name), k, where][name], random, intact[name]))
    return rows


def print_rows(frames: Sequence[pd.DataFrame]) -> None:
    """Print means and ranges over networks: nodes first, then texts."""
    results = pd.concat(frames, ignore_index=True)
    nodes, texts = [], []
    for what, some in results.groupby("what", sort=False):
        numbers = [spread(some["value"]), spread(some["reference"])]
        if some["p"].isna().all():
            nodes.append([what, *numbers])
        else:
            texts.append([what, spread(some["intact"]), *numbers, spread(some["high"]), spread(some["p"], 2)])
    table(["node", "best neuron", "majority, or .5"], nodes)
    table(["measure", "intact", "these neurons", "random ones", "95th percentile of these", "p"], texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="a file, a folder or a tar archive with C source code")
    parser.add_argument("--glob", default="**/kernel/**/*.c")
    parser.add_argument("--folder", type=Path, default=Path("runs/experiments/linux-c"), help="where networks are kept")
    parser.add_argument("--characters", type=int, default=CHARACTERS, help="of the text")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network each")
    parser.add_argument("--texts", type=int, default=64, help="generated under each override")
    parser.add_argument("--length", type=int, default=500, help="of a text")
    parser.add_argument("--random-sets", type=int, default=32)
    asked = parser.parse_args()
    corpus = dni.languages.load_c(asked.text, asked.glob, max_chars=asked.characters)
    print(f"{corpus}; {len(corpus.train.text):,} characters to train on\n")
    models = networks(corpus, asked)
    compare_losses(models, corpus)
    held_out = corpus.test.shuffle(0).head(INSPECTED)
    effort = Effort(random_sets=asked.random_sets, texts=asked.texts, length=asked.length)
    name = f"{asked.texts}-{asked.length}-{asked.random_sets}.json"
    frames = []
    for seed, model in zip(asked.seeds, models, strict=True):
        path = asked.folder / f"{asked.hidden}-{asked.steps}" / str(seed) / name
        frames.append(pd.DataFrame(kept(path, lambda m=model, s=seed: _rows(m, held_out, s, effort))))
    print_rows(frames)


if __name__ == "__main__":
    main()
