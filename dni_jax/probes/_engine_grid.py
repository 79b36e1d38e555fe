"""The binned engine for continuous labels: moments of values rounded to a fine grid.

Rounded values are whole numbers of steps. Their products and sums are integers, which are the same in any order and on
any number of devices, so that the moments of chunks merge to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped

from dni_jax import devices
from dni_jax.probes import _check, _layout
from dni_jax.probes._engine import CHUNK, Engine, Sample, Scores, make_scores
from dni_jax.probes._least_squares import score_moments
from dni_jax.probes._moments import Moments, Range, Scale, sharded_moments
from dni_jax.probes._plan import fits_at_once
from dni_jax.probes._registry import PROBES
from dni_jax.probes._spec import ProbeSpec

# Steps of the grid in the sample's range, and steps from its middle that a value may lie away. The sum of CHUNK
# products of two such values stays below 2 ** 53, up to which float64 is exact.
_STEPS, _FARTHEST = 2**16, 2**18
_LARGEST = 2**62


@dataclass(frozen=True)
class Grid:
    """Values that neurons and labels are rounded to: ``middle + step * integer``.

    Attributes
    ----------
    x_middle, x_step : float64 (N,)
    y_middle, y_step : float64 (F,)
    """

    x_middle: Float[np.ndarray, " N"]
    x_step: Float[np.ndarray, " N"]
    y_middle: Float[np.ndarray, " F"]
    y_step: Float[np.ndarray, " F"]


@dataclass(frozen=True, eq=False)
class GridMoments:
    """Moments in steps of a grid, which add up: those of a and of b are together those of a and b, to the bit.

    Attributes
    ----------
    spec : ProbeSpec
    grid : Grid
    n, x, xx, y, yy, xy : int64 (K,), (K, N), (K, N), (K, F), (K, F), (K, N, F)
        Number of positions, and sums over them, in steps of the grid.
    low, high : int64 (K, F)
        Smallest and largest label.
    farthest : int
        The largest distance of a value from the grid's middle.
    length : int
        Positions that each update is padded to, in whole chunks.
    n_updates : int
    """

    spec: ProbeSpec
    grid: Grid
    n: Int[np.ndarray, " K"]
    x: Int[np.ndarray, "K N"]
    xx: Int[np.ndarray, "K N"]
    y: Int[np.ndarray, "K F"]
    yy: Int[np.ndarray, "K F"]
    xy: Int[np.ndarray, "K N F"]
    low: Int[np.ndarray, "K F"]
    high: Int[np.ndarray, "K F"]
    farthest: int = 0
    length: int = 0
    n_updates: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of neurons, features and folds."""
        return self.xy.shape[1], self.xy.shape[2], self.xy.shape[0]

    def __add__(self, other: GridMoments) -> GridMoments:
        for name in ("x_middle", "x_step", "y_middle", "y_step"):
            if not np.array_equal(getattr(self.grid, name), getattr(other.grid, name)):
                raise ValueError("expected moments on the same grid, got different ones; choose it once for all")
        if self.xy.shape != other.xy.shape:
            raise ValueError(f"expected moments of shape {self.xy.shape}, got {other.xy.shape}")
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("n", "x", "xx", "y", "yy", "xy")}
        farthest = max(self.farthest, other.farthest)
        if int(sums["n"].sum()) * farthest**2 > _LARGEST:
            raise ValueError(
                f"expected fewer positions than {_LARGEST // farthest**2}, got {sums['n'].sum()}: split them into "
                "several streams, or choose the grid from a sample with the largest values"
            )
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        n_updates = self.n_updates + other.n_updates
        return replace(self, **sums, low=low, high=high, farthest=farthest, n_updates=n_updates)


def choose_grid(hidden: Shaped[Any, "T N"], labels: Shaped[Any, "T F"]) -> Grid:
    """Choose a grid with 65,536 steps in the range of a sample.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F)

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        For a sample that is not finite, or shapes that do not match.

    Examples
    --------
    >>> import numpy as np
    >>> choose_grid(np.array([[-1.0], [1.0]]), np.array([[0], [1]])).y_step.tolist()
    [1.52587890625e-05]
    """
    hidden = np.asarray(_check.check_hidden(hidden))
    labels = _check.check_labels(labels, len(hidden), False, "ols")
    scales = []
    for values in (hidden, labels):
        low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
        scales += [(low + high) / 2.0, np.where(high > low, high - low, 1.0) / _STEPS]
    return Grid(*scales)


def init(spec: ProbeSpec, sample: Sample) -> GridMoments:
    """Return moments of no position, on a grid chosen from the sample, or from the neurons' ranges if known."""
    grid = choose_grid(sample.hidden, sample.labels)
    if sample.ranges is not None:
        known = choose_grid(np.stack(sample.ranges), np.zeros((2, 1)))
        grid = replace(grid, x_middle=known.x_middle, x_step=known.x_step)
    n_neurons, n_features, n_folds = sample.shape
    x, y = (np.zeros((n_folds, size), np.int64) for size in (n_neurons, n_features))
    xy = np.zeros((n_folds, n_neurons, n_features), np.int64)
    low, high = (np.full(y.shape, end) for end in (_LARGEST, -_LARGEST))
    length = min(sample.length, CHUNK)
    n = np.zeros(n_folds, np.int64)
    return GridMoments(spec, grid, n=n, x=x, xx=x, y=y, yy=y, xy=xy, low=low, high=high, length=length)


def update(stats: GridMoments, hidden: Any, labels: Any, folds: Any) -> GridMoments:
    """Add the moments of some more positions, in chunks whose sums float64 holds exactly."""
    number = stats.n_updates
    hidden, labels, folds = _check.check_chunk((hidden, labels, folds), number, stats.shape, False)
    for first in range(0, len(folds), CHUNK):
        part = slice(first, first + CHUNK)
        try:
            stats = stats + _moments_of(stats, *_padded(hidden[part], labels[part], folds[part], stats.length))
        except ValueError as error:
            raise ValueError(f"chunk {number}: {error}") from error
    return replace(stats, n_updates=number + 1)


def _padded(hidden: Any, labels: np.ndarray, folds: np.ndarray, length: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Repeat the last position, out of use."""
    pad = length - len(folds)
    if pad <= 0:
        return hidden, labels, folds
    hidden, labels = (np.pad(np.asarray(rows), ((0, pad), (0, 0)), mode="edge") for rows in (hidden, labels))
    return hidden, labels, np.pad(folds, (0, pad), constant_values=-1)


def _moments_of(stats: GridMoments, hidden: Any, labels: np.ndarray, folds: np.ndarray) -> GridMoments:
    n_neurons, _, n_folds = stats.shape
    grid, mesh = stats.grid, devices.make_mesh("neurons")
    pad = -n_neurons % mesh.size
    parallel = fits_at_once(stats.spec, len(folds), -(-n_neurons // mesh.size), stats.shape[1])
    with jax.enable_x64(True):
        states = _layout.put_padded(hidden, len(hidden), n_neurons + pad)
        x_middle, x_step = np.pad(grid.x_middle, (0, pad)), np.pad(grid.x_step, (0, pad), constant_values=1.0)
        scale = Scale(*jax.device_put((x_middle, x_step, grid.y_middle, grid.y_step)))
        labels, blocks = jax.device_put((labels, _layout.fixed_blocks(folds, n_folds)))
        sums, limits, away = sharded_moments(states, labels, scale, blocks, n_folds, mesh, True, parallel)
        farthest = max(float(np.max(np.asarray(part))) for part in away)
        if farthest > _FARTHEST:
            raise ValueError(
                "expected values within four ranges of the sample that the grid was chosen from, got one "
                f"{farthest / _STEPS:.1f} ranges from its middle: choose it from a larger sample"
            )
        n, x, xx, y, yy, xy = (np.rint(np.asarray(part)).astype(np.int64) for part in sums)
        # The labels of a fold without positions range from infinity to minus infinity.
        low, high = (np.clip(np.asarray(part), -_LARGEST, _LARGEST).astype(np.int64) for part in limits)
    x, xx, xy = x[:, :n_neurons, 0], xx[:, :n_neurons, 0], xy[:, :n_neurons]
    n, y, yy = n[:, 0, 0], y[:, 0], yy[:, 0]
    return replace(stats, n=n, x=x, xx=xx, y=y, yy=yy, xy=xy, low=low, high=high, farthest=int(farthest), n_updates=0)


def score(stats: GridMoments) -> Scores:
    """Fit and score every neuron, feature and fold.

    In ``attrs``, "r2_error" estimates what rounding to the grid can do to an R^2 (one standard deviation, in the
    smallest fold).
    """
    spec, regress, grid = stats.spec, PROBES[stats.spec.probe].regress, stats.grid
    assert regress is not None
    _check.check_fold_sizes(stats.n)
    with jax.enable_x64(True):
        limits, origin = Range._make((stats.low, stats.high)), (grid.x_middle, grid.y_middle)
        arrays, baseline = score_moments(_in_units(stats), limits, origin, regress, spec.strengths, spec.names)
    attrs = {"engine": "binned", "n_bins": _STEPS, "r2_error": _rounding(stats)}
    return make_scores(spec, arrays, baseline, attrs | {"n_devices": devices.make_mesh("neurons").size})


def _in_units(stats: GridMoments) -> Moments:
    """Return moments about the grid's middle, in the values' own units."""
    x, y = stats.grid.x_step[:, None], stats.grid.y_step
    return Moments._make(
        (
            stats.n[:, None, None].astype(np.float64),
            stats.x[:, :, None] * x,
            stats.xx[:, :, None] * x**2,
            stats.y[:, None] * y,
            stats.yy[:, None] * y**2,
            stats.xy * x * y,
        )
    )


def _rounding(stats: GridMoments) -> float:
    """Estimate what rounding can do to an R^2: its share of the variance, and its chance correlation with labels."""
    n = float(stats.n.sum())
    share = 0.0
    for total, squares in ((stats.x, stats.xx), (stats.y, stats.yy)):
        variance = squares.sum(0) / n - (total.sum(0) / n) ** 2
        share += float(np.max(np.divide(1 / 12, variance, out=np.zeros(len(variance)), where=variance > 1)))
    return share + 2.0 * float(np.sqrt(share / stats.n.min()))


ENGINE = Engine("binned", init, update, score)
