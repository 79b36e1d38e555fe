"""Permutation tests of all neurons against all features: p-values that hold for as many as are tested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped

from dni_jax import processes
from dni_jax.probes import _check
from dni_jax.probes import _direct as direct
from dni_jax.probes._engine import Scores
from dni_jax.probes._metrics import REGRESSION
from dni_jax.probes._nulls import Null, NullSpec, as_null, check_kinds, choose_null
from dni_jax.probes._score import score_neurons
from dni_jax.probes._spec import ProbeSpec, as_spec

_TIE = 1e-9  # scores this close, in units of their spread, are equal


def benjamini_hochberg(p: Float[np.ndarray, "*tests"]) -> Float[np.ndarray, "*tests"]:
    """Return the smallest false discovery rate at which each hypothesis is rejected (Benjamini & Hochberg 1995).

    NaN marks what was not tested.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.9, np.nan])).round(3).tolist()
    [0.03, 0.03, 0.9, nan]
    """
    tested = ~np.isnan(p)
    some = p[tested]
    order = np.argsort(some)
    scaled = some[order] * len(some) / np.arange(1, len(some) + 1)
    q = np.empty(len(some))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    result = np.full(p.shape, np.nan)
    result[tested] = q
    return result


def p_values(
    scores: Float[np.ndarray, "R1 N G"], two_sided: bool
) -> tuple[dict[str, Float[np.ndarray, "N G"]], Float[np.ndarray, "R1 G"]]:
    """Compute the p-values of row 0 among all rows, and each row's maximum over neurons."""
    distance = distances(scores, two_sided)
    observed, n_rows = distance[0], len(scores)
    maxima = distance.max(1)
    rest = scores[1:]
    result = {
        "p": (distance >= observed - _TIE).sum(0) / n_rows,
        "p_family": at_least(maxima, observed),
        "score": scores[0],
        "null_mean": rest.mean(0),
        "null_sd": rest.std(0),
        "distance": observed,
    }
    return result, maxima


def distances(scores: Float[np.ndarray, "R1 N G"], two_sided: bool) -> Float[np.ndarray, "R1 N G"]:
    """Compute distances from the mean over rows in units of their spread; 0 where all rows are equal."""
    center = scores.mean(0)
    off = scores - center
    spread = np.sqrt((off * off).mean(0))
    flat = spread <= 1e-12 * np.maximum(np.abs(scores).max(0), 1.0)
    off = np.where(flat, 0.0, off / np.where(flat, 1.0, spread))
    return np.abs(off) if two_sided else off


def at_least(maxima: Float[np.ndarray, "R1 G"], observed: Float[np.ndarray, "N G"]) -> Float[np.ndarray, "N G"]:
    """Compute the share of rows whose maximum is at least as far out as each observed distance."""
    result = np.empty(observed.shape)
    for column in range(observed.shape[1]):
        ordered = np.sort(maxima[:, column])
        result[:, column] = len(ordered) - np.searchsorted(ordered, observed[:, column] - _TIE)
    return result / len(maxima)


_COLUMN_BYTES = 128 * 2**20  # of labels in one product
_SCORE_BYTES = 256 * 2**20  # of scores kept at a time
_FIRST_EVALUATION = 39  # repetitions before a feature can be given up
_CHANCE = {"auc": 0.5, "balanced_accuracy": 0.5}
_PAIRS = ("p", "p_family", "score", "null_mean", "null_sd", "distance")


Progress = Callable[[range], Iterable[int]]


def permutation_test(
    hidden: Any,
    labels: Any,
    groups: Any = None,
    null: str | NullSpec = "shift",
    metric: str | Sequence[str] = "auc",
    n_null: int = 199,
    seed: int = 0,
    *,
    folds: Any = None,
    probe: str | ProbeSpec = "svm",
    stop_above: float | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
    **of_null: Any,
) -> Scores:
    r"""Test every neuron against every feature, and correct for how many are tested.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F)
        0 and 1, or any finite number for "pearson" and "r2".
    groups : integer array (T,), optional
        The string (or file) of each position; -1 leaves a position out. Needed by all nulls but "labels" and "iid".
    null : {"shift", "fresh", "string_permutation", "iid", "labels"}, or NullSpec
        How labels unrelated to the states are generated: the name of a null, or a
        `dni_jax.probes.NullSpec`.
    metric : str, or one for each feature
        Without folds "auc" or "pearson", over all positions used; with folds, a metric of `score_neurons`, its mean
        over folds.
    n_null : int
        Repetitions R; the smallest p is 1 / (R + 1).
    seed : int
        Draws the repetitions.
    folds, probe
        As in `score_neurons`.
    stop_above : float, optional
        Stop testing a feature when, after 39, 78, 156, ... repetitions, its smallest family-wise p is above this.
        Levels below `stop_above` are not affected: stopping can only lose a rejection. (Besag & Clifford 1991 stop in
        the same way, pair by pair.) None: every feature gets all repetitions.
    batch : int, optional
        Repetitions scored in one product. Columns take ``8 * T * F * batch`` bytes, at most 128 MiB by default; scores
        ``8 * (R + 1) * N`` bytes per feature, at most 256 MiB at a time; ranks ``8 * T * N``.
    progress : callable, optional
        Wraps the first repetitions of all batches, a range, to show how far they are.
    of_null
        With a name, what that null needs: the other fields of `dni_jax.probes.NullSpec`, such as ``null_labels``.

    Returns
    -------
    Scores
        float64 arrays:

        - "p" (N, F): ``(1 + #{null at least as far out}) / (R + 1)``;
        - "p_family" (N, F): the same against each repetition's maximum over neurons: the chance that any neuron would
          do as well on this feature (Westfall & Young 1993, single-step maxT);
        - "p_global" (N, F): against the maximum over neurons and features;
        - "q" (N, F): Benjamini & Hochberg (1995) over all pairs; holds under positive dependence (Benjamini &
          Yekutieli 2001), and bounds the false discovery rate, not each finding;
        - "score" (N, F): the observed score, "null_mean" and "null_sd" (N, F): the repetitions' mean and spread;
        - "repetitions" (F,): how many were used.

        NaN where observed labels are constant. ``attrs`` says which null, and what was matched and left out.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, an unknown null or metric, or a null that lacks what
        it needs.

    Notes
    -----
    A maximum over scores of different spread would be that of the noisiest feature. So "how far out" is each score's
    distance from the mean over the repetitions, in units of their spread, the observed score counted among them so that
    it is treated like any other: ranks under the null stay exactly uniform. Both sides count for "auc" and "pearson"
    without folds, the upper one for held-out scores. Smallest-p adjustment (minP) would need far more repetitions than
    pairs; see Westfall & Young 1993, section 2.6.

    Benjamini-Hochberg needs small p-values: with M pairs, of which k are findings, none of them can have a q below
    ``M / (k (R + 1))``. Where few of many pairs are expected to be findings, take more repetitions.

    If testing a feature stops early, its "p" is its "p_family", which is never smaller, and its "p_global" is
    Bonferroni's: the number of features times "p_family".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> hidden, strings = rng.normal(size=(400, 3)), np.repeat(np.arange(20), 20)
    >>> labels = hidden[:, [1]] + rng.normal(size=(400, 1)) > 0
    >>> test = permutation_test(hidden, labels, strings, n_null=99)
    >>> test["p_family"][:, 0].round(2).tolist()[1], bool(test["p"][0, 0] > 0.05)
    (0.01, True)
    """
    hidden = _check.check_hidden(hidden)
    labels = np.asarray(labels)
    metrics = _check_metrics(metric, labels)
    binary = [name not in REGRESSION for name in metrics]
    labels = check_kinds(labels, len(hidden), binary)
    null_spec = as_null(null, of_null)
    if null_spec.name == "labels" and null_spec.null_labels is not None:
        n_null = len(np.asarray(null_spec.null_labels))
    _check_counts(n_null, stop_above, batch)
    source = choose_null(null_spec, labels, groups, binary, seed)
    scorer = _Scorer(hidden, folds, as_spec(probe), source, batch, progress)
    tests = _run(scorer, metrics, n_null, stop_above)
    result = {name: tests.values[name] for name in ("p", "p_family", "score", "null_mean", "null_sd")}
    result |= {"p_global": _global(tests, stop_above), "q": benjamini_hochberg(result["p"])}
    attrs = {"null": null_spec.name, "n_null": n_null, "seed": seed, "positions": len(source.used), **source.attrs}
    return Scores(result | {"repetitions": tests.repetitions}, attrs)


def _check_metrics(metric: str | Sequence[str], labels: np.ndarray) -> list[str]:
    if labels.ndim != 2:
        hint = "; try labels[:, None]" if labels.ndim == 1 else ""
        raise ValueError(f"expected labels of shape (T, F), got {labels.shape}{hint}")
    metrics = [metric] * labels.shape[1] if isinstance(metric, str) else list(metric)
    if len(metrics) != labels.shape[1]:
        raise ValueError(f"expected one metric, or one for each of {labels.shape[1]} features, got {len(metrics)}")
    return metrics


def _check_counts(n_null: int, stop_above: float | None, batch: int | None) -> None:
    if n_null < 1:
        raise ValueError(f"expected n_null of at least 1 repetition, got {n_null}")
    if stop_above is not None and not 0 < stop_above < 1:
        raise ValueError(f"expected stop_above between 0 and 1, got {stop_above}")
    _check.check_batch("batch", batch)


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Scores the labels of some repetitions, with or without folds."""

    hidden: Any
    folds: Any
    spec: ProbeSpec
    null: Null
    batch: int | None
    progress: Progress | None

    def start(self, metric: str) -> direct.Sides | None:
        """The neurons' side, shared by all repetitions."""
        if self.folds is not None:
            return None
        direct.check_metric(metric)
        with jax.enable_x64(True):
            return direct.prepare(self.hidden[self.null.used], metric)

    def dtype(self, metric: str) -> Any:
        """The smallest type for the labels of a metric: 0 and 1 fit into a byte."""
        return self.null.dtype if metric in REGRESSION else np.int8

    def scores(
        self, sides: direct.Sides | None, metric: str, repetitions: range, null: Null
    ) -> Float[np.ndarray, "R N G"]:
        """Scores of each repetition; those without an answer have chance's. Several processes share repetitions."""
        if sides is None:  # the held-out scores of neurons are shared
            return self._own_scores(sides, metric, repetitions, null)
        mine = repetitions[processes.shard(len(repetitions))]
        return processes.all_gather(self._own_scores(sides, metric, mine, null), len(repetitions))

    def _own_scores(
        self, sides: direct.Sides | None, metric: str, repetitions: range, null: Null
    ) -> Float[np.ndarray, "R N G"]:
        row = 8 * null.columns(range(-1, 0)).size
        size = min(self.batch or max(1, _COLUMN_BYTES // row), len(repetitions))
        parts = []
        starts = range(repetitions.start, repetitions.stop, size)
        for first in starts if self.progress is None else self.progress(starts):
            some = range(first, min(first + size, repetitions.stop))
            columns = null.columns(some)
            if sides is None:
                parts.append(self._held_out(columns, metric))
                continue
            # The last batch is filled up so that one compiled program serves all.
            full = np.concatenate([columns, np.repeat(columns[-1:], size - len(some), axis=0)])
            with jax.enable_x64(True):
                parts.append(np.asarray(direct.score_batch(sides, jax.device_put(full), metric))[: len(some)])
        return np.concatenate(parts)

    def _held_out(self, columns: Shaped[np.ndarray, "R n G"], metric: str) -> Float[np.ndarray, "R N G"]:
        n_reps, n, n_features = columns.shape
        flat = np.moveaxis(columns, 0, 1).reshape(n, n_reps * n_features)
        folds = np.asarray(self.folds)[self.null.used]
        hidden = self.hidden[self.null.used]
        scores = score_neurons(hidden, flat, folds, probe=replace(self.spec, metrics=(metric,)))[metric]
        known = ~np.isnan(scores)
        total = np.where(known, scores, 0.0).sum(-1) / np.maximum(known.sum(-1), 1)
        total[~known.any(-1)] = _CHANCE.get(metric, 0.0)
        return np.moveaxis(total.reshape(-1, n_reps, n_features), 1, 0)


class _Tests(NamedTuple):
    """Results of some features by name, how many repetitions each had, and each repetition's maximum over pairs."""

    values: dict[str, np.ndarray]
    repetitions: Int[np.ndarray, " G"]
    top: Float[np.ndarray, " R1"]


def _run(scorer: _Scorer, metrics: Sequence[str], n_null: int, stop_above: float | None) -> _Tests:
    """Test chunk after chunk of features of one metric."""
    n_neurons, n_features = scorer.hidden.shape[1], len(metrics)
    every = _Tests(
        {name: np.full((n_neurons, n_features), np.nan) for name in _PAIRS},
        np.zeros(n_features, np.int64),
        np.full(n_null + 1, -np.inf),
    )
    size = max(1, _SCORE_BYTES // (8 * (n_null + 1) * n_neurons))
    for metric in dict.fromkeys(metrics):
        sides = scorer.start(metric)
        members = np.flatnonzero([name == metric for name in metrics])
        for first in range(0, len(members), size):
            features = members[first : first + size]
            tests = _test(scorer, sides, metric, features, _evaluations(n_null, stop_above), stop_above)
            for name in _PAIRS:
                every.values[name][:, features] = tests.values[name]
            every.repetitions[features] = tests.repetitions
            np.maximum(every.top, tests.top, out=every.top)
    return every


def _test(
    scorer: _Scorer,
    sides: direct.Sides | None,
    metric: str,
    features: Int[np.ndarray, " G"],
    evaluations: Sequence[int],
    stop_above: float | None,
) -> _Tests:
    """Repeat until the last evaluation, or until every feature is given up."""
    dtype = scorer.dtype(metric)
    observed = scorer.null.only(features, dtype).columns(range(-1, 0))[0]
    going = np.flatnonzero((observed != observed[:1]).any(0))
    values = {name: np.full((scorer.hidden.shape[1], len(features)), np.nan) for name in _PAIRS}
    reps, top = np.zeros(len(features), np.int64), np.full(evaluations[-1] + 1, -np.inf)
    scores = np.empty((0, scorer.hidden.shape[1], len(going)))
    for n_done in evaluations:
        if len(going) == 0:
            break
        null = scorer.null.only(features[going], dtype)
        more = scorer.scores(sides, metric, range(len(scores) - 1, n_done), null)
        scores = np.concatenate([scores, more])
        values_now, maxima = p_values(scores, two_sided=sides is not None)
        if n_done == evaluations[-1]:
            stops = np.ones(len(going), bool)
            top = maxima.max(1)
        else:
            stops = values_now["p_family"].min(0) > (stop_above or 1.0)
            values_now["p"] = np.where(stops, values_now["p_family"], values_now["p"])
        for name in _PAIRS:
            values[name][:, going[stops]] = values_now[name][:, stops]
        reps[going[stops]] = n_done
        going, scores = going[~stops], scores[:, :, ~stops]
    return _Tests(values, reps, top)


def _evaluations(n_null: int, stop_above: float | None) -> list[int]:
    """Return after how many repetitions to decide whether to go on: twice as many each time."""
    evaluations: list[int] = []
    while stop_above is not None and _FIRST_EVALUATION * 2 ** len(evaluations) < n_null:
        evaluations.append(_FIRST_EVALUATION * 2 ** len(evaluations))
    return [*evaluations, n_null]


def _global(tests: _Tests, stop_above: float | None) -> np.ndarray:
    distance = tests.values["distance"]
    tested = ~np.isnan(distance)
    if stop_above is not None:
        return np.minimum(tests.values["p_family"] * tested.any(0).sum(), 1.0)
    flat = at_least(tests.top[:, None], np.where(tested, distance, 0.0).reshape(-1, 1))
    return np.where(tested, flat.reshape(tested.shape), np.nan)
