"""From a point near the optimum to an optimal vertex, where most weights are unchanged exactly, and its proof."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog

from dni_jax.lab.repair._interior import Inside, Problem, approach
from dni_jax.lab.repair._programs import Solved, by_highs, gap_of, split

_PROVEN = 1e-9  # of the objective: as near as float64 gets on states of some hundred neurons
_PENALTY = 1e3  # in place of an infinite cost, states scaled to 1
_ROUNDS = ((1e-3, 1e-4), (1e-1, 0.0))  # which weights may change, which states' errors keep their sign; wider


def by_interior(states: Float[np.ndarray, "T N"], wanted: Float[np.ndarray, " T"], cost: float) -> Solved:
    """Solve by interior points, then exactly: a square system, or a small linear program, that the dual confirms.

    Where neither is confirmed, HiGHS solves the whole program. An infinite cost is first tried as a high one: where
    that meets all wanted changes, it has done what was demanded (an exact penalty).
    """
    size, length = np.abs(states).max(), np.abs(wanted).max()
    if size == 0 or length == 0:
        return by_highs(states, wanted, cost)
    rows, goal, price = states / size, wanted / length, cost * size  # the same problem with numbers near 1
    problem = Problem(rows, goal, price if np.isfinite(price) else _PENALTY)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # steps that are not finite are not taken
        point = approach(problem)
    found = None if point is None else _vertex(problem, point)
    if found is None or (np.isinf(price) and np.abs(rows @ found.change - goal).max() > _PROVEN):
        found = by_highs(rows, goal, price)
    return Solved(found.change * (length / size), found.multipliers / size)


def _vertex(problem: Problem, point: Inside) -> Solved | None:
    """Give the first candidate that is proven."""
    found = _proven(problem, point, _by_square(problem, point))
    for near, sure in _ROUNDS:
        if found is not None:
            return found
        columns = point.left_neurons.min(axis=0) < near
        slack, error = (
            point.left_states.min(axis=0) / problem.cost,
            np.abs(point.of_states[0] - point.of_states[1]),
        )
        fixed = (slack < sure) & (error > sure)
        found = _proven(problem, point, _by_program(problem, point, columns, fixed))
    return found


def _proven(problem: Problem, point: Inside, found: Solved | None) -> Solved | None:
    """Give the candidate if its own multipliers prove it, or those of the point inside (of ties only these may)."""
    if found is None:
        return None
    bar = _PROVEN * float(problem.wanted @ point.y)
    both = (found, Solved(found.change, point.y))
    return next((one for one in both if gap_of(*problem, one) <= bar), None)


def _by_square(problem: Problem, point: Inside) -> Solved | None:
    """The weights that change reach the scores that are met: as many of the ones as of the others, save for ties."""
    states, wanted, cost = problem
    active = (point.of_neurons > point.left_neurons).any(axis=0)
    met = (point.of_states < point.left_states).all(axis=0)
    if active.sum() != met.sum():
        return None
    change = np.zeros(states.shape[1])
    multipliers = cost * np.sign(point.y)
    if active.any():
        square = states[np.ix_(met, active)]
        sign = np.sign(point.of_neurons[0] - point.of_neurons[1])[active]
        try:
            change[active] = _solved(square, wanted[met])
            multipliers[met] = _solved(square.T, sign - multipliers[~met] @ states[np.ix_(~met, active)])
        except np.linalg.LinAlgError:
            return None
    return Solved(change, multipliers)


def _solved(square: Float[np.ndarray, "M M"], right: Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """Solve, with one refinement."""
    first = np.linalg.solve(square, right)
    return first + np.linalg.solve(square, right - square @ first)


def _by_program(
    problem: Problem, point: Inside, columns: Bool[np.ndarray, " N"], fixed: Bool[np.ndarray, " T"]
) -> Solved | None:
    """Solve for some weights; the errors of fixed states keep their sign, so that their price is linear."""
    states, wanted, cost = problem
    sign = np.sign(point.y)
    inside, free = states[:, columns], ~fixed
    pull = cost * (sign[fixed] @ inside[fixed])
    price = np.concatenate([1 - pull, 1 + pull, np.full(2 * free.sum(), cost)])
    found = linprog(price, A_eq=split(inside[free], errors=True), b_eq=wanted[free], method="highs-ds")
    if found.status:
        return None
    count = int(columns.sum())
    change, multipliers = np.zeros(states.shape[1]), cost * sign
    change[columns] = found.x[:count] - found.x[count : 2 * count]
    multipliers[free] = found.eqlin.marginals
    return Solved(change, multipliers)
