"""Do the p-values hold? False positives of every null on data without a finding, and what is found of planted neurons.

    python scripts/bench_discovery.py                # tables, bench_discovery.json and bench_discovery.png
    python scripts/bench_discovery.py --draws 200    # a look

Each draw is an independent data set, so the number of false positives is binomial. A null is called valid for a kind of
data where its assumptions hold there; its rate at 5 % must lie within the range that 99 % of fair tests keep to.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.signal import lfilter
from scipy.stats import binom

import dni_jax as dni
from dni_jax.models import TrainConfig, TrainedModel

LEVEL, RANGE, NULL = 0.05, 0.99, 99
NULLS = ("fresh", "string_permutation", "shift", "iid")
VALID = {
    "strings": ("fresh", "string_permutation"),
    "long texts": ("shift",),
    "grammar": ("fresh", "string_permutation"),
    "words": ("default",),
    "words, spaces masked": ("default",),
    "tokens": ("default",),
    "texts": ("default",),
}
DEFAULTS = ("words", "words, spaces masked", "tokens", "texts")  # asked as dni.significance chooses
NEURONS, FEATURES = 16, 4


class Data(NamedTuple):
    """States and labels on T positions, their strings, and fresh strings' labels."""

    hidden: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    fresh_labels: np.ndarray | None = None
    fresh_groups: np.ndarray | None = None


def series(rng: np.random.Generator, lengths: np.ndarray, n: int, memory: float = 0.9) -> np.ndarray:
    """AR(1) states (T, n) of unit variance, every string on its own and stationary from its first character."""
    parts = []
    for length in lengths:
        noise = rng.normal(size=(length, n)) * np.sqrt(1 - memory**2)
        noise[0] = rng.normal(size=n)
        parts.append(lfilter([1.0], [1.0, -memory], noise, axis=0))
    return np.concatenate(parts)


def runs(rng: np.random.Generator, lengths: np.ndarray, n: int, mean: float = 10.0) -> np.ndarray:
    """Labels (T, n) of 0 and 1 in runs of geometric length, a third of them 1; every string on its own."""
    parts = []
    for length in lengths:
        starts = rng.random((length, n)) < 1 / mean
        starts[0] = True
        values = rng.random((length, n)) < 1 / 3
        last = np.maximum.accumulate(np.where(starts, np.arange(length)[:, None], 0), axis=0)
        parts.append(np.take_along_axis(values, last, axis=0))
    return np.concatenate(parts).astype(np.int8)


def numbered(lengths: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(lengths)), lengths)


def short_strings(rng: np.random.Generator) -> Data:
    """20 strings of 40 to 44 characters, and 100 fresh ones."""
    lengths, fresh = np.tile(np.arange(40, 45), 4), np.tile(np.arange(40, 45), 20)
    hidden, labels = series(rng, lengths, NEURONS), runs(rng, lengths, FEATURES)
    return Data(hidden, labels, numbered(lengths), runs(rng, fresh, FEATURES), numbered(fresh))


def long_texts(rng: np.random.Generator) -> Data:
    """2 texts of 500 characters."""
    lengths = np.asarray([500, 500])
    return Data(series(rng, lengths, NEURONS), runs(rng, lengths, FEATURES), numbered(lengths))


def grammar_texts(draws: int, seed: int) -> Iterator[Data]:
    """Labels of 24 strings of the parentheses language, and states of a network that read 24 others as long."""
    language = dni.languages.get("parentheses")
    lengths, each, fresh = np.arange(11, 19), 3, 20
    corpus = language.sample(int(60 * (2 * each * draws + 10 * fresh)), seed=seed)
    labels = language.features().select(["digit", "depth=1", "range:e2", "symbol:)"]).label(corpus).matrix
    model = TrainedModel.init(corpus.vocabulary, TrainConfig(hidden=NEURONS, seed=seed))
    pools = [np.flatnonzero(np.diff(corpus.offsets) == n) for n in lengths]
    short = min(len(pool) for pool in pools)
    if short < 2 * each * draws + 10 * fresh:
        raise RuntimeError(f"expected {2 * each * draws + 10 * fresh} strings of each length, got {short}: sample more")
    # (draws, length, each): every string is read once, or labeled once; the fresh ones are drawn from what is left.
    taken = np.stack([pool[: 2 * each * draws].reshape(draws, 2 * each) for pool in pools], axis=1)
    left = [pool[2 * each * draws :] for pool in pools]
    read, groups = taken[:, :, :each], numbered(np.repeat(lengths, each))
    states = dni.record(model, corpus.take(read.ravel())).hidden.reshape(draws, len(groups), NEURONS)
    for draw, hidden in enumerate(states):
        rng = np.random.default_rng([seed, draw])
        others = np.concatenate([rng.choice(pool, fresh, replace=False) for pool in left])
        own, more = (
            np.concatenate([labels[corpus.offsets[s] : corpus.offsets[s + 1]] for s in strings])
            for strings in (taken[draw, :, each:].ravel(), others)
        )
        yield Data(hidden, own, groups, more, numbered(np.repeat(lengths, fresh)))


def word_corpus(rng: np.random.Generator, n: int) -> dni.Corpus:
    """Phrases of two to four words, of letters that follow each other as in a Markov chain; words end by chance."""
    letters, stop = np.asarray(list("aeioubcdlnrst")), 0.3
    phrases = []
    for _ in range(n):
        words = []
        for _ in range(int(rng.integers(2, 5))):
            length, vowel, word = 2 + min(rng.geometric(stop), 8), bool(rng.integers(2)), []
            for _ in range(length):
                word.append(rng.choice(letters[:5] if vowel else letters[5:]))
                vowel = not vowel if rng.random() < 0.85 else vowel
            words.append("".join(word))
        phrases.append(" ".join(words))
    return dni.Corpus.from_strings(phrases)


def units(kind: str, corpus: dni.Corpus) -> np.ndarray:
    """Where a network has a state, bool (T,): everywhere, at letters, or at the last letter of each word."""
    spaces = corpus.text == ord(" ")
    if kind == "words":
        return np.ones(len(spaces), bool)
    if kind == "words, spaces masked":
        return ~spaces
    last = np.append(spaces[1:], True)
    last[corpus.offsets[1:] - 1] = True
    return last & ~spaces


def default_case(kind: str, rng: np.random.Generator) -> tuple[dni.Corpus, dni.models.Activations]:
    """Strings, and states of an untrained network that read other strings with as many states each."""
    if kind == "texts":
        lengths = np.asarray([700, 800, 900])
        corpus = dni.Corpus.from_strings(["".join(rng.choice(list("abc "), length)) for length in lengths])
        return corpus, dni.from_arrays(series(rng, lengths, NEURONS).astype(np.float32), corpus)
    pool = word_corpus(rng, 400)
    counts, taken, read = np.add.reduceat(units(kind, pool).astype(int), pool.offsets[:-1]), [], []
    for count in np.unique(counts):
        same = rng.permutation(np.flatnonzero(counts == count))
        half = len(same) // 2
        taken, read = [*taken, *same[:half]], [*read, *same[half : 2 * half]]
    corpus, other = pool.take(np.asarray(taken)), pool.take(np.asarray(read))
    seed = int(rng.integers(2**31))
    states = dni.record(TrainedModel.init(pool.vocabulary, TrainConfig(hidden=NEURONS, seed=seed)), other).hidden
    mask = units(kind, corpus)
    hidden = np.zeros((corpus.n_positions, NEURONS), np.float32)
    hidden[mask] = states[units(kind, other)]
    return corpus, dni.models.Activations(hidden, corpus.position_groups, mask=None if mask.all() else mask)


def default_false_positives(kind: str, draws: int, seed: int = 0) -> list[dict]:
    """Share of data sets without a finding in which dni.significance, left to choose, reports one."""
    library = dni.char_feature("vowel", lambda c: c in "aeiou") + dni.char_feature("a", lambda c: c == "a")
    library += dni.feature("late", lambda string: [int(n > len(string) // 2) for n in range(len(string))])
    library += dni.feature("after space", lambda string: [int(" " in string[:n]) for n in range(len(string))])
    if kind == "texts":
        library = library.select(["vowel", "a"])
    counts, chosen = dict.fromkeys(("p", "p_family", "p_global", "q"), 0), set()
    for draw in range(draws):
        corpus, states = default_case(kind, np.random.default_rng([seed, draw]))
        labels = library.label(corpus)
        empty = xr.Dataset(coords={"neuron": np.arange(NEURONS), "feature": list(labels.names)})
        test = dni.significance(empty, states, labels, corpus, n_null=NULL, seed=draw)
        chosen.add(test.attrs["null"])
        neuron, feature = draw % NEURONS, draw // NEURONS % len(labels)
        counts["p"] += int(test["p"].values[neuron, feature] <= LEVEL)
        counts["p_family"] += int(test["p_family"].values[:, feature].min() <= LEVEL)
        counts["p_global"] += int(test["p_global"].values.min() <= LEVEL)
        counts["q"] += int(test["q"].values.min() <= LEVEL)
    low, high = (int(v) for v in binom.interval(RANGE, draws, LEVEL))
    return [
        {
            "data": kind,
            "null": f"default: {', '.join(sorted(chosen))}",
            "valid": True,
            "draws": draws,
            **{name: count / draws for name, count in counts.items()},
            "low": low / draws,
            "high": high / draws,
            "holds": all(count <= high for count in counts.values()) and counts["p"] >= low,
        }
    ]


def data_sets(kind: str, draws: int, seed: int) -> Iterator[Data]:
    if kind == "grammar":
        yield from grammar_texts(draws, seed)
        return
    make = {"strings": short_strings, "long texts": long_texts}[kind]
    for draw in range(draws):
        yield make(np.random.default_rng([seed, draw]))


def tested(data: Data, null: str, n_null: int, seed: int) -> dict[str, np.ndarray]:
    more = {"fresh_labels": data.fresh_labels, "fresh_groups": data.fresh_groups} if null == "fresh" else {}
    return dni.permutation_test(data.hidden, data.labels, data.groups, null, n_null=n_null, seed=seed, **more)


def false_positives(kind: str, draws: int, seed: int = 0) -> list[dict]:
    """Share of data sets without a finding in which one is reported, for each null and each kind of p-value."""
    if kind in DEFAULTS:
        return default_false_positives(kind, draws, seed)
    # Two long texts have a single other arrangement, and no fresh ones.
    asked = ("shift", "iid") if kind == "long texts" else NULLS
    hits = {null: {"p": 0, "p_family": 0, "p_global": 0, "q": 0} for null in asked}
    for draw, data in enumerate(data_sets(kind, draws, seed)):
        for null, counts in hits.items():
            test = tested(data, null, NULL, draw)
            neuron, feature = draw % NEURONS, draw // NEURONS % FEATURES
            counts["p"] += test["p"][neuron, feature] <= LEVEL
            counts["p_family"] += test["p_family"][:, feature].min() <= LEVEL
            counts["p_global"] += test["p_global"].min() <= LEVEL
            counts["q"] += test["q"].min() <= LEVEL
    low, high = (int(v) for v in binom.interval(RANGE, draws, LEVEL))
    return [
        {
            "data": kind,
            "null": null,
            "valid": null in VALID[kind],
            "draws": draws,
            **{name: int(count) / draws for name, count in counts.items()},
            "low": low / draws,
            "high": high / draws,
            "holds": all(counts[name] <= high for name in counts) and all(counts[n] >= low for n in ("p", "p_family")),
        }
        for null, counts in hits.items()
    ]


def planted(rng: np.random.Generator, strength: float, neurons: int = 64, known: int = 8) -> tuple[Data, np.ndarray]:
    """States of which the first few know one feature each, at a strength in standard deviations of their noise."""
    lengths, fresh = np.tile(np.arange(40, 45), 4), np.tile(np.arange(40, 45), 20)
    hidden, labels = series(rng, lengths, neurons), runs(rng, lengths, FEATURES)
    truth = np.zeros((neurons, FEATURES), bool)
    truth[np.arange(known), np.arange(known) % FEATURES] = True
    hidden += strength * (truth.astype(float) @ labels.T).T
    return Data(hidden, labels, numbered(lengths), runs(rng, fresh, FEATURES), numbered(fresh)), truth


def recovery(strengths: list[float], draws: int, n_null: int, seed: int = 0) -> list[dict]:
    """Recall and precision of planted neurons at 5 %, by each p-value."""
    rows = []
    for strength in strengths:
        for null in NULLS:
            found = {name: np.zeros(2) for name in ("p_family", "p_global", "q")}
            possible = 0
            for draw in range(draws):
                data, truth = planted(np.random.default_rng([seed, draw]), strength)
                test = tested(data, null, n_null, draw)
                possible += truth.sum()
                for name, counts in found.items():
                    reported = test[name] <= LEVEL
                    counts += (reported & truth).sum(), reported.sum()
            for name, (right, reported) in found.items():
                recall, precision = right / possible, right / reported if reported else float("nan")
                rows.append({"strength": strength, "null": null, "by": name, "recall": recall, "precision": precision})
    return rows


def show(rates: list[dict], found: list[dict]) -> None:
    columns = ("p", "p_family", "p_global", "q")
    names = " ".join(f"{name:>8}" for name in columns)
    print(f"{'data':20} {'null':28} {'valid':6} {names}   5 % keeps to     holds")
    for row in rates:
        values = " ".join(f"{row[name]:8.3f}" for name in columns)
        bounds = f"{row['low']:.3f} to {row['high']:.3f}"
        valid, holds = ("yes" if row[name] else "no" for name in ("valid", "holds"))
        print(f"{row['data']:20} {row['null']:28} {valid:6} {values}   {bounds}   {holds}")
    print(f"\n{'strength':>8} {'null':20} {'by':10} {'recall':>7} {'precision':>9}")
    for row in found:
        print(f"{row['strength']:8.2f} {row['null']:20} {row['by']:10} {row['recall']:7.2f} {row['precision']:9.2f}")


def draw(rates: list[dict], found: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    names = [f"{row['data']}: {row['null']}" for row in rates]
    colors = ["tab:blue" if row["valid"] else "tab:red" for row in rates]
    axes[0].barh(names, [row["p"] for row in rates], color=colors)
    axes[0].axvspan(rates[0]["low"], rates[0]["high"], color="0.8", zorder=0)
    axes[0].invert_yaxis()
    axes[0].set(xlabel="false positives at 5 % (red: not valid there)", xscale="log", xlim=(0.02, 1))
    for axis, measure in zip(axes[1:], ("recall", "precision"), strict=True):
        for null in NULLS:
            rows = [row for row in found if row["null"] == null and row["by"] == "q"]
            axis.plot([row["strength"] for row in rows], [row[measure] for row in rows], marker="o", ms=3, label=null)
        axis.set(xlabel="strength of planted neurons (sd)", ylabel=f"{measure} at q ≤ 5 %", ylim=(-0.02, 1.02))
    axes[2].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000, help="data sets without a finding, of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(VALID), choices=list(VALID), help="kinds of data")
    parser.add_argument("--planted-draws", type=int, default=20, help="data sets with planted neurons")
    parser.add_argument("--repetitions", type=int, default=1_999, help="of the null on planted data")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    rates = [row for kind in args.kinds for row in false_positives(kind, args.draws, args.seed)]
    found = recovery(args.strengths, args.planted_draws, args.repetitions, args.seed)
    show(rates, found)
    seconds = time.perf_counter() - began
    print(f"\n{seconds:.0f} s")
    settings = {name: str(value) for name, value in vars(args).items() if name != "out"}
    result = {"settings": settings, "seconds": seconds, "false_positives": rates, "planted": found}
    (args.out / "bench_discovery.json").write_text(json.dumps(result, indent=1))
    draw(rates, found, args.out / "bench_discovery.png")


if __name__ == "__main__":
    main()
