"""Rankings of neurons and features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.features import check_feature_name

_LESS_IS_BETTER = ("p", "p_family", "p_global", "q")
_BASELINES = ("auc_within_symbol", "selectivity", "over_untrained")
_INNER = ("null_mean", "null_sd", "null_repetitions")  # of interest in figures, not in a table
_TOP = 10  # neurons of a table, unless it is said how many
_BEST = 3  # neurons that a feature is listed with


def _one_feature(relevance: xr.Dataset, feature: str) -> xr.Dataset:
    if "model" in relevance.dims:
        raise ValueError(
            f"expected the relevance of one model, got that of {relevance.sizes['model']}: "
            "choose one with relevance.isel(model=0); neurons of different networks have only their number in common"
        )
    names = [str(name) for name in relevance["feature"].values]
    check_feature_name(feature, names)
    return relevance.sel(feature=feature)


def by_neuron(one: xr.Dataset) -> dict[str, Float[np.ndarray, " N"]]:
    """Return every variable with one value per neuron, averaged over folds."""
    means = {str(name): one[name].mean("fold") if "fold" in one[name].dims else one[name] for name in one}
    return {name: mean.values for name, mean in means.items() if mean.dims == ("neuron",)}


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
    one = _one_feature(relevance, feature)
    scores = by_neuron(one)
    if by not in scores:
        raise ValueError(f"expected by= one of {list(scores)}, got {by!r}")
    sign = -1.0 if by in _LESS_IS_BETTER else 1.0
    keys = [(sign if name == by else 1.0) * scores[name] for name in (by, "auc", "score") if name in scores]
    keys = [np.where(np.isnan(key), -np.inf, key) for key in keys]
    neurons = one["neuron"].values
    return neurons[np.lexsort((neurons, *(-np.round(key, 7) for key in reversed(keys))))].astype(np.int64)


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
        What to rank by: ``"score"`` (accuracy or R^2), ``"auc"``, or another variable with a value a neuron.

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
    >>> labels = dni.languages.get("parentheses").features().select("depth").label(corpus)
    >>> best = dni.top(dni.inspect(dni.record(model, corpus), labels, folds=5), "depth", k=3)
    >>> len(best), best.columns[0]
    (3, 'neuron')
    """
    one, n_neurons = _one_feature(relevance, feature), relevance.sizes["neuron"]
    k = min(_TOP, n_neurons) if k is None else k
    if not 1 <= k <= n_neurons:
        raise ValueError(f"expected k from 1 to {n_neurons} (the number of neurons), got {k}")
    order = ranking(relevance, feature, by)
    frame = pd.DataFrame({"neuron": order})
    place = one.get_index("neuron").get_indexer(order)
    columns = {name: values[place] for name, values in by_neuron(one).items() if not np.isnan(values).all()}
    folded = [name for name in columns if "fold" in one[name].dims]
    frame = frame.assign(**{name: columns[name] for name in folded})
    frame["score_sd"] = one["score"].std("fold", ddof=1).sel(neuron=order).values
    frame["baseline"] = float(one["baseline"].mean("fold"))
    room = 1 - frame["baseline"]
    frame["lift"] = np.where(room > 0, (frame["score"] - frame["baseline"]) / room.where(room > 0, 1), 0.0)
    single = {str(name): float(one[name]) for name in one if one[name].dims == ()}
    for name, values in (columns | single).items():
        if name not in frame and name not in _INNER:
            frame[name] = values
    if minimum is not None:
        frame = frame[frame["score" if by in _LESS_IS_BETTER or by not in frame else by] >= minimum]
    return frame.head(k).reset_index(drop=True)


def _judging_folds(one: xr.Dataset) -> int:
    """Count the folds in which a feature both holds and does not: elsewhere AUC is undefined."""
    if str(one["kind"].values) == "continuous" or "auc" not in one:
        return one.sizes["fold"]
    return int((~np.isnan(one["auc"].values)).any(axis=0).sum())


def best_per_feature(relevance: xr.Dataset, k: int | None = None, *, by: str = "score") -> pd.DataFrame:
    """Return one row per feature: its k best neurons (without k, up to three), and the scores of the best.

    Columns: ``feature``, ``kind``, ``share``, ``neurons`` (a list), ``score``, ``score_sd``, ``auc``, ``baseline``,
    ``lift``, ``strength``, which runs from 0 to 1 whatever the feature's frequency (2 AUC - 1, for a continuous
    feature the lift), and ``folds``: in how many folds the feature both holds and does not. After `significance` also
    the best neuron's ``p``, ``p_family``, ``p_global`` and ``q``; after `baselines` its ``auc_within_symbol``,
    ``selectivity`` and ``over_untrained``.
    """
    rows = []
    k = min(_BEST, relevance.sizes["neuron"]) if k is None else k
    for feature in relevance["feature"].values:
        best = top(relevance, str(feature), k, by=by)
        first = best.iloc[0]
        one = relevance.sel(feature=feature)
        rows.append(
            {
                "feature": str(feature),
                "kind": str(one["kind"].values),
                "share": float(one["share"]),
                "neurons": best["neuron"].tolist(),
                "folds": _judging_folds(one),
                **{name: float(first.get(name, np.nan)) for name in ("score", "score_sd", "auc", "baseline", "lift")},
                **{name: float(first[name]) for name in (*_LESS_IS_BETTER, *_BASELINES) if name in first},
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
    DataFrame with one row per feature: ``feature``, ``kind``, ``rank`` (0: no neuron knows it better), then the
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
    rows = []
    for name in relevance["feature"].values:
        one = relevance.sel(feature=name)
        scores = by_neuron(one)
        rank = int(np.flatnonzero(ranking(relevance, str(name), by) == neuron)[0])
        row = {"feature": str(name), "kind": str(one["kind"].values), "rank": rank}
        rows.append(row | {score: float(values[at]) for score, values in scores.items()})
    table = pd.DataFrame(rows).sort_values(["rank", "score"], ascending=[True, False], kind="stable")
    return table.head(k).reset_index(drop=True)
