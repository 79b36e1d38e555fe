"""Sylvester maps: planar ones of M directions at once."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.lab.densities._householder import reflect
from dni_jax.lab.densities._planar import MARGIN
from dni_jax.lab.densities._roots import tanh_root


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sylvester:
    """``y = x + Q R tanh(T Q' x + b)`` (van den Berg et al. 2018, section 3; Q from reflections, their H-SNF).

    Q holds M orthonormal columns; R and T are upper triangular. By Sylvester's determinant identity the determinant is
    that of an M x M triangular matrix. The map can be undone if every r_ii t_ii > -1 (theorem 2); as in the authors'
    own code the diagonals are hyperbolic tangents of the parameters (times .9999, against rounding), so that their
    products lie above -1. The
    inverse is not in closed form, but M roots of growing functions of one number each, from the last to the first.

    Attributes
    ----------
    vectors
        ``(M, N)``: the reflections whose first M columns are Q.
    r, t
        ``(M, M)``: the upper triangles; on the diagonal, before the tangent. What is below is not used.
    b
        ``(M,)``.
    """

    vectors: Float[Array, "M N"]
    r: Float[Array, "M M"]
    t: Float[Array, "M M"]
    b: Float[Array, " M"]

    @classmethod
    def init(cls, key: Array, n_neurons: int, directions: int) -> Sylvester:
        """Give a map close to the identity, of some directions; float32.

        Raises
        ------
        ValueError
            For more directions than neurons.
        """
        if not 1 <= directions <= n_neurons:
            raise ValueError(f"expected 1 to {n_neurons} directions (the number of neurons), got {directions}")
        first, second, third = jax.random.split(key, 3)
        square = (directions, directions)
        return cls(
            jax.random.normal(first, (directions, n_neurons), jnp.float32),
            0.01 * jax.random.normal(second, square, jnp.float32),
            jnp.eye(directions, dtype=jnp.float32) + 0.01 * jax.random.normal(third, square, jnp.float32),
            jnp.zeros(directions, jnp.float32),
        )

    @property
    def columns(self) -> Float[Array, "M N"]:
        """The columns of Q, as rows."""
        m, n = self.vectors.shape
        return reflect(self.vectors, jnp.eye(m, n, dtype=self.vectors.dtype))

    @property
    def triangles(self) -> tuple[Float[Array, "M M"], Float[Array, "M M"]]:
        """R and T."""
        return _triangle(self.r), _triangle(self.t)

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``; O(N M)."""
        columns, (r, t) = self.columns, self.triangles
        pushed = jnp.tanh(x @ columns.T @ t.T + self.b)
        return x + pushed @ r.T @ columns, _stretch(pushed, r, t)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; O(N M + M^2) and M roots."""
        columns, (r, t) = self.columns, self.triangles
        along = y @ columns.T
        m = len(self.b)

        def solve(step: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
            roots, pushed = found  # of the directions behind this one; 0 before them
            i = m - 1 - step
            shift = roots @ t[i] + self.b[i]  # t and r are 0 below the diagonal, roots still 0 on it
            target = along[..., i] - pushed @ r[i]
            root = tanh_root(target, r[i, i], t[i, i], shift)
            here = jnp.tanh(t[i, i] * root + shift)
            return roots.at[..., i].set(root), pushed.at[..., i].set(here)

        _, pushed = jax.lax.fori_loop(0, m, solve, (jnp.zeros_like(along), jnp.zeros_like(along)))
        return y - pushed @ r.T @ columns, -_stretch(pushed, r, t)


def _triangle(raw: Array) -> Array:
    return jnp.triu(raw, 1) + jnp.diag((1 - MARGIN) * jnp.tanh(jnp.diag(raw)))


def _stretch(pushed: Array, r: Array, t: Array) -> Array:
    return jnp.log1p((1 - jnp.square(pushed)) * (jnp.diag(r) * jnp.diag(t))).sum(-1)
