"""Sums, squares and cross products of every neuron with every label, fold by fold: the statistics of least squares."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Shaped

from dni_jax.probes._layout import FoldBlocks

# A spread this small relative to the sum of squares is rounding: the values are equal.
ROUNDING = 1e-14


class Moments(NamedTuple):
    """Raw moments of sets of positions, about any fixed origin; the axes are (set, neuron, feature)."""

    n: Float[Array, "K 1 1"]
    x: Float[Array, "K N 1"]
    xx: Float[Array, "K N 1"]
    y: Float[Array, "K 1 F"]
    yy: Float[Array, "K 1 F"]
    xy: Float[Array, "K N F"]

    def without_each(self) -> "Moments":
        """Return the moments of all sets but one, summed again: differences from a total would lose digits."""
        n_sets = self.n.shape[0]
        others = 1.0 - jnp.eye(n_sets, dtype=self.n.dtype)
        return Moments(*(jnp.tensordot(others, moment, axes=1) for moment in self))

    def about(self, x: Array, y: Array) -> "Moments":
        """Move the origin to x and y."""
        return Moments(
            self.n,
            self.x - self.n * x,
            self.xx - 2.0 * x * self.x + self.n * x * x,
            self.y - self.n * y,
            self.yy - 2.0 * y * self.y + self.n * y * y,
            self.xy - x * self.y - y * self.x + self.n * x * y,
        )

    def centered(self) -> "Moments":
        """Move each set's origin to its own mean; squares that are only rounding become 0."""
        moved = self.about(self.x / self.n, self.y / self.n)
        return moved._replace(
            xx=jnp.where(moved.xx <= ROUNDING * self.xx, 0.0, moved.xx),
            yy=jnp.where(moved.yy <= ROUNDING * self.yy, 0.0, moved.yy),
        )


class Range(NamedTuple):
    """Smallest and largest label of each set."""

    low: Shaped[Array, "K F"]
    high: Shaped[Array, "K F"]

    def constant(self) -> Bool[Array, "K F"]:
        """Whether all labels of a set are equal."""
        return self.low == self.high

    def same(self) -> Bool[Array, "K F"]:
        """Whether all labels of a set and of all others are equal."""
        return (jnp.min(self.low, axis=0) == jnp.max(self.high, axis=0)) & self.constant()


def fold_moments(
    x0: Float[Array, " N"],
    y0: Shaped[Array, " F"],
    hidden: Float[Array, "T N"],
    labels: Shaped[Array, "T F"],
    blocks: FoldBlocks,
    n_folds: int,
    scaled: Callable[[Array], Array] = lambda x: x,
    parallel: bool = False,
) -> tuple[Moments, Range]:
    """Compute each fold's moments about an origin, in float64, and the range of its labels.

    `scaled` is applied to the states first. `parallel` computes all blocks at once instead of one after the other.

    An origin among the values, the first position for example, keeps sums of large, close values from canceling, and
    constant neurons exactly at 0.
    """
    x0, y0 = x0.astype(jnp.float64), y0.astype(jnp.float64)
    n_neurons, n_features = hidden.shape[1], labels.shape[1]

    def of_block(rows: Array, real: Array) -> tuple:
        keep = real[:, None]
        x = jnp.where(keep, scaled(hidden[rows].astype(jnp.float64)) - x0, 0.0)
        values = labels[rows].astype(jnp.float64)
        y = jnp.where(keep, values - y0, 0.0)
        # A column of ones gives the sums of x from the same product; labels on the left make it a quarter faster.
        sums = (
            jnp.sum(real).astype(jnp.float64),
            jnp.concatenate([y, jnp.ones((y.shape[0], 1), jnp.float64)], axis=1).T @ x,
            jnp.sum(x * x, axis=0),
            jnp.stack([jnp.sum(y, axis=0), jnp.sum(y * y, axis=0)]),
        )
        low = jnp.min(jnp.where(keep, values, jnp.inf), axis=0)
        return sums, Range(low, jnp.max(jnp.where(keep, values, -jnp.inf), axis=0))

    def add(total: tuple, fold: Array, part: tuple) -> tuple:
        (sums, limits), (more, own) = total, part
        limits = Range(limits.low.at[fold].min(own.low), limits.high.at[fold].max(own.high))
        return tuple(old.at[fold].add(new) for old, new in zip(sums, more, strict=True)), limits

    def zeros(*shape: int) -> Array:
        return jnp.zeros(shape, jnp.float64)

    start = (
        zeros(n_folds),
        zeros(n_folds, n_features + 1, n_neurons),
        zeros(n_folds, n_neurons),
        zeros(n_folds, 2, n_features),
    )
    total: tuple = start, Range(zeros(n_folds, n_features) + jnp.inf, zeros(n_folds, n_features) - jnp.inf)
    rows, real, fold_of = (jnp.asarray(part) for part in blocks)
    if parallel:
        total = add(total, fold_of, jax.vmap(of_block)(rows, real))
    else:
        steps = (fold_of, rows, real)
        total, _ = lax.scan(lambda now, block: (add(now, block[0], of_block(*block[1:])), None), total, steps)
    (n, products, squares, y_sums), limits = total
    y_sum, y_squares = y_sums[:, 0], y_sums[:, 1]
    products = jnp.swapaxes(products, 1, 2)
    moments = Moments(
        n[:, None, None],
        products[:, :, -1:],
        squares[:, :, None],
        y_sum[:, None, :],
        y_squares[:, None, :],
        products[:, :, :-1],
    )
    return moments, limits


class Scale(NamedTuple):
    """Origins of neurons and labels, and the steps that values are rounded to."""

    x_origin: Float[Array, " N"]
    x_step: Float[Array, " N"]
    y_origin: Float[Array, " F"]
    y_step: Float[Array, " F"]


@partial(jax.jit, static_argnames=("n_folds", "mesh", "rounded", "parallel"))
def sharded_moments(
    hidden: Float[Array, "T N"],
    labels: Shaped[Array, "T F"],
    scale: Scale,
    blocks: FoldBlocks,
    n_folds: int,
    mesh: Mesh,
    rounded: bool,
    parallel: bool = False,
) -> tuple[Moments, Range, tuple[Array, Array]]:
    """Compute moments, neurons sharded over the devices.

    Where `rounded`, values are whole numbers of steps from the origin: their products and sums are integers below
    2 ** 53, which float64 adds without rounding, so that neither the order nor the devices change a bit. The last
    result is then the largest number of steps of each neuron and feature; otherwise it is 0.
    """

    def shard(hidden: Array, labels: Array, scale: Scale, blocks: FoldBlocks) -> Any:
        if not rounded:
            moments, limits = fold_moments(
                scale.x_origin, scale.y_origin, hidden, labels, blocks, n_folds, parallel=parallel
            )
            return moments, limits, (jnp.zeros_like(scale.x_step), jnp.zeros_like(scale.y_step))

        def steps(x: Array) -> Array:
            return jnp.rint((x - scale.x_origin) / scale.x_step)

        y = jnp.rint((labels.astype(jnp.float64) - scale.y_origin) / scale.y_step)
        origin = jnp.zeros_like(scale.x_step), jnp.zeros_like(scale.y_step)
        moments, limits = fold_moments(*origin, hidden, y, blocks, n_folds, steps, parallel)
        extremes = jnp.stack([jnp.min(hidden, axis=0), jnp.max(hidden, axis=0)]).astype(jnp.float64)
        return moments, limits, (jnp.max(jnp.abs(steps(extremes)), axis=0), jnp.max(jnp.abs(y), axis=0))

    across, whole = PartitionSpec("neurons"), PartitionSpec()
    by_neuron = PartitionSpec(None, "neurons")
    sums = Moments._make([whole, by_neuron, by_neuron, whole, whole, by_neuron])
    sharded = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=(by_neuron, whole, Scale._make([across, across, whole, whole]), whole),
        out_specs=(sums, Range._make([whole, whole]), (across, whole)),
        check_vma=False,
    )
    return sharded(hidden, labels, scale, blocks)
