"""A neuron as counts: positions rounded to a few hundred levels. Counts are integers, so they merge exactly."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dni_jax.probes._layout import prefix_sums
from dni_jax.probes._value_blocks import ValueBlocks


class BinnedNeuron(NamedTuple):
    """A neuron's levels and counts, with the prefixes a `SortedNeuron` has; a level plays the part of a rank.

    Attributes
    ----------
    x : float64 (B,)
        Increasing levels less `center`.
    center : float64 ()
    train_positive, train_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the training sets, which leave fold k out, below each level.
    sum_positive, sum_all, square_positive, square_all : float64
        Sums of x and of its square over the same sets.
    held_positive, held_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the held-out sets below each level.
    """

    x: Float[Array, " B"]
    center: Float[Array, ""]
    train_positive: Int[Array, "B1 K F"]
    train_all: Int[Array, "B1 K"]
    sum_positive: Float[Array, "B1 K F"]
    sum_all: Float[Array, "B1 K"]
    square_positive: Float[Array, "B1 K F"]
    square_all: Float[Array, "B1 K"]
    held_positive: Int[Array, "B1 K F"]
    held_all: Int[Array, "B1 K"]

    @property
    def most_positions(self) -> int:
        """How many positions a training set can have: what an int32 counts."""
        return 2**31 - 1

    def values(self) -> Float[Array, " B"]:
        """Levels in rank order."""
        return self.x

    def held_below(self, rank: Int[Array, "K F"]) -> tuple[Int[Array, "K F"], Int[Array, "K F"]]:
        """Held-out positives, and all held-out positions, among the first `rank` levels."""
        _, n_folds, n_features = self.held_positive.shape
        fold = jnp.arange(n_folds, dtype=jnp.int32)[:, None]
        feature = jnp.arange(n_features, dtype=jnp.int32)[None, :]
        return self.held_positive[rank, fold, feature], self.held_all[rank, fold]

    def classes(self, negate: Bool[Array, "Q KF"]) -> "BinnedClass":
        """Classes of the training sets; `negate` picks the negatives."""
        return BinnedClass(self, negate)

    def blocks(self, cost: Float[Array, "2 K F"] | None, n_powers: int) -> ValueBlocks:
        """Take the levels as blocks without extent; see `SortedNeuron.blocks`."""
        everything = jnp.diff(self.train_all, axis=0)[:, :, None].astype(jnp.float64)
        mass = everything
        if cost is not None:
            positive = jnp.diff(self.train_positive, axis=0).astype(jnp.float64)
            mass = cost[0] * positive + cost[1] * (everything - positive)
        return ValueBlocks(self.x, mass[:, None], jnp.zeros((), jnp.float64))


def bin_neuron(
    levels: Float[Array, " B"], positive: Int[Array, "B K F"], everything: Int[Array, "B K"], parallel: bool = False
) -> BinnedNeuron:
    """Accumulate a neuron's counts over its levels, level after level or all at once."""
    center = levels[levels.shape[0] // 2]
    x = levels - center
    prefix = prefix_sums if parallel else _prefix
    held_positive, held_all = prefix(positive), prefix(everything)
    train_positive = jnp.sum(positive, axis=1, keepdims=True, dtype=jnp.int32) - positive
    train_all = jnp.sum(everything, axis=1, keepdims=True, dtype=jnp.int32) - everything

    def sums(values: Array) -> tuple[Array, Array]:
        of_positives = prefix(train_positive.astype(jnp.float64) * values[:, None, None])
        return of_positives, prefix(train_all.astype(jnp.float64) * values[:, None])

    return BinnedNeuron(
        x, center, prefix(train_positive), prefix(train_all), *sums(x), *sums(x * x), held_positive, held_all
    )


def _prefix(rows: Array) -> Array:
    """Sums of the rows before each, and of all of them."""
    total, before = lax.scan(lambda sums, row: (sums + row, sums), jnp.zeros_like(rows[0]), rows)
    return jnp.concatenate([before, total[None]])


class BinnedClass(NamedTuple):
    """Classes of the training sets, as `TrainingClass` on a `SortedNeuron`."""

    neuron: BinnedNeuron
    negate: Bool[Array, "Q KF"]

    def _of(self, positives: Array, everything: Array, level: Int[Array, "Q KF"]) -> Array:
        n_features = positives.shape[2]
        fit = jnp.arange(positives.shape[1] * n_features, dtype=jnp.int32)
        chosen = positives.reshape(positives.shape[0], -1)[level, fit]
        return jnp.where(self.negate, everything[level, fit // jnp.int32(n_features)] - chosen, chosen)

    def size(self, level: Int[Array, "Q KF"]) -> Int[Array, "Q KF"]:
        """Members below a level."""
        return self._of(self.neuron.train_positive, self.neuron.train_all, level)

    def nth(self, n: Int[Array, "Q KF"]) -> tuple[Float[Array, "Q KF"], Float[Array, "Q KF"]]:
        """Value of the class's n-th smallest member, and the sum of those before it; n is clipped."""
        n_levels = self.neuron.x.shape[0]
        n = jnp.clip(n, 0, jnp.maximum(self.sizes() - 1, 0))
        n_steps = n_levels.bit_length()

        def descend(step: Array, level: Array) -> Array:
            candidate = level + (1 << (n_steps - 1 - step))
            inside = self.size(jnp.minimum(candidate, n_levels)) <= n
            return jnp.where((candidate < n_levels) & inside, candidate, level)

        level = lax.fori_loop(0, n_steps, descend, jnp.zeros_like(n))
        value = self.neuron.x[level]
        before = self._of(self.neuron.sum_positive, self.neuron.sum_all, level)
        return value, before + (n - self.size(level)).astype(jnp.float64) * value

    def sizes(self) -> Int[Array, "Q KF"]:
        """Members of each class."""
        return self.size(jnp.full(self.negate.shape, self.neuron.x.shape[0], jnp.int32))

    def moments(self) -> Float[Array, "3 Q KF"]:
        """Number, sum and sum of squares of all members."""
        return self._moments(jnp.full(self.negate.shape, self.neuron.x.shape[0], jnp.int32))

    def moments_below(self, bound: Float[Array, "Q KF"]) -> Float[Array, "3 Q KF"]:
        """Number, sum and sum of squares of the members less than the bound."""
        return self._moments(jnp.searchsorted(self.neuron.x, bound, side="left").astype(jnp.int32))

    def _moments(self, level: Int[Array, "Q KF"]) -> Float[Array, "3 Q KF"]:
        neuron = self.neuron
        return jnp.stack(
            [
                self.size(level).astype(jnp.float64),
                self._of(neuron.sum_positive, neuron.sum_all, level),
                self._of(neuron.square_positive, neuron.square_all, level),
            ]
        )


def rank_sums(neuron: BinnedNeuron) -> Float[Array, "K F"]:
    """Sum of the held-out positives' ranks within their fold, ties sharing their middle."""
    positives = jnp.diff(neuron.held_positive, axis=0).astype(jnp.float64)
    below = neuron.held_all[:-1].astype(jnp.float64)
    tied = jnp.diff(neuron.held_all, axis=0).astype(jnp.float64)
    midrank = below + (tied + 1.0) / 2.0
    return jnp.sum(positives * midrank[:, :, None], axis=0)


def tied_pairs(neuron: BinnedNeuron) -> Float[Array, "K F"]:
    """Held-out pairs of a positive and a negative that fall into one level."""
    positives = jnp.diff(neuron.held_positive, axis=0).astype(jnp.float64)
    everything = jnp.diff(neuron.held_all, axis=0).astype(jnp.float64)
    return jnp.sum(positives * (everything[:, :, None] - positives), axis=0)
