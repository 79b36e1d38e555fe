"""Rankings of neurons and features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.features import check_feature_name

_LESS_IS_BETTER = ("p", "p_family", "p_global", "q")
_BASELINES = ("auc_within_symbol", "selectivity", "over_untrained")
_INNER = ("null_mean", "null_sd", "null_repetitions")  # of interest in figures, not in a table
_TOP = 10  # neurons of a table, by default
_BEST = 3  # neurons that a feature is listed with


class _Summary(NamedTuple):
    """A relevance dataset as arrays, averaged over folds: NumPy averages all features at once, xarray one by one.

    Attributes
    ----------
    neurons
        int ``(N,)``.
    scores
        ``(F, N)`` by name: every variable with one value per neuron.
    folded
        The names of those that were averaged over folds.
    score_sd
        ``(F, N)``: the standard deviation of the score over folds.
    baseline
        float64 ``(F,)``.
    single
        ``(F,)`` by name: every variable with one value per feature.
    """

    neurons: Int[np.ndarray, " N"]
    scores: dict[str, Float[np.ndarray, "F N"]]
    folded: frozenset[str]
    score_sd: Float[np.ndarray, "F N"]
    baseline: Float[np.ndarray, " F"]
    single: dict[str, Float[np.ndarray, " F"]]


def _summarize(relevance: xr.Dataset) -> _Summary:
    scores = _fold_means(relevance)
    single = {str(name): relevance[name] for name in relevance if set(relevance[name].dims) <= {"feature"}}
    return _Summary(
        neurons=relevance["neuron"].values.astype(np.int64),
        scores=scores,
        folded=frozenset(name for name in scores if "fold" in relevance[name].dims),
        score_sd=_over_folds(relevance["score"], partial(np.nanstd, ddof=1)),
        baseline=_over_folds(relevance["baseline"], np.nanmean).astype(np.float64),
        single={name: np.broadcast_to(each.values, relevance.sizes["feature"]) for name, each in single.items()},
    )


def _fold_means(relevance: xr.Dataset) -> dict[str, Float[np.ndarray, "F N"]]:
    """Return every variable with one value per neuron, averaged over folds where it has them."""
    shape, allowed = (relevance.sizes["feature"], relevance.sizes["neuron"]), {"feature", "neuron", "fold"}
    scored = [name for name in relevance if {"neuron"} <= set(relevance[name].dims) <= allowed]
    return {str(name): np.broadcast_to(_over_folds(relevance[name], np.nanmean), shape) for name in scored}


def _over_folds(scores: xr.DataArray, reduce: Callable[..., Any]) -> np.ndarray:
    """Reduce the folds, where there are any, without NaN. The dimensions are features, then neurons."""
    dims = [dim for dim in ("feature", "neuron", "fold") if dim in scores.dims]
    values = scores.transpose(*dims).values
    if "fold" not in dims:
        return values
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of scores that are NaN in all folds
        return reduce(values, axis=-1)


def _orders(scores: Mapping[str, Float[np.ndarray, "F N"]], by: str, neurons: np.ndarray) -> Int[np.ndarray, "F N"]:
    """Return the places of the neurons, for each feature the best first."""
    if by not in scores:
        hint = ": dni.significance adds it" if by in ("p_family", "p_global", "p", "q") else ""
        raise ValueError(f"expected by= one of {list(scores)}, got {by!r}{hint}")
    sign = -1.0 if by in _LESS_IS_BETTER else 1.0
    keys = [(sign if name == by else 1.0) * scores[name] for name in (by, "auc", "score") if name in scores]
    keys = [np.where(np.isnan(key), -np.inf, key) for key in keys]
    by_number = np.broadcast_to(neurons, keys[0].shape)
    return np.lexsort((by_number, *(-np.round(key, 7) for key in reversed(keys))))


def _check_features(relevance: xr.Dataset, features: Sequence[str]) -> None:
    if not isinstance(relevance, xr.Dataset) or "feature" not in relevance.coords:
        raise ValueError(f"expected the dataset that dni.inspect returns, got {type(relevance).__name__}")
    if "model" in relevance.dims:
        raise ValueError(
            f"expected the relevance of one model, got that of {relevance.sizes['model']}: "
            "choose one with relevance.isel(model=0); neurons of different networks have only their number in common"
        )
    names = [str(name) for name in relevance["feature"].values]
    for feature in features:
        check_feature_name(feature, names)


def _check_k(relevance: xr.Dataset, k: int) -> None:
    n_neurons = relevance.sizes["neuron"]
    if not 1 <= k <= n_neurons:
        raise ValueError(f"expected k from 1 to {n_neurons} (the number of neurons), got {k}")


def rankings(relevance: xr.Dataset, features: Sequence[str], by: str = "score") -> Int[np.ndarray, "F N"]:
    """Return all neurons for each of several features, the best first; see `ranking`."""
    _check_features(relevance, features)
    some, neurons = relevance.sel(feature=list(features)), relevance["neuron"].values.astype(np.int64)
    return neurons[_orders(_fold_means(some), by, neurons)]


def ranking(relevance: xr.Dataset, feature: str, by: str = "score") -> Int[np.ndarray, " N"]:
    """Return all neurons, the best first.

    Ordered by the mean over folds of `by`, a p-value or q with the smallest first; neurons that tie (as all do on a
    rare feature, where accuracy is the majority's) by AUC, then by score, then by number. A continuous feature has no
    AUC: its order is the score's.

    Raises
    ------
    ValueError
        For a feature or a score that is not there.
    """
    return rankings(relevance, [feature], by)[0]


def top(
    relevance: xr.Dataset, feature: str, k: int | None = None, minimum: float | None = None, *, by: str = "score"
) -> pd.DataFrame:
    """Return the neurons that predict a feature best, the best first.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`.
    feature
        Its name.
    k
        How many at most. Default: 10, or all if the network has fewer.
    minimum
        Only neurons with at least this mean score (of `by`, unless that is a p-value).
    by
        What to rank by: ``"score"`` (accuracy or R^2), ``"auc"``, or another variable with one value per neuron.
        A variable that a feature has not (the AUC of a continuous one) is replaced by the score.

    Returns
    -------
    DataFrame with one row per neuron: ``neuron``, then the mean of each score over folds, ``score_sd`` (its standard
    deviation over folds), ``baseline``, ``lift`` (the score's share of the way from the baseline to 1), and what
    `significance`, `baselines` and `intervals` have added.

    Raises
    ------
    ValueError
        For an unknown feature, or k below 1 or above the number of neurons.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> labels = dni.languages.get("parentheses").features().select("digit", "depth=1").label(corpus)
    >>> best = dni.top(dni.inspect(dni.record(model, corpus), labels, folds=5), "digit", k=3)
    >>> len(best), best.columns[0]
    (3, 'neuron')
    """
    _check_features(relevance, [feature])
    k = min(_TOP, relevance.sizes["neuron"]) if k is None else k
    _check_k(relevance, k)
    summary = _summarize(relevance.sel(feature=[feature]))
    frame = pd.DataFrame(_columns(summary, 0, _orders(summary.scores, by, summary.neurons)[0]))
    if minimum is not None:
        frame = frame[frame["score" if by in _LESS_IS_BETTER or by not in frame else by] >= minimum]
    return frame.head(k).reset_index(drop=True)


def _columns(summary: _Summary, feature: int, places: Int[np.ndarray, " k"]) -> dict[str, np.ndarray]:
    """Return the columns of `top` for some neurons; scores that no neuron has are left out."""
    every = {name: values[feature] for name, values in summary.scores.items()}
    scores = {name: values[places] for name, values in every.items() if not np.isnan(values).all()}
    baseline = np.full(len(places), summary.baseline[feature])
    room, above = 1 - baseline, summary.scores["score"][feature, places] - baseline
    frame = {
        "neuron": summary.neurons[places],
        **{name: values for name, values in scores.items() if name in summary.folded},
        "score_sd": summary.score_sd[feature, places],
        "baseline": baseline,
        "lift": np.where(room > 0, above / np.where(room > 0, room, 1), 0.0),
    }
    single = {name: np.full(len(places), float(values[feature])) for name, values in summary.single.items()}
    more = {name: values for name, values in (scores | single).items() if name not in frame and name not in _INNER}
    return frame | more


def _count_judging_folds(relevance: xr.Dataset) -> Int[np.ndarray, " F"]:
    """Count the folds in which each feature both holds and does not: elsewhere AUC is undefined."""
    n_folds = relevance.sizes["fold"]
    if "auc" not in relevance:
        return np.full(relevance.sizes["feature"], n_folds)
    defined = (~np.isnan(relevance["auc"].transpose("feature", "neuron", "fold").values)).any(axis=1).sum(axis=1)
    return np.where(relevance["kind"].values == "continuous", n_folds, defined)


def best_per_feature(relevance: xr.Dataset, k: int | None = None, *, by: str = "score") -> pd.DataFrame:
    """Return one row per feature: its k best neurons (without k, up to three), and the scores of the best.

    Columns: ``feature``, ``kind``, ``share``, ``neurons`` (a list), ``score``, ``score_sd``, ``auc``, ``baseline``,
    ``lift``, ``strength``, which runs from 0 to 1 whatever the feature's frequency (2 AUC - 1, for a continuous
    feature the lift), and ``folds``: in how many folds the feature both holds and does not. After `significance` also
    the best neuron's ``p``, ``p_family``, ``p_global`` and ``q``; after `baselines` its ``auc_within_symbol``,
    ``selectivity`` and ``over_untrained``.
    """
    names = [str(name) for name in relevance["feature"].values]
    _check_features(relevance, names)
    k = min(_BEST, relevance.sizes["neuron"]) if k is None else k
    _check_k(relevance, k)
    summary = _summarize(relevance)
    best = _orders(summary.scores, by, summary.neurons)[:, :k]
    kinds, shares, folds = relevance["kind"].values, relevance["share"].values, _count_judging_folds(relevance)
    rows = []
    for place, name in enumerate(names):
        columns = _columns(summary, place, best[place])
        first = {column: float(values[0]) for column, values in columns.items()}
        rows.append(
            {
                "feature": name,
                "kind": str(kinds[place]),
                "share": float(shares[place]),
                "neurons": columns["neuron"].tolist(),
                "folds": int(folds[place]),
                **{column: first.get(column, np.nan) for column in ("score", "score_sd", "auc", "baseline", "lift")},
                **{column: first[column] for column in (*_LESS_IS_BETTER, *_BASELINES) if column in first},
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(strength=np.where(table["auc"].isna(), table["lift"], 2 * table["auc"] - 1))


def neuron_profile(relevance: xr.Dataset, neuron: int, k: int = 10, *, by: str = "auc") -> pd.DataFrame:
    """Return the features that one neuron knows, those first that it knows best among all neurons.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`, with whatever was added to it.
    neuron
        Its number.
    k
        How many features at most.
    by
        The score that ranks the neuron among all neurons on each feature.

    Returns
    -------
    DataFrame with one row per feature: ``feature``, ``kind``, ``rank`` (0 is the best neuron), then the
    neuron's scores as in `dni_jax.top`. Ordered by rank, then by score. Continuous features, which have no AUC, are
    ranked by score.

    Raises
    ------
    ValueError
        For a neuron or a score that is not there, or k below 1.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.languages.get("parentheses").features().select("digit", "depth=1").label(corpus)
    >>> states = labels.values + np.random.default_rng(0).normal(size=(corpus.n_positions, 2))
    >>> relevance = dni.inspect(states, labels, "ridge", folds=5, groups=corpus.string_ids)
    >>> dni.inspection.neuron_profile(relevance, 1)[["feature", "rank"]].values.tolist()
    [['depth=1', 0], ['digit', 1]]
    """
    if neuron not in relevance["neuron"].values:
        raise ValueError(f"expected a neuron among the {relevance.sizes['neuron']} that were inspected, got {neuron!r}")
    if k < 1:
        raise ValueError(f"expected k of at least 1, got {k}")
    at = int(np.flatnonzero(relevance["neuron"].values == neuron)[0])
    names = [str(name) for name in relevance["feature"].values]
    _check_features(relevance, names)
    summary = _summarize(relevance)
    ranks = (_orders(summary.scores, by, summary.neurons) == at).argmax(axis=1)
    rows = []
    for place, (name, kind) in enumerate(zip(names, relevance["kind"].values, strict=True)):
        row = {"feature": name, "kind": str(kind), "rank": int(ranks[place])}
        rows.append(row | {score: float(values[place, at]) for score, values in summary.scores.items()})
    table = pd.DataFrame(rows).sort_values(["rank", "score"], ascending=[True, False], kind="stable")
    return table.head(k).reset_index(drop=True)
