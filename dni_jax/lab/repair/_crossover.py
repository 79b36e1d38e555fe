"""Crossover: from a point near the optimum to an optimal vertex, where most weights change by exactly 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog

from dni_jax.lab.repair._interior_point import InteriorPoint, Problem, follow_central_path
from dni_jax.lab.repair._linear_program import Solution, duality_gap, equality_matrix, solve_highs

_RELATIVE_GAP = 1e-9  # proven distance from the optimum: what float64 reaches on states of some hundred neurons
_PENALTY = 1e3  # stands for an infinite cost, with states scaled to 1
# Thresholds of the restricted program, then looser ones: the slack below which a weight may change, and above which a
# state's error keeps its sign.
_ROUNDS = ((1e-3, 1e-4), (1e-1, 0.0))


def solve_interior(states: Float[np.ndarray, "T N"], correction: Float[np.ndarray, " T"], cost: float) -> Solution:
    """Solve by interior points, then exactly at a vertex, and prove it optimal by its dual.

    The vertex comes from a square system, or from a small linear program. If neither is proven optimal, HiGHS solves
    the whole program. An infinite cost is first replaced by a large one: where all corrections are then met, the result
    is that of the infinite cost (an exact penalty).
    """
    size, length = np.abs(states).max(), np.abs(correction).max()
    if size == 0 or length == 0:
        return solve_highs(states, correction, cost)
    rows, scaled, price = states / size, correction / length, cost * size  # the same problem with numbers near 1
    problem = Problem(rows, scaled, price if np.isfinite(price) else _PENALTY)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # steps that are not finite are not taken
        point = follow_central_path(problem)
    found = None if point is None else _cross_over(problem, point)
    if found is None or (np.isinf(price) and np.abs(rows @ found.change - scaled).max() > _RELATIVE_GAP):
        found = solve_highs(rows, scaled, price)
    return Solution(found.change * (length / size), found.multipliers / size)


def _cross_over(problem: Problem, point: InteriorPoint) -> Solution | None:
    """Return the first candidate that is proven optimal, the cheapest one first."""
    found = _if_optimal(problem, point, _solve_square(problem, point))
    for changing, fixed_error in _ROUNDS:
        if found is not None:
            return found
        columns = point.neuron_slack.min(axis=0) < changing
        slack = point.state_slack.min(axis=0) / problem.cost
        error = np.abs(point.state_multipliers[0] - point.state_multipliers[1])
        fixed = (slack < fixed_error) & (error > fixed_error)
        found = _if_optimal(problem, point, _solve_restricted(problem, point, columns, fixed))
    return found


def _if_optimal(problem: Problem, point: InteriorPoint, found: Solution | None) -> Solution | None:
    """Return the candidate if its duality gap closes, with its own multipliers or those of the interior point.

    Of several optimal vertices the candidate may be one whose own multipliers are not feasible; the interior point lies
    between them all, so its y proves each of them.
    """
    if found is None:
        return None
    tolerance = _RELATIVE_GAP * float(problem.correction @ point.y)
    candidates = (found, Solution(found.change, point.y))
    return next((one for one in candidates if duality_gap(*problem, one) <= tolerance), None)


def _solve_square(problem: Problem, point: InteriorPoint) -> Solution | None:
    """Solve for the weights that change, from the scores that are met exactly.

    At a vertex without ties there are as many of the ones as of the others, so the system is square. Its transpose
    yields the multipliers of the states that are met; all other states have a multiplier of plus or minus the cost.
    """
    states, correction, cost = problem
    active = (point.neuron_multipliers > point.neuron_slack).any(axis=0)
    met = (point.state_multipliers < point.state_slack).all(axis=0)
    if active.sum() != met.sum():
        return None
    change = np.zeros(states.shape[1])
    multipliers = cost * np.sign(point.y)
    if active.any():
        square = states[np.ix_(met, active)]
        sign = np.sign(point.neuron_multipliers[0] - point.neuron_multipliers[1])[active]
        try:
            change[active] = _solve_refined(square, correction[met])
            right = sign - multipliers[~met] @ states[np.ix_(~met, active)]
            multipliers[met] = _solve_refined(square.T, right)
        except np.linalg.LinAlgError:
            return None
    return Solution(change, multipliers)


def _solve_refined(square: Float[np.ndarray, "M M"], right: Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """Solve a linear system, with one step of iterative refinement."""
    first = np.linalg.solve(square, right)
    return first + np.linalg.solve(square, right - square @ first)


def _solve_restricted(
    problem: Problem, point: InteriorPoint, columns: Bool[np.ndarray, " N"], fixed: Bool[np.ndarray, " T"]
) -> Solution | None:
    """Solve for some weights only; the errors of fixed states keep their sign, which makes their cost linear."""
    states, correction, cost = problem
    sign = np.sign(point.y)
    x, free = states[:, columns], ~fixed
    saving = cost * (sign[fixed] @ x[fixed])
    prices = np.concatenate([1 - saving, 1 + saving, np.full(2 * free.sum(), cost)])
    found = linprog(prices, A_eq=equality_matrix(x[free], errors=True), b_eq=correction[free], method="highs-ds")
    if found.status:
        return None
    count = int(columns.sum())
    change, multipliers = np.zeros(states.shape[1]), cost * sign
    change[columns] = found.x[:count] - found.x[count : 2 * count]
    multipliers[free] = found.eqlin.marginals
    return Solution(change, multipliers)
