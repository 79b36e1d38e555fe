"""Speed of the probes against scikit-learn (and himalaya where installed), in one interleaved run.

    python scripts/bench_probes.py                     # the grid of 20,000 x 128 x 50 x 20, table and JSON
    python scripts/bench_probes.py --sweep             # and how time grows with each size, as a figure
    python scripts/bench_probes.py --stream 10000000   # and the binned engine on that many positions

Writes bench_probes.json (and .png with --sweep) to --out. Ours is a whole call, arrays in and arrays out, warmed up;
the others fit a few single problems of the same grid, and their answers are compared with ours.
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={len(os.sched_getaffinity(0))}")

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeCV
from sklearn.svm import SVC, LinearSVC

import dni_jax.probes as probes

OTHERS: dict[str, tuple[str, Callable]] = {
    "SVC": ("svm", lambda: SVC(kernel="linear")),
    "LinearSVC": ("linear_svc", lambda: LinearSVC()),
    "LogisticRegression": ("logistic", lambda: LogisticRegression()),
    "RidgeClassifier": ("ridge", lambda: RidgeClassifier()),
}


def seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def make(positions: int, neurons: int, features: int, folds: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """States of an LSTM's range, of which some know some features."""
    rng = np.random.default_rng(seed)
    hidden = np.tanh(rng.normal(size=(positions, neurons))).astype(np.float32)
    signal = hidden[:, rng.integers(0, neurons, features)] * rng.uniform(0, 3, features)
    labels = signal + rng.normal(size=(positions, features)) > rng.uniform(0, 2, features)
    return hidden, labels, probes.make_folds(positions, k=folds, scheme="shuffled", seed=seed)


def spread(times: list[float]) -> dict[str, float]:
    return {"median_s": float(np.median(times)), "min_s": min(times), "max_s": max(times)}


def compare(args: argparse.Namespace) -> list[dict]:
    """Ours on the whole grid and the others on single fits of it, taking turns."""
    data = make(args.positions, args.neurons, args.features, args.folds)
    n_fits = args.neurons * args.features * args.folds
    chosen = {other: pair for other, pair in OTHERS.items() if pair[0] in args.probes}
    ours = {name: probes.score_neurons(*data, probe=name) for name, _ in chosen.values()}  # compiles
    memory, rng = peak_gib(), np.random.default_rng(1)
    own: dict[str, list[float]] = {name: [] for name in ours}
    theirs: dict[str, list[float]] = {name: [] for name in chosen}
    gaps: dict[str, list[float]] = {name: [] for name in chosen}
    for repeat in range(args.repeats):
        for other, (name, estimator) in chosen.items():
            own[name].append(seconds(lambda name=name: probes.score_neurons(*data, probe=name)))
            fits = 1 if other == "SVC" and repeat < args.svc_fits else 0 if other == "SVC" else 5
            for _ in range(fits):
                n, f, k = (int(rng.integers(size)) for size in (args.neurons, args.features, args.folds))
                gap, took = single_fit(estimator(), data, (n, f, k), ours[name]["accuracy"][n, f, k])
                theirs[other].append(took)
                gaps[other].append(gap)
    rows = []
    for other, (name, _) in chosen.items():
        rate, single = n_fits / np.median(own[name]), 1 / np.median(theirs[other])
        rows.append(
            {
                "probe": name,
                **spread(own[name]),
                "fits": n_fits,
                "fits_per_s": rate,
                "other": other,
                "other_fits_per_s": single,
                "ratio": rate / single,
                "largest_accuracy_gap": max(gaps[other]),
                "peak_gib": memory,
            }
        )
    return rows


def single_fit(model: object, data: tuple, place: tuple[int, int, int], accuracy: float) -> tuple[float, float]:
    """Fit and score one problem; returns the difference in held-out accuracy and the time."""
    (hidden, labels, folds), (n, f, k) = data, place
    x, y, train = hidden[:, [n]].astype(np.float64), labels[:, f], folds != k
    start = time.perf_counter()
    score = model.fit(x[train], y[train]).score(x[~train], y[~train])
    return abs(score - accuracy), time.perf_counter() - start


def regression(args: argparse.Namespace) -> list[dict]:
    """R^2 of every pair against the bare product of the arrays, RidgeCV and himalaya."""
    hidden, labels, folds = make(args.product_positions, args.neurons, args.features, args.folds)
    values = labels.astype(np.float32)
    x, y = jnp.asarray(hidden), jnp.asarray(values)
    product = jax.jit(lambda x, y: x.T @ y)
    calls = {
        "product": lambda: product(x, y).block_until_ready(),
        "ols": lambda: probes.score_neurons(x, y, folds, probe="ols", metrics=("r2",)),
        "ridge": lambda: probes.score_neurons(x, y, folds, probe="ridge", metrics=("r2",)),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    rng, single = np.random.default_rng(1), []
    for _ in range(args.repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
        n, k = int(rng.integers(args.neurons)), int(rng.integers(args.folds))
        train = folds != k
        single.append(seconds(lambda n=n, t=train: RidgeCV(alphas=[1.0]).fit(hidden[t][:, [n]], values[t])))
    bare, n_fits = np.median(times["product"]), args.neurons * args.features * args.folds
    others = {"RidgeCV": np.median(single) / args.features}  # one fit takes all features
    if importlib.util.find_spec("himalaya"):
        others["himalaya"] = himalaya_seconds(hidden, values, folds, args) / args.features
    rows = []
    for name in ("ols", "ridge"):
        for other, each in others.items():
            took = np.median(times[name])
            rows.append(
                {
                    "probe": f"{name} r2, {args.product_positions:,} positions",
                    **spread(times[name]),
                    "fits": n_fits,
                    "fits_per_s": n_fits / took,
                    "times_the_bare_product": took / bare,
                    "other": other,
                    "other_fits_per_s": 1 / each,
                    "ratio": n_fits / took * each,
                }
            )
    return rows


def himalaya_seconds(hidden: np.ndarray, values: np.ndarray, folds: np.ndarray, args: argparse.Namespace) -> float:
    ridge = importlib.import_module("himalaya.ridge")
    train = folds != 0
    x, y = hidden[train], values[train]
    return float(
        np.median(
            [
                seconds(lambda n=n: ridge.Ridge(alpha=1.0).fit(x[:, [n]], y))
                for n in range(min(args.repeats, args.neurons))
            ]
        )
    )


def stream(n_positions: int, args: argparse.Namespace) -> dict:
    """The binned engine on chunks that are made before the clock starts and used again and again."""
    size = 65_536
    chunks = [make(size, args.neurons, args.features, args.folds, seed) for seed in range(2)]
    spec, regression = probes.ProbeSpec(metrics=("accuracy", "auc")), probes.ProbeSpec("ols", metrics=("r2", "pearson"))
    engine, grid = (probes.choose_engine(one, n_positions=None) for one in (spec, regression))
    sample = probes.Sample(*chunks[0], args.folds)

    def accumulate(engine: probes.Engine, spec: probes.ProbeSpec, pieces: Iterable) -> Any:
        return probes.accumulate(engine, engine.init(spec, sample), pieces)

    accumulate(engine, spec, chunks[:1])
    times = []
    for total in (n_positions // 4, n_positions):
        pieces = (chunks[i % 2] for i in range(-(-total // size)))
        start = time.perf_counter()
        counts = accumulate(engine, spec, pieces)
        times.append(time.perf_counter() - start)
    engine.score(counts)
    scoring = seconds(lambda: engine.score(counts))
    accumulate(grid, regression, chunks[:1])
    pieces = (chunks[i % 2] for i in range(-(-n_positions // 4 // size)))
    products = seconds(lambda: accumulate(grid, regression, pieces))
    return {
        "probe": f"svm binned, {counts.n_positions:,} positions",
        "quarter_s": times[0],
        "counting_s": times[1],
        "scoring_s": scoring,
        "least_squares_quarter_s": products,
        "positions_per_s": counts.n_positions / times[1],
        "peak_gib": peak_gib(),
    }


def binned_gaps(args: argparse.Namespace, positions: int = 100_000) -> dict[str, float]:
    """Largest differences of the binned engine's scores from exact ones, over all neurons, features and folds.

    The line of a neuron that knows nothing may rise for one engine and fall for the other, which turns its AUC about .5
    around: these are counted apart, with the largest distance of such an AUC from .5.
    """
    data = make(positions, min(args.neurons, 32), args.features, args.folds)
    exact, binned = (probes.score_neurons(*data, engine=engine) for engine in ("exact", "binned"))
    ols = [probes.score_neurons(*data, probe="ols", engine=engine)["r2"] for engine in ("exact", "binned")]
    gap, mirrored = np.abs(exact["auc"] - binned["auc"]), np.abs(exact["auc"] - (1 - binned["auc"]))
    turned = mirrored + 1e-3 < gap
    return {
        "positions": positions,
        "fits": exact["auc"].size,
        "accuracy": float(np.max(np.abs(exact["accuracy"] - binned["accuracy"]))),
        "auc": float(np.max(np.where(turned, 0, gap))),
        "turned": int(turned.sum()),
        "turned_auc_from_half": float(np.max(np.where(turned, np.abs(exact["auc"] - 0.5), 0))),
        "r2": float(np.nanmax(np.abs(ols[0] - ols[1]))),
    }


def roofline(args: argparse.Namespace, took: float) -> dict[str, float]:
    """Least bytes and operations of the exact SVM against what this machine measures for copies and products.

    Bytes: each neuron's prefixes (a count and a sum a word, fold and feature) are written once and read once.
    Operations: the sums are products of every position with every fold and feature.
    """
    words = -(-args.positions // 64)
    bytes_moved = args.neurons * (2 * 12 * words * args.folds * args.features + 32 * args.positions)
    operations = 2.0 * args.neurons * args.positions * args.folds * args.features
    block = np.ones(2**26)
    target = np.empty_like(block)
    copy = min(seconds(lambda: np.copyto(target, block)) for _ in range(5))
    with jax.enable_x64(True):
        a = jnp.ones((2048, 2048), jnp.float64)
        multiply = jax.jit(lambda a: a @ a)
        multiply(a).block_until_ready()
        best = min(seconds(lambda: multiply(a).block_until_ready()) for _ in range(5))
    bandwidth, peak = 2 * block.nbytes / copy, 2 * 2048**3 / best
    least = max(bytes_moved / bandwidth, operations / peak)
    return {
        "bytes": bytes_moved,
        "operations": operations,
        "bandwidth_gb_s": bandwidth / 1e9,
        "peak_gflop_s": peak / 1e9,
        "least_s": least,
        "share_of_limit": least / took,
    }


def sweep(args: argparse.Namespace) -> dict[str, list[tuple[int, float]]]:
    """Median time of the exact SVM while one size changes."""
    base = {"positions": args.positions, "neurons": 32, "features": args.features, "folds": args.folds}
    factors = {
        "positions": (0.25, 0.5, 1, 2, 4),
        "neurons": (0.25, 0.5, 1, 2),
        "features": (0.2, 0.5, 1, 2),
        "folds": (0.25, 0.5, 1, 2),
    }
    curves: dict[str, list[tuple[int, float]]] = {}
    for axis, scales in factors.items():
        for scale in scales:
            sizes = base | {axis: max(2, int(base[axis] * scale))}
            data = make(**sizes)
            probes.score_neurons(*data)
            times = [seconds(lambda data=data: probes.score_neurons(*data)) for _ in range(3)]
            curves.setdefault(axis, []).append((sizes[axis], float(np.median(times))))
    return curves


def draw(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), sharey=True, layout="constrained")
    for axis, (name, points) in zip(axes, curves.items(), strict=True):
        sizes, times = np.array(points).T
        axis.loglog(sizes, times, "o-", label="measured")
        axis.loglog(sizes, times[0] * sizes / sizes[0], ":", color="gray", label="proportional")
        axis.set_xticks(sizes, [f"{int(size):,}" for size in sizes], fontsize=8, rotation=30)
        axis.minorticks_off()
        axis.set_xlabel(name)
    ticks = (0.03, 0.1, 0.3, 1, 3)
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].minorticks_off()
    axes[0].set_ylabel("seconds per call")
    axes[0].legend()
    figure.savefig(path, dpi=150)


def show(rows: list[dict]) -> None:
    print(f"{'probe':34} {'median s':>9} {'min-max':>13} {'fits/s':>11}  {'other':20} {'fits/s':>9} {'ratio':>10}")
    for row in rows:
        between = f"{row['min_s']:.2f}-{row['max_s']:.2f}"
        print(
            f"{row['probe']:34} {row['median_s']:9.3f} {between:>13} {row['fits_per_s']:11,.0f}  "
            f"{row['other']:20} {row['other_fits_per_s']:9.2f} {row['ratio']:10,.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("positions", 20_000), ("neurons", 128), ("features", 50), ("folds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--product-positions", type=int, default=200_000, help="size of the comparison with hidden.T @ labels"
    )
    names = [name for name, _ in OTHERS.values()]
    parser.add_argument("--probes", nargs="+", default=names, choices=names)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--svc-fits", type=int, default=2, help="single fits of SVC, seconds each")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--stream", type=int, default=0, metavar="POSITIONS")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine()}
    machine |= {"devices": [str(d) for d in jax.devices()], "jax": jax.__version__, "scikit-learn": sklearn.__version__}
    print(machine)
    rows = compare(args)
    limit = roofline(args, rows[0]["median_s"])
    rows += regression(args)
    show(rows)
    for row in rows:
        if "times_the_bare_product" not in row:
            continue
        print(f"{row['probe']}: {row['times_the_bare_product']:.1f} times hidden.T @ labels")
    print(f"largest difference in accuracy: {max(row.get('largest_accuracy_gap', 0.0) for row in rows):.4f}")
    print(f"svm: {limit['share_of_limit']:.0%} of the machine's limit, {limit['least_s']:.2f} s")
    print(f"peak memory of ours: {rows[0]['peak_gib']:.2f} GiB")
    result = {
        "machine": machine,
        "settings": {k: str(v) for k, v in vars(args).items()},
        "rows": rows,
        "roofline": limit,
    }
    if args.stream:
        result["stream"], result["binned_gaps"] = stream(args.stream, args), binned_gaps(args)
        print(result["stream"])
        print(f"largest differences of binned from exact scores: {result['binned_gaps']}")
    if args.sweep:
        result["sweep"] = sweep(args)
        draw(result["sweep"], args.out / "bench_probes.png")
    (args.out / "bench_probes.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
