"""What a recurrent cell is: one step forward, and the same step's gradient written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, Float

Edit = Callable[[str, Array], Array]


class Carry(NamedTuple):
    """What flows on from step to step: the memory `c` ``(..., N)``, None for cells that have none, and `h`."""

    c: Any
    h: Float[Array, "*batch N"]


def no_edit(part: str, value: Array) -> Array:
    """Leave a part of a step as it is."""
    return value


@dataclass(frozen=True)
class Cell:
    """One kind of recurrent cell, as pure functions on arrays of any batch shape.

    A cell's weights are blocks of N columns, one per gate, in the order of `gates`, which is Flax's.

    Attributes
    ----------
    name
        Its name.
    gates
        The blocks' names.
    has_memory
        Whether there is a memory c in addition to the hidden state h.
    has_state_bias
        Whether input and state are used separately, so that the state's blocks have a bias of their own.
    open_gate
        A gate whose bias begins at 1, or None.
    forward
        ``(from_input, from_state, old, edit) -> (new, kept)``: a step from the two pre-activations ``(..., G)``.
        ``kept`` begins with the activated gates. Every part (a gate, ``c``, ``h``) goes through ``edit(name, value)``
        as soon as it is computed, and what comes back is used from there on.
    backward
        ``(kept, new, old, d_new) -> (d_from_input, d_from_state, d_old)``: gradients of a step without edits;
        ``d_old`` leaves out what flows through the state's pre-activation.
    """

    name: str
    gates: tuple[str, ...]
    has_memory: bool
    has_state_bias: bool
    open_gate: str | None
    forward: Callable[[Array, Array, Carry, Edit], tuple[Carry, tuple[Array, ...]]]
    backward: Callable[[tuple[Array, ...], Carry, Carry, Carry], tuple[Array, Array, Carry]]

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that an edit can change, in the order of computation."""
        return (*self.gates, *(("c",) if self.has_memory else ()), "h")
