"""What the samplers have in common: a chain's state, and the pieces of a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from dni_jax.lab.posterior._schedules import Value, value_at

_map = jax.tree.map


class SamplerState(NamedTuple):
    """What a chain carries from step to step; None where a sampler has none.

    Attributes
    ----------
    step
        int32: steps taken.
    key
        The random key of the steps to come.
    square
        A running mean of squared gradients, like the weights.
    momentum
        Like the weights, of unit mass: at equilibrium its variance is the temperature.
    friction
        The thermostat: one number (SGNHT), or one a weight (Santa).
    """

    step: Array
    key: Array
    square: Any = None
    momentum: Any = None
    friction: Any = None


def begin(
    state: SamplerState, gradient: Any, step_size: Value, temperature: Value
) -> tuple[Array, Array, dict[str, Array], Any]:
    """The step size and temperature of this step, what every state goes on with, and noise like the gradient."""
    key, now = jax.random.split(state.key)
    eta, warmth = value_at(step_size, state.step), value_at(temperature, state.step)
    return eta, warmth, {"step": state.step + 1, "key": key}, noise_like(now, gradient)


def noise_like(key: Array, like: Any) -> Any:
    flat, restore = ravel_pytree(like)
    return restore(jax.random.normal(key, flat.shape, flat.dtype))


def size_of(tree: Any) -> int:
    return sum(part.size for part in jax.tree.leaves(tree))


def with_momentum(params: Any, key: Array, temperature: Value) -> SamplerState:
    key, now = jax.random.split(key)
    warmth = value_at(temperature, jnp.zeros((), jnp.int32))
    momentum = _map(lambda z: jnp.sqrt(warmth) * z, noise_like(now, params))
    return SamplerState(jnp.zeros((), jnp.int32), key, momentum=momentum)


def root_mean_square(gradient: Any, state: SamplerState, decay: float) -> tuple[Any, Any, Array]:
    """The running mean of squares, the root of its unbiased value, and the weight of the last square in that."""
    square = _map(lambda v, g: decay * v + (1 - decay) * g * g, state.square, gradient)
    seen = 1 - decay ** (state.step + 1).astype(jnp.float32)
    return square, _map(lambda v: jnp.sqrt(v / seen), square), (1 - decay) / seen


def gamma_of(gradient: Array, curvature: Array, root: Array, scale: Array, share: Array) -> Array:
    """The derivative of each weight's preconditioner with respect to it; 0 where there was no gradient at all."""
    return jnp.where(root > 0, -share * gradient * curvature * scale**2 / jnp.where(root > 0, root, 1.0), 0.0)


def check_friction(friction: float) -> None:
    if not 0 < friction <= 1:
        raise ValueError(f"expected a friction above 0 and up to 1, got {friction}")
