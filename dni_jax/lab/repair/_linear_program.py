"""The linear program of a repair, for one class: its objective, its optimality gap, and solutions by libraries.

With g the change of the class's weights, X the states and r the correction that its scores need, the program is
``min ||g||_1 + cost ||X g - r||_1``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.optimize import linprog

_UNSOLVED = (
    "the repair's linear program was not solved ({}): scale the states to magnitudes near 1, or take another solver"
)


class Solution(NamedTuple):
    """The change of one class's weights ``(N,)``, and multipliers ``(T,)`` that bound what any change can reach."""

    change: Float[np.ndarray, " N"]
    multipliers: Float[np.ndarray, " T"]


Solver = Callable[[Float[np.ndarray, "T N"], Float[np.ndarray, " T"], float], Solution]


class InfeasibleError(ValueError):
    """No change reaches all required scores."""


def objective(
    states: Float[np.ndarray, "T N"], correction: Float[np.ndarray, " T"], cost: float, change: Float[np.ndarray, " N"]
) -> float:
    """Compute the program's objective; for an infinite cost the change's norm alone."""
    errors = 0.0 if np.isinf(cost) else cost * np.abs(states @ change - correction).sum()
    return float(np.abs(change).sum() + errors)


def duality_gap(
    states: Float[np.ndarray, "T N"], correction: Float[np.ndarray, " T"], cost: float, solution: Solution
) -> float:
    """Compute an upper bound on the distance of the change's objective from the minimum.

    The dual program is ``max r y`` subject to ``|X' y| <= 1`` and ``|y| <= cost``. By weak duality ``r y`` of any
    feasible y is at most the minimum, so any multipliers prove a bound once they are scaled down to be feasible.
    """
    y = solution.multipliers
    excess = max(np.abs(y @ states).max(), np.abs(y).max() / cost, 1.0)
    return objective(states, correction, cost, solution.change) - float(correction @ y) / excess


def solve_one_state(
    state: Float[np.ndarray, " N"], corrections: Float[np.ndarray, " C"], cost: float
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, "C 1"]]:
    """Solve the program of one state for each class, in closed form; return the changes and their multipliers.

    A unit of score costs ``1 / |x_j|`` by weight j, so the weight of the largest ``|x_j|`` (the first of equals) makes
    the whole correction. If ``cost |x_j| <= 1``, the error is cheaper and nothing changes.
    """
    change = np.zeros((len(corrections), len(state)))
    best = int(np.argmax(np.abs(state)))
    largest = abs(state[best])
    if largest > 0 and cost * largest > 1:
        change[:, best] = corrections / state[best]
        price = 1 / largest
    else:
        price = cost if np.isfinite(cost) else 0.0
    return change, np.sign(corrections)[:, None] * price


def solve_highs(states: Float[np.ndarray, "T N"], correction: Float[np.ndarray, " T"], cost: float) -> Solution:
    """Solve with SciPy's HiGHS (dual simplex): ``X (g+ - g-) + e+ - e- = r``, all variables 0 or more.

    An infinite cost leaves out the errors ``e``; a program without a solution then raises an `InfeasibleError`.
    """
    n_states, n_neurons = states.shape
    prices = [np.ones(2 * n_neurons), np.full(2 * n_states if np.isfinite(cost) else 0, cost)]
    rows = equality_matrix(states, errors=bool(np.isfinite(cost)))
    found = linprog(np.concatenate(prices), A_eq=rows, b_eq=correction, method="highs-ds")
    if found.status == 2:
        raise InfeasibleError
    if found.status:
        raise ValueError(_UNSOLVED.format(found.message))
    change = found.x[:n_neurons] - found.x[n_neurons : 2 * n_neurons]
    return Solution(change, np.asarray(found.eqlin.marginals))


def solve_clarabel(states: Float[np.ndarray, "T N"], correction: Float[np.ndarray, " T"], cost: float) -> Solution:
    """Solve with Clarabel's interior-point method; the change is close to an optimal one, not exactly sparse."""
    clarabel = import_clarabel()
    n_states, n_neurons = states.shape
    prices = np.concatenate([np.ones(2 * n_neurons), np.full(2 * n_states if np.isfinite(cost) else 0, cost)])
    count = len(prices)
    equality = equality_matrix(states, errors=bool(np.isfinite(cost)))
    rows = sparse.csc_matrix(sparse.vstack([equality, -sparse.eye_array(count)]))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.ZeroConeT(n_states), clarabel.NonnegativeConeT(count)]
    bounds = np.concatenate([correction, np.zeros(count)])
    solver = clarabel.DefaultSolver(sparse.csc_matrix((count, count)), prices, rows, bounds, cones, settings)
    found = solver.solve()
    status = str(found.status)
    if "PrimalInfeasible" in status:
        raise InfeasibleError
    if status not in ("Solved", "AlmostSolved"):
        raise ValueError(_UNSOLVED.format(status))
    x = np.asarray(found.x)
    return Solution(x[:n_neurons] - x[n_neurons : 2 * n_neurons], -np.asarray(found.z)[:n_states])


def solve_one_sided(
    states: Float[np.ndarray, "T N"],
    correction: Float[np.ndarray, " T"],
    cost_above: Float[np.ndarray, " T"],
    cost_below: Float[np.ndarray, " T"],
) -> Solution:
    """Minimize ``||g||_1 + sum_t cost_above_t max(0, x_t g - r_t) + cost_below_t max(0, r_t - x_t g)`` with HiGHS.

    Equal costs on both sides give the program of `dni_jax.repair_head`. With a cost of 0 below, a state's score may
    fall freely.

    Parameters
    ----------
    states
        The T states.
    correction
        What to add to their scores.
    cost_above, cost_below
        The cost of a unit of score above, and below, the corrected one; 0 or more. Infinite: it may not be there.

    Returns
    -------
    The change ``(N,)``, and multipliers y ``(T,)``. For any y with ``|X' y| <= 1`` and ``-cost_above <= y <=
    cost_below``, no change costs less than ``r y``; the multipliers returned reach the cost of the change.

    Raises
    ------
    InfeasibleError
        If infinite costs contradict each other.
    ValueError
        If the program is not solved.

    Examples
    --------
    >>> states, correction = np.array([[1.0, 0.5], [1.0, -0.5]]), np.array([-1.0, 0.0])
    >>> above = np.array([9.0, 9.0])
    >>> solve_one_sided(states, correction, above, np.array([0.0, 0.0])).change.tolist()  # the second score may fall
    [-1.0, 0.0]
    >>> solve_one_sided(states, correction, above, np.array([0.0, 9.0])).change.tolist()  # it may not
    [-0.5, -1.0]
    """
    n_states, n_neurons = states.shape
    prices = np.concatenate([np.ones(2 * n_neurons), cost_above, cost_below])
    rows = np.hstack([states, -states, -np.eye(n_states), np.eye(n_states)])
    most = np.where(np.isfinite(prices), np.inf, 0.0)
    bounds = np.stack([np.zeros(len(prices)), most], axis=1)
    finite = np.where(np.isfinite(prices), prices, 0.0)
    found = linprog(finite, A_eq=rows, b_eq=correction, bounds=bounds, method="highs-ds")
    if found.status == 2:
        raise InfeasibleError
    if found.status:
        raise ValueError(
            f"the repair's linear program was not solved ({found.message}): take fewer states, or a lower cost"
        )
    return Solution(found.x[:n_neurons] - found.x[n_neurons : 2 * n_neurons], np.asarray(found.eqlin.marginals))


def equality_matrix(states: Float[np.ndarray, "T N"], errors: bool) -> Any:
    """Return ``[X, -X, I, -I]``, or only the first two; sparse, since a dense identity would fill the memory."""
    identity = sparse.eye_array(len(states), format="csc")
    x = sparse.csc_array(states)
    return sparse.hstack([x, -x, identity, -identity] if errors else [x, -x], format="csc")


def import_clarabel() -> Any:
    """Import the optional package.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    try:
        import clarabel
    except ImportError as error:
        raise ValueError(
            "expected the package clarabel for solver='clarabel', got none: pip install 'dni-jax[repair]', or use "
            "solver='auto', which needs no further package"
        ) from error
    return clarabel
