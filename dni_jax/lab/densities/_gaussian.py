"""The Gaussian over states, as the linear map that whitens them; its maximum likelihood needs no steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import solve_triangular


class Gaussian(NamedTuple):
    """Mean and covariance of states; float64."""

    mean: Float[np.ndarray, " N"]
    covariance: Float[np.ndarray, "N N"]

    @classmethod
    def from_states(cls, states: Float[np.ndarray, "T N"], shrink: float = 0.0) -> Gaussian:
        """Measure them (maximum likelihood: divided by T); `shrink` of the mean variance is added to every neuron's.

        Raises
        ------
        ValueError
            Where all neurons are constant.
        """
        rows = states.astype(np.float64)
        mean = rows.mean(0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        variance = float(np.trace(covariance)) / len(mean)
        if not variance > 0:
            raise ValueError("expected states that vary, got the same one at every position")
        return cls(mean, covariance + shrink * variance * np.eye(len(mean)))

    def whitening(self) -> Float[np.ndarray, "N N"]:
        """Give the lower triangular W with ``W covariance W' = I``.

        Raises
        ------
        ValueError
            Where the covariance is singular.
        """
        root = self.root()
        return solve_triangular(root, np.eye(len(root)), lower=True)

    def root(self) -> Float[np.ndarray, "N N"]:
        """Give the covariance's lower Cholesky factor, the inverse of `whitening`; raises as it does."""
        values = np.linalg.eigvalsh(self.covariance)
        if not values[0] > len(values) * np.finfo(np.float64).eps * values[-1]:
            raise ValueError(
                "expected states with a covariance of full rank, got a singular one: give more positions than there "
                "are neurons, or shrink above 0"
            )
        return np.linalg.cholesky(self.covariance)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Whiten:
    """``y = W (x - mean)``, W lower triangular: with a standard normal behind it, a Gaussian of full covariance.

    Its numbers are measured, not learnt: no gradient reaches them.

    Attributes
    ----------
    mean
        ``(N,)``.
    matrix, back
        ``(N, N)``: W, and its inverse.
    """

    mean: Float[Array, " N"]
    matrix: Float[Array, "N N"]
    back: Float[Array, "N N"]

    @classmethod
    def from_gaussian(cls, moments: Gaussian, dtype: str = "float32") -> Whiten:
        """Whiten states of some moments."""
        return cls(*(jnp.asarray(a, dtype) for a in (moments.mean, moments.whitening(), moments.root())))

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, O(N^2), with ``log |det dy/dx|``, O(N)."""
        mean, matrix = jax.lax.stop_gradient((self.mean, self.matrix))
        return (x - mean) @ matrix.T, jnp.broadcast_to(jnp.log(jnp.diag(matrix)).sum(), x.shape[:-1])

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, O(N^2), with ``log |det dx/dy|``, O(N)."""
        mean, back = jax.lax.stop_gradient((self.mean, self.back))
        return mean + y @ back.T, jnp.broadcast_to(jnp.log(jnp.diag(back)).sum(), y.shape[:-1])
