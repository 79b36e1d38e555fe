"""Held-out counts and rank sums of a sorted neuron, read off its prefixes instead of predicting each position."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dni_jax.probes import _bits
from dni_jax.probes._fit import Fit
from dni_jax.probes._sorted import WORD, SortedNeuron


class Confusion(NamedTuple):
    """Held-out positions by truth and prediction."""

    true_positive: Int[Array, "*fits"]
    false_positive: Int[Array, "*fits"]
    false_negative: Int[Array, "*fits"]
    true_negative: Int[Array, "*fits"]


def _held_below(neuron: SortedNeuron, rank: Int[Array, "K F"]) -> tuple[Int[Array, "K F"], Int[Array, "K F"]]:
    """Held-out positives, and all held-out positions, among the first `rank` ranks."""
    n_words, n_features = neuron.positive.shape
    n_folds = neuron.fold.shape[1]
    word, bit = rank // WORD, rank % WORD
    fold = jnp.arange(n_folds, dtype=jnp.int32)[:, None]
    feature = jnp.arange(n_features, dtype=jnp.int32)[None, :]
    last = jnp.minimum(word, n_words - 1)
    # At rank B * 64 the prefix is complete and bit is 0: the mask is empty, whatever word is read.
    held = neuron.fold[last, fold] & _bits.below(bit)
    positives = neuron.all_positive[word, feature] - neuron.train_positive[word, fold, feature]
    positives += _bits.popcount(held & neuron.positive[last, feature])
    everything = _rank_of_word(neuron, word) - neuron.train_all[word, fold] + _bits.popcount(held)
    return positives, everything


def _rank_of_word(neuron: SortedNeuron, word: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    return jnp.minimum(word * WORD, neuron.order.shape[0])


def confusion(neuron: SortedNeuron, fit: Fit) -> Confusion:
    """Count right and wrong held-out predictions of every fold and feature."""
    n_positions = neuron.order.shape[0]
    rising = fit.weight > 0
    # Not positive are the ranks up to the threshold where the line rises, positive those below it where it falls.
    rank = _count_below(neuron.x.reshape(-1)[:n_positions], fit.threshold, inclusive=rising)
    whole = jnp.full_like(rank, n_positions)
    flat_rank = jnp.where(fit.constant, whole, 0)
    rank = jnp.where(fit.weight == 0, flat_rank, rank)
    positives_below, all_below = _held_below(neuron, rank)
    positives, everything = _held_below(neuron, whole)
    true_positive = jnp.where(rising, positives - positives_below, positives_below)
    predicted = jnp.where(rising, everything - all_below, all_below)
    false_positive = predicted - true_positive
    false_negative = positives - true_positive
    return Confusion(true_positive, false_positive, false_negative, everything - positives - false_positive)


def _count_below(x: Float[Array, " T"], bound: Float[Array, "K F"], inclusive: Bool[Array, "K F"]) -> Int[Array, "K F"]:
    """Count sorted values less than the bound, or, where `inclusive`, at most the bound."""
    n = x.shape[0]
    n_steps = n.bit_length()

    def descend(step: Array, found: Array) -> Array:
        candidate = found + (1 << (n_steps - 1 - step))
        value = x[jnp.minimum(candidate, n) - 1]
        low = (value < bound) | (inclusive & (value == bound))
        return jnp.where((candidate <= n) & low, candidate, found)

    return lax.fori_loop(0, n_steps, descend, jnp.zeros(bound.shape, jnp.int32))


def midranks(neuron: SortedNeuron, fold_of: Int[Array, " T"]) -> Float[Array, " T"]:
    """Rank of each position within its own fold, from 1, ties sharing their middle; in position order."""
    n_positions = neuron.order.shape[0]
    x = neuron.x.reshape(-1)[:n_positions]
    differs = x[1:] != x[:-1]
    edge = jnp.ones(1, bool)
    rank = jnp.arange(n_positions, dtype=jnp.int32)
    first = lax.cummax(jnp.where(jnp.concatenate([edge, differs]), rank, 0))
    after = lax.cummin(jnp.where(jnp.concatenate([differs, edge]), rank + 1, n_positions), reverse=True)
    fold = fold_of[neuron.order]

    def held_before(rank: Array) -> Array:
        word, bit = rank // WORD, rank % WORD
        partial = neuron.fold[jnp.minimum(word, neuron.fold.shape[0] - 1), fold] & _bits.below(bit)
        return _rank_of_word(neuron, word) - neuron.train_all[word, fold] + _bits.popcount(partial)

    doubled = held_before(first) + held_before(after) + 1
    return (
        jnp.zeros(n_positions, jnp.float64).at[neuron.order].set(doubled.astype(jnp.float64) / 2.0, unique_indices=True)
    )
