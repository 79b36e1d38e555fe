"""Whether results are reproduced on other strings, and in networks trained from other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from dni_jax.features import Labels
from dni_jax.inspection._data import each_kind, load_data
from dni_jax.probes import weighted_auc, weighted_pearson

_TOP = 10  # neurons to compare, unless it is said how many


def rank_stability(
    states: Any,
    labels: Labels,
    *,
    k: int | None = None,
    n_splits: int = 20,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Compare the rankings of one network's neurons on random halves of the strings.

    Parameters
    ----------
    states, labels, groups
        As in `dni_jax.inspect`.
    k
        How many of the best neurons to compare. Default: 10, or all if the network has fewer.
    n_splits
        How often the strings are halved.
    seed
        Draws the halves.

    Returns
    -------
    Dataset with ``spearman`` ``(split, feature)``, the rank correlation over neurons of ``2 |AUC - .5|`` (for
    continuous features the absolute correlation) on one half with that on the other; and ``overlap``
    ``(split, feature)``, the share of the k best neurons that both halves have in common (by chance ``k / N``).
    NaN where a half has nothing to compare.

    Raises
    ------
    ValueError
        Where states and labels do not belong together, strings are not known, or k is out of range.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> noise = np.random.default_rng(0).normal(size=(corpus.n_positions, 6))
    >>> states = labels.values * [0, 1, 2, 3, 4, 5] + noise
    >>> found = dni.inspection.rank_stability(states, labels, k=2, groups=corpus.string_ids)
    >>> float(found["overlap"].mean()), bool(found["spearman"].mean() > 0.8)
    (1.0, True)
    """
    data = load_data(states, labels, groups)
    hidden, labels, _ = data
    where = data.known_groups
    k = min(_TOP, hidden.shape[1]) if k is None else k
    if not 1 <= k <= hidden.shape[1]:
        raise ValueError(f"expected k from 1 to {hidden.shape[1]} (the number of neurons), got {k}")
    hidden, where = hidden[labels.mask], where[labels.mask]
    n_strings = len(np.unique(where))
    if n_strings < 2 or n_splits < 1:
        raise ValueError(f"expected at least 2 strings and 1 split, got {n_strings} and {n_splits}")
    rng = np.random.default_rng(seed)
    half = np.stack([rng.permutation(n_strings) < n_strings // 2 for _ in range(n_splits)])
    weights = np.concatenate([half, ~half]).astype(np.float32)
    strength = np.full((2 * n_splits, hidden.shape[1], len(labels)), np.nan)
    for kind, columns, matrix in each_kind(labels):
        values = matrix[labels.mask]
        if kind == "binary":
            strength[:, :, columns] = 2 * np.abs(weighted_auc(hidden, values, where, weights, seed) - 0.5)
        else:
            strength[:, :, columns] = np.abs(weighted_pearson(hidden, values, where, weights))
    one, other = strength[:n_splits], strength[n_splits:]
    dims = ("split", "feature")
    return xr.Dataset(
        {"spearman": (dims, spearman(one, other)), "overlap": (dims, overlap(one, other, k))},
        coords={"split": np.arange(n_splits), "feature": list(labels.names), "kind": ("feature", list(labels.kinds))},
        attrs={"k": k},
    )


def seed_stability(relevances: Sequence[xr.Dataset] | xr.Dataset, *, k: int | None = None) -> xr.Dataset:
    """Compare what the neurons of networks trained from several seeds know.

    Neuron 3 of one network has nothing to do with neuron 3 of another, so what is compared are features: how well the
    best neurons know each, and which features are known best.

    Parameters
    ----------
    relevances
        One dataset from `dni_jax.inspect` per network, on the same features; or one dataset with a dimension ``model``.
    k
        How many of the best neurons, and of the best-known features, to compare. Default: 10, or as many as there are.

    Returns
    -------
    Dataset with ``profile`` ``(model, feature, rank)``, the strength of the best, second, ... k-th neuron: 2 AUC - 1,
    for continuous features R^2; ``profile_mean`` and ``profile_sd`` ``(feature, rank)`` over models; ``spearman``
    ``(model, other)``, the rank correlation over features of the best neuron's strength; and ``overlap``
    ``(model, other)``, the share of the k best-known features that both have in common.

    Raises
    ------
    ValueError
        For fewer than two networks, different features, or a k above the number of neurons or features.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.languages.get("parentheses").features().select("digit", "depth=1").label(corpus)
    >>> rng, found = np.random.default_rng(0), []
    >>> for order in ([0, 1], [1, 0]):
    ...     states = labels.values @ np.diag([1, 3])[:, order] + rng.normal(size=labels.values.shape)
    ...     found.append(dni.inspect(states, labels, "ridge", folds=5, groups=corpus.string_ids))
    >>> float(dni.inspection.seed_stability(found, k=1)["spearman"].sel(model=0, other=1).round(6))
    1.0
    """
    models = _separate(relevances)
    names = [str(name) for name in models[0]["feature"].values]
    most = min(*(one.sizes["neuron"] for one in models), len(names))
    k = min(_TOP, most) if k is None else k
    if not 1 <= k <= most:
        raise ValueError(f"expected k from 1 to {most} (neurons, features), got {k}")
    profile = np.stack([_profile(one, k) for one in models])  # (model, feature, rank)
    best = profile[:, :, 0]
    n, pair = len(models), ("model", "other")
    known = ~np.isnan(best).any(0)  # features that vary
    if known.sum() < k:
        raise ValueError(f"expected at least k = {k} features with a score in every network, got {known.sum()}")
    rows = best[:, None, known, None]
    ranks = np.stack([[spearman(a, b)[0, 0] for b in rows] for a in rows])
    common = np.stack([[overlap(a, b, k)[0, 0] for b in rows] for a in rows])
    return xr.Dataset(
        {
            "profile": (("model", "feature", "rank"), profile),
            "profile_mean": (("feature", "rank"), profile.mean(0)),
            "profile_sd": (("feature", "rank"), profile.std(0, ddof=1)),
            "spearman": (pair, ranks),
            "overlap": (pair, common),
        },
        coords={"model": np.arange(n), "other": np.arange(n), "feature": names, "rank": np.arange(k)},
    )


def _separate(relevances: Sequence[xr.Dataset] | xr.Dataset) -> list[xr.Dataset]:
    if isinstance(relevances, xr.Dataset):
        if "model" not in relevances.dims:
            raise ValueError("expected a dataset with a dimension 'model', or a list of datasets, got one dataset")
        models = [relevances.isel(model=place) for place in range(relevances.sizes["model"])]
    else:
        models = list(relevances)
    if len(models) < 2:
        raise ValueError(f"expected at least two networks to compare, got {len(models)}")
    features = [list(one["feature"].values) for one in models]
    if any(names != features[0] for names in features):
        raise ValueError("expected the same features for every network, got different ones: label with one library")
    return models


def _profile(relevance: xr.Dataset, k: int) -> Float[np.ndarray, "F k"]:
    """Return the strengths of the k best neurons for each feature."""
    score = relevance["score"].mean("fold").transpose("feature", "neuron").values
    if "auc" in relevance:
        auc = relevance["auc"].mean("fold").transpose("feature", "neuron").values
        score = np.where((relevance["kind"].values == "binary")[:, None], 2 * auc - 1, score)
    return -np.sort(-score, axis=1)[:, :k]


def spearman(one: Float[np.ndarray, "#M N #F"], other: Float[np.ndarray, "#M N #F"]) -> Float[np.ndarray, "M F"]:
    """Compute Spearman's rank correlation along the second axis.

    Parameters
    ----------
    one, other
        float ``(M, N, F)``: they are compared over N. Ties share their mean rank. M and F may be 1 in either.

    Returns
    -------
    float64 ``(M, F)``. NaN where a value is NaN, or all values of one side are equal.

    Examples
    --------
    >>> spearman(np.array([[[1.0], [2.0], [3.0]]]), np.array([[[1.0], [4.0], [9.0]]])).round(6).tolist()
    [[1.0]]
    """
    from scipy.stats import rankdata  # takes a second to import

    a, b = (rankdata(part, axis=1, nan_policy="propagate") for part in (one, other))
    a, b = (part - part.mean(1, keepdims=True) for part in (a, b))
    scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def overlap(one: Float[np.ndarray, "M N F"], other: Float[np.ndarray, "M N F"], k: int) -> Float[np.ndarray, "M F"]:
    """Compute the share of the k largest of the second axis in common; ties go to the first. NaN where any value is."""
    both = [np.argsort(-part, axis=1, kind="stable")[:, :k] for part in (one, other)]
    common = (both[0][:, :, None] == both[1][:, None, :]).any(2).mean(1)
    return np.where(np.isnan(one).any(1) | np.isnan(other).any(1), np.nan, common)
