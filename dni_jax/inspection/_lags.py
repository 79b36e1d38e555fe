"""When a neuron knows a feature: scores of its state some characters before or after the label's own, or of several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from dni_jax.features import Labels
from dni_jax.inspection._data import deal_folds, each_kind, load_data
from dni_jax.inspection._joint_lags import Paired, Sets, joint_lags
from dni_jax.inspection._significance import METRIC_OF
from dni_jax.probes import direct_scores
from dni_jax.text import Corpus, join_segments, row_ids


def lags(
    states: Any,
    labels: Labels,
    corpus: Corpus | None = None,
    lags: Iterable[int] | None = None,
    *,
    groups: Int[np.ndarray, " T"] | None = None,
    joint: bool = False,
    probe: str = "ridge",
    sets: Sets = None,
    folds: int | Int[np.ndarray, " T"] = 5,
    seed: int = 0,
) -> xr.Dataset:
    """Score the state at ``t - lag`` against the label at ``t``, for a range of lags, each alone or all together.

    A positive lag asks whether the neuron knew the feature in advance, a negative one how long it remembers it. With
    ``joint=True``, a probe on ``h(t), h(t - 1), ...`` of a neuron together is compared with the best probe on one.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    labels
        The features' labels on the same positions.
    corpus
        Where strings begin; segments of a text that follow each other are joined. Without it, `groups` are used.
    lags
        In characters. Default: -10 to 10; 0 to 5 for the joint probe.
    groups
        int ``(T,)``: the string of each position, needed without a corpus and for an array of states. States and labels
        of different groups are never paired, nor those of positions that do not follow each other.
    joint
        Whether a probe sees all lags together.
    probe
        Of joint lags, for binary features: ``"ridge"`` or ``"logistic"``. Continuous features have ridge.
    sets
        Of joint lags: the neurons of each probe, by name, as ``{"best": [3, 17]}``. Default: each neuron by itself.
    folds
        Of joint lags: their number, or int ``(T,)`` (-1 leaves a position out). Strings are never divided.
    seed
        Deals strings to folds.

    Returns
    -------
    Dataset with dimensions ``(lag, neuron, feature)``: ``auc`` for binary features and ``pearson`` for continuous
    ones, over all positions and without a fit (below .5, or 0: the neuron falls where the feature holds); NaN for the
    other kind, and where labels are constant on the pairs there are. ``positions`` ``(lag,)`` counts the pairs: those
    without a state in the same string, and those whose label is masked, are left out, so that different lags are
    about somewhat different positions.

    With ``joint=True``: a dataset with dimensions ``(neuron, feature, fold)``, or ``(set, feature, fold)``. Its scores
    are held out, AUC for binary features and R² for continuous ones, and all on the same ``positions``, those with a
    state at every lag:

    - ``score``: of the probe on all lags; ``single``: of the best single lag; ``lag`` ``(neuron, feature)``: which;
    - ``by_lag`` ``(lags, neuron, feature)``: of each single lag, the mean over folds;
    - ``gain``: the mean of ``score - single``. The best lag is chosen by its held-out score, which can only lower the
      gain;
    - ``p``: how probable a gain as large is where the probe on all lags is no better, by the t-test over folds that is
      corrected for their overlap (Nadeau & Bengio 2003); ``q``: the false discovery rate over all pairs.

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
    >>> found = dni.inspection.lags(late, labels, corpus, range(-3, 1))
    >>> int(found["auc"].sel(feature="digit", neuron=0).idxmax("lag"))
    -2

    A neuron that adds up digits knows one only by what has changed:

    >>> counts = np.cumsum(labels.values, axis=0)
    >>> joint = dni.inspection.lags(counts, labels, corpus, range(2), joint=True).isel(neuron=0, feature=0)
    >>> bool(joint["score"].min() > 0.99), bool(joint["single"].mean() < 0.7), bool(joint["p"] < 0.05)
    (True, True, True)
    """
    hidden, labels, own_groups = load_data(states, labels, groups)
    whole = _strings(labels, corpus if groups is None else None, own_groups)
    if lags is None:
        lags = range(6) if joint else range(-10, 11)
    chosen = tuple(sorted({int(lag) for lag in lags}))
    if not chosen:
        raise ValueError("expected at least one lag, got none")
    if joint:
        paired = np.logical_and.reduce([labels.mask, *(has_state(whole, lag) for lag in chosen)])
        strings = own_groups if corpus is None or groups is not None else corpus.position_groups
        dealt = _folds_of_pairs(folds, paired, whole, strings, seed, chosen)
        return joint_lags(Paired(hidden, labels, chosen, dealt), sets, probe, seed)
    if sets is not None:
        raise ValueError("expected sets= only with joint=True, got sets of neurons for single lags")
    return _single_lags(hidden, labels, whole, chosen)


def _folds_of_pairs(
    folds: int | np.ndarray,
    paired: Bool[np.ndarray, " T"],
    strings: Int[np.ndarray, " T"],
    groups: Int[np.ndarray, " T"] | None,
    seed: int,
    lags: tuple[int, ...],
) -> Int[np.ndarray, " T"]:
    """Return the fold of each position that has all lags, -1 for the others; refuse folds without a position."""
    span = max(lags[-1], 0) - min(lags[0], 0)
    if not paired.any():
        longest = int(np.bincount(strings).max())
        raise ValueError(
            f"expected strings longer than the lags {lags[0]} to {lags[-1]} reach, {span + 1} characters, got "
            f"{longest} characters in the longest: take fewer lags"
        )
    if not isinstance(folds, (int, np.integer)):
        return np.where(paired, deal_folds(len(paired), folds, groups, seed), -1).astype(np.int32)
    if groups is not None:
        n_groups = len(np.unique(groups[paired]))
        if n_groups < folds:
            raise ValueError(
                f"expected at least {folds} strings with states at lags {lags[0]} to {lags[-1]}, one a fold, got "
                f"{n_groups}: take fewer lags, or fewer folds"
            )
    dealt = np.full(len(paired), -1, np.int32)
    kept = None if groups is None else groups[paired]
    dealt[paired] = deal_folds(int(paired.sum()), folds, kept, seed)
    return dealt


def _single_lags(
    hidden: Float[np.ndarray, "T N"], labels: Labels, whole: Int[np.ndarray, " T"], chosen: tuple[int, ...]
) -> xr.Dataset:
    """Score each lag by itself, without a fit."""
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
            "lag": list(chosen),
            "neuron": np.arange(hidden.shape[1]),
            "feature": list(labels.names),
            "kind": ("feature", list(labels.kinds)),
        },
    )


def _strings(labels: Labels, corpus: Corpus | None, groups: Int[np.ndarray, " T"] | None) -> Int[np.ndarray, " T"]:
    """Return a number for each run of positions that follow one another in one string."""
    if corpus is not None:
        labels.check_corpus(corpus)
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
