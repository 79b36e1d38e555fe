"""A neuron in short stretches of neighbouring values, each summarised by its moments about its middle."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.probes import _bits
from dni_jax.probes._binned_neuron import BinnedNeuron
from dni_jax.probes._sorted_neuron import SortedNeuron

# A neuron is cut at this many equally spaced ranks, which resolve its bulk, and as many equally spaced values, which
# resolve its gaps and tails.
_RANKS, _VALUES = 256, 128


class Blocks(NamedTuple):
    """Stretches of a neuron.

    Attributes
    ----------
    middle : float64 (J,)
    power : float64 (J, P, K, F), or (J, P, K, 1)
        The training positions' ``mass * (x - middle) ** p / p!``, summed.
    radius : float64 ()
        The largest distance of a position from its stretch's middle.
    """

    middle: Float[Array, " J"]
    power: Float[Array, "J P K F1"]
    radius: Float[Array, ""]


def cut(neuron: SortedNeuron, cost: Float[Array, "2 K F"] | None, n_powers: int) -> Blocks:
    """Cut a sorted neuron into stretches.

    `cost` weighs the positives and the negatives of each fold and feature; without it every position has mass 1, and
    all features share their moments.
    """
    x = neuron.values()
    n_positions, n_folds = x.shape[0], neuron.fold.shape[1]
    ranks = jnp.arange(n_positions, dtype=jnp.int32) // -(-n_positions // _RANKS)
    spread = jnp.maximum(x[-1] - x[0], 1e-300)
    values = jnp.minimum((x - x[0]) / spread * _VALUES, _VALUES - 1.0).astype(jnp.int32)
    block = ranks + values  # neither falls, so each step of either begins a new stretch
    n_blocks = _RANKS + _VALUES
    cell = block * n_folds + neuron.fold_of
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
        y = jnp.swapaxes(_bits.expand(neuron.positive), 1, 2).reshape(-1, neuron.positive.shape[1])[:n_positions]
        positives = jnp.stack([train(jnp.where(y, power[:, None], 0.0)) for power in powers], axis=1)
        moments = cost[1] * moments + (cost[0] - cost[1]) * positives
    return Blocks(middle, moments, jnp.max(jnp.abs(distance)))


def levels(neuron: BinnedNeuron, cost: Float[Array, "2 K F"] | None) -> Blocks:
    """Take a binned neuron's levels as stretches without extent."""
    everything = jnp.diff(neuron.train_all, axis=0)[:, :, None].astype(jnp.float64)
    mass = everything
    if cost is not None:
        positive = jnp.diff(neuron.train_positive, axis=0).astype(jnp.float64)
        mass = cost[0] * positive + cost[1] * (everything - positive)
    return Blocks(neuron.x, mass[:, None], jnp.zeros((), jnp.float64))
