"""A prediction as a function of earlier states: values, gradients and path integrals, as pure functions on arrays.

A network's whole state at one step is an array ``(B, P, N)``: B positions, the P parts that flow on (an LSTM's memory
and its hidden state, in this order; else the hidden state alone), and the N neurons of all layers side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dni_jax.models import Carries, Carry, Weights, compute_logits, input_table, network_step

OfLogProbs = Callable[[Array], Array]


class Read(NamedTuple):
    """What B positions have read, and what is asked of the prediction there.

    Attributes
    ----------
    codes
        int32 ``(L, B)``: the last L symbols up to and with each position's own, the oldest first.
    members
        bool ``(B, V)``: the symbols whose total probability is explained; not used with a function.
    """

    codes: Int[Array, "L B"]
    members: Bool[Array, "B V"]


def state_of(carries: Carries) -> Float[Array, "B P N"]:
    """The state of all layers as one array."""
    parts = [[carry.h for carry in carries]]
    if carries[0].c is not None:
        parts.insert(0, [carry.c for carry in carries])
    return jnp.stack([jnp.concatenate(layers, axis=-1) for layers in parts], axis=1)


def carries_of(weights: Weights, state: Float[Array, "B P N"]) -> Carries:
    """The state of each layer; undoes `state_of`."""
    has_memory = weights.cell_type.has_memory
    return tuple(Carry(state[:, 0, span] if has_memory else None, state[:, -1, span]) for span in weights.layer_slices)


def advanced(
    weights: Weights, table: Float[Array, "V G"], state: Float[Array, "B P N"], codes: Int[Array, " B"]
) -> Float[Array, "B P N"]:
    """The state after one more symbol."""
    new, _, _ = network_step(weights, table, carries_of(weights, state), codes, jnp.zeros(codes.shape, bool))
    return state_of(new)


def value_of(
    weights: Weights, state: Float[Array, "B P N"], members: Bool[Array, "B V"], function: OfLogProbs | None
) -> Float[Array, " B"]:
    """What is explained, read from the state at the position itself."""
    log_probs = jax.nn.log_softmax(compute_logits(weights, state[:, -1, weights.layer_slices[-1]]), axis=-1)
    if function is not None:
        return jax.vmap(function)(log_probs)
    return jax.nn.logsumexp(log_probs, axis=-1, where=members)


@partial(jax.jit, static_argnames="function")
def lag_gradients(
    weights: Weights,
    start: Float[Array, "B P N"],
    read: Read,
    room: Int[Array, " B"],
    function: OfLogProbs | None = None,
) -> tuple[Float[Array, " B"], Float[Array, "L1 B P N"]]:
    """Give the explained value, and its gradient with respect to the states of all lags, by one reverse pass.

    Parameters
    ----------
    weights
        The network.
    start
        The state `room` steps before each position.
    read
        The last L symbols.
    room
        How many steps each position's string goes back, at most L.
    function
        Of the log-probabilities ``(V,)``; None explains the log-probability of `read.members`.

    Returns
    -------
    The values; and the gradients, lag 0 first. Those of lags above `room` mean nothing.
    """
    table, steps = input_table(weights), read.codes.shape[0]
    live = jnp.arange(steps, dtype=jnp.int32)[:, None] >= steps - room

    def value(nudges: Array) -> Array:
        def body(state: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, None]:
            codes, goes, nudge = inputs
            new = jnp.where(goes[:, None, None], advanced(weights, table, state, codes), state)
            return new + nudge, None

        last, _ = jax.lax.scan(body, start + nudges[0], (read.codes, live, nudges[1:]))
        return value_of(weights, last, read.members, function)

    values, pull = jax.vjp(value, jnp.zeros((steps + 1, *start.shape), start.dtype))
    (gradient,) = pull(jnp.ones_like(values))
    return values, gradient[::-1]


def value_from(
    weights: Weights,
    table: Float[Array, "V G"],
    state: Float[Array, "B P N"],
    read: Read,
    lag: Int[Array, ""],
    function: OfLogProbs | None = None,
) -> Float[Array, " B"]:
    """The explained value as a function of the state `lag` steps before; the symbols read since then are fixed."""
    steps = read.codes.shape[0]

    def body(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        place, codes = inputs
        step = partial(advanced, weights, table, codes=codes)
        # One program serves all lags; where the step is skipped nothing is computed.
        return jax.lax.cond(place >= steps - lag, step, lambda state: state, state), None

    last, _ = jax.lax.scan(body, state, (jnp.arange(steps, dtype=jnp.int32), read.codes))
    return value_of(weights, last, read.members, function)


@partial(jax.jit, static_argnames="function")
def values_from(weights: Weights, states: Any, read: Read, lag: Any, function: OfLogProbs | None = None) -> Array:
    """The explained values ``(B,)`` from states ``(B, P, N)`` as many steps before as `lag` says."""
    return value_from(weights, input_table(weights), states, read, lag, function)


@partial(jax.jit, static_argnames="function")
def path_gradients(
    weights: Weights,
    state: Float[Array, "B P N"],
    baseline: Float[Array, "B P N"],
    read: Read,
    lag: Int[Array, ""],
    nodes: Float[Array, " K"],
    shares: Float[Array, " K"],
    function: OfLogProbs | None = None,
) -> tuple[Float[Array, "B P N"], Float[Array, " B"]]:
    """Integrated gradients of the explained value along the straight line from a baseline to the state at a lag.

    Parameters
    ----------
    weights, read, lag, function
        See `value_from`.
    state, baseline
        The line's ends.
    nodes, shares
        A quadrature rule on [0, 1]: the places, and their shares, which sum to 1.

    Returns
    -------
    The mean gradient on the line times the line; and the value at the state.
    """
    table = input_table(weights)
    line = state - baseline

    def value(state: Array) -> Array:
        return value_from(weights, table, state, read, lag, function)

    def body(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        place, share = node
        values, pull = jax.vjp(value, baseline + place * line)
        (gradient,) = pull(jnp.ones_like(values))
        return total + share * gradient, None

    total, _ = jax.lax.scan(body, jnp.zeros_like(line), (nodes, shares))
    return total * line, value(state)


@partial(jax.jit, static_argnames="function")
def replaced_values(
    weights: Weights,
    state: Float[Array, "B P N"],
    baseline: Float[Array, "B P N"],
    masks: Bool[Array, "M N"],
    read: Read,
    lag: Int[Array, ""],
    function: OfLogProbs | None = None,
) -> Float[Array, "M B"]:
    """The explained value where, at the lag, each of M sets of neurons takes the baseline's state."""
    table = input_table(weights)

    def one(mask: Array) -> Array:
        return value_from(weights, table, jnp.where(mask, baseline, state), read, lag, function)

    return jax.lax.map(one, masks)
