"""Rates of one core, measured here, and what they would come to on a large job with many such devices.

    python scripts/project.py                     # the rates, then 10^9 characters x 10^4 neurons x 10^3 features
    python scripts/project.py --characters 1e7 --neurons 1024 --features 100 --devices 1 8 --out project.json

It keeps to one core, and counts the seconds that this process was at work there, so that other processes' load is left
out. The projection is arithmetic on those rates, not a measurement; its assumptions are printed with it.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np

import dni_jax as dni
from dni_jax import languages
from dni_jax.models import TrainConfig, TrainedModel, predict
from dni_jax.probes import ProbeSpec, Sample, choose_engine
from dni_jax.text import Corpus

ASSUMPTIONS = """
- A device works like the core measured here: no other device has been measured. What another one does, the same script
  tells there.
- Operations of the network grow with the square of its neurons beyond the largest one measured; labeling grows with
  characters x features, counting with characters x neurons x (features + 1), fitting with neurons x features x folds.
- Training reads every character once, in one layer of {neurons:,} LSTM cells and {symbols} symbols, with a batch of at
  least 8 texts per device.
- Devices share the work evenly, and wait for each other only in the sums of gradients, the gathering of scores and of
  measures, at {bandwidth:g} bytes/s per device (--bandwidth). Reading and writing files is not in it.
- Labeling is done by every host for itself: its time does not fall with the number of devices.
- Verification reads {verified:,} characters under {sets:,} sets of neurons (--verified, --sets).
"""


class Rates(NamedTuple):
    """What one device does in a second."""

    training: float  # floating-point operations
    recording: float
    verifying: float
    labeling: float  # characters x features
    counting: float  # characters x neurons x (features + 1)
    fitting: float  # neurons x features x folds


def operations(n_neurons: int, n_symbols: int) -> float:
    """Operations to read a character forward: the cell's matrix products and the readout, 2 for a product and a sum."""
    return 2.0 * (4 * n_neurons**2 + n_neurons * n_symbols)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The least seconds at work of a few calls; the first one compiles."""
    jax.block_until_ready(call())
    took = []
    for _ in range(repeats):
        began = time.process_time()
        jax.block_until_ready(call())
        took.append(time.process_time() - began)
    return min(took)


def network(corpus: Corpus, n_neurons: int, repeats: int) -> dict[str, float]:
    """Operations per second of training, recording and verifying, and the characters per second they are from."""
    few = 10 if n_neurons < 512 else 2
    config = TrainConfig(hidden=n_neurons, batch=32, window=64, evaluate_every=100)
    text = corpus.take(np.flatnonzero(corpus.split == 0))

    def train(steps: int) -> float:
        bare = TrainConfig(**{**vars(config), "steps": steps})
        return seconds(lambda: dni.train(text, config=bare, progress=False).weights, repeats)

    # The difference leaves out what a call does before and behind its steps.
    step = max((train(3 * few) - train(few)) / (2 * few), 1e-9)
    model, some = TrainedModel.init(corpus.vocabulary, config), corpus.head(10_000)
    nothing = dni.ablate(range(n_neurons)).bind(n_neurons, some.n_positions, sets=np.zeros((4, n_neurons), bool))
    per_second = {
        "training": config.batch * config.window / step,
        "recording": some.n_positions / seconds(lambda: dni.record(model, some).hidden, repeats),
        "verifying": 4 * some.n_positions / seconds(lambda: predict(model.weights, some, nothing).loss, repeats),
    }
    forward = operations(n_neurons, len(corpus.vocabulary))
    worth = {"training": 3 * forward, "recording": forward, "verifying": forward}  # backward is twice forward
    rates = {name: rate * worth[name] for name, rate in per_second.items()}
    return rates | {f"{name}, characters": rate for name, rate in per_second.items()}


def probing(args: argparse.Namespace) -> dict[str, float]:
    """Labels, counts and fits per second."""
    language = languages.get("parentheses")
    some = language.sample(2_000, seed=1)
    library = language.features()
    labels = seconds(lambda: library.label(some).matrix, args.repeats)
    rng = np.random.default_rng(0)
    n, n_neurons, n_features = 32_768, 16, 50
    hidden = rng.normal(size=(n, n_neurons)).astype(np.float32)
    marks = rng.random((n, n_features)) < 0.2
    folds = (np.arange(n) % args.folds).astype(np.int32)
    spec = ProbeSpec(n_bins=args.bins).resolve(marks)
    engine, sample = choose_engine(spec, n_positions=None), Sample(hidden, marks, folds, args.folds)

    def count() -> Any:
        return engine.update(engine.init(spec, sample), hidden, marks, folds)

    counted = seconds(lambda: count().cells, args.repeats)
    counts = count()
    fitted = seconds(lambda: engine.score(counts)["auc"], args.repeats)
    return {
        "labeling": some.n_positions * len(library) / labels,
        "counting": n * n_neurons * (n_features + 1) / counted,
        "fitting": n_neurons * n_features * args.folds / fitted,
    }


def parameters(n_neurons: int, n_symbols: int) -> int:
    """Numbers in the weights of one layer of LSTM cells, embedding and readout included."""
    return 4 * n_neurons * (n_neurons + n_symbols + 1) + n_neurons * n_symbols + n_symbols


def project(args: argparse.Namespace, rates: Rates, n_symbols: int) -> list[dict[str, float]]:
    """Hours of each part of the job, for each number of devices."""
    forward = operations(args.neurons, n_symbols)
    steps = args.characters / (args.batch * args.window)
    scores = 8 * 2 * args.neurons * args.features * args.folds
    rows = []
    for devices in args.devices:
        share = (devices - 1) / devices
        summed = 2 * share * 4 * parameters(args.neurons, n_symbols) / args.bandwidth
        work = {
            "training": 3 * forward * args.characters / rates.training / devices,
            "sums of gradients": steps * summed,
            "recording": forward * args.characters / rates.recording / devices,
            "labeling": args.characters * args.features / rates.labeling,
            "counting": args.characters * args.neurons * (args.features + 1) / rates.counting / devices,
            "fitting": args.neurons * args.features * args.folds / rates.fitting / devices,
            "gathering scores": share * scores / args.bandwidth,
            "verifying": forward * args.verified * args.sets / rates.verifying / devices,
            "gathering measures": share * 11 * args.verified * args.sets / args.bandwidth,
        }
        hours = {name: took / 3600 for name, took in work.items()}
        rows.append({"devices": devices, **hours, "all": sum(hours.values())})
    return rows


def table(rows: list[dict[str, float]]) -> str:
    """One column for each number of devices, in hours."""
    lines = ["| hours | " + " | ".join(f"{row['devices']:,} devices" for row in rows) + " |"]
    lines.append("|---" * (len(rows) + 1) + "|")
    for name in (name for name in rows[0] if name != "devices"):
        lines.append(f"| {name} | " + " | ".join(f"{row[name]:,.3g}" for row in rows) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole = {"type": lambda text: int(float(text))}
    for name, default in (("characters", 10**9), ("neurons", 10**4), ("features", 10**3), ("folds", 20), ("bins", 512)):
        parser.add_argument(f"--{name}", default=default, **whole)
    for name, default in (("batch", 8192), ("window", 64), ("verified", 30_000), ("sets", 10_000), ("repeats", 2)):
        parser.add_argument(f"--{name}", default=default, **whole)
    parser.add_argument("--measured", nargs="+", default=[128, 512, 1024], **whole, help="neurons that are measured")
    parser.add_argument("--devices", nargs="+", default=[1, 64, 1024], **whole)
    parser.add_argument("--bandwidth", type=float, default=1e10, help="bytes/s that a device sends and takes")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    corpus = languages.get("parentheses").sample(20_000, seed=0)
    networks = {n: network(corpus, n, args.repeats) for n in args.measured}
    for n, rates in networks.items():
        told = (f"{name} {rates[name + ', characters']:,.0f} characters/s ({rates[name] / 1e9:.1f} GFLOP/s)"
                for name in ("training", "recording", "verifying"))  # fmt: skip
        print(f"{n} neurons: {', '.join(told)}", flush=True)
    probes = probing(args)
    print(", ".join(f"{name} {rate:,.0f}/s" for name, rate in probes.items()), flush=True)
    largest = networks[max(networks)]
    rates = Rates(*(largest[name] for name in ("training", "recording", "verifying")), **probes)
    rows = project(args, rates, len(corpus.vocabulary))
    print(f"\n{args.characters:,} characters x {args.neurons:,} neurons x {args.features:,} features, projected:\n")
    print(table(rows))
    symbols = len(corpus.vocabulary)
    print(ASSUMPTIONS.format(**vars(args), symbols=symbols))
    memory = 4 * args.neurons * args.bins * args.folds * (args.features + 1) / 1e9
    states, weights = 2e-12 * args.characters * args.neurons, 4e-9 * parameters(args.neurons, symbols)
    print(f"Counts of all neurons: {memory:,.0f} GB; states in float16: {states:,.1f} TB; weights: {weights:,.2f} GB.")
    if args.out is not None:
        found = {"networks": networks, "probes": probes, "projection": rows}
        args.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
