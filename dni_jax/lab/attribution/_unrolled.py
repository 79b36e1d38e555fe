"""A prediction as a function of earlier states: values, gradients and path integrals, as pure functions on arrays.

A network's whole state at one step is an array ``(B, P, N)``: B positions, the P parts that flow on (the parts of the
cell's memory, if it has one: c of an LSTM; c, n and m of an sLSTM; then the hidden state), and the N neurons of all
layers side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dni_jax.models import Carries, Carry, Weights, compute_logits, input_table, network_step

TargetFunction = Callable[[Array], Array]


class Context(NamedTuple):
    """The symbols before B positions, and the symbols whose probability is explained there.

    Attributes
    ----------
    codes
        int32 ``(L, B)``: the last L symbols up to and including each position's own, the oldest first.
    members
        bool ``(B, V)``: the symbols whose total probability is explained; not used with a target function.
    """

    codes: Int[Array, "L B"]
    members: Bool[Array, "B V"]


def pack_state(carries: Carries) -> Float[Array, "B P N"]:
    """Concatenate the carries of all layers into one array."""
    parts = zip(*([*jax.tree.leaves(carry.c), carry.h] for carry in carries), strict=True)
    return jnp.stack([jnp.concatenate(layers, axis=-1) for layers in parts], axis=1)


def unpack_state(weights: Weights, state: Float[Array, "B P N"]) -> Carries:
    """Split a state into the carries of the layers; undoes `pack_state`."""
    carries = []
    for span in weights.layer_slices:
        *memory, h = (state[:, part, span] for part in range(state.shape[1]))
        carries.append(Carry(weights.cell_type.make_memory(memory), h))
    return tuple(carries)


def advance(
    weights: Weights, table: Float[Array, "V G"], state: Float[Array, "B P N"], codes: Int[Array, " B"]
) -> Float[Array, "B P N"]:
    """Return the state after one more symbol."""
    new, _, _ = network_step(weights, table, unpack_state(weights, state), codes, jnp.zeros(codes.shape, bool))
    return pack_state(new)


def target_value(
    weights: Weights, state: Float[Array, "B P N"], members: Bool[Array, "B V"], function: TargetFunction | None
) -> Float[Array, " B"]:
    """Compute the target from the state at the position itself."""
    log_probs = jax.nn.log_softmax(compute_logits(weights, state[:, -1, weights.layer_slices[-1]]), axis=-1)
    if function is not None:
        return jax.vmap(function)(log_probs)
    return jax.nn.logsumexp(log_probs, axis=-1, where=members)


@partial(jax.jit, static_argnames="function")
def lag_gradients(
    weights: Weights,
    start: Float[Array, "B P N"],
    context: Context,
    n_before: Int[Array, " B"],
    function: TargetFunction | None = None,
) -> tuple[Float[Array, " B"], Float[Array, "L1 B P N"]]:
    """Compute the target, and its gradient with respect to the states at all lags, in one reverse pass.

    A perturbation of 0 is added to the state after each step; the gradient with respect to it is that with respect to
    the state.

    Parameters
    ----------
    weights
        The network.
    start
        The state `n_before` steps before each position.
    context
        The last L symbols.
    n_before
        How many steps each position's string goes back, at most L.
    function
        The target as a function of the log-probabilities ``(V,)``; None explains the total log-probability of
        `context.members`.

    Returns
    -------
    The values; and the gradients, lag 0 first. Those of lags above `n_before` have no meaning.
    """
    table, steps = input_table(weights), context.codes.shape[0]
    # A string that starts within the window waits in its start state until its first symbol comes.
    started = jnp.arange(steps, dtype=jnp.int32)[:, None] >= steps - n_before

    def value(perturbations: Array) -> Array:
        def body(state: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, None]:
            codes, steps_now, perturbation = inputs
            new = jnp.where(steps_now[:, None, None], advance(weights, table, state, codes), state)
            return new + perturbation, None

        last, _ = jax.lax.scan(body, start + perturbations[0], (context.codes, started, perturbations[1:]))
        return target_value(weights, last, context.members, function)

    values, pull = jax.vjp(value, jnp.zeros((steps + 1, *start.shape), start.dtype))
    (gradient,) = pull(jnp.ones_like(values))
    return values, gradient[::-1]


def value_from_state(
    weights: Weights,
    table: Float[Array, "V G"],
    state: Float[Array, "B P N"],
    context: Context,
    lag: Int[Array, ""],
    function: TargetFunction | None = None,
) -> Float[Array, " B"]:
    """Compute the target as a function of the state `lag` steps before; the symbols read since then are fixed."""
    steps = context.codes.shape[0]

    def body(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        place, codes = inputs
        step = partial(advance, weights, table, codes=codes)
        # One program serves all lags; a skipped step computes nothing.
        return jax.lax.cond(place >= steps - lag, step, lambda state: state, state), None

    last, _ = jax.lax.scan(body, state, (jnp.arange(steps, dtype=jnp.int32), context.codes))
    return target_value(weights, last, context.members, function)


@partial(jax.jit, static_argnames="function")
def values_from_states(
    weights: Weights, states: Any, context: Context, lag: Any, function: TargetFunction | None = None
) -> Array:
    """Compute the targets ``(B,)`` from states ``(B, P, N)`` at a lag."""
    return value_from_state(weights, input_table(weights), states, context, lag, function)


@partial(jax.jit, static_argnames="function")
def path_gradients(
    weights: Weights,
    state: Float[Array, "B P N"],
    baseline: Float[Array, "B P N"],
    context: Context,
    lag: Int[Array, ""],
    nodes: Float[Array, " K"],
    node_weights: Float[Array, " K"],
    function: TargetFunction | None = None,
) -> tuple[Float[Array, "B P N"], Float[Array, " B"]]:
    """Compute integrated gradients of the target along the straight line from a baseline to the state at a lag.

    Parameters
    ----------
    weights, context, lag, function
        See `value_from_state`.
    state, baseline
        The ends of the line.
    nodes, node_weights
        A quadrature rule on [0, 1]; the weights sum to 1.

    Returns
    -------
    The mean gradient on the line times the line; and the value at the state.
    """
    table = input_table(weights)
    line = state - baseline

    def value(state: Array) -> Array:
        return value_from_state(weights, table, state, context, lag, function)

    def body(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        place, weight = node
        values, pull = jax.vjp(value, baseline + place * line)
        (gradient,) = pull(jnp.ones_like(values))
        return total + weight * gradient, None

    total, _ = jax.lax.scan(body, jnp.zeros_like(line), (nodes, node_weights))
    return total * line, value(state)


@partial(jax.jit, static_argnames="function")
def ablated_values(
    weights: Weights,
    state: Float[Array, "B P N"],
    baseline: Float[Array, "B P N"],
    masks: Bool[Array, "M N"],
    context: Context,
    lag: Int[Array, ""],
    function: TargetFunction | None = None,
) -> Float[Array, "M B"]:
    """Compute the target with each of M sets of neurons set to the baseline at the lag."""
    table = input_table(weights)

    def one(mask: Array) -> Array:
        return value_from_state(weights, table, jnp.where(mask, baseline, state), context, lag, function)

    return jax.lax.map(one, masks)
