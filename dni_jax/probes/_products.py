"""Continuous labels from chunks: products of values rounded to a fine grid, integers that merge to the bit."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from dni_jax import devices
from dni_jax.probes import _check, _layout
from dni_jax.probes import _linear as linear
from dni_jax.probes._counting import in_chunks
from dni_jax.probes._moments import Moments, Range, fold_moments
from dni_jax.probes._registry import PROBES
from dni_jax.probes._result import Scores

# Steps of the grid in the sample's range, and steps from its middle that a value may lie away.
_STEPS, _FARTHEST = 2**16, 2**18
# Positions whose products float64 adds up without rounding: _FARTHEST ** 2 times this many stay below 2 ** 53.
_EXACT = 2**16
_MOST = 2**62


@dataclass(frozen=True)
class Grid:
    """What neurons and labels are rounded to: ``middle + step * integer``.

    Attributes
    ----------
    x_middle, x_step : float64 (N,)
    y_middle, y_step : float64 (F,)
    """

    x_middle: Float[np.ndarray, " N"]
    x_step: Float[np.ndarray, " N"]
    y_middle: Float[np.ndarray, " F"]
    y_step: Float[np.ndarray, " F"]


@dataclass(frozen=True)
class Products:
    """Sums of products by fold, which add up: ``multiply(a) + multiply(b)`` is that of a and b to the bit.

    Attributes
    ----------
    grid : Grid
    n, x, xx, y, yy, xy : int64 (K,), (K, N), (K, N), (K, F), (K, F), (K, N, F)
        Number of positions, and sums over them, in steps of the grid.
    low, high : int64 (K, F)
        Smallest and largest label.
    farthest : int
        The largest distance of a value from the grid's middle.
    """

    grid: Grid
    n: Int[np.ndarray, " K"]
    x: Int[np.ndarray, "K N"]
    xx: Int[np.ndarray, "K N"]
    y: Int[np.ndarray, "K F"]
    yy: Int[np.ndarray, "K F"]
    xy: Int[np.ndarray, "K N F"]
    low: Int[np.ndarray, "K F"]
    high: Int[np.ndarray, "K F"]
    farthest: int

    def __add__(self, other: "Products") -> "Products":
        for name in ("x_middle", "x_step", "y_middle", "y_step"):
            if not np.array_equal(getattr(self.grid, name), getattr(other.grid, name)):
                raise ValueError("expected products on the same grid, got different ones; choose it once for all")
        if self.xy.shape != other.xy.shape:
            raise ValueError(f"expected products of shape {self.xy.shape}, got {other.xy.shape}")
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("n", "x", "xx", "y", "yy", "xy")}
        farthest = max(self.farthest, other.farthest)
        if int(sums["n"].sum()) * farthest**2 > _MOST:
            raise ValueError(
                f"expected fewer positions than {_MOST // farthest**2}, got {sums['n'].sum()}: split them into several "
                "products, or choose the grid from a sample with the largest values"
            )
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Products(self.grid, **sums, low=low, high=high, farthest=farthest)


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
    >>> from dni_jax.probes import choose_grid
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


def multiply(chunks: Iterable[_check.Chunk], grid: Grid, n_folds: int) -> Products:
    """Sum products of neurons and labels, chunk after chunk, in memory that does not depend on how many there are.

    Parameters
    ----------
    chunks : iterable of (hidden, labels, folds)
        Arrays (t, N), (t, F) of finite numbers, and (t,) with -1 for positions not used. Chunks of one length compile
        once.
    grid : Grid
        As from `choose_grid`.
    n_folds : int
        Number of folds K.

    Returns
    -------
    Products

    Raises
    ------
    ValueError
        For a bad chunk, no chunk at all, or a value more than four ranges of the sample away from its middle.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_grid, multiply, score_products
    >>> x = np.linspace(-1, 1, 100)[:, None]
    >>> products = multiply([(x, x**3, np.arange(100) % 2)], choose_grid(x, x**3), n_folds=2)
    >>> score_products(products)["pearson"].round(2).tolist()
    [[[0.92, 0.92]]]
    """
    multiplier = Multiplier(grid, n_folds)
    for chunk in chunks:
        multiplier.add(*chunk)
    return multiplier.products()


class Multiplier:
    """Products that grow chunk by chunk; what `multiply` does with an iterable of chunks.

    Parameters
    ----------
    grid : Grid
    n_folds : int
    length : int
        Chunks are padded to this length, at most 65,536, so that one program multiplies them all.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[-1.0], [1.0]])
    >>> multiplier = Multiplier(choose_grid(x, x), n_folds=2)
    >>> multiplier.add(x, x, np.array([0, 1]))
    >>> multiplier.products().n.tolist()
    [1, 1]
    """

    def __init__(self, grid: Grid, n_folds: int, length: int = 0) -> None:
        self.grid, self.n_folds = grid, n_folds
        self._total: Products | None = None
        self._length, self._number = min(length, _EXACT), 0

    def add(self, hidden: Any, labels: Any, folds: Any) -> None:
        """Multiply some more positions; arguments as of one chunk in `multiply`."""
        number, n_neurons, n_features = self._number, len(self.grid.x_step), len(self.grid.y_step)
        hidden, labels, folds = _check.check_chunk(hidden, labels, folds, number, n_neurons, self.n_folds, False, False)
        if labels.shape[1] != n_features:
            raise ValueError(f"chunk {number}: expected {n_features} features as in the grid, got {labels.shape[1]}")
        self._number += 1
        for part in in_chunks(hidden, labels, folds, _EXACT):
            try:
                added = _products(*self._padded(*part), self.grid, self.n_folds)
            except ValueError as error:
                raise ValueError(f"chunk {number}: {error}") from error
            self._total = added if self._total is None else self._total + added

    def _padded(self, hidden: Any, labels: np.ndarray, folds: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """Repeat the last position, out of use."""
        pad = self._length - len(folds)
        if pad <= 0:
            return hidden, labels, folds
        hidden, labels = (np.pad(np.asarray(rows), ((0, pad), (0, 0)), mode="edge") for rows in (hidden, labels))
        return hidden, labels, np.pad(folds, (0, pad), constant_values=-1)

    def products(self) -> Products:
        """Give the products so far.

        Raises
        ------
        ValueError
            Where no chunk was added.
        """
        if self._total is None:
            raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
        return self._total


def _products(hidden: Any, labels: np.ndarray, folds: np.ndarray, grid: Grid, n_folds: int) -> Products:
    blocks, mesh = _layout.fixed_blocks(folds, n_folds), devices.make_mesh("neurons")
    n_neurons = len(grid.x_step)
    pad = -n_neurons % mesh.size
    with jax.enable_x64(True):
        hidden = jnp.pad(jnp.asarray(hidden), ((0, 0), (0, pad)))
        x_middle, x_step = np.pad(grid.x_middle, (0, pad)), np.pad(grid.x_step, (0, pad), constant_values=1.0)
        scale = (x_middle, x_step, grid.y_middle, grid.y_step)
        sums, limits, away = _multiply(hidden, jax.device_put(labels), scale, *blocks, n_folds, mesh)
        farthest = max(float(np.max(np.asarray(part))) for part in away)
        if farthest > _FARTHEST:
            raise ValueError(
                "expected values within four ranges of the sample that the grid was chosen from, got one "
                f"{farthest / _STEPS:.1f} ranges from its middle: choose it from a larger sample"
            )
        n, x, xx, y, yy, xy = (np.rint(np.asarray(part)).astype(np.int64) for part in sums)
        low, high = (np.clip(np.asarray(part), -_MOST, _MOST).astype(np.int64) for part in limits)  # no position: inf
    x, xx, xy = x[:, :n_neurons, 0], xx[:, :n_neurons, 0], xy[:, :n_neurons]
    return Products(grid, n[:, 0, 0], x, xx, y[:, 0], yy[:, 0], xy, low, high, int(farthest))


@partial(jax.jit, static_argnames=("n_folds", "mesh"))
def _multiply(
    hidden: Float[Array, "T N"],
    labels: Shaped[Array, "T F"],
    scale: tuple[Array, ...],
    rows: Array,
    real: Array,
    fold: Array,
    n_folds: int,
    mesh: Mesh,
) -> tuple[Moments, Range, tuple[Array, Array]]:
    def shard(hidden: Array, labels: Array, scale: tuple[Array, ...], rows: Array, real: Array, fold: Array) -> Any:
        x_middle, x_step, y_middle, y_step = scale

        def steps(x: Array) -> Array:
            return jnp.rint((x - x_middle) / x_step)

        y = jnp.rint((labels.astype(jnp.float64) - y_middle) / y_step)
        origin = jnp.zeros_like(x_step), jnp.zeros_like(y_step)
        moments, limits = fold_moments(*origin, hidden, y, rows, real, fold, n_folds, steps)
        extremes = jnp.stack([jnp.min(hidden, axis=0), jnp.max(hidden, axis=0)]).astype(jnp.float64)
        return moments, limits, (jnp.max(jnp.abs(steps(extremes)), axis=0), jnp.max(jnp.abs(y), axis=0))

    across, whole = PartitionSpec("neurons"), PartitionSpec()
    by_neuron = PartitionSpec(None, "neurons")
    sums = Moments._make([whole, by_neuron, by_neuron, whole, whole, by_neuron])
    spread = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(by_neuron, whole, (across, across, whole, whole), whole, whole, whole),
        out_specs=(sums, Range._make([whole, whole]), (across, whole)),
        check_vma=False,
    )
    return spread(hidden, labels, scale, rows, real, fold)


def score_products(
    products: Products, *, probe: str = "ols", metrics: tuple[str, ...] | None = None, alpha: Any = 1.0
) -> Scores:
    """Fit and score continuous labels on products; as `score_neurons`.

    Parameters
    ----------
    products : Products
        Every fold must hold a position.
    probe : {"ols", "ridge"}
    metrics, alpha
        As in `score_neurons`.

    Returns
    -------
    Scores
        As from `score_neurons`. In ``attrs``, "r2_error" estimates what rounding to the grid can do to an R^2 (one
        standard deviation, in the smallest fold).

    Raises
    ------
    ValueError
        For a fold without a position, or a probe or metric for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_grid, multiply, score_products
    >>> x = np.random.default_rng(0).normal(size=(200, 1))
    >>> products = multiply([(x, 3 * x, np.arange(200) % 4)], choose_grid(x, 3 * x), n_folds=4)
    >>> bool(score_products(products)["r2"].min() > 0.999999)
    True
    """
    chosen, metrics, classifies = _check.check_probe(probe, metrics, np.full((1, 1), 0.5))
    if classifies or chosen.regress is None:
        raise ValueError(f'expected probe="ols" or "ridge" and metrics among r2 and pearson, got {probe!r}, {metrics}')
    strengths = _check.check_strength(chosen, 1.0, alpha)
    _check.check_fold_sizes(products.n)
    with jax.enable_x64(True):
        limits = Range(jnp.asarray(products.low), jnp.asarray(products.high))
        found, baseline = _score(_in_units(products), limits, jnp.asarray(strengths, jnp.float64), probe, metrics)
        # (strength, fold, neuron, feature) -> (strength, neuron, feature, fold)
        result = {key: np.moveaxis(np.asarray(part), 1, 3) for key, part in found.items()}
    if np.ndim(alpha) == 0:
        result = {key: value[0] for key, value in result.items()}
    result["baseline"] = np.asarray(baseline).T
    attrs = {"probe": probe, "engine": "binned", "n_bins": _STEPS, "alpha": alpha, "r2_error": _rounding(products)}
    return Scores(result, attrs)


def _in_units(products: Products) -> Moments:
    """Moments about the grid's middle, in the values' own units."""
    x, y = products.grid.x_step[:, None], products.grid.y_step
    return Moments(
        jnp.asarray(products.n[:, None, None].astype(np.float64)),
        jnp.asarray(products.x[:, :, None] * x),
        jnp.asarray(products.xx[:, :, None] * x**2),
        jnp.asarray(products.y[:, None] * y),
        jnp.asarray(products.yy[:, None] * y**2),
        jnp.asarray(products.xy * x * y),
    )


@partial(jax.jit, static_argnames=("probe", "metrics"))
def _score(
    held: Moments, limits: Range, strengths: Float[Array, " A"], probe: str, metrics: tuple[str, ...]
) -> tuple[dict[str, Float[Array, "A K N F"]], Float[Array, "K F"]]:
    train, regress = held.without_each(), PROBES[probe].regress
    assert regress is not None

    def one(strength: Array) -> dict[str, Array]:
        return linear.held_out_scores(held, regress(train, strength), limits, metrics)

    return lax.map(one, strengths), linear.mean_baseline(held, train, limits)


def _rounding(products: Products) -> float:
    """What rounding can do to an R^2: its share of the variance, and its chance correlation with a fold's labels."""
    n = float(products.n.sum())
    share = 0.0
    for total, squares in ((products.x, products.xx), (products.y, products.yy)):
        variance = squares.sum(0) / n - (total.sum(0) / n) ** 2
        share += float(np.max(np.divide(1 / 12, variance, out=np.zeros(len(variance)), where=variance > 1)))
    return share + 2.0 * float(np.sqrt(share / products.n.min()))
