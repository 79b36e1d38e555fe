"""Logistic regression on the first d columns of a matrix, for several d and many labels at once."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import solve_triangular

_MAX_STEPS, _TOLERANCE = 200, 1e-4
_ROUNDING = 1e-6  # a loss that increased by at most this share did not increase


class Whitened(NamedTuple):
    """A matrix X times an upper triangular A that makes its columns uncorrelated and of variance 1.

    Its first d columns span what the first d of X do, for every d at once.

    Attributes
    ----------
    columns
        float32 ``(T, N)``: X A, minus the mean of the training positions.
    penalty
        float32 ``(N, N)``: ``A'A``. Weights z on these columns are ``A z`` on X, of squared length ``z' penalty z``;
        the same holds for the first d.
    """

    columns: Float[np.ndarray, "T N"]
    penalty: Float[np.ndarray, "N N"]


def whiten(x: Float[np.ndarray, "T N"], train: Bool[np.ndarray, " T"]) -> Whitened:
    """Whiten the columns of a matrix one after the other (Gram-Schmidt, by Cholesky), by its training rows."""
    centered = np.asarray(x, np.float64) - x[train].mean(0, dtype=np.float64)
    gram = centered[train].T @ centered[train] / train.sum()
    jitter = 1e-9 * max(np.trace(gram) / len(gram), 1e-300)  # for columns that depend linearly on earlier ones
    lower = np.linalg.cholesky(gram + jitter * np.eye(len(gram)))
    columns = solve_triangular(lower, centered.T, lower=True).T
    upper = solve_triangular(lower, np.eye(len(lower)), lower=True).T
    return Whitened(columns.astype(np.float32), (upper.T @ upper).astype(np.float32))


class _State(NamedTuple):
    """M x F fits in progress: weights z and bias b, their loss, gradient, search direction and step fraction."""

    z: Float[Array, "M N F"]
    b: Float[Array, "M F"]
    logits: Float[Array, "M T F"]
    value: Float[Array, "M F"]
    gradient_z: Float[Array, "M N F"]
    gradient_b: Float[Array, "M F"]
    direction_z: Float[Array, "M N F"]
    direction_b: Float[Array, "M F"]
    fraction: Float[Array, "M F"]
    step: Array


@partial(jax.jit, static_argnames="dims")
def fit_logistic(
    columns: Float[Array, "T N"],
    penalty: Float[Array, "N N"],
    labels: Float[Array, "T F"],
    costs: Float[Array, "2 F"],
    dims: tuple[int, ...],
) -> tuple[Float[Array, "M N F"], Float[Array, "M F"], Bool[Array, "M F"]]:
    """Minimize ``|w|^2 / 2 + sum(cost * log(1 + exp(-y (x w + b))))`` on the first d columns, for each d and feature.

    Uses nonlinear conjugate gradients on whitened columns, which make the Hessian nearly a multiple of the identity
    (Polak-Ribiere, restarted where the direction does not descend). A Newton step along each direction needs only one
    product with the columns; it is halved until the loss decreases.

    Parameters
    ----------
    columns, penalty
        See `Whitened`; training rows only.
    labels
        0 or 1.
    costs
        The cost of an error on a 0 and on a 1, for each feature.
    dims
        Ascending: the M numbers of columns.

    Returns
    -------
    Weights on the whitened columns, 0 beyond the first d; biases; and which fits stopped after 200 steps with a
    gradient still above 1e-4 per unit of cost.
    """
    problem = _Problem.of(columns, penalty, labels, costs, dims)
    n_dims, n_features = len(dims), labels.shape[1]
    z = jnp.zeros((n_dims, columns.shape[1], n_features))
    b = jnp.broadcast_to(jnp.log(problem.odds), (n_dims, n_features))
    logits = jnp.broadcast_to(b[:, None], (n_dims, *labels.shape))
    value, gradient_z, gradient_b = problem.value_and_gradient(z, logits)
    start = _State(
        z, b, logits, value, gradient_z, gradient_b, -gradient_z, -gradient_b, jnp.ones_like(b), jnp.int32(0)
    )

    def is_running(state: _State) -> Array:
        return (state.step < _MAX_STEPS) & ~problem.has_converged(state).all()

    ended = jax.lax.while_loop(is_running, problem.step, start)
    return ended.z, ended.b, ~problem.has_converged(ended)


class _Problem(NamedTuple):
    """What stays the same from step to step; all sums are divided by the sum of the costs."""

    columns: Array
    penalty: Array
    labels: Array
    cost: Array
    total: Array
    odds: Array
    used: Array
    dims: tuple[int, ...]

    @classmethod
    def of(cls, columns: Array, penalty: Array, labels: Array, costs: Array, dims: tuple[int, ...]) -> _Problem:
        cost = jnp.where(labels > 0, costs[1], costs[0])
        total, positive = cost.sum(0), (cost * labels).sum(0)
        used = jnp.arange(columns.shape[1])[:, None] < jnp.asarray(dims)[:, None, None]
        odds = jnp.maximum(positive, 1e-30) / jnp.maximum(total - positive, 1e-30)
        return cls(columns, penalty, labels, cost / total, total, odds, used, dims)

    def predict(self, z: Array, b: Array) -> Float[Array, "M T F"]:
        """Multiply the weights of each dimension by its columns, and add the bias."""
        return jnp.stack([self.columns[:, :d] @ z[number, :d] + b[number] for number, d in enumerate(self.dims)])

    def project(self, values: Float[Array, "M T F"]) -> Float[Array, "M N F"]:
        """Multiply values by the transposed columns of each dimension."""
        n = self.columns.shape[1]
        parts = [self.columns[:, :d].T @ values[number] for number, d in enumerate(self.dims)]
        return jnp.stack([jnp.pad(part, ((0, n - len(part)), (0, 0))) for part in parts])

    def penalty_gradient(self, z: Array) -> Float[Array, "M N F"]:
        """Compute the gradient of half the squared length of the weights on the columns before whitening."""
        return jnp.where(self.used, jnp.einsum("nk,mkf->mnf", self.penalty, z), 0.0) / self.total

    def value_and_gradient(self, z: Array, logits: Array) -> tuple[Array, Array, Array]:
        """Compute the loss, and its gradient with respect to weights and bias."""
        penalty = self.penalty_gradient(z)
        losses = jax.nn.softplus(jnp.where(self.labels > 0, -logits, logits))
        value = (self.cost * losses).sum(1) + 0.5 * (z * penalty).sum(1)
        residual = self.cost * (jax.nn.sigmoid(logits) - self.labels)
        return value, self.project(residual) + penalty, residual.sum(1)

    def has_converged(self, state: _State) -> Bool[Array, "M F"]:
        """Return whether each gradient is small enough."""
        return jnp.maximum(jnp.abs(state.gradient_z).max(1), jnp.abs(state.gradient_b)) <= _TOLERANCE

    def step(self, state: _State) -> _State:
        """Take a Newton step along each direction, where it decreases the loss, and choose the next directions."""
        along = self.predict(state.direction_z, state.direction_b)
        probability = jax.nn.sigmoid(state.logits)
        curvature = (self.cost * probability * (1 - probability) * along * along).sum(1)
        curvature = curvature + (state.direction_z * self.penalty_gradient(state.direction_z)).sum(1)
        slope = (state.direction_z * state.gradient_z).sum(1) + state.direction_b * state.gradient_b
        size = jnp.where(curvature > 0, -state.fraction * slope / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        z, b = state.z + size[:, None] * state.direction_z, state.b + size * state.direction_b
        logits = state.logits + size[:, None] * along
        value, gradient_z, gradient_b = self.value_and_gradient(z, logits)
        better = (value <= state.value * (1 + _ROUNDING)) & ~self.has_converged(state)

        def accept(new: Array, old: Array) -> Array:
            return jnp.where(better if new.ndim == 2 else better[:, None], new, old)

        z, b, logits = accept(z, state.z), accept(b, state.b), accept(logits, state.logits)
        value = accept(value, state.value)
        gradient_z, gradient_b = accept(gradient_z, state.gradient_z), accept(gradient_b, state.gradient_b)
        norm = (state.gradient_z**2).sum(1) + state.gradient_b**2
        change = (gradient_z * (gradient_z - state.gradient_z)).sum(1) + gradient_b * (gradient_b - state.gradient_b)
        beta = jnp.maximum(change / jnp.maximum(norm, 1e-30), 0.0)  # Polak-Ribiere+; 0 after a rejected step
        direction_z = beta[:, None] * state.direction_z - gradient_z
        direction_b = beta * state.direction_b - gradient_b
        descends = (direction_z * gradient_z).sum(1) + direction_b * gradient_b < 0
        direction_z = jnp.where(descends[:, None], direction_z, -gradient_z)
        direction_b = jnp.where(descends, direction_b, -gradient_b)
        fraction = jnp.where(better, 1.0, state.fraction / 2)
        return _State(z, b, logits, value, gradient_z, gradient_b, direction_z, direction_b, fraction, state.step + 1)
