"""Each neuron by itself: its mean taken off, divided by its scale."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Standardise:
    """``y = (x - mean) / scale``.

    Its numbers are measured, not learnt: no gradient reaches them.

    Attributes
    ----------
    mean, scale
        ``(N,)``; scale above 0.
    """

    mean: Float[Array, " N"]
    scale: Float[Array, " N"]

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``; O(N)."""
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        return (x - mean) / scale, jnp.broadcast_to(-jnp.log(scale).sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; O(N)."""
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        return mean + scale * y, jnp.broadcast_to(jnp.log(scale).sum(), y.shape[:-1])
