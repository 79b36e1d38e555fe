"""Speed of the character LSTM against Flax's nnx.RNN and PyTorch, all on all cores, taking turns in one run.

    python scripts/bench_lstm.py                             # every section that this machine can run
    python scripts/bench_lstm.py --training --recording      # some of them
    python scripts/bench_lstm.py --accelerator               # on a GPU: 1 to 512 models beside cuDNN's LSTM

PyTorch is compared with where it is installed (`pip install 'dni-jax[torch]'`). Every comparison first checks that all
give the same answer from the same weights. Prints a table and writes bench_lstm.json to --out. A ratio is the other's
time over ours, the median over turns of one run after the other.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import lstm_rivals as rivals
import numpy as np
from bench_turns import agree, contest, limit_row, machine, rows, show

import dni_jax as dni
from dni_jax.devices import use_all_cores
from dni_jax.models import TrainedModel, Weights, make_lanes
from dni_jax.text import Corpus

SHAPES = ((64, 64, 1.2), (256, 32, 1.1), (32, 128, 1.15))  # texts, characters of each, the ratio to torch we want
TEXTS, LENGTH, WRITTEN = 256, 128, 200
FIRST_STEP = """
import os, sys, time
import jax
import dni_jax as dni
from dni_jax import devices
from dni_jax.languages.code._cache import cache_folder
from dni_jax.models import training
if sys.argv[1] == "warm":
    devices.use_compilation_cache(cache_folder() / "xla")
corpus = dni.languages.get("parentheses").sample(60_000, seed=0)
take_steps = training.take_steps
def timed(*arguments):
    jax.block_until_ready(take_steps(*arguments))
    print(time.perf_counter() - began, flush=True)
    os._exit(0)
training.take_steps = timed
began = time.perf_counter()
dni.train(corpus, hidden=128, progress=False)
"""


def text_of(corpus: Corpus, batch: int, window: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and targets ``(K, R, B)`` out of a corpus."""
    lanes = make_lanes(corpus, batch)
    shape = (steps, window, batch)
    if len(lanes.codes) < steps * window:
        raise SystemExit(f"expected {steps * window} symbols in each of {batch} lanes, got {len(lanes.codes)}")
    return lanes.codes[: steps * window].reshape(shape), lanes.targets[: steps * window].reshape(shape)


def training(args: argparse.Namespace, corpus: Corpus, n_models: int = 1) -> Iterator[dict]:
    """Forward, backward and Adam with clipping, ten steps a call; several models of others train in turn."""
    for batch, window, target in SHAPES:
        each = [model.weights for model in rivals.models(corpus.vocabulary, args.hidden, n_models)]
        others: dict[str, list] = {}
        for weights in each:
            for other in rivals.rivals(weights, batch):
                others.setdefault(other.name, []).append(other)
        what = f"{n_models} models, {batch} x {window}" if n_models > 1 else f"training, {batch} x {window}"
        text = text_of(corpus, batch, window, args.steps)
        yield from train_in_turns(what, args, text, each, others, target if n_models == 1 else 1.3)


def train_in_turns(
    what: str,
    args: argparse.Namespace,
    text: tuple[np.ndarray, np.ndarray],
    each: list[Weights],
    others: dict[str, list],
    target: float | None = None,
    tolerance: float = 1e-4,
) -> Iterator[dict]:
    """Ours, of all weights at once, and the others, who may train fewer: their time then counts so many times."""
    ours = rivals.Ours(each, text[0].shape[-1])
    losses = ours.train(*text)
    for name, several in others.items():
        agree("losses", losses[: len(several)], np.stack([other.train(*text) for other in several]), name, tolerance)
    calls: dict[str, Callable] = {"ours": lambda: ours.train(*text)}
    for name, several in others.items():
        calls[name] = lambda several=several: [other.train(*text) for other in several]
    turns = contest(calls, args.repeats)
    for name, several in others.items():
        turns.seconds[name][:] = [took * len(each) / len(several) for took in turns.seconds[name]]
    yield from rows(what, len(each) * text[0].size, turns, target)


def population(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    yield from training(args, corpus, 8)


def recording(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """All hidden states as a NumPy array, the whole call."""
    joined = "".join(corpus.strings)
    pieces = [joined[first : first + LENGTH] for first in range(0, TEXTS * LENGTH, LENGTH)]
    texts = Corpus.from_strings(pieces, vocabulary=corpus.vocabulary)
    codes = make_lanes(texts, TEXTS).codes
    for hidden, target in ((args.hidden, 1.4), (4 * args.hidden, None)):
        (model,) = rivals.models(corpus.vocabulary, hidden)
        ours = dni.record(model, texts).hidden
        calls: dict[str, Callable] = {"ours": lambda model=model: dni.record(model, texts)}
        for other in rivals.rivals(model.weights, TEXTS):
            agree("states", ours, other.record(codes), other.name)
            calls[other.name] = lambda other=other: other.record(codes)
        turns = contest(calls, args.repeats)
        yield from rows(f"recording, {hidden} units", len(ours), turns, target)


def generation(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """Texts written while some neurons are held at every step."""
    (model,) = rivals.models(corpus.vocabulary, args.hidden)
    neurons, value = [3, 7 % args.hidden], 1.0
    held = dni.clamp(neurons, value)

    def texts(codes: np.ndarray) -> list[str]:
        return [model.vocabulary.decode(row) for row in codes.T]

    calls: dict[str, Callable] = {"ours": lambda: dni.generate(model, TEXTS, WRITTEN, intervention=held)}
    if rivals.torch is not None:
        other = rivals.TorchRival(model.weights, TEXTS)
        surest = dni.generate(model, 2, WRITTEN, intervention=held, temperature=0)
        if surest != texts(other.write(2, WRITTEN, neurons, value, temperature=0)):
            raise SystemExit("expected torch to write our text at temperature 0, got another: speeds are not compared")
        shares = []
        for written in (calls["ours"](), texts(other.write(TEXTS, WRITTEN, neurons, value, 1.0))):
            symbols = "".join(written)
            shares.append(np.asarray([symbols.count(symbol) / len(symbols) for symbol in model.vocabulary.symbols]))
        agree("shares of symbols", shares[0], shares[1], "torch", tolerance=0.02)
        calls["torch"] = lambda: texts(other.write(TEXTS, WRITTEN, neurons, value, 1.0))
    yield from rows("generation, override", TEXTS * WRITTEN, contest(calls, args.repeats), 3.5)


def first_step(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """From the call of dni.train to the end of the first compiled call (ten steps), each time in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DNI_JAX_CACHE": folder}
        times: dict[str, list[float]] = {"cold": [], "warm": []}
        for turn in range(args.repeats // 2 + 2):
            for kind in ("cold", "warm") if turn else ("warm",):  # the first fills the cache
                command = [sys.executable, "-c", FIRST_STEP, kind]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                if turn:
                    times[kind].append(float(done.stdout))
    for kind, wanted in (("cold", 4.0), ("warm", 1.5)):
        yield limit_row(f"first step, {kind}", times[kind], wanted)


def default(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """Seconds until the default network is within .002 nats of the ideal on the validation text it looks at."""
    language = dni.languages.get("parentheses")
    text = language.sample(60_000, seed=0)
    ideal = language.ideal_cross_entropy(text.validation.head(50_000))
    began, used, reached, gaps = time.perf_counter(), time.process_time(), [], []

    def look(now: dni.models.Evaluation) -> None:
        gaps.append(now.validation_loss - ideal)
        if gaps[-1] <= 0.002 and not reached:
            reached.extend((time.perf_counter() - began, time.process_time() - used))

    dni.train(text, hidden=128, progress=False, on_evaluation=look)
    if not reached:
        raise SystemExit(f"expected a gap of at most .002 nats to the ideal, got {min(gaps):.4f} at best")
    row = limit_row(f"default network within .002 nats, {reached[1]:.1f} CPU s", reached[:1], 25.0)
    yield row | {"cpu_s": reached[1], "whole_s": time.perf_counter() - began, "last_gap": gaps[-1]}


def precision(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """What products in bfloat16 change in the AUCs of one trained network."""
    model = dni.train(corpus, hidden=args.hidden, steps=600, progress=False)
    rounded = TrainedModel.from_weights(replace(model.weights, matmul_dtype="bfloat16"), model.vocabulary, model.config)
    read = corpus.test.head(20_000)
    labels = dni.languages.get("parentheses").features().label(read)
    states = [dni.record(one, read) for one in (model, rounded)]
    aucs = [dni.inspect(each, labels)["auc"].mean("fold").values for each in states]
    gap, known = np.abs(aucs[0] - aucs[1]), np.maximum(*(np.nan_to_num(auc, nan=0.5) for auc in aucs)) >= 0.6
    row = {"what": "bfloat16 products", "largest_auc_change": float(np.nanmax(gap)), "pairs": int(gap.size)}
    row |= {"mean_auc_change": float(np.nanmean(gap))}
    # The line of a neuron that knows nothing may rise with one and fall with the other.
    row |= {"largest_where_auc_is_above_.6": float(gap[known].max()), "such_pairs": int(known.sum())}
    yield row | {"largest_state_change": float(np.abs(states[0].hidden - states[1].hidden).max())}


def accelerator(args: argparse.Namespace, corpus: Corpus) -> Iterator[dict]:
    """Many models at once beside cuDNN's LSTM, whose models train one after the other (at most eight are timed)."""
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    for hidden in args.accelerator_units:
        for matmul_dtype in ("float32", "bfloat16"):
            for n_models in args.accelerator_models:
                what = f"{n_models} models of {hidden}, {matmul_dtype}"
                try:
                    yield from beside_cudnn(args, corpus, (hidden, matmul_dtype, n_models), device, what)
                except jax.errors.JaxRuntimeError as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    yield {"what": what, "problem": "does not fit the memory"}


def beside_cudnn(
    args: argparse.Namespace, corpus: Corpus, shape: tuple[int, str, int], device: str, what: str
) -> Iterator[dict]:
    (hidden, matmul_dtype, n_models), (batch, window) = shape, args.accelerator_text
    some = [model.weights for model in rivals.models(corpus.vocabulary, hidden, min(n_models, 8), matmul_dtype)]
    each = [some[number % len(some)] for number in range(n_models)]
    others: dict[str, list] = {}
    if rivals.torch is not None:
        rivals.torch.backends.cudnn.allow_tf32 = matmul_dtype == "bfloat16"
        rivals.torch.backends.cuda.matmul.allow_tf32 = matmul_dtype == "bfloat16"
        others["torch"] = [rivals.TorchRival(weights, batch, device) for weights in some]
    text, tolerance = text_of(corpus, batch, window, args.steps), 1e-4 if matmul_dtype == "float32" else 3e-2
    yield from train_in_turns(what, args, text, each, others, tolerance=tolerance)


SECTIONS = (training, population, recording, generation, first_step, default, precision, accelerator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for section in SECTIONS:
        parser.add_argument(f"--{section.__name__.replace('_', '-')}", action="store_true")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="training steps in one call")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--accelerator-units", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--accelerator-models", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--accelerator-text", type=int, nargs=2, default=[32, 64], metavar=("TEXTS", "CHARACTERS"))
    parser.add_argument("--try-on-cpu", action="store_true", help="run --accelerator without one, at small sizes")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    use_all_cores()
    chosen = [section for section in SECTIONS if getattr(args, section.__name__)]
    on_cpu = jax.default_backend() == "cpu"
    if accelerator in chosen and on_cpu and not args.try_on_cpu:
        parser.error("expected a GPU or TPU for --accelerator, got CPUs only: try --try-on-cpu with small sizes")
    chosen = chosen or [section for section in SECTIONS if section is not accelerator or not on_cpu]
    args.out.mkdir(parents=True, exist_ok=True)
    about = machine()
    print(about)
    if rivals.torch is None:
        print("PyTorch is not installed (pip install 'dni-jax[torch]'): compared with nnx.RNN only")
    corpus = dni.languages.get("parentheses").sample(20_000, seed=0)
    print(f"\n{'thousand characters/s':34} {'ours':>9} {'other':>8} {'other':>9} {'ratio':>6}")
    found: dict[str, list[dict]] = {}
    for section in chosen:
        for row in section(args, corpus):
            show(row)
            found.setdefault(section.__name__, []).append(row)
    settings = {name: str(value) for name, value in vars(args).items()}
    result = {"machine": about, "settings": settings, **found}
    (args.out / "bench_lstm.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
