"""When a neuron knows a feature: scores of its state some characters before, or after, the label's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from dni_jax.features import Labels
from dni_jax.inspection._data import check_corpus, each_kind, load_data
from dni_jax.inspection._significance import METRIC_OF
from dni_jax.probes import direct_scores
from dni_jax.text import Corpus, join_segments, row_ids


def lags(
    states: Any,
    labels: Labels,
    corpus: Corpus | None = None,
    lags: Iterable[int] = range(-10, 11),
    *,
    groups: Int[np.ndarray, " T"] | None = None,
) -> xr.Dataset:
    """Score the state at ``t - lag`` against the label at ``t``, for a range of lags.

    A positive lag asks whether the neuron knew the feature in advance, a negative one how long it remembers it.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    labels
        The features' labels on the same positions.
    corpus
        Where strings begin; segments of a text that follow each other are joined. Without it, `groups` are used.
    lags
        In characters.
    groups
        int ``(T,)``: the string of each position, needed without a corpus and for an array of states. States and labels
        of different groups are never paired, nor those of positions that do not follow each other.

    Returns
    -------
    Dataset with dimensions ``(lag, neuron, feature)``: ``auc`` for binary features and ``pearson`` for continuous
    ones, over all positions and without a fit (below .5, or 0: the neuron falls where the feature holds); NaN for the
    other kind, and where labels are constant on the pairs there are. ``positions`` ``(lag,)`` counts the pairs: those
    without a state in the same string, and those whose label is masked, are left out, so that different lags are
    about somewhat different positions.

    Raises
    ------
    ValueError
        Where the parts do not belong together, strings are not known, or a lag leaves no pair.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(50, seed=0)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> late = np.concatenate([np.zeros((2, 1)), labels.values[:-2]])  # knows the feature two characters later
    >>> found = dni.inspection.lags(late, labels, corpus, range(-3, 3))
    >>> int(found["auc"].sel(feature="digit", neuron=0).idxmax("lag"))
    -2
    """
    hidden, labels, own_groups = load_data(states, labels, groups)
    whole = _strings(labels, corpus if groups is None else None, own_groups)
    chosen = sorted({int(lag) for lag in lags})
    if not chosen:
        raise ValueError("expected at least one lag, got none")
    shape = (len(chosen), hidden.shape[1], len(labels))
    arrays = {metric: np.full(shape, np.nan) for metric in METRIC_OF.values()}
    positions = []
    for place, lag in enumerate(chosen):
        paired = labels.mask & has_state(whole, lag)
        if not paired.any():
            raise ValueError(f"expected strings longer than the lag, got none with a state {lag} characters before")
        positions.append(int(paired.sum()))
        moved = np.where(paired[:, None], np.roll(hidden, lag, axis=0), 0.0).astype(hidden.dtype)
        for kind, columns, matrix in each_kind(labels):
            # Positions without a pair are a stratum of their own, in which nothing varies: arrays of one shape for all
            # lags are compiled once.
            values = np.where(paired[:, None], matrix, 0)
            arrays[METRIC_OF[kind]][place][:, columns] = direct_scores(moved, values, METRIC_OF[kind], paired)
    dims = ("lag", "neuron", "feature")
    return xr.Dataset(
        {name: (dims, array) for name, array in arrays.items()} | {"positions": ("lag", np.asarray(positions))},
        coords={
            "lag": chosen,
            "neuron": np.arange(hidden.shape[1]),
            "feature": list(labels.names),
            "kind": ("feature", list(labels.kinds)),
        },
    )


def _strings(labels: Labels, corpus: Corpus | None, groups: Int[np.ndarray, " T"] | None) -> Int[np.ndarray, " T"]:
    """Return a number for each run of positions that follow one another in one string."""
    if corpus is not None:
        check_corpus(corpus, labels)
        offsets = join_segments(corpus).offsets
        return row_ids(offsets)
    if groups is None or groups.shape != (len(labels.mask),):
        what = "none" if groups is None else str(groups.shape)
        raise ValueError(f"expected corpus=, or groups=({len(labels.mask)},), the string of each position, got {what}")
    return np.cumsum(np.diff(groups, prepend=groups[0]) != 0)


def has_state(strings: Int[np.ndarray, " T"], lag: int) -> Bool[np.ndarray, " T"]:
    """Whether the position `lag` characters before each one lies in the same string."""
    n, found = len(strings), np.zeros(len(strings), bool)
    if abs(lag) >= n:
        return found
    late, early = (slice(lag, None), slice(None, n - lag)) if lag >= 0 else (slice(None, lag), slice(-lag, None))
    found[late] = strings[late] == strings[early]
    return found


def peaks(found: xr.Dataset) -> xr.Dataset:
    """Find the lag at which each neuron knows each feature best, and the score there.

    Returns
    -------
    Dataset with ``lag`` and ``strength`` ``(neuron, feature)``: the distance of AUC from .5, doubled, or the absolute
    correlation; NaN, at lag 0, where there is no score at any lag.
    """
    strength = _strength(found["auc"].values, found["pearson"].values)
    best = np.nan_to_num(strength, nan=-1.0).argmax(0)
    dims = ("neuron", "feature")
    at = np.take_along_axis(strength, best[None], axis=0)[0]
    lag = np.where(np.isnan(at), 0, found["lag"].values[best])
    coords = {name: found.coords[name] for name in ("neuron", "feature", "kind")}
    return xr.Dataset({"lag": (dims, lag), "strength": (dims, at)}, coords=coords)


def _strength(auc: Float[np.ndarray, "L N F"], pearson: Float[np.ndarray, "L N F"]) -> Float[np.ndarray, "L N F"]:
    return np.where(np.isnan(auc), np.abs(pearson), 2 * np.abs(auc - 0.5))
