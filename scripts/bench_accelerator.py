"""The package on one accelerator, in one prepared command of at most eight minutes: agreement first, then speed.

    python scripts/bench_accelerator.py                    # on a machine with a GPU (or TPU)
    python scripts/bench_accelerator.py --small            # anywhere, at sizes that a CPU runs in a minute

The CPU's plan is the reference: scores of every probe must agree before any is timed. Then probes on two grids and a
stream; LSTMs of two sizes, 1 to 512 at once, trained and generating, next to torch's (on a GPU cuDNN's); and cuML's
SVC, where it is installed. Calls are warmed up, take turns and end when their results are on the host. Writes
bench_accelerator.json to --out, and prints the table that docs/speed.md shows. Once --minutes have passed, no further
measurement begins; those left out are named.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bench_lstm
import jax
import lstm_rivals as rivals
import numpy as np
from bench_probes import make
from bench_turns import agree, contest, machine, seconds

import dni_jax as dni
from dni_jax.devices import use_all_cores
from dni_jax.probes import ProbeSpec, score_neurons, score_stream

PROBES = ("svm", "linear_svc", "logistic", "ridge", "ols")
GRIDS = ((20_000, 128, 50, 20), (200_000, 1_024, 200, 20))
NETWORKS = [(hidden, models) for hidden in (128, 1_024) for models in (1, 8, 64, 512)]
SMALL_GRIDS, SMALL_NETWORKS = ((2_000, 8, 4, 4), (4_000, 16, 6, 4)), [(16, 1), (16, 4)]
Measurement = tuple[str, Callable[[], Iterator[dict]]]


def agreement(small: bool) -> Iterator[dict]:
    """Compare every probe of this device's plan with the CPU's on one small grid."""
    hidden, labels, folds = make(1_500 if small else 4_000, 8, 6, 4)
    for name in PROBES:
        ours = score_neurons(hidden, labels, folds, probe=name)
        with jax.default_device(jax.devices("cpu")[0]):
            theirs = score_neurons(hidden, labels, folds, probe=ProbeSpec(name, plan="cpu"))
        gaps = {metric: float(np.nanmax(np.abs(ours[metric] - theirs[metric]))) for metric in theirs}
        agree("scores", np.asarray(list(gaps.values())), np.zeros(len(gaps)), f"the CPU's {name}", 1e-6)
        yield {"what": f"agreement of {name} with the CPU", "largest_gap": max(gaps.values())}


def probes(grid: tuple[int, int, int, int], repeats: int) -> list[Measurement]:
    """Time each probe on a grid."""
    hidden, labels, folds = make(*grid)
    n_fits = grid[1] * grid[2] * grid[3]

    def one(name: str) -> Iterator[dict]:
        turns = contest({"ours": lambda: score_neurons(hidden, labels, folds, probe=name)}, repeats)
        took = float(np.median(turns.seconds["ours"]))
        yield {"what": f"{name}, {' x '.join(f'{n:,}' for n in grid)}", "seconds": took, "fits_per_s": n_fits / took}

    return [(f"{name} on {grid}", lambda name=name: one(name)) for name in PROBES]


def cuml(grid: tuple[int, int, int, int]) -> Iterator[dict]:
    """Time cuML's SVC on single problems of the grid."""
    from cuml.svm import SVC  # an accelerator's own, not among the extras

    hidden, labels, folds = make(*grid)
    train = folds != 0
    fit = lambda: SVC(kernel="linear").fit(hidden[train][:, :1], labels[train, 0])  # noqa: E731
    fit()
    took = min(seconds(fit) for _ in range(3))
    yield {"what": "cuML SVC, one fit", "seconds": took, "fits_per_s": 1 / took}


def stream(positions: int, small: bool) -> Iterator[dict]:
    """Count a stream of positions and score it."""
    length = 4_096 if small else 65_536
    hidden, labels, folds = make(length, *((8, 4, 4) if small else (128, 50, 20)))
    n_folds = int(folds.max()) + 1

    def run(count: int) -> None:
        score_stream(((hidden, labels, folds) for _ in range(count)), n_folds=n_folds)

    run(1)
    count = -(-positions // length)
    took = seconds(lambda: run(count))
    yield {
        "what": f"a stream of {count * length:,} positions",
        "seconds": took,
        "positions_per_s": count * length / took,
    }


def training(hidden: int, models: int, args: argparse.Namespace, corpus: dni.Corpus) -> Iterator[dict]:
    """Train networks at once, next to torch's, one after the other."""
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    settings = argparse.Namespace(accelerator_text=args.text, steps=10, repeats=args.repeats)
    for matmul_dtype in ("float32", "bfloat16"):
        what = f"training, {models} of {hidden} units, {matmul_dtype}"
        yield from bench_lstm.beside_cudnn(settings, corpus, (hidden, matmul_dtype, models), device, what)


def generation(hidden: int, models: int, args: argparse.Namespace, corpus: dni.Corpus) -> Iterator[dict]:
    """Generate texts under many overrides at once."""
    (model,) = rivals.models(corpus.vocabulary, hidden)
    held = [dni.clamp([number % hidden], 1.0) for number in range(models)]
    n_texts, length = args.text
    call = lambda: dni.models.generate_each(model, held, n=n_texts, length=length)  # noqa: E731
    turns = contest({"ours": call}, args.repeats)
    took = float(np.median(turns.seconds["ours"]))
    what = f"generation, {models} overrides, {hidden} units"
    yield {"what": what, "seconds": took, "characters_per_s": models * n_texts * length / took}


def measurements(args: argparse.Namespace) -> Iterator[Measurement]:
    """Yield everything that is measured, the most important first."""
    corpus = dni.languages.get("parentheses").sample(2_000 if args.small else 20_000, seed=0)
    grids, networks = (SMALL_GRIDS, SMALL_NETWORKS) if args.small else (GRIDS, NETWORKS)
    yield "agreement", lambda: agreement(args.small)
    yield from probes(grids[0], args.repeats)
    if importlib.util.find_spec("cuml"):
        yield "cuML", lambda: cuml(grids[0])
    yield "stream", lambda: stream(20_000 if args.small else 10_000_000, args.small)
    for hidden, models in networks:
        yield f"training {models} of {hidden}", lambda h=hidden, m=models: training(h, m, args, corpus)
        yield f"generation {models} of {hidden}", lambda h=hidden, m=models: generation(h, m, args, corpus)
    yield from probes(grids[1], 1)


def show(row: dict) -> str:
    """Return a row of the table."""
    cells = [f"{row['what']:60}"]
    for name, value in row.items():
        if name not in ("what", "other") and isinstance(value, float):
            cells.append(f"{name} {value:,.4g}")
    return "  ".join([*cells, *([f"against {row['other']}"] if "rate" in row else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="sizes for a CPU")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--text", type=int, nargs=2, default=[32, 64], metavar=("TEXTS", "CHARACTERS"))
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    use_all_cores()
    if jax.default_backend() == "cpu" and not args.small:
        parser.error("expected a GPU or TPU, got CPUs only: try --small")
    about, began = machine(), time.perf_counter()
    print(about)
    found, left_out = [], []
    for name, measure in measurements(args):
        if time.perf_counter() - began > 60 * args.minutes:
            left_out.append(name)
            continue
        try:
            for row in measure():
                print(show(row), flush=True)
                found.append(row)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            problem = str(error).splitlines()[0]
            print(f"{name}: {problem}", flush=True)
            found.append({"what": name, "problem": problem})
    if left_out:
        print(f"left out, for lack of time: {', '.join(left_out)}")
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": about, "rows": found, "left_out": left_out}, indent=1)
    (args.out / "bench_accelerator.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
