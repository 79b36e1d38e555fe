"""Repair a linear head with the least change of its weights, by convex optimisation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from dni_jax.devices import count_cores
from dni_jax.lab.repair._closed_form import from_one_state
from dni_jax.lab.repair._programs import (
    InfeasibleError,
    Solved,
    Solver,
    by_clarabel,
    by_highs,
    gap_of,
    import_clarabel,
    objective_of,
)
from dni_jax.lab.repair._repaired import HeadRepair, checked_states
from dni_jax.lab.repair._vertices import by_interior

SOLVERS: dict[str, Solver] = {"interior": by_interior, "highs": by_highs, "clarabel": by_clarabel}
_MET = 1e-6  # of the largest score


def repair_head(
    weights: Any,
    bias: Any,
    states: Any,
    targets: Any,
    *,
    cost: float | None = None,
    hard: bool = False,
    neurons: Any = None,
    solver: str = "auto",
) -> HeadRepair:
    """Change a linear head as little as possible, so that given states get wanted scores.

    Minimises ``||g||_1 + cost ||X g - r||_1`` for each class by itself: ``g`` is the change of the class's weights,
    ``X`` the states, and ``r`` what its scores lack, ``targets - bias - X w`` (equation (3) of Guidotti & Leofante
    2019, "Repair of convolutional neural networks using convex optimization", CEUR 2457; there for all classes at once,
    without the bias, and with a cost of 1). The 1-norm leaves most weights as they are. Computed in float64; a score
    that is wrong by 1e-6 of the largest or less lacks nothing.

    From one state there is a closed form: the weight of the neuron of largest magnitude M does all of it if
    ``cost * M`` is above 1, else nothing changes. **So a cost of 1 never changes the head of states below 1 in
    magnitude**, such as an LSTM's. From several states the linear program is solved, and how near to optimal the answer
    is, is proven: see ``gap`` of the result.

    Parameters
    ----------
    weights, bias
        float ``(C, N)`` and ``(C,)``: the head; scores are ``weights @ state + bias``. (A model's ``weights.head`` is
        ``(N, V)``: pass its transpose.)
    states
        float ``(T, N)``, or ``Activations``: what the head reads.
    targets
        float ``(T, C)``: wanted scores; see `dni_jax.lab.repair.margin_targets` and `dni_jax.lab.repair.one_hot_targets`.
    cost
        The price of a unit of wrong score, in units of weight. None: twice the least at which each state that is not
        all 0, were it alone, would be corrected, ``2 / min_t max_j |x_tj|``. States that hinder each other may need
        more.
    hard
        Demand the wanted scores: ``min ||g||_1`` subject to ``X g = r``; without `cost`.
    neurons
        The neurons whose weights may change, such as those that inspection found for a feature: numbers, or a table
        from `dni_jax.top`. None: all.
    solver
        ``"auto"``: the closed form from one state, from several ``"interior"``, interior points made for this program
        and then the exact vertex, classes in parallel. ``"highs"``: SciPy's HiGHS on the whole program; ``"clarabel"``
        likewise (extra ``repair``); both take many times as long.

    Returns
    -------
    HeadRepair, with ``weights``, ``delta``, ``residual``, ``objective``, ``met``, ``corrected`` and ``effect(states,
    labels)``, what the repair does to other states.

    Raises
    ------
    ValueError
        For arrays that do not fit or are not finite, a cost that is not above 0 or given with `hard`, unknown neurons
        or solvers, Clarabel if it is not installed; if `hard`, for wanted scores that no change reaches, with their
        classes.

    Examples
    --------
    >>> weights, bias = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)
    >>> state = np.array([[0.5, 0.2]])                                # the head decides for class 0
    >>> fix = repair_head(weights, bias, state, [[0.5, 0.75]])
    >>> fix.delta.round(6).tolist(), fix.cost
    ([[0.0, 0.0], [1.1, 0.0]], 4.0)
    >>> fix
    HeadRepair(1 of 4 weights changed by 1.1, 1 of 1 states corrected, 1 met exactly; cost 4, closed form)
    >>> fix.effect([[0.1, 0.9], [1.0, 0.0]], labels=[1, 0]).accuracy_after
    0.5
    """
    old, offset, rows, wanted = _checked(weights, bias, states, targets)
    free = _checked_neurons(neurons, old.shape[1])
    inside = rows[:, free]
    price = _price(cost, hard, inside)
    scores = rows @ old.T + offset
    near = _MET * max(np.abs(scores).max(), np.abs(wanted).max())
    lacking = np.where(np.abs(wanted - scores) <= near, 0.0, wanted - scores).T
    found, name = _solve(inside, lacking, price, solver)
    delta = np.zeros_like(old)
    delta[:, free] = [one.change for one in found]
    new = old + delta
    residual = rows @ new.T + offset - wanted
    return HeadRepair(
        weights=new,
        bias=offset,
        delta=delta,
        residual=residual,
        met=(np.abs(residual) <= near).all(axis=1),
        corrected=(residual + wanted).argmax(axis=1) == wanted.argmax(axis=1),
        objectives=np.array(
            [objective_of(inside, r, price, one.change) for r, one in zip(lacking, found, strict=True)]
        ),
        gap=np.array([gap_of(inside, r, price, one) for r, one in zip(lacking, found, strict=True)]),
        cost=price,
        neurons=free,
        solver=name,
    )


def _checked(weights: Any, bias: Any, states: Any, targets: Any) -> tuple[np.ndarray, ...]:
    """Give the four as float64."""
    old, offset, wanted = (np.asarray(given, np.float64) for given in (weights, bias, targets))
    if old.ndim != 2 or not old.size:
        raise ValueError(f"expected weights of shape (C, N), got {old.shape}")
    if offset.shape != old.shape[:1]:
        hint = ": pass the weights' transpose" if offset.shape == old.shape[1:] else ""
        raise ValueError(f"expected a bias of shape ({len(old)},), one a class, got {offset.shape}{hint}")
    rows = checked_states(states, old.shape[1])
    if wanted.shape != (len(rows), len(old)):
        raise ValueError(f"expected targets of shape ({len(rows)}, {len(old)}), a row a state, got {wanted.shape}")
    for name, array in (("weights", old), ("a bias", offset), ("targets", wanted)):
        if not np.isfinite(array).all():
            raise ValueError(f"expected {name} of finite numbers, got NaN or infinity")
    return old, offset, rows, wanted


def neuron_numbers(neurons: Any) -> np.ndarray:
    """The numbers of neurons: themselves, or those of a table from `dni_jax.top`."""
    return np.asarray(neurons["neuron"] if isinstance(neurons, pd.DataFrame) and "neuron" in neurons else neurons)


def _checked_neurons(neurons: Any, n_neurons: int) -> Int[np.ndarray, " M"]:
    if neurons is None:
        return np.arange(n_neurons)
    given = neuron_numbers(neurons)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not len(given):
        raise ValueError(
            f"expected the numbers of neurons, at least one, got {given.dtype} {given.shape}: of a mask, pass "
            "np.flatnonzero(mask)"
        )
    if given.min() < 0 or given.max() >= n_neurons or len(np.unique(given)) < len(given):
        raise ValueError(f"expected different neurons from 0 to {n_neurons - 1}, got {given.tolist()}")
    return np.sort(given)


def _price(cost: float | None, hard: bool, inside: Float[np.ndarray, "T M"]) -> float:
    """Give the price of a unit of wrong score; infinite if all wanted scores are demanded."""
    if hard and cost is not None:
        raise ValueError(f"expected either hard=True or a cost, got both (cost={cost}): hard=True is an infinite cost")
    if hard:
        return float("inf")
    if cost is None:
        largest = np.abs(inside).max(axis=1)
        return float(2 / largest[largest > 0].min()) if largest.any() else 1.0
    if not cost > 0 or not np.isfinite(cost):
        raise ValueError(f"expected a finite cost above 0, got {cost}: hard=True demands the wanted scores")
    return float(cost)


def _solve(
    inside: Float[np.ndarray, "T M"], lacking: Float[np.ndarray, "C T"], price: float, solver: str
) -> tuple[list[Solved], str]:
    """Solve each class; give the solver's name too."""
    if solver not in ("auto", *SOLVERS):
        raise ValueError(f"expected a solver among {('auto', *SOLVERS)}, got {solver!r}")
    if solver == "clarabel":
        import_clarabel()
    if solver == "auto" and len(inside) == 1:
        change, multipliers = from_one_state(inside[0], lacking[:, 0], price)
        _report([c for c, r in enumerate(lacking[:, 0]) if np.isinf(price) and r and not change[c].any()], 1)
        return [Solved(*both) for both in zip(change, multipliers, strict=True)], "closed form"
    name = "interior" if solver == "auto" else solver
    asked = np.flatnonzero(lacking.any(axis=1))
    # BLAS's own threads wait for each other at every step; classes do not.
    with threadpool_limits(1), ThreadPoolExecutor(max(1, min(count_cores(), len(asked)))) as pool:
        answers = list(pool.map(lambda c: _one(SOLVERS[name], inside, lacking[c], price), asked))
    _report([int(c) for c, one in zip(asked, answers, strict=True) if one is None], len(inside))
    found = [Solved(np.zeros(inside.shape[1]), np.zeros(len(inside)))] * len(lacking)
    for place, one in zip(asked, answers, strict=True):
        if one is not None:
            found[place] = one
    return found, name


def _one(
    solve: Solver, inside: Float[np.ndarray, "T M"], wanted: Float[np.ndarray, " T"], price: float
) -> Solved | None:
    try:
        return solve(inside, wanted, price)
    except InfeasibleError:
        return None


def _report(failed: list[int], n_states: int) -> None:
    if failed:
        raise ValueError(
            f"expected wanted scores that a change of the weights can reach, got none for classes {failed} and "
            f"{n_states} states: two states may be equal or depend on each other; pass cost= in place of hard=True, "
            f"free more neurons, or repair from fewer states"
        )
