"""A repaired head: what changed, what that reaches, and what it does to other states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.lab.repair._targets import checked_labels


@dataclass(frozen=True)
class HeadEffect:
    """What a repair does to states, better those it did not see.

    Attributes
    ----------
    states
        T, how many there are.
    accuracy_before, accuracy_after
        Share of states whose highest score is the right class's; NaN without labels.
    changed_decisions
        Share of states whose highest score is another class's than before.
    largest_change, mean_change
        Of the absolute change of a score, over states and classes; in the scores' unit.
    """

    states: int
    accuracy_before: float
    accuracy_after: float
    changed_decisions: float
    largest_change: float
    mean_change: float


@dataclass(frozen=True, eq=False)
class HeadRepair:
    """A linear head with the least change that repairs it; made by `repair_head`. All numbers are float64.

    Attributes
    ----------
    weights, bias
        ``(C, N)`` and ``(C,)``: the repaired head; a repair never changes a bias.
    delta
        ``(C, N)``: the change, new weights less old ones.
    residual
        ``(T, C)``: new scores of the given states less the wanted ones.
    met
        bool ``(T,)``: all scores of the state are the wanted ones, up to 1e-6 of the largest score, old or wanted.
    corrected
        bool ``(T,)``: the highest new score is that of the class whose wanted score is the highest.
    objectives
        ``(C,)``: ``||g||_1 + cost ||X g - r||_1`` of each class (without the second part if `hard`).
    gap
        ``(C,)``: by how much at most an objective is above the least that any change has, proven by multipliers (weak
        duality). 1e-9 of the objective, say, is no more than rounding.
    cost
        The price of a unit of wrong score; infinite if `hard`.
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
        """The sum over classes."""
        return float(self.objectives.sum())

    @property
    def hard(self) -> bool:
        """Whether all wanted scores were demanded."""
        return bool(np.isinf(self.cost))

    @property
    def changed(self) -> int:
        """How many weights changed."""
        return int(np.count_nonzero(self.delta))

    @property
    def changed_neurons(self) -> Int[np.ndarray, " M"]:
        """The columns with a changed weight, ascending."""
        return np.flatnonzero(self.delta.any(axis=0))

    def scores(self, states: Any) -> Float[np.ndarray, "T C"]:
        """Give the repaired head's scores of states ``(T, N)``; float64."""
        return checked_states(states, self.weights.shape[1]) @ self.weights.T + self.bias

    def effect(self, states: Any, labels: Any = None) -> HeadEffect:
        """Tell what the repair does to states ``(T, N)``, and to accuracy where their classes ``(T,)`` are given.

        Raises
        ------
        ValueError
            For no states, another number of neurons, or labels that do not fit.
        """
        rows = checked_states(states, self.weights.shape[1])
        after = rows @ self.weights.T + self.bias
        before = after - rows @ self.delta.T
        decided, now = before.argmax(axis=1), after.argmax(axis=1)
        right = (float("nan"), float("nan"))
        if labels is not None:
            classes = checked_labels(labels, len(self.bias), len(rows))
            right = (float(np.mean(decided == classes)), float(np.mean(now == classes)))
        moved = np.abs(after - before)
        return HeadEffect(len(rows), *right, float(np.mean(decided != now)), float(moved.max()), float(moved.mean()))

    def __repr__(self) -> str:
        price = "hard" if self.hard else f"cost {self.cost:.4g}"
        return (
            f"HeadRepair({self.changed} of {self.delta.size} weights changed by {np.abs(self.delta).sum():.4g}, "
            f"{self.corrected.sum()} of {len(self.met)} states corrected, {self.met.sum()} met exactly; {price}, "
            f"{self.solver})"
        )


def checked_states(states: Any, n_neurons: int) -> Float[np.ndarray, "T N"]:
    """Give states, or those of ``Activations``, as float64.

    Raises
    ------
    ValueError
        For no states, another shape, NaN or infinity.
    """
    rows = np.asarray(getattr(states, "hidden", states), np.float64)
    if rows.ndim != 2 or rows.shape[1] != n_neurons or not len(rows):
        raise ValueError(f"expected states of shape (T, {n_neurons}) with T of at least 1, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return rows
