"""Mehrotra's predictor-corrector interior-point method (1992), specialized to the linear program of a repair.

The dual of ``min ||g||_1 + cost ||X g - r||_1`` is ``max r y`` with ``|X' y| <= 1`` and ``|y| <= cost``. It has two
advantages: ``y = 0`` is strictly feasible, and the multipliers of its bounds are the primal variables, the positive and
negative parts of g and of the error. A step solves one positive definite system with as many unknowns as states, or two
with as many as neurons where these are fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from dni_jax.lab.repair._linear_program import objective

_MAX_STEPS = 100
_TOLERANCE = 1e-9  # of the objective; the crossover then finds the exact vertex
_USABLE = 1e-5  # of the objective: close enough to look for the vertex
_PATIENCE = 5  # steps without progress: rounding errors dominate
_STATES_PER_NEURON = 2  # above this, eliminate states
_STEP_FRACTION = 0.9995  # of the way to the nearest bound

_SIGN = np.array([[1.0], [-1.0]])  # of the upper and the lower bound
Solve = Callable[[Float[np.ndarray, " T"]], Float[np.ndarray, " T"]]


class Problem(NamedTuple):
    """The program of one class: states ``(T, N)``, the correction of its scores ``(T,)``, and the cost of an error."""

    states: Float[np.ndarray, "T N"]
    correction: Float[np.ndarray, " T"]
    cost: float


class InteriorPoint(NamedTuple):
    """A strictly feasible y, with the slack of each bound and its multiplier.

    Rows are the upper and the lower bounds. ``neuron_multipliers[0] - neuron_multipliers[1]`` is g, and
    ``state_multipliers[0] - state_multipliers[1]`` is ``r - X g``.
    """

    y: Float[np.ndarray, " T"]
    neuron_slack: Float[np.ndarray, "2 N"]
    state_slack: Float[np.ndarray, "2 T"]
    neuron_multipliers: Float[np.ndarray, "2 N"]
    state_multipliers: Float[np.ndarray, "2 T"]


class _Step(NamedTuple):
    """A change of an `InteriorPoint`; ``xy`` is the change of ``X' y``."""

    y: Float[np.ndarray, " T"]
    xy: Float[np.ndarray, " N"]
    neuron_multipliers: Float[np.ndarray, "2 N"]
    state_multipliers: Float[np.ndarray, "2 T"]


def follow_central_path(problem: Problem) -> InteriorPoint | None:
    """Follow the central path to the optimum; None if rounding stops the iteration far from it.

    States and corrections should be near 1 in magnitude.
    """
    point = _init(problem)
    n_bounds = 2 * sum(problem.states.shape)
    best, smallest, stalled = point, np.inf, 0
    for _ in range(_MAX_STEPS):
        gap = _primal_dual_gap(problem, point)
        stalled = 0 if gap < 0.9 * smallest else stalled + 1
        if gap < smallest:
            best, smallest = point, gap
        if smallest <= _TOLERANCE * max(abs(float(problem.correction @ point.y)), 1e-300):
            return best
        if stalled == _PATIENCE:
            break
        try:
            solve = _factor_newton_system(problem.states, point)
        except LinAlgError:
            break
        # Predictor: a step straight to the optimum shows how far the products can fall. Corrector: if they can fall
        # a lot, aim close to 0 (the cube of the ratio), else recenter.
        mean = _complementarity(point) / n_bounds
        predictor = _newton_step(problem, point, solve, 0.0, None)
        predicted = _complementarity(_take_step(point, predictor, 1.0)) / n_bounds
        target = mean * min((predicted / mean) ** 3, 1.0)
        step = _newton_step(problem, point, solve, target, predictor)
        if not all(np.isfinite(part).all() for part in step):
            break
        point = _take_step(point, step, _STEP_FRACTION)
    return best if smallest <= _USABLE * abs(float(problem.correction @ best.y)) else None


def _init(problem: Problem) -> InteriorPoint:
    n_states, n_neurons = problem.states.shape
    typical = float(np.abs(problem.correction).mean())
    return InteriorPoint(
        y=np.zeros(n_states),
        neuron_slack=np.ones((2, n_neurons)),
        state_slack=np.full((2, n_states), problem.cost),
        neuron_multipliers=np.full((2, n_neurons), typical),
        state_multipliers=np.maximum(_SIGN * problem.correction, 0) + typical / max(problem.cost, 1.0),
    )


def _primal_dual_gap(problem: Problem, point: InteriorPoint) -> float:
    """Compute the primal objective of g minus the dual objective of y, whatever rounding did to the multipliers."""
    change = point.neuron_multipliers[0] - point.neuron_multipliers[1]
    return objective(*problem, change) - float(problem.correction @ point.y)


def _complementarity(point: InteriorPoint) -> float:
    """Compute the sum of slack times multiplier, which is 0 at the optimum."""
    by_neuron = np.vdot(point.neuron_slack, point.neuron_multipliers)
    return float(by_neuron + np.vdot(point.state_slack, point.state_multipliers))


def _factor_newton_system(states: Float[np.ndarray, "T N"], point: InteriorPoint) -> Solve:
    """Factor ``M = X D X' + E`` and return a function that solves ``M y = right``.

    With many states, those with a large E are eliminated first (the Woodbury identity), which leaves systems of N
    unknowns. States with a vanishing E must stay: eliminating them would subtract large, nearly equal numbers.
    """
    d = (point.neuron_multipliers / point.neuron_slack).sum(axis=0)
    e = (point.state_multipliers / point.state_slack).sum(axis=0)
    n_states, n_neurons = states.shape
    if n_states <= _STATES_PER_NEURON * n_neurons:
        scaled = states * np.sqrt(d)
        factor = _factor_with_diagonal(scaled @ scaled.T, e)
        return lambda right: cho_solve(factor, right, check_finite=False)
    kept = np.argpartition(e, n_neurons)[:n_neurons]
    eliminated = np.setdiff1d(np.arange(n_states), kept, assume_unique=True)
    scaled = states[eliminated] / np.sqrt(e[eliminated])[:, None]
    inner = _factor_with_diagonal(scaled.T @ scaled, 1 / d)
    half = solve_triangular(inner[0], states[kept].T, lower=True, check_finite=False)
    outer = _factor_with_diagonal(half.T @ half, e[kept])

    def solve(right: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
        reduced = states[eliminated].T @ (right[eliminated] / e[eliminated])
        y = np.empty(n_states)
        shift = states[kept] @ cho_solve(inner, reduced, check_finite=False)
        y[kept] = cho_solve(outer, right[kept] - shift, check_finite=False)
        xy = cho_solve(inner, states[kept].T @ y[kept] + reduced, check_finite=False)
        y[eliminated] = (right[eliminated] - states[eliminated] @ xy) / e[eliminated]
        return y

    return solve


def _factor_with_diagonal(
    square: Float[np.ndarray, "M M"], diagonal: Float[np.ndarray, " M"]
) -> tuple[np.ndarray, bool]:
    """Factor a matrix plus a diagonal one, in place."""
    square[np.diag_indices_from(square)] += diagonal
    factor, lower = cho_factor(square, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(factor), bool(lower)


def _newton_step(problem: Problem, point: InteriorPoint, solve: Solve, target: float, predictor: _Step | None) -> _Step:
    """Return Newton's step toward products of slack and multiplier that all equal `target`.

    Linearizing a product of slack and multiplier drops the product of their changes. The predictor step estimates it,
    and the corrector subtracts it: this second-order correction saves steps and needs no new factorization.
    """
    neuron_residual = target - point.neuron_slack * point.neuron_multipliers
    state_residual = target - point.state_slack * point.state_multipliers
    if predictor is not None:
        neuron_residual += _SIGN * predictor.xy * predictor.neuron_multipliers
        state_residual += _SIGN * predictor.y * predictor.state_multipliers
    neuron_push, state_push = neuron_residual / point.neuron_slack, state_residual / point.state_slack
    states = problem.states
    infeasibility = (
        problem.correction
        - states @ (point.neuron_multipliers[0] - point.neuron_multipliers[1])
        - (point.state_multipliers[0] - point.state_multipliers[1])
    )
    y = solve(infeasibility - states @ (neuron_push[0] - neuron_push[1]) - (state_push[0] - state_push[1]))
    xy = states.T @ y
    return _Step(
        y,
        xy,
        neuron_push + point.neuron_multipliers / point.neuron_slack * (_SIGN * xy),
        state_push + point.state_multipliers / point.state_slack * (_SIGN * y),
    )


def _take_step(point: InteriorPoint, step: _Step, fraction: float) -> InteriorPoint:
    """Move along a step, at most `fraction` of the way to the nearest bound, for y and the multipliers separately."""
    slack_step = min(
        _max_step(point.neuron_slack, -_SIGN * step.xy),
        _max_step(point.state_slack, -_SIGN * step.y),
    )
    multiplier_step = min(
        _max_step(point.neuron_multipliers, step.neuron_multipliers),
        _max_step(point.state_multipliers, step.state_multipliers),
    )
    dual, primal = min(1.0, fraction * slack_step), min(1.0, fraction * multiplier_step)
    return InteriorPoint(
        point.y + dual * step.y,
        point.neuron_slack - dual * _SIGN * step.xy,
        point.state_slack - dual * _SIGN * step.y,
        point.neuron_multipliers + primal * step.neuron_multipliers,
        point.state_multipliers + primal * step.state_multipliers,
    )


def _max_step(values: Float[np.ndarray, "2 M"], change: Float[np.ndarray, "2 M"]) -> float:
    """Return the largest multiple of the change that keeps all values at 0 or more."""
    falling = change < 0
    return float(np.min(values[falling] / -change[falling], initial=np.inf))
