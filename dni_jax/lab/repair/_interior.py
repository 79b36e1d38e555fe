"""The linear program of a repair by interior points (Mehrotra 1992), made for its form: bounds on ``y`` and ``X' y``.

The dual of ``min ||g||_1 + cost ||X g - r||_1`` is ``max r y`` with ``|X' y| <= 1`` and ``|y| <= cost``. ``y = 0``
lies within, and the multipliers of the bounds are the parts of ``g`` and of the error above and below 0. A step solves
one positive definite system of as many unknowns as there are states, or two of as many as neurons where these are few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from dni_jax.lab.repair._programs import objective_of

_STEPS = 100
_CLOSE = 1e-9  # of the objective; the vertex next to it is exact
_NEAR = 1e-5  # likewise: good enough to look for the vertex
_PATIENCE = 5  # steps that bring it no nearer: rounding has taken over
_MANY = 2  # states a neuron
_SHY = 0.9995  # of the way to the bounds


class Problem(NamedTuple):
    """One class: states ``(T, N)``, what its scores lack ``(T,)``, and the price of a unit of error."""

    states: Float[np.ndarray, "T N"]
    wanted: Float[np.ndarray, " T"]
    cost: float


class Inside(NamedTuple):
    """A point near the optimum: what is left to each bound, and each bound's multiplier.

    Rows are the upper and the lower bound. ``of_neurons[0] - of_neurons[1]`` is g, ``of_states[0] - of_states[1]`` is
    ``r - X g``.
    """

    y: Float[np.ndarray, " T"]
    left_neurons: Float[np.ndarray, "2 N"]
    left_states: Float[np.ndarray, "2 T"]
    of_neurons: Float[np.ndarray, "2 N"]
    of_states: Float[np.ndarray, "2 T"]


_SIGN = np.array([[1.0], [-1.0]])
Solve = Callable[[Float[np.ndarray, " T"]], Float[np.ndarray, " T"]]


def approach(problem: Problem) -> Inside | None:
    """Go along the central path towards the optimum; None where rounding stops it far from there.

    States and wanted changes should be near 1 in magnitude.
    """
    point = _start(problem)
    n_bounds = 2 * sum(problem.states.shape)
    best, least, since = point, np.inf, 0
    for _ in range(_STEPS):
        apart, gap = _apart(problem, point), _product(point)
        since = 0 if apart < 0.9 * least else since + 1
        if apart < least:
            best, least = point, apart
        if least <= _CLOSE * max(abs(float(problem.wanted @ point.y)), 1e-300):
            return best
        if since == _PATIENCE:
            break
        try:
            solve = _newton(problem.states, point)
        except LinAlgError:
            break
        centre = gap / n_bounds
        try_first = _direction(problem, point, solve, 0.0, None)
        after = _product(_moved(point, try_first, 1.0)) / n_bounds
        goal = centre * min((after / centre) ** 3, 1.0)
        step = _direction(problem, point, solve, goal, try_first)
        if not all(np.isfinite(part).all() for part in step):
            break
        point = _moved(point, step, _SHY)
    return best if least <= _NEAR * abs(float(problem.wanted @ best.y)) else None


def _start(problem: Problem) -> Inside:
    n_states, n_neurons = problem.states.shape
    typical = float(np.abs(problem.wanted).mean())
    parts = np.maximum(_SIGN * problem.wanted, 0) + typical / max(problem.cost, 1.0)
    return Inside(
        np.zeros(n_states),
        np.ones((2, n_neurons)),
        np.full((2, n_states), problem.cost),
        np.full((2, n_neurons), typical),
        parts,
    )


def _apart(problem: Problem, point: Inside) -> float:
    """Give by how much the objective is above the dual's, whatever rounding has done to the multipliers."""
    change = point.of_neurons[0] - point.of_neurons[1]
    return objective_of(*problem, change) - float(problem.wanted @ point.y)


def _product(point: Inside) -> float:
    """Give the sum of what is left times its multiplier: how far apart primal and dual are."""
    return float(np.vdot(point.left_neurons, point.of_neurons) + np.vdot(point.left_states, point.of_states))


class _Step(NamedTuple):
    """A change of an `Inside`; ``along`` is ``X' y``."""

    y: Float[np.ndarray, " T"]
    along: Float[np.ndarray, " N"]
    of_neurons: Float[np.ndarray, "2 N"]
    of_states: Float[np.ndarray, "2 T"]


def _newton(states: Float[np.ndarray, "T N"], point: Inside) -> Solve:
    """Factor ``M = X D X' + E``; give a function that solves ``M y = right``.

    Where states are many, those whose E is large are eliminated first, in a system of N neurons; to eliminate those
    whose E vanishes would be a difference of large numbers.
    """
    by_neuron = (point.of_neurons / point.left_neurons).sum(axis=0)
    by_state = (point.of_states / point.left_states).sum(axis=0)
    n_states, n_neurons = states.shape
    if n_states <= _MANY * n_neurons:
        scaled = states * np.sqrt(by_neuron)
        factor = _factor(scaled @ scaled.T, by_state)
        return lambda right: cho_solve(factor, right, check_finite=False)
    kept = np.argpartition(by_state, n_neurons)[:n_neurons]
    gone = np.setdiff1d(np.arange(n_states), kept, assume_unique=True)
    scaled = states[gone] / np.sqrt(by_state[gone])[:, None]
    inner = _factor(scaled.T @ scaled, 1 / by_neuron)
    half = solve_triangular(inner[0], states[kept].T, lower=True, check_finite=False)
    outer = _factor(half.T @ half, by_state[kept])

    def solve(right: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
        first = states[gone].T @ (right[gone] / by_state[gone])
        y = np.empty(n_states)
        behind = states[kept] @ cho_solve(inner, first, check_finite=False)
        y[kept] = cho_solve(outer, right[kept] - behind, check_finite=False)
        along = cho_solve(inner, states[kept].T @ y[kept] + first, check_finite=False)
        y[gone] = (right[gone] - states[gone] @ along) / by_state[gone]
        return y

    return solve


def _factor(square: Float[np.ndarray, "M M"], diagonal: Float[np.ndarray, " M"]) -> tuple[np.ndarray, bool]:
    """Factor a matrix with something added to its diagonal; writes over it."""
    square[np.diag_indices_from(square)] += diagonal
    factor, _ = cho_factor(square, lower=True, overwrite_a=True, check_finite=False)
    return factor, True  # SciPy 1.18 returns the flag as a 0-d array, earlier versions as a bool


def _direction(problem: Problem, point: Inside, solve: Solve, goal: float, before: _Step | None) -> _Step:
    """Newton's step to products equal to `goal`, with a second-order term from the step tried before."""
    want_neurons = goal - point.left_neurons * point.of_neurons
    want_states = goal - point.left_states * point.of_states
    if before is not None:
        want_neurons += _SIGN * before.along * before.of_neurons
        want_states += _SIGN * before.y * before.of_states
    push_neurons, push_states = want_neurons / point.left_neurons, want_states / point.left_states
    states = problem.states
    off = (
        problem.wanted
        - states @ (point.of_neurons[0] - point.of_neurons[1])
        - (point.of_states[0] - point.of_states[1])
    )
    y = solve(off - states @ (push_neurons[0] - push_neurons[1]) - (push_states[0] - push_states[1]))
    along = states.T @ y
    return _Step(
        y,
        along,
        push_neurons + point.of_neurons / point.left_neurons * (_SIGN * along),
        push_states + point.of_states / point.left_states * (_SIGN * y),
    )


def _moved(point: Inside, step: _Step, share: float) -> Inside:
    """Go along a step, `share` of the way to the first bound at most."""
    lefts, of = (point.left_neurons, point.left_states), (point.of_neurons, point.of_states)
    far = min(
        1.0, share * min(_room(left, -_SIGN * change) for left, change in zip(lefts, (step.along, step.y), strict=True))
    )
    high = min(1.0, share * min(_room(part, change) for part, change in zip(of, step[2:], strict=True)))
    y = point.y + far * step.y
    return Inside(
        y,
        point.left_neurons - far * _SIGN * step.along,
        point.left_states - far * _SIGN * step.y,
        point.of_neurons + high * step.of_neurons,
        point.of_states + high * step.of_states,
    )


def _room(values: Float[np.ndarray, "2 M"], change: Float[np.ndarray, "2 M"]) -> float:
    """How many times the change fits before a value is 0."""
    falling = change < 0
    return float(np.min(values[falling] / -change[falling], initial=np.inf))
