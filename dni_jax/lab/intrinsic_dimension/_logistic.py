"""Logistic regression on the first d columns of a matrix, for several d and many labels at once."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import solve_triangular

_MOST_STEPS, _TOLERANCE = 200, 1e-4
_ROUNDING = 1e-6  # a loss that grew by no more than this share did not grow


class Whitened(NamedTuple):
    """A matrix X times an upper triangular one, A, that makes its columns uncorrelated and of variance 1.

    Its first d columns span what the first d of X do, for every d at once.

    Attributes
    ----------
    columns
        float32 ``(T, N)``: X A, less the mean of the training positions.
    penalty
        float32 ``(N, N)``: ``A'A``, so that weights z on these columns are ``A z`` on X, of squared length
        ``z' penalty z``; the same holds of the first d.
    """

    columns: Float[np.ndarray, "T N"]
    penalty: Float[np.ndarray, "N N"]


def whiten(x: Float[np.ndarray, "T N"], train: Bool[np.ndarray, " T"]) -> Whitened:
    """Whiten the columns of a matrix one after the other (Gram and Schmidt's way), by its training rows."""
    centred = np.asarray(x, np.float64) - x[train].mean(0, dtype=np.float64)
    gram = centred[train].T @ centred[train] / train.sum()
    jitter = 1e-9 * max(np.trace(gram) / len(gram), 1e-300)  # of columns that repeat others nothing is left
    lower = np.linalg.cholesky(gram + jitter * np.eye(len(gram)))
    columns = solve_triangular(lower, centred.T, lower=True).T
    upper = solve_triangular(lower, np.eye(len(lower)), lower=True).T
    return Whitened(columns.astype(np.float32), (upper.T @ upper).astype(np.float32))


class _State(NamedTuple):
    z: Float[Array, "M N F"]
    b: Float[Array, "M F"]
    logits: Float[Array, "M T F"]
    value: Float[Array, "M F"]
    slope_z: Float[Array, "M N F"]
    slope_b: Float[Array, "M F"]
    way_z: Float[Array, "M N F"]
    way_b: Float[Array, "M F"]
    trust: Float[Array, "M F"]
    step: Array


@partial(jax.jit, static_argnames="dims")
def fit_logistic(
    columns: Float[Array, "T N"],
    penalty: Float[Array, "N N"],
    labels: Float[Array, "T F"],
    costs: Float[Array, "2 F"],
    dims: tuple[int, ...],
) -> tuple[Float[Array, "M N F"], Float[Array, "M F"], Bool[Array, "M F"]]:
    """Minimise ``|w|^2 / 2 + sum(cost * log(1 + exp(-y (x w + b))))`` on the first d columns, for each d and feature.

    By conjugate gradients on whitened columns (Polak and Ribiere's direction, started again where it does not descend),
    with a Newton step along each direction, halved until it descends.

    Parameters
    ----------
    columns, penalty
        See `Whitened`; training rows only.
    labels
        0 or 1.
    costs
        Of an error on a 0 and on a 1, for each feature.
    dims
        Rising, the M numbers of columns.

    Returns
    -------
    Weights on the whitened columns, 0 beyond the first d; biases; and which fits were stopped short of a mean slope of
    1e-4, after 200 steps.
    """
    problem = _Problem.of(columns, penalty, labels, costs, dims)
    n_dims, n_features = len(dims), labels.shape[1]
    z = jnp.zeros((n_dims, columns.shape[1], n_features))
    b = jnp.broadcast_to(jnp.log(problem.odds), (n_dims, n_features))
    logits = jnp.broadcast_to(b[:, None], (n_dims, *labels.shape))
    value, slope_z, slope_b = problem.at(z, logits)
    start = _State(z, b, logits, value, slope_z, slope_b, -slope_z, -slope_b, jnp.ones_like(b), jnp.int32(0))

    def unfinished(state: _State) -> Array:
        return (state.step < _MOST_STEPS) & ~problem.flat(state).all()

    ended = jax.lax.while_loop(unfinished, problem.advance, start)
    return ended.z, ended.b, ~problem.flat(ended)


class _Problem(NamedTuple):
    """What stays the same from step to step; all sums are divided by the sum of the costs."""

    columns: Array
    penalty: Array
    labels: Array
    cost: Array
    total: Array
    odds: Array
    inside: Array
    dims: tuple[int, ...]

    @classmethod
    def of(cls, columns: Array, penalty: Array, labels: Array, costs: Array, dims: tuple[int, ...]) -> _Problem:
        cost = jnp.where(labels > 0, costs[1], costs[0])
        total, positive = cost.sum(0), (cost * labels).sum(0)
        inside = jnp.arange(columns.shape[1])[:, None] < jnp.asarray(dims)[:, None, None]
        odds = jnp.maximum(positive, 1e-30) / jnp.maximum(total - positive, 1e-30)
        return cls(columns, penalty, labels, cost / total, total, odds, inside, dims)

    def times(self, z: Array, b: Array) -> Float[Array, "M T F"]:
        """Multiply each dimension's weights by its columns."""
        return jnp.stack([self.columns[:, :d] @ z[number, :d] + b[number] for number, d in enumerate(self.dims)])

    def back(self, values: Float[Array, "M T F"]) -> Float[Array, "M N F"]:
        """Sum values over rows by each dimension's columns."""
        n = self.columns.shape[1]
        parts = [self.columns[:, :d].T @ values[number] for number, d in enumerate(self.dims)]
        return jnp.stack([jnp.pad(part, ((0, n - len(part)), (0, 0))) for part in parts])

    def shrink(self, z: Array) -> Float[Array, "M N F"]:
        """The slope of half the squared length of the weights on the columns as they were before whitening."""
        return jnp.where(self.inside, jnp.einsum("nk,mkf->mnf", self.penalty, z), 0.0) / self.total

    def at(self, z: Array, logits: Array) -> tuple[Array, Array, Array]:
        """Value and slopes."""
        shrunk = self.shrink(z)
        losses = jax.nn.softplus(jnp.where(self.labels > 0, -logits, logits))
        value = (self.cost * losses).sum(1) + 0.5 * (z * shrunk).sum(1)
        residual = self.cost * (jax.nn.sigmoid(logits) - self.labels)
        return value, self.back(residual) + shrunk, residual.sum(1)

    def flat(self, state: _State) -> Bool[Array, "M F"]:
        """Whether a fit has ended."""
        return jnp.maximum(jnp.abs(state.slope_z).max(1), jnp.abs(state.slope_b)) <= _TOLERANCE

    def advance(self, state: _State) -> _State:
        """Take a Newton step along each way, where it descends, and choose the next ways."""
        along = self.times(state.way_z, state.way_b)
        chance = jax.nn.sigmoid(state.logits)
        curve = (self.cost * chance * (1 - chance) * along * along).sum(1)
        curve = curve + (state.way_z * self.shrink(state.way_z)).sum(1)
        slope = (state.way_z * state.slope_z).sum(1) + state.way_b * state.slope_b
        size = jnp.where(curve > 0, -state.trust * slope / jnp.where(curve > 0, curve, 1.0), 0.0)
        z, b = state.z + size[:, None] * state.way_z, state.b + size * state.way_b
        logits = state.logits + size[:, None] * along
        value, slope_z, slope_b = self.at(z, logits)
        better = (value <= state.value * (1 + _ROUNDING)) & ~self.flat(state)

        def kept(new: Array, old: Array) -> Array:
            return jnp.where(better if new.ndim == 2 else better[:, None], new, old)

        z, b, logits, value = kept(z, state.z), kept(b, state.b), kept(logits, state.logits), kept(value, state.value)
        slope_z, slope_b = kept(slope_z, state.slope_z), kept(slope_b, state.slope_b)
        before = (state.slope_z**2).sum(1) + state.slope_b**2
        change = (slope_z * (slope_z - state.slope_z)).sum(1) + slope_b * (slope_b - state.slope_b)
        push = jnp.maximum(change / jnp.maximum(before, 1e-30), 0.0)
        way_z, way_b = push[:, None] * state.way_z - slope_z, push * state.way_b - slope_b
        down = (way_z * slope_z).sum(1) + way_b * slope_b < 0
        way_z, way_b = jnp.where(down[:, None], way_z, -slope_z), jnp.where(down, way_b, -slope_b)
        trust = jnp.where(better, 1.0, state.trust / 2)
        return _State(z, b, logits, value, slope_z, slope_b, way_z, way_b, trust, state.step + 1)
