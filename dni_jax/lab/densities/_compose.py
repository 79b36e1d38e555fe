"""Bijections one after the other, turned round, and neurons in another order."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.lab.densities._bijection import Bijection


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chain:
    """The first bijection, then the next, to the last; log-determinants add up."""

    parts: tuple[Bijection, ...]

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``."""
        total = jnp.zeros(x.shape[:-1], x.dtype)
        for part in self.parts:
            x, stretch = part.forward(x)
            total = total + stretch
        return x, total

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``."""
        total = jnp.zeros(y.shape[:-1], y.dtype)
        for part in reversed(self.parts):
            y, stretch = part.inverse(y)
            total = total + stretch
        return y, total


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Inverse:
    """A bijection the other way round: for sampling in closed form, as reverse KL wants it."""

    inner: Bijection

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents by the inner inverse."""
        return self.inner.inverse(x)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states by the inner forward map."""
        return self.inner.forward(y)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Permute:
    """Neurons in another order; the log-determinant is 0.

    Attributes
    ----------
    order
        Which neuron comes to each place.
    """

    order: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def random(cls, n_neurons: int, seed: int) -> Permute:
        """Draw an order of N neurons."""
        return cls(tuple(np.random.default_rng(seed).permutation(n_neurons).tolist()))

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Bring neurons into the order; O(N)."""
        return x[..., np.asarray(self.order)], jnp.zeros(x.shape[:-1], x.dtype)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Bring neurons back; O(N)."""
        return y[..., np.argsort(self.order)], jnp.zeros(y.shape[:-1], y.dtype)
