"""What is explained: the target, the positions, and the earlier states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.lab.attribution._unrolled import Context, TargetFunction
from dni_jax.models import TrainedModel, Weights, record_carries
from dni_jax.text import BOUNDARY, Corpus, Vocabulary

PARTS = ("hidden", "cell", "state")


@dataclass(frozen=True, eq=False)
class Target:
    """What is explained of the prediction at each position.

    Attributes
    ----------
    members
        bool ``(T, V)``: the symbols whose total log-probability is explained.
    function
        If not None, explained instead: a function of the log-probabilities ``(V,)``.
    known
        bool ``(T,)``: False where there is nothing to explain (no symbol follows the last one of a segment).
    description
        One line.
    """

    members: Bool[np.ndarray, "T V"]
    function: TargetFunction | None
    known: Bool[np.ndarray, " T"]
    description: str

    @classmethod
    def parse(cls, target: Any, vocabulary: Vocabulary, corpus: Corpus) -> Target:
        """Interpret ``"next"``, some symbols, or a function.

        Raises
        ------
        ValueError
            For no symbols, or symbols that the network does not know.
        """
        size, n_positions = len(vocabulary), corpus.n_positions
        everywhere = np.ones(n_positions, bool)
        if callable(target):
            empty = np.broadcast_to(np.zeros(size, bool), (n_positions, size))
            return cls(empty, target, everywhere, getattr(target, "__name__", repr(target)))
        if isinstance(target, str) and target == "next":
            following, known = _next_codes(corpus)
            return cls(following[:, None] == np.arange(size), None, known, "next symbol")
        symbols = list(target) if isinstance(target, Iterable) else []
        unknown = [symbol for symbol in symbols if symbol not in vocabulary.symbols]
        if not symbols or unknown:
            raise ValueError(
                f"expected target='next', symbols of the network ({''.join(vocabulary.characters)!r} and the boundary "
                f"{vocabulary.boundary_text!r}), or a function of log-probabilities, got {target!r}"
            )
        members = np.isin(vocabulary.symbols, symbols)
        return cls(np.broadcast_to(members, (n_positions, size)), None, everywhere, f"one of {symbols}")


def _next_codes(corpus: Corpus) -> tuple[Int[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """Return the code of the symbol after each position (the boundary after a string's last), and where it is known."""
    last = corpus.offsets[1:] - 1
    following = np.append(corpus.flat_codes[1:], BOUNDARY)
    following[last] = BOUNDARY
    known = np.ones(corpus.n_positions, bool)
    known[last[~corpus.ends]] = False
    return following, known


def choose_positions(positions: Any, known: Bool[np.ndarray, " T"], seed: int) -> Int[np.ndarray, " P"]:
    """Return the positions to explain, ascending.

    Raises
    ------
    ValueError
        For positions that are out of range, not distinct, or without a target; or more than there are.
    """
    usable = np.flatnonzero(known)
    if positions is None:
        return usable
    if isinstance(positions, int | np.integer) and not isinstance(positions, bool):
        if not 1 <= positions <= len(usable):
            raise ValueError(f"expected a number of positions from 1 to {len(usable)}, got {positions}")
        return np.sort(np.random.default_rng(seed).choice(usable, int(positions), replace=False))
    chosen = np.asarray(positions)
    if chosen.dtype == bool and chosen.shape == known.shape:
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or len(chosen) == 0 or len(np.unique(chosen)) != len(chosen):
        raise ValueError(
            f"expected positions as a number, distinct numbers of positions, or a mask ({len(known)},) that is True "
            f"somewhere, got {chosen.dtype} of shape {chosen.shape}"
        )
    if chosen.min() < 0 or chosen.max() >= len(known):
        raise ValueError(f"expected positions from 0 to {len(known) - 1}, got {chosen.min()} to {chosen.max()}")
    if not known[chosen].all():
        raise ValueError(
            f"expected positions with a symbol after them, got {int((~known[chosen]).sum())} at the end of a segment "
            "of text that continues elsewhere: leave these out"
        )
    return np.sort(chosen).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, what it read, and the positions whose predictions are explained.

    Attributes
    ----------
    weights
        The network.
    corpus
        In the network's codes.
    parts
        float32 arrays ``(T, N)``: the recorded parts of the memory, if there is one, and hidden states.
    explained
        bool ``(P,)``: the parts that are explained; the others keep their values.
    target
        See `Target`.
    positions
        int ``(n,)``: see `choose_positions`.
    """

    weights: Weights
    corpus: Corpus
    parts: tuple[Float[np.ndarray, "T N"], ...]
    explained: Bool[np.ndarray, " P"]
    target: Target
    positions: Int[np.ndarray, " n"]

    @classmethod
    def record(cls, model: TrainedModel, corpus: Corpus, target: Any, positions: Any, part: str, seed: int) -> Problem:
        """Record the network on the corpus and choose positions.

        Raises
        ------
        ValueError
            For an unknown part, target or positions.
        """
        weights = model.weights
        if part not in PARTS or (part == "cell" and not weights.cell_type.has_memory):
            raise ValueError(
                f"expected part among {', '.join(PARTS)} ('cell' only for a network with a memory), got {part!r} for a "
                f"network of {weights.cell!r} cells"
            )
        encoded = model.encode(corpus)
        parsed = Target.parse(target, model.vocabulary, encoded)
        chosen = choose_positions(positions, parsed.known, seed)
        parts = record_carries(model, corpus)
        names = (*weights.cell_type.memory, "h")
        explained = np.asarray([part == "state" or name == {"hidden": "h", "cell": "c"}[part] for name in names])
        return cls(weights, encoded, parts, explained, parsed, chosen)

    @cached_property
    def n_before(self) -> Int[np.ndarray, " n"]:
        """How many characters of its string come before each position."""
        return self.corpus.position_in_string[self.positions]

    def rows_at_lag(self, lag: int) -> Int[np.ndarray, " m"]:
        """Return the rows of the positions that have a state `lag` steps before.

        Raises
        ------
        ValueError
            If there is none.
        """
        rows = np.flatnonzero(self.n_before >= lag)
        if len(rows) == 0:
            raise ValueError(
                f"expected positions with a state {lag} characters before in their string, got none: choose smaller "
                "lags, or positions further into longer strings"
            )
        return rows

    def states_at(self, positions: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B P N"]:
        """Return the recorded states of some positions of the corpus."""
        return np.stack([part[positions] for part in self.parts], axis=1)

    def context(self, rows: Int[np.ndarray, " B"], steps: int) -> Context:
        """Return the last symbols before some of the positions, and what is explained there."""
        at = self.positions[rows]
        # Symbols from before a string's start are read too, and never used.
        codes = self.corpus.flat_codes[np.maximum(at - np.arange(steps)[::-1, None], 0)]
        return Context(codes, self.target.members[at])

    def baseline_states(self, states: Float[np.ndarray, "B P N"], baseline: np.ndarray) -> Float[np.ndarray, "B P N"]:
        """Return the states with the baseline in the parts that are explained."""
        return np.where(self.explained[:, None], baseline, states)

    def parse_baseline(self, baseline: Any) -> Float[np.ndarray, "P N"]:
        """Return the baseline state: zeros, the mean over the corpus, or the array that was passed.

        Raises
        ------
        ValueError
            For an unknown name, another shape, or numbers that are not finite.
        """
        n_parts, n_neurons = len(self.parts), self.weights.n_neurons
        if isinstance(baseline, str):
            if baseline == "zero":
                return np.zeros((n_parts, n_neurons), np.float32)
            if baseline == "mean":
                return np.stack([part.mean(axis=0, dtype=np.float64) for part in self.parts]).astype(np.float32)
            raise ValueError(f"expected baseline='zero', 'mean' or an array, got {baseline!r}")
        array = np.asarray(baseline, np.float32)
        one, several = int(self.explained.sum()) == 1, (n_parts, n_neurons)
        if array.shape not in ([(n_neurons,), several] if one else [several]) or not np.isfinite(array).all():
            order = ", ".join((*self.weights.cell_type.memory, "h"))
            shape = f"({n_neurons},)" if one else f"{several} (in this order: {order})"
            raise ValueError(f"expected a baseline of finite numbers of shape {shape}, got shape {array.shape}")
        return np.broadcast_to(array, several)


def batches(rows: Int[np.ndarray, " n"], size: int) -> Iterator[tuple[Int[np.ndarray, " B"], int]]:
    """Yield rows in batches of one size, the last padded with its last row, and the number of real rows in each.

    All batches have that size, even a single smaller one: lags differ in their numbers of rows, and one compiled
    program serves them all.

    Examples
    --------
    >>> [(batch.tolist(), n_real) for batch, n_real in batches(np.arange(5), 3)]
    [([0, 1, 2], 3), ([3, 4, 4], 2)]
    """
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch))]), len(batch)


def checked_lags(lags: Iterable[int]) -> list[int]:
    """Return the lags in ascending order.

    Raises
    ------
    ValueError
        For no lag, or one below 0.
    """
    ascending = sorted({int(lag) for lag in lags})
    if not ascending or ascending[0] < 0:
        raise ValueError(f"expected lags of 0 or more (a later state has no part in a prediction), got {ascending}")
    return ascending
