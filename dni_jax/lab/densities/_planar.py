"""Planar maps: states are pushed along one direction, by how far they lie along another."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.lab.densities._roots import tanh_root

MARGIN = 1e-4  # slopes stay above it, so that rounding folds no map


def softplus_inverse(value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Give x with ``log(1 + exp(x)) = value``, for value above 0."""
    return value + jnp.log(-jnp.expm1(-value))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Planar:
    """``y = x + u tanh(w . x + b)`` (Rezende & Mohamed 2015, equation 10).

    It can be undone if and only if w . u > -1 (at -1 its slope is 0 where w . x = -b). As in their appendix A.1 the
    parameter `raw` is moved along w so that w . u = softplus(w . raw) - 1 + 1e-4, whatever its value. There is no
    closed form of the inverse; it is one root of a growing function of one number (`tanh_root`).

    Attributes
    ----------
    w, raw
        ``(N,)``.
    b
        A number.
    """

    w: Float[Array, " N"]
    raw: Float[Array, " N"]
    b: Float[Array, ""]

    @classmethod
    def init(cls, key: Array, n_neurons: int) -> Planar:
        """Give a map close to the identity; float32."""
        first, second = jax.random.split(key)
        w = jax.random.normal(first, (n_neurons,), jnp.float32) / np.sqrt(n_neurons).astype(np.float32)
        near = 0.01 * jax.random.normal(second, (n_neurons,), jnp.float32)
        return cls.from_direction(w, near - w * (near @ w) / (w @ w), jnp.zeros((), jnp.float32))

    @classmethod
    def from_direction(cls, w: Float[Array, " N"], u: Float[Array, " N"], b: Float[Array, ""]) -> Planar:
        """Give the map with a wanted u.

        Raises
        ------
        ValueError
            Where w . u is not above -1 + 1e-4: the map folds space and has no inverse, or nearly so.

        Examples
        --------
        >>> Planar.from_direction(jnp.ones(2), jnp.full(2, 0.25), jnp.zeros(())).u.round(4).tolist()
        [0.25, 0.25]
        """
        along = w @ u
        if not isinstance(along, jax.core.Tracer) and not float(along) > MARGIN - 1:
            raise ValueError(
                f"expected w . u above {MARGIN - 1}, got {float(along):g}: from -1 on a planar map folds space and "
                "cannot be undone"
            )
        size = w @ w
        move = jnp.where(size > 0, (softplus_inverse(1 - MARGIN + along) - along) / jnp.where(size > 0, size, 1), 0)
        return cls(w, u + move * w, b)

    @property
    def u(self) -> Float[Array, " N"]:
        """The direction of the push, with w . u above -1."""
        along, size = self.raw @ self.w, self.w @ self.w
        move = jnp.where(size > 0, (jax.nn.softplus(along) - 1 + MARGIN - along) / jnp.where(size > 0, size, 1), 0)
        return self.raw + move * self.w

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|`` by the matrix determinant lemma; O(N)."""
        u = self.u
        pushed = jnp.tanh(x @ self.w + self.b)
        return x + pushed[..., None] * u, jnp.log1p((1 - jnp.square(pushed)) * (u @ self.w))

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; O(N) and one root."""
        u = self.u
        along = u @ self.w
        root = tanh_root(y @ self.w, along, jnp.ones_like(along), self.b)
        pushed = jnp.tanh(root + self.b)
        return y - pushed[..., None] * u, -jnp.log1p((1 - jnp.square(pushed)) * along)
