"""The states of a network, or of several, at every character of a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.html import card, facts, table


@dataclass(frozen=True, eq=False)
class Activations:
    """Recorded states, one row per position of the corpus.

    Attributes
    ----------
    hidden
        float ``(T, N)``: the hidden state after reading each character. For a population, all state arrays have
        a leading axis: ``(M, T, N)``.
    groups
        int32 ``(T,)``: the group of each position (its string, or its file); folds do not tear groups apart.
    cell
        float ``(T, N)``: the memory c of an LSTM or sLSTM (not the kind of cell); None unless requested.
    gates
        float ``(T, n_gates, N)`` in the order of `gate_names`, or None.
    logits
        float ``(T, V)``: scores of the next symbol, by its code; or None.
    mask
        bool ``(T,)``: False at positions that have no state (the characters before a tokenizer's first token); they
        take no part in any score, and their rows hold 0. None where every position has one.
    gate_names
        For an LSTM ``("i", "f", "g", "o")``: input, forget, cell, output; for a GRU ``("r", "z", "n")``. See the guide
        to networks for those of other cells.
    symbols
        int ``(T,)``: the symbol that the network read last at each position, as a code (of a network that reads
        tokens: the token); -1 at positions without a state. None: the character.
    members
        For a population: what distinguishes its M models (``seed`` and ``learning_rate``), one value per model.

    Examples
    --------
    >>> Activations(np.zeros((3, 2), np.float32), np.zeros(3, np.int32), mask=np.array([False, True, True]))
    Activations(3 positions x 2 neurons, 1 without a state)
    """

    hidden: Float[np.ndarray, "*M T N"]
    groups: Int[np.ndarray, " T"]
    cell: Float[np.ndarray, "*M T N"] | None = None
    gates: Float[np.ndarray, "*M T g N"] | None = None
    logits: Float[np.ndarray, "*M T V"] | None = None
    mask: Bool[np.ndarray, " T"] | None = None
    gate_names: tuple[str, ...] = ()
    symbols: Int[np.ndarray, " T"] | None = None
    members: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def stack(cls, each: Sequence[Activations], members: Mapping[str, Sequence[Any]]) -> Activations:
        """Stack the states of several models on the same text."""
        arrays: dict[str, Any] = {
            name: np.stack([getattr(one, name) for one in each])
            for name in ("hidden", "cell", "gates", "logits")
            if getattr(each[0], name) is not None
        }
        first = each[0]
        about: dict[str, Any] = {"mask": first.mask, "gate_names": first.gate_names, "symbols": first.symbols}
        return cls(groups=first.groups, members=members, **about, **arrays)

    def of_model(self, number: int) -> Activations:
        """Return the states of one model of a population."""
        names = [name for name in ("hidden", "cell", "gates", "logits") if getattr(self, name) is not None]
        return replace(self, members={}, **{name: getattr(self, name)[number] for name in names})

    @property
    def n_neurons(self) -> int:
        """The number of neurons N."""
        return self.hidden.shape[-1]

    def __repr__(self) -> str:
        more = "".join(f", {name}" for name in ("cell", "gates", "logits") if getattr(self, name) is not None)
        if self.mask is not None and not self.mask.all():
            more += f", {int((~self.mask).sum()):,} without a state"
        models = f"{len(self.hidden)} models x " if self.hidden.ndim == 3 else ""
        return f"Activations({models}{self.hidden.shape[-2]:,} positions x {self.n_neurons} neurons{more})"

    def _repr_html_(self) -> str:
        arrays = {name: getattr(self, name) for name in ("hidden", "cell", "gates", "logits")}
        there = {name: array for name, array in arrays.items() if array is not None}
        rows = [(name, " x ".join(map(str, a.shape)), str(a.dtype), f"{a.nbytes / 2**20:.1f} MiB")
                for name, a in there.items()]  # fmt: skip
        title = f"Activations: {self.hidden.shape[-2]:,} positions x {self.n_neurons:,} neurons"
        about: dict[str, Any] = {"groups (strings or files)": len(np.unique(self.groups))}
        if self.mask is not None:
            about["positions without a state"] = int((~self.mask).sum())
        if self.gate_names:
            about["order of gates"] = ", ".join(self.gate_names)
        about |= {f"model's {name}": ", ".join(map(str, values)) for name, values in self.members.items()}
        return card(title, table(["part", "shape", "dtype", "memory"], rows), facts(about))


def mask_of(symbols: Int[np.ndarray, " T"] | None) -> Bool[np.ndarray, " T"] | None:
    """Return where a symbol was read; None where one was read at every position, or symbols are not known."""
    return None if symbols is None or (symbols >= 0).all() else symbols >= 0
