"""The one equation that planar and Sylvester maps must solve to be undone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def tanh_root(
    target: Float[Array, "*batch"],
    outer: Float[Array, "*#batch"],
    inner: Float[Array, "*#batch"],
    shift: Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    """Solve ``a + outer * tanh(inner * a + shift) = target`` for a, where ``outer * inner > -1``.

    The left side then grows with a, and a lies within ``|outer|`` of the target: bisection down to the numbers' own
    precision, then Newton's method. Gradients follow from the equation itself (implicit differentiation), not through
    the steps.
    """

    def excess(a: Array) -> Array:
        return a + outer * jnp.tanh(inner * a + shift) - target

    def slope(a: Array) -> Array:
        return 1 + outer * inner * (1 - jnp.square(jnp.tanh(inner * a + shift)))

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = excess(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    reach = jnp.abs(outer) + jnp.zeros_like(target)
    low, high = jax.lax.fori_loop(
        0, jnp.finfo(target.dtype).nmant + 2, halve, jax.lax.stop_gradient((target - reach, target + reach))
    )
    found = 0.5 * (low + high)
    polished = jnp.clip(found - excess(found) / slope(found), low, high)
    root = jax.lax.stop_gradient(polished)
    return root - (excess(root) - jax.lax.stop_gradient(excess(root))) / jax.lax.stop_gradient(slope(root))
