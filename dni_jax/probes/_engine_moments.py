"""The exact engine for continuous labels: float64 moments of each fold, and least squares on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from dni_jax import devices
from dni_jax.probes import _check, _layout
from dni_jax.probes._engine import Engine, Sample, Scores, make_scores
from dni_jax.probes._least_squares import score_moments
from dni_jax.probes._moments import Moments, Range, Scale, sharded_moments
from dni_jax.probes._plan import fits_at_once
from dni_jax.probes._registry import PROBES
from dni_jax.probes._spec import ProbeSpec


@dataclass(frozen=True, eq=False)
class ExactMoments:
    """Moments of the positions seen so far, which add up to float64's rounding.

    Attributes
    ----------
    spec : ProbeSpec
    shape : (int, int, int)
        Numbers of neurons, features and folds.
    origin : float64 arrays (N,) and (F,)
        What moments are about: a position of the sample, which keeps sums of large, close values from canceling.
    moments, limits
        Sums of each fold, and its smallest and largest labels; NumPy arrays.
    n_updates : int
    """

    spec: ProbeSpec
    shape: tuple[int, int, int]
    origin: tuple[np.ndarray, np.ndarray]
    moments: Moments
    limits: Range
    n_updates: int = 0

    def __add__(self, other: ExactMoments) -> ExactMoments:
        limits = np.minimum(self.limits.low, other.limits.low), np.maximum(self.limits.high, other.limits.high)
        moments = (ours + theirs for ours, theirs in zip(self.moments, other.moments, strict=True))
        n_updates = self.n_updates + other.n_updates
        return replace(self, moments=Moments._make(moments), limits=Range._make(limits), n_updates=n_updates)


def init(spec: ProbeSpec, sample: Sample) -> ExactMoments:
    """Return moments of no position about the sample's first position in use, in order of folds."""
    n_neurons, n_features, n_folds = sample.shape
    first = _layout.used_positions(sample.folds)[:1]
    if len(first) == 0:
        raise ValueError("expected positions in use, got none: all of them are left out")
    origin = tuple(np.asarray(part[int(first[0])]).astype(np.float64) for part in (sample.hidden, sample.labels))
    shapes = ((1, 1), (n_neurons, 1), (n_neurons, 1), (1, n_features), (1, n_features), (n_neurons, n_features))
    moments = Moments._make(np.zeros((n_folds, *shape)) for shape in shapes)
    limits = Range._make(np.full((n_folds, n_features), end) for end in (np.inf, -np.inf))
    return ExactMoments(spec, sample.shape, (origin[0], origin[1]), moments, limits)


def update(stats: ExactMoments, hidden: Any, labels: Any, folds: Any) -> ExactMoments:
    """Add the moments of some more positions."""
    chunk = _check.check_chunk((hidden, labels, folds), stats.n_updates, stats.shape, False, widen=True)
    hidden, labels, folds = chunk
    used, n_folds = _layout.used_positions(folds), stats.shape[2]
    if len(used) == 0:
        return replace(stats, n_updates=stats.n_updates + 1)
    blocks = _layout.make_blocks(folds[used], n_folds)
    # On a CPU a product already uses all cores, and slicing the states would cost more than it.
    mesh = devices.make_mesh("neurons", 0 if devices.is_accelerated() else 1)
    n_neurons = stats.shape[0]
    pad = -n_neurons % mesh.size
    parallel = fits_at_once(stats.spec, len(used), -(-n_neurons // mesh.size), stats.shape[1])
    with jax.enable_x64(True):
        x_origin, y_origin = np.pad(stats.origin[0], (0, pad)), stats.origin[1]
        scale = Scale(*jax.device_put((x_origin, np.ones_like(x_origin), y_origin, np.ones_like(y_origin))))
        # Both share the caller's memory where they can; the call ends before it returns.
        states, labels = _layout.put_padded(hidden, len(hidden), n_neurons + pad), jax.device_put(labels)
        rows = jax.device_put(_layout.FoldBlocks(used[blocks.rows], blocks.real, blocks.fold))
        moments, limits, _ = sharded_moments(states, labels, scale, rows, n_folds, mesh, False, parallel)
        arrays = [np.asarray(part) for part in moments]
        ranges = [np.asarray(part) for part in limits]
    for place in (1, 2, 5):  # what has an axis of neurons
        arrays[place] = arrays[place][:, :n_neurons]
    return stats + replace(stats, moments=Moments._make(arrays), limits=Range._make(ranges), n_updates=1)


def score(stats: ExactMoments) -> Scores:
    """Fit and score every neuron, feature and fold."""
    spec, regress = stats.spec, PROBES[stats.spec.probe].regress
    assert regress is not None
    _check.check_fold_sizes(np.asarray(stats.moments.n[:, 0, 0]))
    with jax.enable_x64(True):
        arrays, baseline = score_moments(stats.moments, stats.limits, stats.origin, regress, spec.strengths, spec.names)
    return make_scores(spec, arrays, baseline, {"engine": "exact", "n_devices": devices.make_mesh("neurons").size})


ENGINE = Engine("exact", init, update, score)
