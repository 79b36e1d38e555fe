"""What the states of several characters say together, beyond the best single one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import t as student

from dni_jax.features import Labels
from dni_jax.inspection._data import each_kind
from dni_jax.probes import benjamini_hochberg, score_neurons, score_sets

Sets = Mapping[str, Sequence[int]] | None

_METRICS = {"binary": "auc", "continuous": "r2"}
_NEURONS_AT_ONCE = 64  # whose single lags are scored in one call; bounds the memory of their copies


class Paired(NamedTuple):
    """States and labels of the same positions, and which positions have a state at every lag.

    Attributes
    ----------
    hidden
        float ``(T, N)``.
    labels
        On the same T positions.
    lags
        In characters, ascending; state ``t - lag`` is paired with label ``t``.
    folds
        int32 ``(T,)``; -1 where a state or a label is missing.
    """

    hidden: Float[np.ndarray, "T N"]
    labels: Labels
    lags: tuple[int, ...]
    folds: Int[np.ndarray, " T"]


def joint_lags(data: Paired, sets: Sets, probe: str, seed: int) -> xr.Dataset:
    """Compare probes on all lags together with the best probe on one; see `dni_jax.inspection.lags`."""
    if probe not in ("ridge", "logistic"):
        raise ValueError(f"expected probe='ridge' or 'logistic' for lags together, got {probe!r}")
    n_folds, lags = int(data.folds.max()) + 1, data.lags
    groups = _check_sets(sets, data.hidden.shape[1])
    shape = (len(groups), len(data.labels), n_folds)
    joint, each = np.full(shape, np.nan), np.full((len(lags), *shape), np.nan)
    unfinished = 0
    for kind, columns, matrix in each_kind(data.labels):
        how = "ridge" if kind == "continuous" else probe
        for size in sorted({len(group) for group in groups.values()}):
            rows = [row for row, group in enumerate(groups.values()) if len(group) == size]
            members = np.asarray([list(groups.values())[row] for row in rows])
            found, single, stopped = _score(data, matrix, members, how, _METRICS[kind])
            at = np.asarray(rows)
            joint[at[:, None], columns] = found
            each[:, at[:, None], columns] = single
            unfinished += stopped
    mean = each.mean(axis=-1)
    best = np.nan_to_num(mean, nan=-np.inf).argmax(axis=0)
    single = np.take_along_axis(each, best[None, :, :, None], axis=0)[0]
    sizes = np.bincount(data.folds[data.folds >= 0], minlength=n_folds)
    p = corrected_t_test(joint - single, sizes)
    dim = "neuron" if sets is None else "set"
    dims = (dim, "feature")
    return xr.Dataset(
        {
            "score": ((*dims, "fold"), joint),
            "single": ((*dims, "fold"), single),
            "lag": (dims, np.asarray(lags)[best]),
            "by_lag": (("lags", *dims), mean),
            "gain": (dims, (joint - single).mean(axis=-1)),
            "p": (dims, p),
            "q": (dims, benjamini_hochberg(p)),
            "positions": ((), int((data.folds >= 0).sum())),
        },
        coords={
            dim: list(groups),
            "feature": list(data.labels.names),
            "kind": ("feature", list(data.labels.kinds)),
            "lags": list(lags),
        },
        attrs={"probe": probe, "unfinished": unfinished},
    )


def _check_sets(sets: Sets, n_neurons: int) -> dict[Any, tuple[int, ...]]:
    """Return each set's name and neurons; every neuron by itself without sets."""
    if sets is None:
        return {neuron: (neuron,) for neuron in range(n_neurons)}
    if not isinstance(sets, Mapping) or not sets:
        raise ValueError(f"expected sets={{name: neurons}} with at least one set, got {sets!r}")
    checked = {}
    for name, neurons in sets.items():
        chosen = tuple(int(neuron) for neuron in neurons)
        if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0 or max(chosen) >= n_neurons:
            raise ValueError(f"expected distinct neurons from 0 to {n_neurons - 1} in the set {name!r}, got {chosen}")
        checked[name] = chosen
    return checked


def _score(
    data: Paired, matrix: np.ndarray, members: Int[np.ndarray, "G k"], probe: str, metric: str
) -> tuple[Float[np.ndarray, "G F K"], Float[np.ndarray, "L G F K"], int]:
    """Score sets of one size on all lags together and on each lag; also count fits that were stopped."""
    lags, (n_sets, size) = data.lags, members.shape
    settings: dict[str, Any] = {"probe": probe, "metrics": (metric,)}
    together = score_sets(
        data.hidden, matrix, data.folds, np.repeat(members, len(lags), axis=1), np.tile(lags, size), **settings
    )
    stopped = int(together.attrs["unfinished"])
    if size > 1:
        every = np.tile(members, (len(lags), 1))
        before = np.repeat(lags, n_sets)[:, None]
        alone = score_sets(data.hidden, matrix, data.folds, every, before, **settings)
        return together[metric], alone[metric].reshape(len(lags), *together[metric].shape), stopped
    # The engines for single values sort each of them once, for all features.
    single = np.empty((len(lags), *together[metric].shape))
    used = data.folds >= 0
    at, labels, folds = np.flatnonzero(used), matrix[used], data.folds[used]
    for first in range(0, n_sets, _NEURONS_AT_ONCE):
        chosen = members[first : first + _NEURONS_AT_ONCE, 0]
        moved = np.concatenate([data.hidden[np.ix_(at - lag, chosen)] for lag in lags], axis=1)
        scores = score_neurons(moved, labels, folds, **settings)[metric]
        single[:, first : first + len(chosen)] = scores.reshape(len(lags), len(chosen), *scores.shape[1:])
    return together[metric], single, stopped


def corrected_t_test(differences: Float[np.ndarray, "*pairs K"], sizes: Int[np.ndarray, " K"]) -> np.ndarray:
    """Return one-sided p-values of the differences between two probes' scores on K folds being above 0.

    Training sets of different folds overlap, so that the variance of the mean is ``(1 / K + n_test / n_train) s^2``
    and not ``s^2 / K`` (Nadeau & Bengio 2003, "Inference for the generalization error").

    Parameters
    ----------
    differences
        By fold; folds with NaN are left out.
    sizes
        The number of positions in each fold.

    Returns
    -------
    ``(*pairs)``: NaN with fewer than two folds; ``2^-K`` where all folds differ by the same positive amount.

    Examples
    --------
    >>> corrected_t_test(np.asarray([[0.1, 0.1, 0.1], [0.2, -0.2, 0.0]]), np.asarray([9, 9, 9])).round(3).tolist()
    [0.125, 0.5]
    """
    known = ~np.isnan(differences)
    n = known.sum(axis=-1)
    usable = n > 1
    count = np.where(usable, n, 2)
    mean = np.where(known, differences, 0.0).sum(axis=-1) / np.where(n, n, 1)
    variance = np.where(known, (differences - mean[..., None]) ** 2, 0.0).sum(axis=-1) / (count - 1)
    share = float((sizes / (sizes.sum() - sizes)).mean())
    error = np.sqrt((1.0 / count + share) * variance)
    exact = error <= 1e-12
    p = student.sf(mean / np.where(exact, 1.0, error), count - 1)
    p = np.where(exact, np.where(mean > 1e-12, 0.5**count, 1.0), p)
    return np.where(usable, p, np.nan)
