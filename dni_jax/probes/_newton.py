"""Newton's method for many convex problems in two variables at once."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

_HALVINGS = 40
_FIXED_STEPS = 32


class Surface(NamedTuple):
    """Value, gradient and Hessian at one point of each problem."""

    value: Float[Array, "*fits"]
    dw: Float[Array, "*fits"]
    db: Float[Array, "*fits"]
    dww: Float[Array, "*fits"]
    dwb: Float[Array, "*fits"]
    dbb: Float[Array, "*fits"]


class _State(NamedTuple):
    w: Float[Array, "*fits"]
    b: Float[Array, "*fits"]
    here: Surface
    step: Float[Array, "*fits"]
    done: Bool[Array, "*fits"]
    n_steps: Int[Array, ""]


def _direction(at: Surface) -> tuple[Array, Array, Array]:
    """Newton step, and the slope along it (minus the squared Newton decrement)."""
    # A flat bias direction (every sigmoid saturated) must not divide by zero.
    ridge = 1e-12 * (at.dww + at.dbb) + 1e-300
    dww, dbb = at.dww + ridge, at.dbb + ridge
    determinant = dww * dbb - at.dwb * at.dwb
    w = (at.dwb * at.db - dbb * at.dw) / determinant
    b = (at.dwb * at.dw - dww * at.db) / determinant
    return w, b, w * at.dw + b * at.db


def minimize(
    surface: Callable[[Array, Array], Surface],
    w: Float[Array, "*fits"],
    b: Float[Array, "*fits"],
    tolerance: float,
    parallel: bool = False,
    max_steps: int = 200,
) -> tuple[Float[Array, "*fits"], Float[Array, "*fits"], Bool[Array, "*fits"]]:
    """Minimize from a starting point, halving steps that do not descend (Armijo); return also which have converged.

    Stops where the squared Newton decrement, twice the distance to the smallest value, is at most `tolerance` times
    the value; a parallel solver always takes as many steps as nearly all problems need.
    """

    def finished(at: Surface) -> Array:
        return -_direction(at)[2] <= tolerance * jnp.abs(at.value)

    def unfinished(state: _State) -> Array:
        return jnp.any(~state.done) & (state.n_steps < max_steps)

    def advance(state: _State) -> _State:
        dw, db, slope = _direction(state.here)
        w, b = state.w + state.step * dw, state.b + state.step * db
        there = surface(w, b)
        rounding = 1e-13 * jnp.abs(state.here.value)
        descends = there.value <= state.here.value + 1e-4 * state.step * slope + rounding
        accept = descends & ~state.done

        def pick(new: Array, old: Array) -> Array:
            return jnp.where(accept, new, old)

        here = Surface(*(pick(n, o) for n, o in zip(there, state.here, strict=True)))
        step = jnp.where(accept, 1.0, state.step / 2.0)
        done = state.done | (accept & finished(here)) | (step < 0.5**_HALVINGS)
        return _State(pick(w, state.w), pick(b, state.b), here, step, done, state.n_steps + 1)

    here = surface(w, b)
    start = _State(w, b, here, jnp.ones_like(w), finished(here), jnp.zeros((), jnp.int32))
    if parallel:
        end = lax.fori_loop(0, _FIXED_STEPS, lambda _, state: advance(state), start)
    else:
        end = lax.while_loop(unfinished, advance, start)
    return end.w, end.b, end.done
