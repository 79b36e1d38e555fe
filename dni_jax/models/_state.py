"""Where a training stands: of one network, or of a population that trains as one program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from dni_jax import processes
from dni_jax.models._network import Carries
from dni_jax.models._weights import Weights


class State(NamedTuple):
    """Everything that a later step depends on, besides the text; all arrays have a leading axis of M models."""

    weights: Weights
    optimizer: Any
    carries: Carries


@dataclass(frozen=True)
class Evaluation:
    """One look at the validation text during training.

    Attributes
    ----------
    step, characters
        Steps taken, and characters read in them.
    train_loss, validation_loss
        Nats a symbol: the mean over the steps since the look before, and on the validation text.
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


def stale(looks: list[Evaluation]) -> int:
    """Looks since the best one."""
    losses = [look.validation_loss for look in looks]
    return len(losses) - 1 - int(np.argmin(losses)) if losses else 0


@dataclass(eq=False)
class Run:
    """A training under way: its state, the weights of each model's best look, and all looks.

    The arrays of `state` are used up by every step; `best` is kept on the host.

    Attributes
    ----------
    looks
        One list a model; a model that has ended gets no more.
    diverged
        For each model, the step at which its loss stopped being finite, or None.
    """

    state: State
    best: Weights
    looks: list[list[Evaluation]]
    diverged: list[int | None]

    def active(self, patience: int) -> list[bool]:
        """Which models still train."""
        pairs = zip(self.looks, self.diverged, strict=True)
        return [step is None and stale(looks) < patience for looks, step in pairs]

    def add(self, looks: dict[int, Evaluation]) -> None:
        """Note looks of some models, and keep the weights of those that are their best."""
        improved = []
        for model, look in looks.items():
            self.looks[model].append(look)
            if stale(self.looks[model]) == 0:
                improved.append(model)
        if improved:
            now = processes.to_host(self.state.weights)
            self.best = jax.tree.map(lambda kept, new: _with_rows(kept, new, improved), self.best, now)


def _with_rows(kept: np.ndarray, new: np.ndarray, rows: list[int]) -> np.ndarray:
    changed = np.array(kept)
    changed[rows] = new[rows]
    return changed
