"""One neuron, sorted once, with prefix counts and sums for every training set: what the exact solvers search in."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt64

from dni_jax.probes import _bits

WORD = _bits.WORD


class Layout(NamedTuple):
    """What all neurons share: the labels and folds of the positions in use, as packed bits.

    Attributes
    ----------
    labels : uint64 (T, W)
        Bit f of a row says whether the position is a positive of feature f.
    folds : uint64 (T, V)
        Bit k of a row says whether the position is held out in fold k.
    valid : uint64 (B,)
        Bits of the ranks that exist; the last word is padded.
    fold_of : int32 (T,)
        The fold of each position.
    """

    labels: UInt64[Array, "T W"]
    folds: UInt64[Array, "T V"]
    valid: UInt64[Array, " B"]
    fold_of: Int[Array, " T"]


class SortedNeuron(NamedTuple):
    """A neuron in rank order, in B words of 64 ranks; prefixes exclude the word they stand at.

    Attributes
    ----------
    x : float64 (B, 64)
        Sorted values less `centre`; the padding repeats the largest.
    centre : float64 ()
        The median, taken off so that sums of large, close values keep their digits.
    order : int32 (T,)
        The position at each rank.
    positive, fold : uint64 (B, F), (B, K)
        Members of each feature and of each fold.
    valid : uint64 (B,)
    train_positive, train_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the training sets, which leave fold k out.
    sum_positive, sum_all : float64 (B + 1, K, F), (B + 1, K)
        Sums of x over the same sets.
    all_positive : int32 (B + 1, F)
        Counts over all folds.
    """

    x: Float[Array, "B 64"]
    centre: Float[Array, ""]
    order: Int[Array, " T"]
    positive: UInt64[Array, "B F"]
    fold: UInt64[Array, "B K"]
    valid: UInt64[Array, " B"]
    train_positive: Int[Array, "B1 K F"]
    train_all: Int[Array, "B1 K"]
    sum_positive: Float[Array, "B1 K F"]
    sum_all: Float[Array, "B1 K"]
    all_positive: Int[Array, "B1 F"]


def sort_order(x: Float[Array, " T"]) -> Int[Array, " T"]:
    """Stable ascending order of finite values.

    float32 values and their positions share one 64-bit key: sorting single integers is several times
    faster in XLA than sorting pairs.
    """
    if x.dtype != jnp.float32:
        return jnp.argsort(x, stable=True).astype(jnp.int32)
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    negative = (bits >> jnp.uint32(31)) == jnp.uint32(1)
    key = jnp.where(negative, ~bits, bits | jnp.uint32(1 << 31)).astype(jnp.uint64)
    position = jnp.arange(x.shape[0], dtype=jnp.uint64)
    keys = lax.sort((key << jnp.uint64(32)) | position)
    return (keys & jnp.uint64(0xFFFFFFFF)).astype(jnp.int32)


def _exclusive(total: Array, prefix: Array) -> Array:
    """Append the total to prefixes that exclude their own row."""
    return jnp.concatenate([prefix, total[None]])


def sort_neuron(x: Float[Array, " T"], layout: Layout, n_features: int, n_folds: int) -> SortedNeuron:
    """Sort a neuron and accumulate the training sets' counts and sums over its words."""
    order = sort_order(x)
    ranked = x[order].astype(jnp.float64)
    centre = ranked[x.shape[0] // 2]
    n_words = layout.valid.shape[0]
    ranked = jnp.pad(ranked - centre, (0, n_words * WORD - x.shape[0]), mode="edge").reshape(n_words, WORD)
    positive = _bits.words_by_rank(layout.labels, order, n_features)
    fold = _bits.words_by_rank(layout.folds, order, n_folds)

    def step(carry: tuple, word: tuple) -> tuple[tuple, tuple]:
        counts, counts_all, sums, sums_all, every = carry
        values, pos, out, valid = word
        train = valid & ~out
        train_bits = _bits.expand(train).astype(jnp.float64)
        weighted = _bits.expand(pos).astype(jnp.float64) * values
        new = (
            counts + _bits.popcount(pos[None, :] & train[:, None]),
            counts_all + _bits.popcount(train),
            sums + train_bits @ weighted.T,
            sums_all + train_bits @ values,
            every + _bits.popcount(pos),
        )
        return new, carry

    start = (
        jnp.zeros((n_folds, n_features), jnp.int32),
        jnp.zeros(n_folds, jnp.int32),
        jnp.zeros((n_folds, n_features), jnp.float64),
        jnp.zeros(n_folds, jnp.float64),
        jnp.zeros(n_features, jnp.int32),
    )
    totals, prefixes = lax.scan(step, start, (ranked, positive, fold, layout.valid))
    counts, counts_all, sums, sums_all, every = map(_exclusive, totals, prefixes)
    return SortedNeuron(ranked, centre, order, positive, fold, layout.valid, counts, counts_all, sums, sums_all, every)


class TrainingClass(NamedTuple):
    """Classes of the training sets, one a query and fit, flat over (fold, feature); `negate` picks the negatives."""

    neuron: SortedNeuron
    negate: Bool[Array, "Q KF"]

    def _fits(self) -> tuple[Array, Array, Array]:
        _, n_folds, n_features = self.neuron.train_positive.shape
        fit = jnp.arange(n_folds * n_features, dtype=jnp.int32)
        return fit, fit // jnp.int32(n_features), fit % jnp.int32(n_features)

    def size(self, word: Int[Array, "Q KF"]) -> Int[Array, "Q KF"]:
        """Members in the words before `word`."""
        fit, fold, _ = self._fits()
        positives = self.neuron.train_positive.reshape(-1, fit.shape[0])[word, fit]
        return jnp.where(self.negate, self.neuron.train_all[word, fold] - positives, positives)

    def total(self, word: Int[Array, "Q KF"]) -> Float[Array, "Q KF"]:
        """Sum of the members in the words before `word`."""
        fit, fold, _ = self._fits()
        positives = self.neuron.sum_positive.reshape(-1, fit.shape[0])[word, fit]
        return jnp.where(self.negate, self.neuron.sum_all[word, fold] - positives, positives)

    def members(self, word: Int[Array, "Q KF"]) -> UInt64[Array, "Q KF"]:
        """The members of one word."""
        _, fold, feature = self._fits()
        train = self.neuron.valid[word] & ~self.neuron.fold[word, fold]
        positives = self.neuron.positive[word, feature]
        return train & jnp.where(self.negate, ~positives, positives)

    def nth(self, n: Int[Array, "Q KF"]) -> tuple[Float[Array, "Q KF"], Float[Array, "Q KF"]]:
        """Value of the class's n-th smallest member, and the sum of those before it.

        n is counted from 0 and moved into the range that exists; an empty class gives any value.
        """
        n_words = self.neuron.valid.shape[0]
        last = self.size(jnp.full(n.shape, n_words, jnp.int32)) - 1
        n = jnp.clip(n, 0, jnp.maximum(last, 0))
        n_steps = n_words.bit_length()

        def descend(step: Array, word: Array) -> Array:
            candidate = word + (1 << (n_steps - 1 - step))
            inside = self.size(jnp.minimum(candidate, n_words)) <= n
            return jnp.where((candidate < n_words) & inside, candidate, word)

        word = lax.fori_loop(0, n_steps, descend, jnp.zeros_like(n))
        members = self.members(word)
        bit = jnp.minimum(_bits.select(members, n - self.size(word)), WORD - 1)
        before = _bits.expand(members & _bits.below(bit))
        rest = jnp.sum(jnp.where(before, self.neuron.x[word], 0.0), axis=-1)
        return self.neuron.x.reshape(-1)[word * WORD + bit], self.total(word) + rest
