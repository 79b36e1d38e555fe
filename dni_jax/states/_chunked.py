"""States of a corpus that are read in chunks of whole strings, because they do not fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Real

from dni_jax.states._prefetch import prefetch
from dni_jax.text import Corpus, chunk_bounds

Strings = Sequence[tuple[int, int]]  # first and last (exclusive) string of each range, in ascending order
CHUNK = 65_536


class ChunkedActivations(ABC):
    """Hidden states that are read or computed on demand, some strings at a time.

    Attributes
    ----------
    offsets
        int64 ``(S + 1,)``: where each string's positions begin.
    string_groups
        int32 ``(S,)``: the group of each string.
    n_neurons
        The number of neurons N.
    chunk
        How many positions a chunk has by default.
    fingerprint
        Fingerprint of the text, from `dni_jax.models.fingerprint_corpus`; empty if it is unknown.
    in_memory
        Whether all states are in memory.
    mask
        bool ``(T,)``: False at positions without a state; None where every position has one.
    symbols
        int ``(T,)``: as of `Activations`; None where they are not known.
    corpus
        The text, where it is known.
    n_models, members
        For a population; see `as_activations`.
    """

    offsets: Int[np.ndarray, " S1"]
    string_groups: Int[np.ndarray, " S"]
    n_neurons: int
    chunk: int
    fingerprint: str
    in_memory = False
    mask: Bool[np.ndarray, " T"] | None = None
    symbols: Int[np.ndarray, " T"] | None = None
    corpus: Corpus | None = None
    n_models: int | None = None
    members: Mapping[str, Sequence[Any]] = MappingProxyType({})

    @abstractmethod
    def read(self, strings: Strings, neurons: slice = slice(None)) -> Real[np.ndarray, "t n"]:
        """Return the states at all characters of some strings, of a range of neurons."""

    def part(self, name: str) -> Any:
        """Return one part of the neurons, by its letter: ``"h"``, an LSTM's memory ``"c"``, or a gate; ``(T, N)``.

        Raises
        ------
        ValueError
            Where it was not recorded.
        """
        if name == "h":
            return self.read_all()
        raise part_missing(name)

    @property
    def n_positions(self) -> int:
        """The number of positions T."""
        return int(self.offsets[-1])

    @cached_property
    def groups(self) -> Int[np.ndarray, " T"]:
        """int32 ``(T,)``: the group of each position."""
        return np.repeat(self.string_groups, np.diff(self.offsets))

    @cached_property
    def position_groups(self) -> Int[np.ndarray, " T"] | None:
        """int32 ``(T,)``: the group of each position, or None where it is unknown."""
        return self.groups

    def read_all(self, most: int = 2**32) -> Real[np.ndarray, "T N"]:
        """Read all states into memory.

        Raises
        ------
        ValueError
            Where they take more than `most` bytes, 4 GiB by default.
        """
        if not self.in_memory and 4 * self.n_positions * self.n_neurons > most:
            raise ValueError(
                f"expected states of at most {most / 2**30:.2f} GiB to be read into memory, got {self!r}: take parts "
                "with .chunks(), or allow more with .read_all(most=...)"
            )
        return self.read([(0, len(self.offsets) - 1)])

    @property
    def ranges(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Smallest and largest state of each neuron, or None where they are not known beforehand."""
        return None

    def chunks(self, size: int | None = None) -> Iterator[tuple[slice, Real[np.ndarray, "t N"]]]:
        """Yield positions and states of whole strings in order; a thread prefetches the next chunk.

        Parameters
        ----------
        size
            The most positions in a chunk (a longer string is a chunk of its own); by default `chunk`.
        """
        stretches = chunk_bounds(self.offsets, size or self.chunk)
        reading = prefetch(((first, last), self.read([(first, last)])) for first, last in stretches)
        for (first, last), states in reading:
            yield slice(int(self.offsets[first]), int(self.offsets[last])), states

    def _describe(self, what: str) -> str:
        return f"{what}({self.n_positions:,} positions x {self.n_neurons} neurons"


def part_missing(name: str) -> ValueError:
    """Return the error for a part that was not recorded."""
    what = "cell" if name == "c" else "gates"
    return ValueError(f"expected states recorded with what=({what!r},) for the part {name!r}, got states without")


def part_of(recorded: Any, name: str) -> Any:
    """Return a part of states that have ``hidden``, ``cell``, ``gates`` and ``gate_names``, in memory or on disk."""
    if name in recorded.gate_names and recorded.gates is not None:
        return recorded.gates[:, recorded.gate_names.index(name)]
    found = {"h": recorded.hidden, "c": recorded.cell}.get(name)
    if found is None:
        raise part_missing(name)
    return found
