"""Linear bijections with a determinant in O(N): whitening, a permuted LU and a QR decomposition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

_Mapped = tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]


class Gaussian(NamedTuple):
    """Mean and covariance of states; float64."""

    mean: Float[np.ndarray, " N"]
    covariance: Float[np.ndarray, "N N"]

    @classmethod
    def from_states(cls, states: Float[np.ndarray, "T N"], shrink: float = 0.0) -> Gaussian:
        """Fit by maximum likelihood (divided by T), and multiply every variance by ``1 + shrink``.

        A neuron that never moves gets `shrink` times the mean variance.

        Raises
        ------
        ValueError
            If all neurons are constant.
        """
        rows = states.astype(np.float64)
        mean = rows.mean(0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        variance = float(np.trace(covariance)) / len(mean)
        if not variance > 0:
            raise ValueError("expected states that vary, got the same one at every position")
        own = np.diag(covariance)
        return cls(mean, covariance + shrink * np.diag(np.where(own > 0, own, variance)))

    def whitening(self) -> Float[np.ndarray, "N N"]:
        """Return the lower triangular W with ``W covariance W' = I``.

        Raises
        ------
        ValueError
            If the covariance is singular.
        """
        factor = self.cholesky()
        return scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)

    def cholesky(self) -> Float[np.ndarray, "N N"]:
        """Return the covariance's lower Cholesky factor, the inverse of `whitening`; raises as it does."""
        values = np.linalg.eigvalsh(self.covariance)
        if not values[0] > len(values) * np.finfo(np.float64).eps * values[-1]:
            raise ValueError(
                "expected states with a covariance of full rank, got a singular one: pass more positions than "
                "neurons, or shrink above 0"
            )
        return np.linalg.cholesky(self.covariance)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Whiten:
    """``y = W (x - mean)`` with W lower triangular: with standard normal latents, a Gaussian of full covariance.

    Its arrays are estimated in closed form, not learned: gradients do not reach them.

    Attributes
    ----------
    mean
        ``(N,)``.
    matrix, matrix_inverse
        ``(N, N)``: W, and its inverse.
    """

    mean: Float[Array, " N"]
    matrix: Float[Array, "N N"]
    matrix_inverse: Float[Array, "N N"]

    @classmethod
    def from_gaussian(cls, gaussian: Gaussian, dtype: str = "float32") -> Whiten:
        """Return the map that whitens states of this mean and covariance."""
        arrays = gaussian.mean, gaussian.whitening(), gaussian.cholesky()
        return cls(*(jnp.asarray(array, dtype) for array in arrays))

    def forward(self, x: Float[Array, "*batch N"]) -> _Mapped:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        mean, matrix = jax.lax.stop_gradient((self.mean, self.matrix))
        return (x - mean) @ matrix.T, jnp.broadcast_to(jnp.log(jnp.diag(matrix)).sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> _Mapped:
        """Map latents to states, O(N^2), with ``log |det dx/dy|``, O(N)."""
        mean, matrix = jax.lax.stop_gradient((self.mean, self.matrix_inverse))
        return mean + y @ matrix.T, jnp.broadcast_to(jnp.log(jnp.diag(matrix)).sum(), y.shape[:-1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PLU:
    """``y = P L (U + diag(signs exp(log_diagonal))) x + bias`` (Kingma & Dhariwal 2018, section 3.2).

    L has ones on its diagonal and P is a permutation, so the log-determinant is the sum of ``log_diagonal``. The signs
    are fixed: a gradient step cannot pass through a singular matrix.

    Attributes
    ----------
    lower, upper
        ``(N, N)``: only the parts below, and above, the diagonal are used.
    log_diagonal, bias
        ``(N,)``.
    order
        P, as the row of L that moves to each place; not learned.
    signs
        1 or -1, of the diagonal; not learned.
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
        """Return the map ``y = matrix x + bias``.

        Raises
        ------
        ValueError
            For a singular matrix.
        """
        order, lower, upper = scipy.linalg.lu(matrix, p_indices=True)
        diagonal = _checked_diagonal(upper)
        return cls(
            jnp.asarray(lower, dtype),
            jnp.asarray(upper, dtype),
            jnp.asarray(np.log(np.abs(diagonal)), dtype),
            jnp.asarray(bias, dtype),
            tuple(order.tolist()),
            _signs(diagonal),
        )

    def _factors(self) -> tuple[Array, Array]:
        return jnp.tril(self.lower, -1) + jnp.eye(len(self.bias), dtype=self.lower.dtype), _upper(self)

    def forward(self, x: Float[Array, "*batch N"]) -> _Mapped:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        lower, upper = self._factors()
        y = (x @ upper.T @ lower.T)[..., np.asarray(self.order)] + self.bias
        return y, jnp.broadcast_to(self.log_diagonal.sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> _Mapped:
        """Map latents to states by two triangular systems, O(N^2), with ``log |det dx/dy|``, O(N)."""
        lower, upper = self._factors()
        columns = (y - self.bias)[..., np.argsort(self.order)].reshape(-1, y.shape[-1]).T
        half = solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        x = solve_triangular(upper, half).T.reshape(y.shape)
        return x, jnp.broadcast_to(-self.log_diagonal.sum(), y.shape[:-1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QR:
    """``y = Q (U + diag(signs exp(log_diagonal))) x + bias`` with Q a product of N reflections (Hoogeboom et al. 2019).

    Q is orthogonal whatever its parameters are, so the log-determinant is the sum of ``log_diagonal``.

    Attributes
    ----------
    vectors
        ``(N, N)``: the vectors of the reflections.
    upper
        ``(N, N)``: only the part above the diagonal is used.
    log_diagonal, bias
        ``(N,)``.
    signs
        1 or -1, of the diagonal; not learned.
    """

    vectors: Float[Array, "N N"]
    upper: Float[Array, "N N"]
    log_diagonal: Float[Array, " N"]
    bias: Float[Array, " N"]
    signs: tuple[int, ...] = field(metadata={"static": True})

    @classmethod
    def from_matrix(cls, matrix: Float[np.ndarray, "N N"], bias: Float[np.ndarray, " N"], dtype: str = "float32") -> QR:
        """Return the map ``y = matrix x + bias``, by Householder's algorithm.

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
            # The sign that makes v longer: the other one would subtract nearly equal numbers.
            v[column] += np.copysign(np.linalg.norm(v) or 1.0, v[column])
            rest -= np.outer(2 * v / (v @ v), v @ rest)
            v /= np.linalg.norm(v)
        diagonal = _checked_diagonal(rest)
        return cls(
            jnp.asarray(vectors, dtype),
            jnp.asarray(rest, dtype),
            jnp.asarray(np.log(np.abs(diagonal)), dtype),
            jnp.asarray(bias, dtype),
            _signs(diagonal),
        )

    def forward(self, x: Float[Array, "*batch N"]) -> _Mapped:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        y = reflect(self.vectors, x @ _upper(self).T) + self.bias
        return y, jnp.broadcast_to(self.log_diagonal.sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> _Mapped:
        """Map latents to states by reflections and a triangular system, O(N^2), with ``log |det dx/dy|``, O(N)."""
        columns = reflect(self.vectors, y - self.bias, transposed=True).reshape(-1, y.shape[-1]).T
        x = solve_triangular(_upper(self), columns).T.reshape(y.shape)
        return x, jnp.broadcast_to(-self.log_diagonal.sum(), y.shape[:-1])


def reflect(
    vectors: Float[Array, "M N"], x: Float[Array, "*batch N"], transposed: bool = False
) -> Float[Array, "*batch N"]:
    """Apply ``Q = H_1 H_2 ... H_M``, with ``H_i = I - 2 v_i v_i' / (v_i' v_i)``, or its transpose; O(M N) a state.

    Uses the compact form ``Q = I - V' S^-1 V``, S being the upper triangle of ``V V'`` with half its diagonal (Joffrain
    et al. 2006, "Accumulating Householder transformations, revisited"). One reflection after the other would take M
    passes over the states; this takes three matrix products.

    Parameters
    ----------
    vectors
        The M vectors, none of them 0.
    x
        States.
    transposed
        Whether to apply Q' instead, which undoes Q.
    """
    gram = vectors @ vectors.T
    s = jnp.triu(gram) - 0.5 * jnp.diag(jnp.diag(gram))
    projected = (x @ vectors.T).reshape(-1, len(vectors)).T
    solved = solve_triangular(s, projected, trans=1 if transposed else 0).T
    return x - solved.reshape(*x.shape[:-1], len(vectors)) @ vectors


def _upper(linear: PLU | QR) -> Array:
    # exp keeps the diagonal away from 0, so that every parameter vector is an invertible map.
    diagonal = jnp.exp(linear.log_diagonal) * jnp.asarray(linear.signs, linear.upper.dtype)
    return jnp.triu(linear.upper, 1) + jnp.diag(diagonal)


def _signs(diagonal: np.ndarray) -> tuple[int, ...]:
    return tuple(int(one) for one in np.sign(diagonal))


def _checked_diagonal(upper: np.ndarray) -> np.ndarray:
    diagonal = np.diag(upper)
    if not np.all(np.isfinite(diagonal) & (diagonal != 0)):
        raise ValueError("expected an invertible matrix, got a singular one")
    return diagonal
