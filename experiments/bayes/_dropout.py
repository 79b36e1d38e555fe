"""Training steps with dropout between the top layer and the readout, by any Optax transformation."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dni_jax.models import compute_logits, compute_losses, network_scan


class Learner(NamedTuple):
    """Where one network stands: weights, the optimizer's memory, the lanes' states, and the key of masks to come."""

    weights: Any
    memory: Any
    carries: Any
    key: Any


@partial(jax.jit, static_argnames=("optimizer", "keep"))
def learn(state, batch, optimizer, keep=1.0):
    """Take K steps; gives the state behind them and the mean loss of each.

    Dropout is that of Zaremba et al. 2014: a new mask for every position, on what goes from the top layer to the
    readout, not on what goes on through time; what is kept is divided by `keep`.

    Parameters
    ----------
    state
        A `Learner`.
    batch
        Codes, targets, weights and resets, each ``(K, R, B)``.
    optimizer
        Takes the gradient of the mean loss.
    keep
        The probability that a neuron is kept.
    """
    return jax.lax.scan(partial(_step, optimizer=optimizer, keep=keep), state, tuple(batch))


def _step(state, batch, *, optimizer, keep):
    codes, targets, counts, resets = batch
    key, now = jax.random.split(state.key)

    def loss_of(weights):
        hidden, last = network_scan(weights, codes, resets, state.carries)
        losses = compute_losses(compute_logits(weights, dropped(now, hidden, keep)), targets)
        return (losses * counts).sum() / jnp.maximum(counts.sum(), 1.0), last

    (loss, carries), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.weights)
    with jax.numpy_dtype_promotion("standard"):
        update, memory = optimizer.update(gradient, state.memory, state.weights)
    return Learner(optax.apply_updates(state.weights, update), memory, carries, key), loss


def dropped(key, hidden, keep):
    """Hidden states with some at 0 and the rest divided by the share that is kept, so that their mean stays."""
    if keep >= 1.0:
        return hidden
    return jnp.where(jax.random.bernoulli(key, keep, hidden.shape), hidden / keep, 0.0)
