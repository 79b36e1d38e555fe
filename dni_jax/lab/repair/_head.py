"""Repair a linear head with the smallest change of its weights, by convex optimization."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from threadpoolctl import threadpool_limits

from dni_jax.devices import count_cores
from dni_jax.lab.repair._crossover import solve_interior
from dni_jax.lab.repair._linear_program import (
    InfeasibleError,
    Solution,
    Solver,
    duality_gap,
    import_clarabel,
    objective,
    solve_clarabel,
    solve_highs,
    solve_one_state,
)
from dni_jax.lab.repair._targets import checked_labels
from dni_jax.states import read_hidden

SOLVERS: dict[str, Solver] = {"interior": solve_interior, "highs": solve_highs, "clarabel": solve_clarabel}
_TOLERANCE = 1e-6  # of the largest score


@dataclass(frozen=True)
class HeadEffect:
    """What a repair does to states, best to states that it was not made from.

    Attributes
    ----------
    states
        T, the number of states.
    accuracy_before, accuracy_after
        The share of states whose highest score is that of the correct class; NaN without labels.
    changed_decisions
        The share of states whose highest score is that of another class than before.
    largest_change, mean_change
        Of the absolute change of a score, over states and classes; in the unit of the scores.
    """

    states: int
    accuracy_before: float
    accuracy_after: float
    changed_decisions: float
    largest_change: float
    mean_change: float


@dataclass(frozen=True, eq=False)
class HeadRepair:
    """A linear head with the smallest change that repairs it; made by `repair_head`. All arrays are float64.

    Attributes
    ----------
    weights, bias
        ``(C, N)`` and ``(C,)``: the repaired head; a repair never changes a bias.
    delta
        ``(C, N)``: the change, new weights minus old ones.
    residual
        ``(T, C)``: new scores of the states minus the target scores.
    met
        bool ``(T,)``: all scores of the state equal their targets, up to 1e-6 of the largest score, old or target.
    corrected
        bool ``(T,)``: the highest new score is that of the class with the highest target.
    objectives
        ``(C,)``: ``||g||_1 + cost ||X g - r||_1`` of each class (without the second term if `hard`).
    gap
        ``(C,)``: an upper bound on the distance of each objective from the minimum, proven by multipliers (weak
        duality). A gap of, say, 1e-9 of the objective is rounding.
    cost
        The cost of a unit of error of a score; infinite if `hard`.
    neurons
        int, ascending: the columns that were free to change.
    solver
        ``"closed form"``, or the name of the solver.
    """

    weights: Float[np.ndarray, "C N"] = field(repr=False)
    bias: Float[np.ndarray, " C"] = field(repr=False)
    delta: Float[np.ndarray, "C N"] = field(repr=False)
    residual: Float[np.ndarray, "T C"] = field(repr=False)
    met: Bool[np.ndarray, " T"] = field(repr=False)
    corrected: Bool[np.ndarray, " T"] = field(repr=False)
    objectives: Float[np.ndarray, " C"] = field(repr=False)
    gap: Float[np.ndarray, " C"] = field(repr=False)
    cost: float
    neurons: Int[np.ndarray, " M"] = field(repr=False)
    solver: str

    @property
    def objective(self) -> float:
        """The sum of the objectives over classes."""
        return float(self.objectives.sum())

    @property
    def hard(self) -> bool:
        """Whether the target scores were constraints."""
        return bool(np.isinf(self.cost))

    @property
    def changed(self) -> int:
        """The number of changed weights."""
        return int(np.count_nonzero(self.delta))

    @property
    def changed_neurons(self) -> Int[np.ndarray, " M"]:
        """The columns with a changed weight, ascending."""
        return np.flatnonzero(self.delta.any(axis=0))

    def scores(self, states: Any) -> Float[np.ndarray, "T C"]:
        """Compute the repaired head's scores of states ``(T, N)``; float64."""
        return checked_states(states, self.weights.shape[1]) @ self.weights.T + self.bias

    def effect(self, states: Any, labels: Any = None) -> HeadEffect:
        """Measure what the repair does to states ``(T, N)``, and to the accuracy if their classes ``(T,)`` are passed.

        Raises
        ------
        ValueError
            For no states, another number of neurons, or labels that do not fit.
        """
        rows = checked_states(states, self.weights.shape[1])
        after = rows @ self.weights.T + self.bias
        before = after - rows @ self.delta.T
        old, new = before.argmax(axis=1), after.argmax(axis=1)
        accuracies = (float("nan"), float("nan"))
        if labels is not None:
            classes = checked_labels(labels, len(self.bias), len(rows))
            accuracies = (float(np.mean(old == classes)), float(np.mean(new == classes)))
        change = np.abs(after - before)
        return HeadEffect(len(rows), *accuracies, float(np.mean(old != new)), float(change.max()), float(change.mean()))

    def __repr__(self) -> str:
        cost = "hard" if self.hard else f"cost {self.cost:.4g}"
        return (
            f"HeadRepair({self.changed} of {self.delta.size} weights changed by {np.abs(self.delta).sum():.4g}, "
            f"{self.corrected.sum()} of {len(self.met)} states corrected, {self.met.sum()} met exactly; {cost}, "
            f"{self.solver})"
        )


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
    """Change a linear head as little as possible, so that states get their target scores.

    Minimizes ``||g||_1 + cost ||X g - r||_1`` for each class separately: ``g`` is the change of the class's weights,
    ``X`` the states, and ``r`` the correction of its scores, ``targets - bias - X w`` (equation (3) of Guidotti &
    Leofante 2019, "Repair of convolutional neural networks using convex optimization", CEUR 2457; there for all classes
    at once, without the bias, and with a cost of 1). The 1-norm leaves most weights unchanged. Computed in float64; a
    score within 1e-6 of the largest of its target needs no correction.

    A single state has a closed form: the weight of the neuron of largest magnitude M makes the whole correction if
    ``cost * M`` is above 1, else nothing changes. **So a cost of 1 never changes the head of states below 1 in
    magnitude**, such as an LSTM's. For several states the linear program is solved, and a bound on the distance of the
    result from the optimum is proven: see ``gap`` of the result.

    Parameters
    ----------
    weights, bias
        float ``(C, N)`` and ``(C,)``: the head; scores are ``weights @ state + bias``. (A model's ``weights.head`` is
        ``(N, V)``: pass its transpose.)
    states
        float ``(T, N)``, or ``Activations``: the input of the head.
    targets
        float ``(T, C)``: target scores; see `dni_jax.lab.repair.margin_targets` and
        `dni_jax.lab.repair.one_hot_targets`.
    cost
        The cost of a unit of error of a score, in units of weight. None: twice the smallest at which each state that is
        not all 0 would be corrected if it were alone, ``2 / min_t max_j |x_tj|``. States that conflict may need more.
    hard
        Make the target scores constraints: ``min ||g||_1`` subject to ``X g = r``; without `cost`.
    neurons
        The neurons whose weights may change, such as those that inspection found for a feature: numbers, or a table
        from `dni_jax.top`. None: all.
    solver
        ``"auto"``: the closed form for one state, and ``"interior"`` for several: an interior-point method specialized
        to this program, then the exact vertex, with the classes in parallel. ``"highs"``: SciPy's HiGHS on the whole
        program; ``"clarabel"`` does the same with Clarabel (extra ``repair``). Both take many times as long.

    Returns
    -------
    HeadRepair, with ``weights``, ``delta``, ``residual``, ``objective``, ``met``, ``corrected`` and ``effect(states,
    labels)``, what the repair does to other states.

    Raises
    ------
    ValueError
        For arrays that do not fit or are not finite, a cost that is not above 0 or passed with `hard`, unknown neurons
        or solvers, Clarabel if it is not installed; if `hard`, for target scores that no change reaches, with their
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
    old, offset, rows, wanted = checked_head(weights, bias, states, targets)
    free = checked_neurons(neurons, old.shape[1])
    x = rows[:, free]
    price = _resolve_cost(cost, hard, x)
    corrections = needed_corrections(old, offset, rows, wanted)
    solutions, name = _solve(x, corrections, price, solver)
    delta = np.zeros_like(old)
    delta[:, free] = [one.change for one in solutions]
    pairs = list(zip(corrections, solutions, strict=True))
    return make_repair(
        old,
        offset,
        rows,
        wanted,
        delta,
        objectives=np.array([objective(x, r, price, one.change) for r, one in pairs]),
        gap=np.array([duality_gap(x, r, price, one) for r, one in pairs]),
        cost=price,
        neurons=free,
        solver=name,
    )


def needed_corrections(
    old: Float[np.ndarray, "C N"],
    offset: Float[np.ndarray, " C"],
    rows: Float[np.ndarray, "T N"],
    wanted: Float[np.ndarray, "T C"],
) -> Float[np.ndarray, "C T"]:
    """Return what to add to the scores; 0 where they equal their targets up to rounding."""
    scores = rows @ old.T + offset
    tolerance = _TOLERANCE * max(np.abs(scores).max(), np.abs(wanted).max())
    return np.where(np.abs(wanted - scores) <= tolerance, 0.0, wanted - scores).T


def make_repair(
    old: Float[np.ndarray, "C N"],
    offset: Float[np.ndarray, " C"],
    rows: Float[np.ndarray, "T N"],
    wanted: Float[np.ndarray, "T C"],
    delta: Float[np.ndarray, "C N"],
    **solution: Any,
) -> HeadRepair:
    """Return a repair by a change of the weights, with what it does to the states that it was made from."""
    new = old + delta
    residual = rows @ new.T + offset - wanted
    tolerance = _TOLERANCE * max(np.abs(rows @ old.T + offset).max(), np.abs(wanted).max())
    return HeadRepair(
        weights=new,
        bias=offset,
        delta=delta,
        residual=residual,
        met=(np.abs(residual) <= tolerance).all(axis=1),
        corrected=(residual + wanted).argmax(axis=1) == wanted.argmax(axis=1),
        **solution,
    )


def neuron_numbers(neurons: Any) -> np.ndarray:
    """Return the numbers of neurons: as passed, or those of a table from `dni_jax.top`."""
    return np.asarray(neurons["neuron"] if isinstance(neurons, pd.DataFrame) and "neuron" in neurons else neurons)


def checked_head(weights: Any, bias: Any, states: Any, targets: Any) -> tuple[np.ndarray, ...]:
    """Return the four as float64."""
    old, offset, wanted = (np.asarray(array, np.float64) for array in (weights, bias, targets))
    if old.ndim != 2 or not old.size:
        raise ValueError(f"expected weights of shape (C, N), got {old.shape}")
    if offset.shape != old.shape[:1]:
        hint = ": pass the weights' transpose" if offset.shape == old.shape[1:] else ""
        raise ValueError(f"expected a bias of shape ({len(old)},), one per class, got {offset.shape}{hint}")
    rows = checked_states(states, old.shape[1])
    if wanted.shape != (len(rows), len(old)):
        raise ValueError(f"expected targets of shape ({len(rows)}, {len(old)}), one row per state, got {wanted.shape}")
    for name, array in (("weights", old), ("a bias", offset), ("targets", wanted)):
        if not np.isfinite(array).all():
            raise ValueError(f"expected {name} of finite numbers, got NaN or infinity")
    return old, offset, rows, wanted


def checked_states(states: Any, n_neurons: int) -> Float[np.ndarray, "T N"]:
    """Return states as float64."""
    rows = read_hidden(states).astype(np.float64, copy=False)
    if rows.shape[1] != n_neurons or not len(rows):
        raise ValueError(f"expected states of shape (T, {n_neurons}) with T of at least 1, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return rows


def checked_neurons(neurons: Any, n_neurons: int) -> Int[np.ndarray, " M"]:
    if neurons is None:
        return np.arange(n_neurons)
    found = neuron_numbers(neurons)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        raise ValueError(
            f"expected the numbers of neurons, at least one, got {found.dtype} {found.shape}: for a mask, pass "
            "np.flatnonzero(mask)"
        )
    if found.min() < 0 or found.max() >= n_neurons or len(np.unique(found)) < len(found):
        raise ValueError(f"expected different neurons from 0 to {n_neurons - 1}, got {found.tolist()}")
    return np.sort(found)


def _resolve_cost(cost: float | None, hard: bool, x: Float[np.ndarray, "T M"]) -> float:
    """Return the cost of a unit of error; infinite if the target scores are constraints."""
    if hard and cost is not None:
        raise ValueError(f"expected either hard=True or a cost, got both (cost={cost}): hard=True is an infinite cost")
    if hard:
        return float("inf")
    if cost is None:
        largest = np.abs(x).max(axis=1)
        return float(2 / largest[largest > 0].min()) if largest.any() else 1.0
    if not cost > 0 or not np.isfinite(cost):
        raise ValueError(f"expected a finite cost above 0, got {cost}: hard=True makes the targets constraints")
    return float(cost)


def _solve(
    x: Float[np.ndarray, "T M"], corrections: Float[np.ndarray, "C T"], cost: float, solver: str
) -> tuple[list[Solution], str]:
    """Solve the program of each class; return the solver's name too."""
    if solver not in ("auto", *SOLVERS):
        raise ValueError(f"expected a solver among {('auto', *SOLVERS)}, got {solver!r}")
    if solver == "clarabel":
        import_clarabel()
    if solver == "auto" and len(x) == 1:
        change, multipliers = solve_one_state(x[0], corrections[:, 0], cost)
        failed = [c for c, r in enumerate(corrections[:, 0]) if np.isinf(cost) and r and not change[c].any()]
        _raise_if_infeasible(failed, 1)
        return [Solution(*both) for both in zip(change, multipliers, strict=True)], "closed form"
    name = "interior" if solver == "auto" else solver
    classes = np.flatnonzero(corrections.any(axis=1))
    # BLAS threads synchronize at every step; threads of whole classes do not.
    with threadpool_limits(1), ThreadPoolExecutor(max(1, min(count_cores(), len(classes)))) as pool:
        answers = list(pool.map(lambda c: _solve_or_none(SOLVERS[name], x, corrections[c], cost), classes))
    failed = [int(c) for c, one in zip(classes, answers, strict=True) if one is None]
    _raise_if_infeasible(failed, len(x))
    solutions = [Solution(np.zeros(x.shape[1]), np.zeros(len(x)))] * len(corrections)
    for place, one in zip(classes, answers, strict=True):
        if one is not None:
            solutions[place] = one
    return solutions, name


def _solve_or_none(
    solve: Solver, x: Float[np.ndarray, "T M"], correction: Float[np.ndarray, " T"], cost: float
) -> Solution | None:
    try:
        return solve(x, correction, cost)
    except InfeasibleError:
        return None


def _raise_if_infeasible(failed: list[int], n_states: int) -> None:
    if failed:
        raise ValueError(
            f"expected target scores that a change of the weights can reach, got none for classes {failed} and "
            f"{n_states} states: two states may be equal or linearly dependent; pass cost= instead of hard=True, "
            f"free more neurons, or repair from fewer states"
        )
