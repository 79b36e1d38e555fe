"""How precise the scores are: intervals from a bootstrap over strings."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from dni_jax.features import Labels
from dni_jax.inspection._data import each_kind, folds_of, load_pair, same_folds
from dni_jax.probes import as_spec, bootstrap_auc, bootstrap_held_out


def intervals(
    relevance: xr.Dataset,
    states: Any,
    labels: Labels,
    *,
    level: float = 0.95,
    n_draws: int = 200,
    folds: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    **settings: Any,
) -> xr.Dataset:
    """Add to a relevance dataset an interval for each score, by a bootstrap over strings (files, for text).

    Parameters
    ----------
    relevance
        From `dni_jax.inspect` on the same states and labels.
    states, labels
        As for `inspect`.
    level
        Share of draws within the interval.
    n_draws
        How often strings are drawn.
    folds, groups, settings
        As they were passed to `inspect`; nothing where they were not.
    seed
        Draws the strings.

    Returns
    -------
    The dataset with ``score_low``, ``score_high``, ``auc_low`` and ``auc_high`` ``(neuron, feature)``: the score less
    and plus what the draws' quantiles differ from their mean. Probes are not fitted again. The interval of the AUC is
    that of the AUC over all positions, centered on the dataset's.

    Raises
    ------
    ValueError
        Where states, labels and relevance do not belong together, or strings are not known.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.languages.get("parentheses").features().select("digit", "depth=1").label(corpus)
    >>> states = labels.values + np.random.default_rng(0).normal(size=(corpus.n_positions, 2))
    >>> relevance = dni.inspect(states, labels, "ridge", folds=5, groups=corpus.string_ids)
    >>> sure = relevance.pipe(dni.inspection.intervals, states, labels, groups=corpus.string_ids)
    >>> bool((sure["auc_low"] < sure["auc"].mean("fold")).all() and (sure["auc_high"] - sure["auc_low"] < 0.1).all())
    True
    """
    data = load_pair(relevance, states, labels, groups)
    hidden, labels, _ = data
    if not 0 < level < 1:
        raise ValueError(f"expected level between 0 and 1, got {level}")
    if n_draws < 20:
        raise ValueError(f"expected n_draws of at least 20 for an interval, got {n_draws}")
    where = data.known_groups
    dealt = folds_of(hidden, labels, same_folds(relevance, folds), where, relevance.attrs.get("seed", 0))
    spec, used = as_spec(relevance.attrs["probe"], settings), dealt >= 0
    shape = (2, hidden.shape[1], len(labels))
    score, auc = np.full(shape, np.nan), np.full(shape, np.nan)
    for kind, columns, values in each_kind(labels):
        its_spec = spec if kind == "binary" else spec.with_probe(spec.continuous, class_weight=None)
        drawn = bootstrap_held_out(hidden, values, dealt, where, its_spec, n_draws, seed)
        score[:, :, columns] = _spread(drawn, level)
        if kind == "binary":
            auc[:, :, columns] = _spread(bootstrap_auc(hidden[used], values[used], where[used], n_draws, seed), level)
    added: dict[str, Any] = {}
    for name, off in (("score", score), ("auc", auc)):
        if name in relevance:
            mean = relevance[name].mean("fold").transpose("neuron", "feature").values
            for side, values in zip(("low", "high"), mean + off, strict=True):
                added[f"{name}_{side}"] = (("neuron", "feature"), values)
    return relevance.assign(added).assign_attrs(interval_level=level, interval_draws=n_draws)


def _spread(drawn: Float[np.ndarray, "B N F"], level: float) -> Float[np.ndarray, "2 N F"]:
    """How far the draws' outer quantiles lie from their mean; NaN where no draw has a score."""
    result = np.full((2, *drawn.shape[1:]), np.nan)
    known = ~np.isnan(drawn).all(0)
    some = drawn[:, known]
    if known.any():
        quantile = np.nanquantile if np.isnan(some).any() else np.quantile  # the latter is fifty times as fast
        result[:, known] = quantile(some, [(1 - level) / 2, (1 + level) / 2], axis=0) - np.nanmean(some, axis=0)
    return result
