"""What a recurrent cell is: one step forward, and what training needs to know about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

Edit = Callable[[str, Array], Array]
Initializer = Callable[..., Array]

_ORTHOGONAL = jax.nn.initializers.orthogonal()


class Carry(NamedTuple):
    """The state that is carried from step to step.

    Attributes
    ----------
    c
        The memory: an array ``(..., N)``, a `NormalizedMemory` of such arrays, or None for cells that have none.
    h
        The hidden state, which the readout and the layer above read.
    """

    c: Any
    h: Float[Array, "*batch N"]


class NormalizedMemory(NamedTuple):
    """A memory in units of ``exp(m)``, which keep exponential gates within the range of float32 (see `SLSTM`).

    Attributes
    ----------
    c
        The weighted sum of what was written.
    n
        The normalizer: the sum of the weights; 0 as long as nothing is stored.
    m
        The stabiliser: the logarithm of the unit.
    """

    c: Float[Array, "*batch N"]
    n: Float[Array, "*batch N"]
    m: Float[Array, "*batch N"]


def no_edit(part: str, value: Array) -> Array:
    """Leave a part of a step as it is."""
    return value


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One kind of recurrent cell, as pure functions on arrays of any batch shape.

    A cell's input weights are blocks of N columns, one per gate, in the order of `gates`. Every part of a step (a gate,
    ``c``, ``h``) goes through ``edit(name, value)`` as soon as it is computed, and what comes back is used from there
    on: this is how overrides act.

    Attributes
    ----------
    name
        Its name.
    title
        What prose calls it, with its article.
    gates
        The blocks' names.
    memory
        The parts of the memory: ``()``, ``("c",)``, or ``("c", "n", "m")``. Only ``c`` can be recorded and overridden.
    initial_bias
        A gate, and a function from the number of neurons to that gate's initial bias; the others begin at 0.
    """

    name: str
    title: str
    gates: tuple[str, ...]
    memory: tuple[str, ...] = ()
    initial_bias: tuple[str, Callable[[int], Array]] | None = None

    @property
    def has_memory(self) -> bool:
        """Whether there is a memory c in addition to the hidden state h."""
        return bool(self.memory)

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that an edit can change, in the order of computation."""
        return (*self.gates, *self.memory[:1], "h")

    def make_memory(self, parts: Sequence[Array]) -> Any:
        """Return a carry's ``c`` that consists of these parts; ``jax.tree.leaves`` undoes it."""
        if len(parts) != len(self.memory):
            raise ValueError(f"expected the parts {self.memory} of a {self.name!r} cell's memory, got {len(parts)}")
        return NormalizedMemory(*parts) if len(parts) > 1 else parts[0] if parts else None


@dataclass(frozen=True, kw_only=True)
class SequentialCell(Cell):
    """A cell whose gates depend on the state before, so that its steps are taken one after the other.

    Attributes
    ----------
    has_state_bias
        Whether input and state are used separately, so that the state's blocks have a bias of their own.
    initial_recurrence
        Draws the recurrent weights of each gate.
    forward
        ``(from_input, from_state, old, edit) -> (new, kept)``: a step from the two pre-activations ``(..., G)``.
        ``kept`` begins with the activated gates.
    backward
        ``(kept, new, old, d_new) -> (d_from_input, d_from_state, d_old)``: gradients of a step without edits;
        ``d_old`` leaves out what flows through the state's pre-activation.
    """

    forward: Callable[[Array, Array, Carry, Edit], tuple[Carry, tuple[Array, ...]]]
    backward: Callable[[tuple[Array, ...], Carry, Carry, Carry], tuple[Array, Array, Carry]]
    has_state_bias: bool = False
    initial_recurrence: Initializer = _ORTHOGONAL


@dataclass(frozen=True, kw_only=True)
class LinearCell(Cell):
    """A cell that is linear in its state: ``h_t = a_t * h_{t-1} + b_t``, with ``a_t`` and ``b_t`` from the input alone.

    Such steps can be composed in any grouping, so that training computes all states of a window in parallel
    (`jax.lax.associative_scan`). It has no recurrent weights: what earlier characters say reaches a gate only through
    the layer below.

    Attributes
    ----------
    coefficients
        ``(from_input, decay, edit) -> (a, b, gates)``: from the pre-activations ``(..., G)`` and the layer's decay
        parameters ``(N,)``, None for cells without them.
    initial_decay
        ``(key, n_neurons) -> (N,)``: draws the decay parameters; None for cells without them.
    """

    coefficients: Callable[[Array, Any, Edit], tuple[Array, Array, tuple[Array, ...]]]
    initial_decay: Callable[[Array, int], Array] | None = None

    def step(self, from_input: Array, decay: Any, old: Carry, edit: Edit) -> tuple[Carry, tuple[Array, ...]]:
        """Take one step; return the new state and the activated gates."""
        a, b, gates = self.coefficients(from_input, decay, edit)
        return Carry(None, edit("h", a * old.h + b)), gates
