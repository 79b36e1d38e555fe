"""Held-out counts and ranks of a neuron, taken from its prefixes instead of predicting each position."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.probes._fit import Fit
from dni_jax.probes._metrics import Confusion
from dni_jax.probes._neuron import Neuron
from dni_jax.probes._ranks import tied_ranges
from dni_jax.probes._sorted_neuron import SortedNeuron, count_below


def confusion(neuron: Neuron, fit: Fit) -> Confusion:
    """Count right and wrong held-out predictions of every fold and feature."""
    x = neuron.values()
    rising = fit.weight > 0
    # Not positive are the ranks up to the threshold where the line rises, positive those below it where it falls.
    rank = count_below(x, fit.threshold, inclusive=rising)
    whole = jnp.full_like(rank, x.shape[0])
    rank = jnp.where(fit.weight == 0, jnp.where(fit.constant, whole, 0), rank)
    positives_below, all_below = neuron.held_below(rank)
    positives, everything = neuron.held_below(whole)
    true_positive = jnp.where(rising, positives - positives_below, positives_below)
    predicted = jnp.where(rising, everything - all_below, all_below)
    false_positive = predicted - true_positive
    false_negative = positives - true_positive
    return Confusion(true_positive, false_positive, false_negative, everything - positives - false_positive)


def share_at_threshold(neuron: Neuron, fit: Fit) -> Float[Array, "K F"]:
    """Share of the held-out positions in the ranks on either side of the threshold."""
    x = neuron.values()
    rank = count_below(x, fit.threshold, inclusive=jnp.ones(fit.threshold.shape, bool))
    _, low = neuron.held_below(jnp.maximum(rank - 1, 0))
    _, high = neuron.held_below(jnp.minimum(rank + 1, x.shape[0]))
    _, everything = neuron.held_below(jnp.full_like(rank, x.shape[0]))
    share = (high - low).astype(jnp.float64) / everything.astype(jnp.float64)
    return jnp.where(fit.weight == 0, 0.0, share)


def midranks(neuron: SortedNeuron) -> Float[Array, " T"]:
    """Rank of each position within its own fold, from 1, ties sharing their middle; in position order."""
    n_positions = neuron.order.shape[0]
    x = neuron.values()
    first, after = tied_ranges(x[1:] != x[:-1])
    doubled = neuron.held_before(first, neuron.fold_of) + neuron.held_before(after, neuron.fold_of) + 1
    ranks = doubled.astype(jnp.float64) / 2.0
    return jnp.zeros(n_positions, jnp.float64).at[neuron.order].set(ranks, unique_indices=True)
