"""Step-size schedules of the samplers: functions from a step to a step size."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

Schedule = Callable[[Array], Array]
Scalar = float | Float[Array, ""] | Schedule


def value_at(value: Scalar, step: Array) -> Array:
    """Return a number, or a schedule's value at a step, as float32."""
    return jnp.asarray(value(step) if callable(value) else value, jnp.float32)


def constant(first: float) -> Schedule:
    """Return the schedule of one step size: the chain never converges to a point, and its bias remains.

    Examples
    --------
    >>> float(constant(0.5)(jnp.asarray(100)))
    0.5
    """
    return lambda step: jnp.full(jnp.shape(step), first, jnp.float32)


def polynomial(first: float, offset: float = 100.0, power: float = 0.55) -> Schedule:
    """Return the schedule a (b + t)^-power of Welling & Teh (2011), with a = first b^power.

    The sum of the step sizes must diverge and that of their squares converge, so the power lies above 1/2 and up to 1.
    Welling & Teh then weight the draws by their step size.

    Parameters
    ----------
    first
        The step size at step 0.
    offset
        b: after this many steps the step size is ``first`` times 2^-power.
    power
        How fast it falls.

    Raises
    ------
    ValueError
        For a power outside (0.5, 1], or an offset that is not positive.

    Examples
    --------
    >>> float(polynomial(1.0, offset=10, power=1.0)(jnp.asarray(30)))
    0.25
    """
    if not 0.5 < power <= 1 or not offset > 0:
        raise ValueError(f"expected a power above 0.5 and up to 1 and an offset above 0, got {power} and {offset}")
    return lambda step: first * (1.0 + step.astype(jnp.float32) / offset) ** (-power)


def cyclical(first: float, length: int) -> Schedule:
    """Return the schedule that falls along a cosine from `first` to nearly 0 in each cycle (Zhang et al. 2020, eq. 1).

    Parameters
    ----------
    first
        The step size at the start of each cycle.
    length
        The steps of a cycle.

    Raises
    ------
    ValueError
        For a length below 1.

    Examples
    --------
    >>> rates = cyclical(1.0, length=4)
    >>> [round(float(rates(jnp.asarray(step))), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 1.0]
    """
    if length < 1:
        raise ValueError(f"expected a cycle of at least 1 step, got {length}")
    return lambda step: first / 2 * (jnp.cos(math.pi * (step % length).astype(jnp.float32) / length) + 1.0)
