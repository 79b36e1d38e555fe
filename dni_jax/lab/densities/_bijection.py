"""What every bijection can do: there, back, and how much it stretches space on the way."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float


@runtime_checkable
class Bijection(Protocol):
    """A map of N numbers to N numbers that can be undone; a frozen pytree, its float arrays being its parameters.

    `forward` brings states to the latent space of a standard normal: fitting and densities need only this way, which
    every kind has in closed form. `inverse` brings draws of the normal back to states. Both take any leading axes, and
    give the logarithm of the absolute determinant of their own Jacobian beside the result.
    """

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``."""
        ...

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``."""
        ...


def normal_log_prob(z: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Log-density of the standard normal, in nats."""
    return -0.5 * (jnp.square(z).sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def log_prob(bijection: Bijection, x: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Log-density of states whose latents are standard normal, in nats (change of variables).

    Examples
    --------
    >>> from dni_jax.lab.densities._elementwise import Standardise
    >>> standard = Standardise(mean=jnp.zeros(1), scale=jnp.full(1, 2.0))
    >>> [round(one, 4) for one in log_prob(standard, jnp.zeros((2, 1))).tolist()]  # -log(2 sqrt(2 pi))
    [-1.6121, -1.6121]
    """
    z, stretch = bijection.forward(x)
    return normal_log_prob(z) + stretch
