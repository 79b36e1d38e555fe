"""The state of a training run: of one network, or of a population that trains as one program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from dni_jax import processes
from dni_jax.models._network import Carries
from dni_jax.models._weights import Weights


class TrainState(NamedTuple):
    """Everything except the text that a later step depends on; all arrays have a leading axis of M models."""

    weights: Weights
    optimizer: Any
    carries: Carries


@dataclass(frozen=True)
class Evaluation:
    """Losses at one step of a training run.

    Attributes
    ----------
    step, characters
        Steps taken, and characters read in them.
    train_loss, validation_loss
        Nats a symbol: the mean over the steps since the evaluation before, and on the validation text.
    seconds
        Since training began, its interruptions left out.
    learning_rate, gradient_norm
        The rate of the last step, and the mean norm of the gradient before it was clipped.
    """

    step: int
    characters: int
    train_loss: float
    validation_loss: float
    seconds: float
    learning_rate: float = math.nan
    gradient_norm: float = math.nan

    @property
    def is_finite(self) -> bool:
        """Whether training and validation loss are numbers."""
        return math.isfinite(self.train_loss) and math.isfinite(self.validation_loss)


def count_since_best(evaluations: list[Evaluation]) -> int:
    """Return how many evaluations there were after the best one."""
    losses = [evaluation.validation_loss for evaluation in evaluations]
    return len(losses) - 1 - int(np.argmin(losses)) if losses else 0


@dataclass(eq=False)
class TrainingRun:
    """A training run in progress: its state, the weights of each model's best evaluation, and all evaluations.

    Every step consumes the arrays of `state`; `best` is kept on the host.

    Attributes
    ----------
    evaluations
        One list per model; a model that has stopped gets no more.
    diverged
        For each model, the step at which its loss stopped being finite, or None.
    """

    state: TrainState
    best: Weights
    evaluations: list[list[Evaluation]]
    diverged: list[int | None]

    def active(self, patience: int) -> list[bool]:
        """Return which models still train."""
        pairs = zip(self.evaluations, self.diverged, strict=True)
        return [step is None and count_since_best(each) < patience for each, step in pairs]

    def add(self, evaluations: dict[int, Evaluation]) -> None:
        """Add evaluations of some models, and keep the weights of those that are their best."""
        improved = []
        for model, evaluation in evaluations.items():
            self.evaluations[model].append(evaluation)
            if count_since_best(self.evaluations[model]) == 0:
                improved.append(model)
        if improved:
            now = processes.to_host(self.state.weights)
            self.best = jax.tree.map(lambda kept, new: _with_rows(kept, new, improved), self.best, now)


def _with_rows(kept: np.ndarray, new: np.ndarray, rows: list[int]) -> np.ndarray:
    changed = np.array(kept)
    changed[rows] = new[rows]
    return changed
