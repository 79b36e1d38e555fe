"""The interface of bijections, their log-densities, and bijections made of others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@runtime_checkable
class Bijection(Protocol):
    """An invertible map of N numbers to N numbers: a frozen pytree whose float arrays are its parameters.

    `forward` maps states to the latent space of a standard normal. Fitting and densities need only this direction,
    which every bijection here has in closed form. `inverse` maps latents to states. Both accept any leading axes and
    return the log absolute determinant of their own Jacobian next to the result.
    """

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``."""
        ...

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``."""
        ...


def normal_log_prob(z: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Compute the log-density of the standard normal, in nats."""
    return -0.5 * (jnp.square(z).sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def log_prob(bijection: Bijection, x: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Compute the log-density of states whose latents are standard normal, in nats (change of variables).

    Examples
    --------
    >>> from dni_jax.lab.densities import PLU
    >>> halve = PLU.from_matrix(np.full((1, 1), 0.5), np.zeros(1))
    >>> [round(one, 4) for one in log_prob(halve, jnp.zeros((2, 1))).tolist()]  # -log(2 sqrt(2 pi))
    [-1.6121, -1.6121]
    """
    z, log_det = bijection.forward(x)
    return normal_log_prob(z) + log_det


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chain:
    """Bijections applied one after the other, the first one first; log-determinants add up."""

    parts: tuple[Bijection, ...]

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``."""
        total = jnp.zeros(x.shape[:-1], x.dtype)
        for part in self.parts:
            x, log_det = part.forward(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``."""
        total = jnp.zeros(y.shape[:-1], y.dtype)
        for part in reversed(self.parts):
            y, log_det = part.inverse(y)
            total = total + log_det
        return y, total


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Inverse:
    """A bijection with its directions swapped.

    Reverse KL draws samples, which needs `inverse` in closed form: swap a map whose `forward` has one.
    """

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
    """A permutation of the neurons; its log-determinant is 0.

    Attributes
    ----------
    order
        The neuron that moves to each place.
    """

    order: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def random(cls, n_neurons: int, seed: int) -> Permute:
        """Draw a permutation of N neurons."""
        return cls(tuple(np.random.default_rng(seed).permutation(n_neurons).tolist()))

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Permute the neurons; O(N)."""
        return x[..., np.asarray(self.order)], jnp.zeros(x.shape[:-1], x.dtype)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Undo the permutation; O(N)."""
        return y[..., np.argsort(self.order)], jnp.zeros(y.shape[:-1], y.dtype)
