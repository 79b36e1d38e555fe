"""One layer of a cell that is linear in its state, over time: in parallel where that pays."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dni_jax.models._layers import Dense, Lookup, ScanSettings
from dni_jax.models._weights import LinearWeights
from dni_jax.models.cells import Carry, no_edit

RecurrencePlan = Literal["auto", "sequential", "parallel"]


def linear_scan(
    settings: ScanSettings,
    source: Lookup | Dense,
    layer: LinearWeights,
    resets: Bool[Array, "R B"],
    carry: Carry,
    plan: RecurrencePlan = "auto",
) -> tuple[Float[Array, "R B N"], Carry]:
    """Return hidden states of R steps in B lanes, and the state after them; as `layer_scan`, for linear cells.

    The gradient flows to the input and the decay parameters only: the incoming carry is a constant, as truncated
    backpropagation wants. A lane that starts a string forgets what was before by a = 0. For `plan` see
    `linear_recurrence`.
    """
    cell = settings.linear_cell_type
    if isinstance(source, Lookup):
        # A symbol decides its coefficients: they are computed once for each of V symbols, and then looked up.
        a, b, _ = cell.coefficients(source.table, layer.decay, no_edit)
        a, b = a[source.codes], b[source.codes]
    else:
        a, b, _ = cell.coefficients(source.values, layer.decay, no_edit)
    hidden = linear_recurrence(plan, jnp.where(resets[..., None], 0.0, a), b, carry.h)
    return hidden, Carry(None, hidden[-1])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def linear_recurrence(
    plan: RecurrencePlan,
    a: Float[Array, "R *lanes N"],
    b: Float[Array, "R *lanes N"],
    start: Float[Array, "*lanes N"],
) -> Float[Array, "R *lanes N"]:
    """Compute ``h_t = a_t h_{t-1} + b_t`` from ``h_{-1} = start``, which is a constant to the gradient.

    The gradient is written out: it is the same recurrence, backwards, and needs a and h alone, where differentiating
    the parallel plan would keep the products of every round.

    Parameters
    ----------
    plan
        ``"sequential"``: one step after the other. ``"parallel"``: steps are affine maps, whose compositions are
        affine, so that `jax.lax.associative_scan` computes all states in a number of rounds that grows with the
        logarithm of R (Martin & Cundy 2018), at about twice the arithmetic. ``"auto"``: sequential where the program
        is compiled for a CPU, whose few cores the lanes keep busy; parallel elsewhere.
    a, b
        The coefficients.
    start
        The state before the first step.

    Examples
    --------
    >>> a, b = jnp.asarray([[0.5], [2.0]]), jnp.asarray([[1.0], [3.0]])
    >>> linear_recurrence("parallel", a, b, jnp.asarray([4.0])).tolist()
    [[3.0], [9.0]]
    """
    return _recur(plan, a, b.at[0].add(a[0] * start))


def _recur(plan: RecurrencePlan, a: Array, b: Array, reverse: bool = False) -> Array:
    """Compute the recurrence from a zero state, or, reversed, ``g_t = a_t g_{t+1} + b_t``."""
    sequential, parallel = (partial(function, reverse=reverse) for function in (_sequential, _parallel))
    if plan == "auto":
        return jax.lax.platform_dependent(a, b, cpu=sequential, default=parallel)
    return (parallel if plan == "parallel" else sequential)(a, b)


def _sequential(a: Array, b: Array, reverse: bool) -> Array:
    def body(state: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        new = row[0] * state + row[1]
        return new, new

    return jax.lax.scan(body, jnp.zeros_like(b[0]), (a, b), reverse=reverse)[1]


def _parallel(a: Array, b: Array, reverse: bool) -> Array:
    def compose(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    return jax.lax.associative_scan(compose, (a, b), reverse=reverse)[1]


def _forward(plan: RecurrencePlan, a: Array, b: Array, start: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    hidden = linear_recurrence(plan, a, b, start)
    return hidden, (a, hidden, start)


def _backward(
    plan: RecurrencePlan, residuals: tuple[Array, Array, Array], d_hidden: Array
) -> tuple[Array, Array, Array]:
    a, hidden, start = residuals
    following = jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])
    d_b = _recur(plan, following, d_hidden, reverse=True)
    old = jnp.concatenate([start[None], hidden[:-1]])
    return d_b * old, d_b, jnp.zeros_like(start)


linear_recurrence.defvjp(_forward, _backward)
