"""The states of a network at every position of a corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Activations:
    """Recorded states, one row a position of the corpus.

    Attributes
    ----------
    hidden
        float32 ``(T, N)``: the hidden state after reading each character (float64 where another network's were).
    groups
        int32 ``(T,)``: the group of each position (its string, or its file); folds do not tear groups apart.
    cell
        float32 ``(T, N)``, or None if it was not asked for.
    gates
        float32 ``(T, 4, N)`` in the order input, forget, cell, output, or None.
    mask
        bool ``(T,)``: False at positions that have no state (the characters before a tokenizer's first token); they
        take no part in any score, and their rows hold 0. None where every position has one.

    Examples
    --------
    >>> import numpy as np
    >>> Activations(np.zeros((3, 2), np.float32), np.zeros(3, np.int32), mask=np.array([False, True, True]))
    Activations(3 positions x 2 neurons, 1 without a state)
    """

    hidden: Float[np.ndarray, "T N"]
    groups: Int[np.ndarray, " T"]
    cell: Float[np.ndarray, "T N"] | None = None
    gates: Float[np.ndarray, "T 4 N"] | None = None
    mask: Bool[np.ndarray, " T"] | None = None

    @property
    def n_neurons(self) -> int:
        """The number of neurons N."""
        return self.hidden.shape[1]

    def __repr__(self) -> str:
        more = "".join(f", {name}" for name in ("cell", "gates") if getattr(self, name) is not None)
        if self.mask is not None and not self.mask.all():
            more += f", {int((~self.mask).sum()):,} without a state"
        return f"Activations({len(self.hidden):,} positions x {self.n_neurons} neurons{more})"
