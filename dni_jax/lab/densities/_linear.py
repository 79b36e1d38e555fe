"""Linear maps whose determinant is a product of N numbers: by a permuted LU, and by a QR decomposition."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float
from scipy.linalg import lu

from dni_jax.lab.densities._householder import reflect

_Two = tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PLU:
    """``y = P L (U + diag(signs exp(log_diagonal))) x + bias`` (Kingma & Dhariwal 2018, section 3.2).

    Attributes
    ----------
    lower, upper
        ``(N, N)``: what is below, and above, the diagonal is used; L has ones on it.
    log_diagonal, bias
        ``(N,)``.
    order
        P as the row of L that comes to each place; it is not learnt.
    signs
        Of the diagonal, 1 or -1; not learnt either.
    """

    lower: Float[Array, "N N"]
    upper: Float[Array, "N N"]
    log_diagonal: Float[Array, " N"]
    bias: Float[Array, " N"]
    order: tuple[int, ...] = field(metadata={"static": True})
    signs: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def from_matrix(
        cls, matrix: Float[np.ndarray, "N N"], bias: Float[np.ndarray, " N"], dtype: str = "float32"
    ) -> PLU:
        """Give the map ``y = matrix x + bias``.

        Raises
        ------
        ValueError
            For a singular matrix.
        """
        places, lower, upper = lu(matrix, p_indices=True)
        diagonal = _diagonal(upper)
        low, up, log_diagonal, shift = (jnp.asarray(a, dtype) for a in (lower, upper, np.log(np.abs(diagonal)), bias))
        return cls(low, up, log_diagonal, shift, tuple(places.tolist()), _signs(diagonal))

    def _factors(self) -> tuple[Array, Array]:
        return jnp.tril(self.lower, -1) + jnp.eye(len(self.bias), dtype=self.lower.dtype), _upper(self)

    def forward(self, x: Float[Array, "*batch N"]) -> _Two:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        lower, upper = self._factors()
        y = (x @ upper.T @ lower.T)[..., np.asarray(self.order)] + self.bias
        return y, jnp.broadcast_to(self.log_diagonal.sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> _Two:
        """Map latents to states by two triangular systems, O(N^2), with ``log |det dx/dy|``, O(N)."""
        lower, upper = self._factors()
        columns = (y - self.bias)[..., np.argsort(self.order)].reshape(-1, y.shape[-1]).T
        half = solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        x = solve_triangular(upper, half).T.reshape(y.shape)
        return x, jnp.broadcast_to(-self.log_diagonal.sum(), y.shape[:-1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QR:
    """``y = Q (U + diag(signs exp(log_diagonal))) x + bias``, Q being N reflections (Hoogeboom et al. 2019).

    Attributes
    ----------
    vectors
        ``(N, N)``: the reflections' vectors.
    upper
        ``(N, N)``: what is above the diagonal is used.
    log_diagonal, bias
        ``(N,)``.
    signs
        Of the diagonal, 1 or -1; not learnt.
    """

    vectors: Float[Array, "N N"]
    upper: Float[Array, "N N"]
    log_diagonal: Float[Array, " N"]
    bias: Float[Array, " N"]
    signs: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def from_matrix(cls, matrix: Float[np.ndarray, "N N"], bias: Float[np.ndarray, " N"], dtype: str = "float32") -> QR:
        """Give the map ``y = matrix x + bias``.

        Raises
        ------
        ValueError
            For a singular matrix.
        """
        rest = np.array(matrix, np.float64)
        vectors = np.zeros_like(rest)
        for column in range(len(rest)):
            v = vectors[column]
            v[column:] = rest[column:, column]
            v[column] += np.copysign(np.linalg.norm(v) or 1.0, v[column])
            rest -= np.outer(2 * v / (v @ v), v @ rest)
            v /= np.linalg.norm(v)
        diagonal = _diagonal(rest)
        turns, up, log_diagonal, shift = (
            jnp.asarray(a, dtype) for a in (vectors, rest, np.log(np.abs(diagonal)), bias)
        )
        return cls(turns, up, log_diagonal, shift, _signs(diagonal))

    def forward(self, x: Float[Array, "*batch N"]) -> _Two:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        y = reflect(self.vectors, x @ _upper(self).T) + self.bias
        return y, jnp.broadcast_to(self.log_diagonal.sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> _Two:
        """Map latents to states by reflections and a triangular system, O(N^2), with ``log |det dx/dy|``, O(N)."""
        turned = reflect(self.vectors, y - self.bias, transposed=True).reshape(-1, y.shape[-1]).T
        x = solve_triangular(_upper(self), turned).T.reshape(y.shape)
        return x, jnp.broadcast_to(-self.log_diagonal.sum(), y.shape[:-1])


def _upper(linear: PLU | QR) -> Array:
    diagonal = jnp.exp(linear.log_diagonal) * jnp.asarray(linear.signs, linear.upper.dtype)
    return jnp.triu(linear.upper, 1) + jnp.diag(diagonal)


def _signs(diagonal: np.ndarray) -> tuple[int, ...]:
    return tuple(int(one) for one in np.sign(diagonal))


def _diagonal(upper: np.ndarray) -> np.ndarray:
    diagonal = np.diag(upper)
    if not np.all(np.isfinite(diagonal) & (diagonal != 0)):
        raise ValueError("expected a matrix that can be inverted, got a singular one")
    return diagonal
