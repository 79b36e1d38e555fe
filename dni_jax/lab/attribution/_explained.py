"""What is explained, at which positions, and from which earlier states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.lab.attribution._unrolled import OfLogProbs, Read
from dni_jax.models import TrainedModel, Weights, record
from dni_jax.text import BOUNDARY, Corpus, Vocabulary

PARTS = ("hidden", "cell", "state")


@dataclass(frozen=True, eq=False)
class Target:
    """What is asked of the prediction at each of some positions.

    Attributes
    ----------
    members
        bool ``(T, V)``: the symbols whose total log-probability is explained.
    function
        Explained instead, where there is one: of the log-probabilities ``(V,)``.
    known
        bool ``(T,)``: False where there is nothing to explain (no symbol follows a piece's last).
    about
        One line for people.
    """

    members: Bool[np.ndarray, "T V"]
    function: OfLogProbs | None
    known: Bool[np.ndarray, " T"]
    about: str


def target_of(target: Any, vocabulary: Vocabulary, corpus: Corpus) -> Target:
    """Read what a person asks for: ``"next"``, some symbols, or a function.

    Raises
    ------
    ValueError
        For symbols that the network does not know, or none.
    """
    size, n_positions = len(vocabulary), corpus.n_positions
    everywhere = np.ones(n_positions, bool)
    if callable(target):
        nobody = np.broadcast_to(np.zeros(size, bool), (n_positions, size))
        return Target(nobody, target, everywhere, getattr(target, "__name__", repr(target)))
    if isinstance(target, str) and target == "next":
        following, known = next_codes(corpus)
        return Target(following[:, None] == np.arange(size), None, known, "next symbol")
    symbols = list(target) if isinstance(target, Iterable) else []
    unknown = [symbol for symbol in symbols if symbol not in vocabulary.symbols]
    if not symbols or unknown:
        raise ValueError(
            f"expected target='next', symbols of the network ({''.join(vocabulary.characters)!r} and the boundary "
            f"{vocabulary.boundary_text!r}), or a function of log-probabilities, got {target!r}"
        )
    members = np.isin(vocabulary.symbols, symbols)
    return Target(np.broadcast_to(members, (n_positions, size)), None, everywhere, f"one of {symbols}")


def next_codes(corpus: Corpus) -> tuple[Int[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """The code of the symbol behind each position, the boundary behind a string's last; and where there is one."""
    last = corpus.offsets[1:] - 1
    following = np.append(corpus.flat_codes[1:], BOUNDARY)
    following[last] = BOUNDARY
    known = np.ones(corpus.n_positions, bool)
    known[last[~corpus.ends]] = False
    return following, known


def chosen_positions(positions: Any, known: Bool[np.ndarray, " T"], seed: int) -> Int[np.ndarray, " P"]:
    """Give the positions to explain, in order.

    Raises
    ------
    ValueError
        For positions that are out of range, not distinct, or where nothing can be explained; or more than there are.
    """
    usable = np.flatnonzero(known)
    if positions is None:
        return usable
    if isinstance(positions, int | np.integer) and not isinstance(positions, bool):
        if not 1 <= positions <= len(usable):
            raise ValueError(f"expected a number of positions from 1 to {len(usable)}, got {positions}")
        return np.sort(np.random.default_rng(seed).choice(usable, int(positions), replace=False))
    given = np.asarray(positions)
    if given.dtype == bool and given.shape == known.shape:
        given = np.flatnonzero(given)
    if given.ndim != 1 or given.dtype.kind not in "iu" or len(given) == 0 or len(np.unique(given)) != len(given):
        raise ValueError(
            f"expected positions as a number, distinct numbers of positions, or a mask ({len(known)},) that holds "
            f"somewhere, got {given.dtype} of shape {given.shape}"
        )
    if given.min() < 0 or given.max() >= len(known):
        raise ValueError(f"expected positions from 0 to {len(known) - 1}, got {given.min()} to {given.max()}")
    if not known[given].all():
        raise ValueError(
            f"expected positions with a symbol behind them, got {int((~known[given]).sum())} at the end of a piece of "
            "text that continues elsewhere: leave these out"
        )
    return np.sort(given).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Explained:
    """A network, what it read, and the positions whose predictions are explained.

    Attributes
    ----------
    weights
        The network.
    corpus
        As the network reads it.
    parts
        float32 arrays ``(T, N)``: the recorded memory, where there is one, and hidden states.
    free
        bool ``(P,)``: which of the parts are explained; the others keep their values.
    target
        See `Target`.
    positions
        int ``(n,)``: see `chosen_positions`.
    """

    weights: Weights
    corpus: Corpus
    parts: tuple[Float[np.ndarray, "T N"], ...]
    free: Bool[np.ndarray, " P"]
    target: Target
    positions: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, model: TrainedModel, corpus: Corpus, target: Any, positions: Any, part: str, seed: int) -> Explained:
        """Record the network on the corpus and choose positions.

        Raises
        ------
        ValueError
            For an unknown part, target or positions.
        """
        weights = model.weights
        if part not in PARTS or (part == "cell" and not weights.cell_type.has_memory):
            raise ValueError(
                f"expected part among {', '.join(PARTS)}, 'cell' of an LSTM only, got {part!r} for a network of kind "
                f"{weights.cell!r}"
            )
        read = model.encode(corpus)
        asked = target_of(target, model.vocabulary, read)
        chosen = chosen_positions(positions, asked.known, seed)
        states = record(model, corpus, ("hidden", "cell") if weights.cell_type.has_memory else ("hidden",))
        parts = tuple(array for array in (states.cell, states.hidden) if array is not None)
        free = np.asarray([True] if len(parts) == 1 else [part != "hidden", part != "cell"])
        return cls(weights, read, parts, free, asked, chosen)

    @cached_property
    def room(self) -> Int[np.ndarray, " n"]:
        """How many characters of its string stand before each position."""
        return self.corpus.position_in_string[self.positions]

    def reaching(self, lag: int) -> Int[np.ndarray, " m"]:
        """Which of the positions have a state `lag` steps before.

        Raises
        ------
        ValueError
            Where none has.
        """
        found = np.flatnonzero(self.room >= lag)
        if len(found) == 0:
            raise ValueError(
                f"expected positions with a state {lag} characters before in their string, got none: choose smaller "
                "lags, or positions further into longer strings"
            )
        return found

    def state(self, where: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B P N"]:
        """The recorded states of some positions of the corpus."""
        return np.stack([part[where] for part in self.parts], axis=1)

    def read(self, rows: Int[np.ndarray, " B"], steps: int) -> Read:
        """The last symbols that some of the positions have read, and what is asked there."""
        at = self.positions[rows]
        # Symbols before a string's start are looked up and never used.
        codes = self.corpus.flat_codes[np.maximum(at - np.arange(steps)[::-1, None], 0)]
        return Read(codes, self.target.members[at])

    def freed(self, state: Float[np.ndarray, "B P N"], baseline: np.ndarray) -> Float[np.ndarray, "B P N"]:
        """Give the baseline of each state: that of the parts which are explained, else the state's own."""
        return np.where(self.free[:, None], baseline, state)


def batches(rows: Int[np.ndarray, " n"], size: int) -> Iterator[tuple[Int[np.ndarray, " B"], int]]:
    """Yield rows in parts of one size, the last filled up with its last row, and how many of each are real.

    All parts have that size even where there are fewer rows: lags differ in these, and one program serves all.

    Examples
    --------
    >>> [(part.tolist(), real) for part, real in batches(np.arange(5), 3)]
    [([0, 1, 2], 3), ([3, 4, 4], 2)]
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part))]), len(part)


def baseline_of(baseline: Any, explained: Explained) -> Float[np.ndarray, "P N"]:
    """Give the state that stands for "nothing there": zeros, the mean over the corpus, or the one given.

    Raises
    ------
    ValueError
        For an unknown name, another shape, or numbers that are not finite.
    """
    n_parts, n_neurons = len(explained.parts), explained.weights.n_neurons
    if isinstance(baseline, str):
        if baseline == "zero":
            return np.zeros((n_parts, n_neurons), np.float32)
        if baseline == "mean":
            return np.stack([part.mean(axis=0, dtype=np.float64) for part in explained.parts]).astype(np.float32)
        raise ValueError(f"expected baseline='zero', 'mean' or an array, got {baseline!r}")
    given = np.asarray(baseline, np.float32)
    one, several = int(explained.free.sum()) == 1, (n_parts, n_neurons)
    if given.shape not in ([(n_neurons,), several] if one else [several]) or not np.isfinite(given).all():
        wanted = f"({n_neurons},)" if one else f"{several} (an LSTM's memory, then its hidden state)"
        raise ValueError(f"expected a baseline of finite numbers of shape {wanted}, got shape {given.shape}")
    return np.broadcast_to(given, several)


def checked_lags(lags: Iterable[int]) -> list[int]:
    """Give the lags in order.

    Raises
    ------
    ValueError
        For none, or one below 0.
    """
    chosen = sorted({int(lag) for lag in lags})
    if not chosen or chosen[0] < 0:
        raise ValueError(f"expected lags of 0 or more (a later state has no part in a prediction), got {chosen}")
    return chosen
