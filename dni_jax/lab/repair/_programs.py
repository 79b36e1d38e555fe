"""The linear program of a repair, solved by libraries: for one class, ``min ||g||_1 + cost ||X g - r||_1``."""

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


class Solved(NamedTuple):
    """One class: its change ``(N,)``, and multipliers ``(T,)`` that bound what any change could reach."""

    change: Float[np.ndarray, " N"]
    multipliers: Float[np.ndarray, " T"]


Solver = Callable[[Float[np.ndarray, "T N"], Float[np.ndarray, " T"], float], Solved]


def gap_of(states: Float[np.ndarray, "T N"], wanted: Float[np.ndarray, " T"], cost: float, found: Solved) -> float:
    """Give by how much at most the change's objective is above the least one.

    No objective is below ``r y`` for ``|X' y| <= 1`` and ``|y| <= cost``; the multipliers are scaled down to that.
    """
    excess = max(np.abs(found.multipliers @ states).max(), np.abs(found.multipliers).max() / cost, 1.0)
    return objective_of(states, wanted, cost, found.change) - float(wanted @ found.multipliers) / excess


def objective_of(
    states: Float[np.ndarray, "T N"], wanted: Float[np.ndarray, " T"], cost: float, change: Float[np.ndarray, " N"]
) -> float:
    """Give what is minimised; of an infinite cost the change's norm alone."""
    errors = 0.0 if np.isinf(cost) else cost * np.abs(states @ change - wanted).sum()
    return float(np.abs(change).sum() + errors)


def by_highs(states: Float[np.ndarray, "T N"], wanted: Float[np.ndarray, " T"], cost: float) -> Solved:
    """Solve by SciPy's HiGHS (dual simplex): ``X (g+ - g-) + e+ - e- = r``, all of them 0 or more.

    An infinite cost leaves the ``e`` out. Then a program without a solution is an `InfeasibleError`.
    """
    n_states, n_neurons = states.shape
    prices = [np.ones(2 * n_neurons), np.full(2 * n_states if np.isfinite(cost) else 0, cost)]
    rows = split(states, errors=bool(np.isfinite(cost)))
    found = linprog(np.concatenate(prices), A_eq=rows, b_eq=wanted, method="highs-ds")
    if found.status == 2:
        raise InfeasibleError
    if found.status:
        raise ValueError(_UNSOLVED.format(found.message))
    change = found.x[:n_neurons] - found.x[n_neurons : 2 * n_neurons]
    return Solved(change, np.asarray(found.eqlin.marginals))


def split(states: Float[np.ndarray, "T N"], errors: bool) -> Any:
    """Give ``[X, -X, I, -I]``, or the first two; sparse, because the identity of many states would fill the memory."""
    one = sparse.eye_array(len(states), format="csc")
    inside = sparse.csc_array(states)
    return sparse.hstack([inside, -inside, one, -one] if errors else [inside, -inside], format="csc")


def by_clarabel(states: Float[np.ndarray, "T N"], wanted: Float[np.ndarray, " T"], cost: float) -> Solved:
    """Solve by Clarabel's interior points, in the same form; the change is near an optimal one, not sparse exactly."""
    clarabel = import_clarabel()
    n_states, n_neurons = states.shape
    price = np.concatenate([np.ones(2 * n_neurons), np.full(2 * n_states if np.isfinite(cost) else 0, cost)])
    count = len(price)
    rows = sparse.csc_matrix(sparse.vstack([split(states, errors=bool(np.isfinite(cost))), -sparse.eye_array(count)]))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.ZeroConeT(n_states), clarabel.NonnegativeConeT(count)]
    solver = clarabel.DefaultSolver(
        sparse.csc_matrix((count, count)), price, rows, np.concatenate([wanted, np.zeros(count)]), cones, settings
    )
    found = solver.solve()
    status = str(found.status)
    if "PrimalInfeasible" in status:
        raise InfeasibleError
    if status not in ("Solved", "AlmostSolved"):
        raise ValueError(_UNSOLVED.format(status))
    x = np.asarray(found.x)
    return Solved(x[:n_neurons] - x[n_neurons : 2 * n_neurons], -np.asarray(found.z)[:n_states])


def import_clarabel() -> Any:
    """Give the optional package.

    Raises
    ------
    ValueError
        Where it is not installed.
    """
    try:
        import clarabel
    except ImportError as error:
        raise ValueError(
            "expected the package clarabel for solver='clarabel', got none: pip install 'dni-jax[repair]', or take "
            "solver='auto', which needs nothing more"
        ) from error
    return clarabel


class InfeasibleError(ValueError):
    """No change reaches all wanted scores."""
