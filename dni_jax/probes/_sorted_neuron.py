"""One neuron, sorted once, with prefix counts and sums for every training set: what the exact solvers search."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, UInt

from dni_jax.probes import _bits
from dni_jax.probes._layout import prefix_sums
from dni_jax.probes._ranks import sort_order
from dni_jax.probes._value_blocks import ValueBlocks

# A neuron is cut at this many equally spaced ranks, which resolve its bulk, and as many equally spaced values, which
# resolve its gaps and tails.
_RANKS, _VALUES = 256, 128


class Layout(NamedTuple):
    """The labels and folds of the positions in use as packed bits, which all neurons share.

    Attributes
    ----------
    labels : unsigned (T, V)
        Bit f of a row says whether the position is a positive of feature f.
    folds : unsigned (T, U)
        Bit k of a row says whether the position is held out in fold k.
    valid : unsigned (B,)
        Bits of the ranks that exist; the last word is padded.
    fold_of : int32 (T,)
        The fold of each position.
    """

    labels: UInt[Array, "T V"]
    folds: UInt[Array, "T U"]
    valid: UInt[Array, " B"]
    fold_of: Int[Array, " T"]


class SortedNeuron(NamedTuple):
    """A neuron in rank order, in B words of W = 64 or 32 ranks; prefixes exclude the word they stand at.

    Attributes
    ----------
    x : float64 (B, W)
        Sorted values less `center`; the padding repeats the largest.
    center : float64 ()
        The median, subtracted to avoid cancellation in sums of large, close values.
    order : int32 (T,)
        The position at each rank.
    fold_of : int32 (T,)
        The fold of the position at each rank.
    positive, fold : unsigned (B, F), (B, K)
        Members of each feature and of each fold.
    valid : unsigned (B,)
    train_positive, train_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the training sets, which leave fold k out.
    sum_positive, sum_all : float64 (B + 1, K, F), (B + 1, K)
        Sums of x over the same sets.
    all_positive : int32 (B + 1, F)
        Counts over all folds.
    square_positive, square_all : float64 (B + 1, K, F), (B + 1, K), or None
        Sums of squares over the training sets, for the solvers that need them.
    """

    x: Float[Array, "B W"]
    center: Float[Array, ""]
    order: Int[Array, " T"]
    fold_of: Int[Array, " T"]
    positive: UInt[Array, "B F"]
    fold: UInt[Array, "B K"]
    valid: UInt[Array, " B"]
    train_positive: Int[Array, "B1 K F"]
    train_all: Int[Array, "B1 K"]
    sum_positive: Float[Array, "B1 K F"]
    sum_all: Float[Array, "B1 K"]
    all_positive: Int[Array, "B1 F"]
    square_positive: Float[Array, "B1 K F"] | None = None
    square_all: Float[Array, "B1 K"] | None = None

    @property
    def most_positions(self) -> int:
        """How many positions a training set can have."""
        return self.order.shape[0]

    def values(self) -> Float[Array, " T"]:
        """Values in rank order."""
        return self.x.reshape(-1)[: self.order.shape[0]]

    def held_before(self, rank: Int[Array, "*fits"], fold: Int[Array, "*fits"]) -> Int[Array, "*fits"]:
        """Positions of a fold among the first `rank` ranks."""
        word, bit = divmod(rank, self.x.shape[1])
        # At rank B * W the prefix is complete and bit is 0: the mask is empty, whatever word is read.
        last = jnp.minimum(word, self.fold.shape[0] - 1)
        partial = _bits.popcount(_bits.keep_below(self.fold[last, fold], bit))
        return jnp.minimum(word * self.x.shape[1], self.order.shape[0]) - self.train_all[word, fold] + partial

    def held_below(self, rank: Int[Array, "K F"]) -> tuple[Int[Array, "K F"], Int[Array, "K F"]]:
        """Held-out positives, and all held-out positions, among the first `rank` ranks."""
        n_words, n_features = self.positive.shape
        fold = jnp.broadcast_to(jnp.arange(self.fold.shape[1], dtype=jnp.int32)[:, None], rank.shape)
        feature = jnp.arange(n_features, dtype=jnp.int32)[None, :]
        word, bit = divmod(rank, self.x.shape[1])
        last = jnp.minimum(word, n_words - 1)
        held = _bits.keep_below(self.fold[last, fold] & self.positive[last, feature], bit)
        positives = self.all_positive[word, feature] - self.train_positive[word, fold, feature]
        return positives + _bits.popcount(held), self.held_before(rank, fold)

    def classes(self, negate: Bool[Array, "Q KF"]) -> "TrainingClass":
        """Classes of the training sets; `negate` picks the negatives."""
        return TrainingClass(self, negate)

    def blocks(self, cost: Float[Array, "2 K F"] | None, n_powers: int) -> ValueBlocks:
        """Cut the neuron into blocks of neighboring values.

        `cost` weighs the positives and the negatives of each fold and feature; without it every position has mass 1,
        and all features share their moments.
        """
        x = self.values()
        n_positions, n_folds = x.shape[0], self.fold.shape[1]
        ranks = jnp.arange(n_positions, dtype=jnp.int32) // -(-n_positions // _RANKS)
        spread = jnp.maximum(x[-1] - x[0], 1e-300)
        values = jnp.minimum((x - x[0]) / spread * _VALUES, _VALUES - 1.0).astype(jnp.int32)
        block = ranks + values  # neither falls, so each step of either begins a new block
        n_blocks = _RANKS + _VALUES
        cell = block * n_folds + self.fold_of
        first = jnp.searchsorted(block, jnp.arange(n_blocks, dtype=jnp.int32))
        last = jnp.concatenate([first[1:], jnp.full(1, n_positions, first.dtype)]) - 1
        low, high = x[jnp.minimum(first, n_positions - 1)], x[jnp.maximum(last, 0)]
        middle = (low + high) / 2.0
        distance = x - middle[block]

        def train(rows: Float[Array, "T C"]) -> Float[Array, "J K C"]:
            held = jax.ops.segment_sum(rows, cell, num_segments=n_blocks * n_folds).reshape(n_blocks, n_folds, -1)
            return jnp.tensordot(1.0 - jnp.eye(n_folds), held, axes=(1, 1)).swapaxes(0, 1)

        powers = [distance**p / math.factorial(p) for p in range(n_powers)]
        moments = train(jnp.stack(powers, axis=1)).swapaxes(1, 2)[..., None]
        if cost is not None:
            y = jnp.swapaxes(_bits.expand(self.positive), 1, 2).reshape(-1, self.positive.shape[1])[:n_positions]
            positives = jnp.stack([train(jnp.where(y, power[:, None], 0.0)) for power in powers], axis=1)
            moments = cost[1] * moments + (cost[0] - cost[1]) * positives
        words = (self.x, self.positive, self.fold, self.valid)
        return ValueBlocks(middle, moments, jnp.max(jnp.abs(distance)), words)


def sort_neuron(
    x: Float[Array, " T"], layout: Layout, n_features: int, n_folds: int, squares: bool = False, parallel: bool = False
) -> SortedNeuron:
    """Sort a neuron and accumulate the training sets' counts and sums over its words.

    `parallel` forms the prefixes of all words at once, by products that fill an accelerator, in place of one word after
    the other, which suits a CPU's caches.
    """
    n_words, n_bits = layout.valid.shape[0], _bits.width(layout.valid)
    order = sort_order(x, n_bits)
    ranked = x[order].astype(jnp.float64)
    center = ranked[x.shape[0] // 2]
    ranked = jnp.pad(ranked - center, (0, n_words * n_bits - x.shape[0]), mode="edge").reshape(n_words, n_bits)
    positive = _bits.words_by_rank(layout.labels, order, n_features)
    fold = _bits.words_by_rank(layout.folds, order, n_folds)
    words = (positive, fold, layout.valid)
    prefix = _prefix_at_once if parallel else _prefix_by_word
    train_positive, train_all, all_positive = prefix(_count_word, words)
    # A word of 32 bits stands for a device without 64-bit numbers, where sums are of digits.
    prefix_values = _prefix_of_digits if parallel and n_bits == 32 else partial(prefix, _sum_word)
    sum_positive, sum_all = prefix_values((ranked, *words))
    square_positive, square_all = prefix_values((ranked * ranked, *words)) if squares else (None, None)
    return SortedNeuron(
        x=ranked,
        center=center,
        order=order,
        fold_of=layout.fold_of[order],
        positive=positive,
        fold=fold,
        valid=layout.valid,
        train_positive=train_positive,
        train_all=train_all,
        sum_positive=sum_positive,
        sum_all=sum_all,
        all_positive=all_positive,
        square_positive=square_positive,
        square_all=square_all,
    )


def _count_word(word: tuple[Array, ...]) -> tuple[Array, ...]:
    """Count a word's training positives (K, F), training positions (K,), and all positives (F,)."""
    positive, fold, valid = word
    train = valid & ~fold
    return _bits.popcount(positive[None, :] & train[:, None]), _bits.popcount(train), _bits.popcount(positive)


def _sum_word(word: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sum a word's values over the training positives (K, F) and the training positions (K,)."""
    values, positive, fold, valid = word
    # A product of 0/1 matrices with the word's values: sums for all folds and features at once.
    train = _bits.expand(valid & ~fold).astype(jnp.float64)
    weighted = _bits.expand(positive).astype(jnp.float64) * values
    return train @ weighted.T, train @ values


_OfWord = Callable[[tuple[Array, ...]], tuple[Array, ...]]


def _prefix_by_word(of_word: _OfWord, words: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sum what a function returns of each word over all words before each, and over all of them (the last row)."""

    # The carry is what each word's prefix excludes: it is stored before the word is added. A scan over words needs no
    # array of single positions, and reads each word once for all folds and features.
    def step(total: tuple, word: tuple) -> tuple[tuple, tuple]:
        return tuple(old + new for old, new in zip(total, of_word(word), strict=True)), total

    shapes = jax.eval_shape(of_word, tuple(jax.ShapeDtypeStruct(part.shape[1:], part.dtype) for part in words))
    totals, before = lax.scan(step, tuple(jnp.zeros(part.shape, part.dtype) for part in shapes), words)
    return tuple(jnp.concatenate([prefix, total[None]]) for total, prefix in zip(totals, before, strict=True))


def _prefix_at_once(of_word: _OfWord, words: tuple[Array, ...]) -> tuple[Array, ...]:
    """Compute the same sums, all words at a time."""
    return tuple(map(prefix_sums, jax.vmap(of_word)(words)))


_DIGIT, _DIGITS = 4_096, 4  # base, and number: half a million digits add up to an int32


def _prefix_of_digits(words: tuple[Array, ...]) -> tuple[Array, Array]:
    """Sum values as `_sum_word` does, on a device whose float64 is emulated.

    The values are rounded to a grid of 48 bits and taken apart into digits, whose sums are whole numbers: float32 adds
    those of a word exactly, int32 those of all words.
    """
    values, positive, fold, valid = words
    largest = jnp.max(jnp.abs(values)).astype(jnp.float32)
    # The power of two above the largest value, by the bits of its exponent.
    bits = lax.bitcast_convert_type(largest, jnp.int32)
    exponent = jnp.clip((bits >> 23) - 126, -100, 127)
    unit = lax.bitcast_convert_type((exponent + 127) << 23, jnp.float32).astype(jnp.float64)
    rest, digits = values / unit, []
    for _ in range(_DIGITS):
        digit = jnp.floor(rest * _DIGIT)
        rest = rest * _DIGIT - digit
        digits.append(digit.astype(jnp.float32))

    def of_word(word: tuple[Array, ...]) -> tuple[Array, Array]:
        digits, positive, fold, valid = word
        train = _bits.expand(valid & ~fold).astype(jnp.float32)
        weighted = _bits.expand(positive).astype(jnp.float32)[:, None] * digits
        highest = lax.Precision.HIGHEST
        both = jnp.einsum("kw,fdw->dkf", train, weighted, precision=highest)
        every = jnp.einsum("kw,dw->dk", train, digits, precision=highest)
        return both.astype(jnp.int32), every.astype(jnp.int32)

    sums = _prefix_at_once(of_word, (jnp.stack(digits, axis=1), positive, fold, valid))

    def joined(sums: Int[Array, "B1 D *fits"]) -> Float[Array, "B1 *fits"]:
        total = sums[:, 0].astype(jnp.float64)
        for number in range(1, _DIGITS):
            total = total * _DIGIT + sums[:, number].astype(jnp.float64)
        return total * (unit / float(_DIGIT) ** _DIGITS)

    both, every = sums
    return joined(both), joined(every)


def count_below(
    x: Float[Array, " T"], bound: Float[Array, "*fits"], inclusive: Bool[Array, "*fits"]
) -> Int[Array, "*fits"]:
    """Count sorted values less than the bound, or, where `inclusive`, at most the bound."""
    n = x.shape[0]
    n_steps = n.bit_length()

    def descend(step: Array, below: Array) -> Array:
        candidate = below + (1 << (n_steps - 1 - step))
        value = x[jnp.minimum(candidate, n) - 1]
        low = (value < bound) | (inclusive & (value == bound))
        return jnp.where((candidate <= n) & low, candidate, below)

    return lax.fori_loop(0, n_steps, descend, jnp.zeros(bound.shape, jnp.int32))


class TrainingClass(NamedTuple):
    """Classes of the training sets, one per query and fit, flat over (fold, feature); `negate` picks the negatives."""

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

    def total(self, word: Int[Array, "Q KF"], squares: bool = False) -> Float[Array, "Q KF"]:
        """Sum of the members, or of their squares, in the words before `word`."""
        neuron = self.neuron
        both = (neuron.square_positive, neuron.square_all) if squares else (neuron.sum_positive, neuron.sum_all)
        of_positives, of_all = both
        assert of_positives is not None
        assert of_all is not None
        fit, fold, _ = self._fits()
        positives = of_positives.reshape(-1, fit.shape[0])[word, fit]
        return jnp.where(self.negate, of_all[word, fold] - positives, positives)

    def members(self, word: Int[Array, "Q KF"]) -> UInt[Array, "Q KF"]:
        """The members of one word."""
        _, fold, feature = self._fits()
        train = self.neuron.valid[word] & ~self.neuron.fold[word, fold]
        positives = self.neuron.positive[word, feature]
        return train & jnp.where(self.negate, ~positives, positives)

    def nth(self, n: Int[Array, "Q KF"]) -> tuple[Float[Array, "Q KF"], Float[Array, "Q KF"]]:
        """Value of the class's n-th smallest member, and the sum of those before it.

        n is zero-based and clipped to the valid range; for an empty class the result is arbitrary.
        """
        n_words, n_bits = self.neuron.x.shape
        last = self.size(jnp.full(n.shape, n_words, jnp.int32)) - 1
        n = jnp.clip(n, 0, jnp.maximum(last, 0))
        n_steps = n_words.bit_length()

        def descend(step: Array, word: Array) -> Array:
            candidate = word + (1 << (n_steps - 1 - step))
            inside = self.size(jnp.minimum(candidate, n_words)) <= n
            return jnp.where((candidate < n_words) & inside, candidate, word)

        word = lax.fori_loop(0, n_steps, descend, jnp.zeros_like(n))
        members = self.members(word)
        bit = jnp.minimum(_bits.select(members, n - self.size(word)), n_bits - 1)
        before = _bits.expand(_bits.keep_below(members, bit))
        rest = jnp.sum(jnp.where(before, self.neuron.x[word], 0.0), axis=-1)
        return self.neuron.x.reshape(-1)[word * n_bits + bit], self.total(word) + rest

    def sizes(self) -> Int[Array, "Q KF"]:
        """Members of each class."""
        return self.size(self._last())

    def moments(self) -> Float[Array, "3 Q KF"]:
        """Number, sum and sum of squares of all members."""
        last = self._last()
        return jnp.stack([self.size(last).astype(jnp.float64), self.total(last), self.total(last, squares=True)])

    def moments_below(self, bound: Float[Array, "Q KF"]) -> Float[Array, "3 Q KF"]:
        """Number, sum and sum of squares of the members less than the bound."""
        n_words, n_bits = self.neuron.x.shape
        rank = count_below(self.neuron.values(), bound, jnp.zeros(bound.shape, bool))
        word, bit = divmod(rank, n_bits)
        last = jnp.minimum(word, n_words - 1)
        before = _bits.keep_below(self.members(last), bit)
        chosen, values = _bits.expand(before), self.neuron.x[last]
        return jnp.stack(
            [
                (self.size(word) + _bits.popcount(before)).astype(jnp.float64),
                self.total(word) + jnp.sum(jnp.where(chosen, values, 0.0), axis=-1),
                self.total(word, squares=True) + jnp.sum(jnp.where(chosen, values * values, 0.0), axis=-1),
            ]
        )

    def _last(self) -> Int[Array, "Q KF"]:
        return jnp.full(self.negate.shape, self.neuron.valid.shape[0], jnp.int32)
