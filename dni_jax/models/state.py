"""Where a training stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from dni_jax.models.lstm import Carry, Weights


class State(NamedTuple):
    """Everything that a later step depends on, besides the text."""

    weights: Weights
    optimizer: Any
    carry: Carry


@dataclass(frozen=True)
class Look:
    """One look at the validation text during training."""

    step: int
    characters: int
    train_loss: float
    validation_loss: float
    seconds: float


@dataclass(eq=False)
class Run:
    """A training under way: its state, the weights of the best look, and all looks.

    The arrays of `state` are used up by every step; `best` is kept on the host.
    """

    state: State
    best: Weights
    looks: list[Look]

    @property
    def stale(self) -> int:
        """Looks since the best one."""
        losses = [look.validation_loss for look in self.looks]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def add(self, look: Look) -> None:
        """Note a look, and keep the weights if it is the best."""
        self.looks.append(look)
        if self.stale == 0:
            self.best = jax.device_get(self.state.weights)
