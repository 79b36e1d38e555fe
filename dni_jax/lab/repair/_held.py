"""Repair a head under a constraint: of the states that it decides correctly, nearly all are to stay correct."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from threadpoolctl import threadpool_limits

from dni_jax.devices import count_cores
from dni_jax.lab.repair._head import (
    HeadRepair,
    checked_head,
    checked_neurons,
    checked_states,
    make_repair,
    needed_corrections,
)
from dni_jax.lab.repair._linear_program import Solution, objective, solve_one_sided
from dni_jax.lab.repair._targets import checked_labels


@dataclass(frozen=True, eq=False)
class HeldRepair:
    """A repaired head that keeps its accuracy on held states; made by `repair_and_hold`.

    Attributes
    ----------
    fix
        The repair, as `repair_head` returns it. ``gap`` bounds the distance of each objective from the minimum under
        the constraints of the last round, so also under those of all held states.
    accuracy_before, accuracy_after
        The shares of the held states that are decided correctly.
    rounds
        How often the programs were solved.
    constraints
        int ``(C,)``: the held states that constrain each class's weights in the last round.
    """

    fix: HeadRepair
    accuracy_before: float
    accuracy_after: float
    rounds: int
    constraints: Int[np.ndarray, " C"] = field(repr=False)


def repair_and_hold(
    weights: Any,
    bias: Any,
    states: Any,
    targets: Any,
    held: Any,
    labels: Any,
    *,
    tolerance: float = 0.01,
    cost: float = 1.0,
    neurons: Any = None,
) -> HeldRepair:
    """Correct some states and hold the decisions about others: the accuracy on these falls by at most a tolerance.

    Minimizes ``||g||_1 + cost ||X g - r||_1`` for each class, as `repair_head` does, subject to constraints on held
    states: where a held state is decided correctly, the score of its class must stay above the middle of its two
    highest scores now, and all others below it, by a tenth of their distance from it. The decision then stands, and
    the programs of the classes stay separate. Constraints are added where a solution breaks decisions, until the
    accuracy on the held states has fallen by no more than the tolerance. This ends: no change at all satisfies every
    constraint, and there are finitely many.

    The promise is about the held states. Pass many (thousands) that the head was not trained on: the accuracy on
    others like them then differs from theirs by sampling only.

    Parameters
    ----------
    weights, bias, states, targets
        As for `repair_head`.
    held
        float ``(H, N)``: states to hold.
    labels
        int ``(H,)``: their correct classes.
    tolerance
        The share of the held states whose decision may be lost, net of those that are won; 0 or more.
    cost
        The cost of a unit of error of a corrected score.
    neurons
        As for `repair_head`: the columns that may change; None: all.

    Raises
    ------
    ValueError
        For a negative tolerance, a cost that is not above 0, or arrays that do not fit or are not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> held, weights = rng.normal(size=(300, 20)), rng.normal(size=(3, 20))
    >>> labels = (held @ weights.T).argmax(axis=1)
    >>> states = held[:5] - 3 * weights[labels[:5]] / 20
    >>> both = repair_and_hold(weights, np.zeros(3), states, held[:5] @ weights.T, held, labels, tolerance=0.02, cost=9)
    >>> both.accuracy_before, both.accuracy_after >= 0.98
    (1.0, True)
    """
    old, offset, rows, wanted = checked_head(weights, bias, states, targets)
    kept = checked_states(held, old.shape[1])
    right = checked_labels(labels, len(old), len(kept))
    if not tolerance >= 0:
        raise ValueError(f"expected a tolerance of 0 or more, got {tolerance}")
    if not cost > 0 or not np.isfinite(cost):
        raise ValueError(f"expected a finite cost above 0, got {cost}")
    free = checked_neurons(neurons, old.shape[1])
    before = kept @ old.T + offset
    correct, limits, own = _limits(before, right)
    active = np.zeros((len(kept), len(old)), bool)
    corrections = needed_corrections(old, offset, rows, wanted)
    delta, gap = np.zeros_like(old), np.zeros(len(old))
    stale: Bool[np.ndarray, " C"] = np.asarray(corrections.any(axis=1))
    rounds = 0
    while True:
        rounds += 1
        solved = _solve(rows[:, free], corrections, kept[:, free], limits - before, own, active, cost, stale)
        for c, (change, distance) in solved.items():
            delta[c, free], gap[c] = change, distance
        after = before + kept @ delta.T
        now = after.argmax(axis=1) == right
        lost = correct & ~now
        if int(lost.sum()) - int((now & ~correct).sum()) <= tolerance * len(kept):
            break
        broken = np.where(own, after < limits, after > limits) & lost[:, None] & ~active
        if not broken.any():
            raise ValueError(
                "expected held states whose two highest scores differ by more than rounding, got some that cannot be "
                "held: leave them out, or raise the tolerance"
            )
        active |= broken
        stale = broken.any(axis=0)
    fix = make_repair(
        old,
        offset,
        rows,
        wanted,
        delta,
        objectives=np.array([objective(rows, r, cost, g) for r, g in zip(corrections, delta, strict=True)]),
        gap=gap,
        cost=cost,
        neurons=free,
        solver="highs",
    )
    return HeldRepair(fix, float(correct.mean()), float(now.mean()), rounds, active.sum(axis=0))


def _limits(
    scores: Float[np.ndarray, "H C"], labels: Int[np.ndarray, " H"]
) -> tuple[Bool[np.ndarray, " H"], Float[np.ndarray, "H C"], Bool[np.ndarray, "H C"]]:
    """Return which states are correct, the limit of each score, and the label's column: there it is a lower limit.

    The limits keep a tenth of the distance from the middle, because rounding would decide a tie.
    """
    own = np.zeros(scores.shape, bool)
    own[np.arange(len(scores)), labels] = True
    first, second = scores[own], np.where(own, -np.inf, scores).max(axis=1)
    middle, apart = (first + second) / 2, 0.1 * (first - second) / 2
    limits = np.where(own, (middle + apart)[:, None], (middle - apart)[:, None])
    return (scores.argmax(axis=1) == labels) & (first > second), limits, own


def _solve(
    x: Float[np.ndarray, "T M"],
    corrections: Float[np.ndarray, "C T"],
    held: Float[np.ndarray, "H M"],
    room: Float[np.ndarray, "H C"],
    own: Bool[np.ndarray, "H C"],
    active: Bool[np.ndarray, "H C"],
    cost: float,
    stale: Bool[np.ndarray, " C"],
) -> dict[int, tuple[Float[np.ndarray, " M"], float]]:
    """Solve the programs of some classes with the constraints that are active; return changes and optimality gaps."""

    def one(c: int) -> tuple[Float[np.ndarray, " M"], float]:
        use = active[:, c]
        states = np.concatenate([x, held[use]])
        correction = np.concatenate([corrections[c], room[use, c]])
        prices = np.full(len(x), cost)
        cost_above = np.concatenate([prices, np.where(own[use, c], 0.0, np.inf)])
        cost_below = np.concatenate([prices, np.where(own[use, c], np.inf, 0.0)])
        found = solve_one_sided(states, correction, cost_above, cost_below)
        return found.change, _gap(x, states, correction, cost_above, cost_below, cost, found)

    classes = np.flatnonzero(stale).tolist()
    with threadpool_limits(1), ThreadPoolExecutor(max(1, min(count_cores(), len(classes)))) as pool:
        return dict(zip(classes, pool.map(one, classes), strict=True))


def _gap(
    x: Float[np.ndarray, "T M"],
    states: Float[np.ndarray, "K M"],
    correction: Float[np.ndarray, " K"],
    cost_above: Float[np.ndarray, " K"],
    cost_below: Float[np.ndarray, " K"],
    cost: float,
    found: Solution,
) -> float:
    """Return the objective minus a lower bound on it, by multipliers that are made feasible (weak duality)."""
    y = np.clip(found.multipliers, -cost_above, cost_below)
    y = y / max(1.0, float(np.abs(states.T @ y).max(initial=0.0)))
    return max(0.0, objective(x, correction[: len(x)], cost, found.change) - float(correction @ y))
