"""In which order states that come in chunks are read, and which fold each position is in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from dni_jax.models import ChunkedActivations
from dni_jax.probes import make_folds
from dni_jax.text import chunk_bounds

Strings = list[tuple[int, int]]  # first and last (exclusive) string of each stretch, in ascending order
SAMPLE = 200_000  # positions that levels are chosen from, about
_BLOCK, _BLOCKS_A_FOLD = 8_192, 16
_STEP = 512  # lengths of reads are rounded up to a multiple, so that one program takes them all
_GROWTH = 1.5  # of what has been read, from one look to the next


@dataclass(frozen=True)
class Reading:
    """An order of reading.

    Attributes
    ----------
    folds
        int32 ``(T,)``: the fold of each position, -1 for those left out.
    n_folds
        Their number K.
    reads
        The strings to read together, read after read.
    looks
        The reads after which to look whether the scores are sure enough.
    """

    folds: Int[np.ndarray, " T"]
    n_folds: int
    reads: list[Strings]
    looks: frozenset[int] = frozenset()

    def longest(self, offsets: Int[np.ndarray, " S1"]) -> int:
        """About how many positions the longest read has, not less."""
        most = max(sum(int(offsets[last] - offsets[first]) for first, last in strings) for strings in self.reads)
        return most + -most % _STEP


def in_order(states: ChunkedActivations, folds: int | np.ndarray, groups: np.ndarray | None, seed: int) -> Reading:
    """Read everything from the first string to the last; folds are dealt as for states in memory, or given."""
    if isinstance(folds, (int, np.integer)):
        whose = states.groups if groups is None else np.asarray(groups)
        chosen = np.asarray(make_folds(states.n_positions, int(folds), groups=whose, seed=seed))
    else:
        chosen = np.asarray(folds)
        if chosen.shape != (states.n_positions,) or chosen.dtype.kind not in "iu" or chosen.max(initial=-1) < 1:
            raise ValueError(
                f"expected a number of folds, or int folds ({states.n_positions},) from -1 to at least 1, got "
                f"{chosen.dtype} {chosen.shape}"
            )
    reads = [[stretch] for stretch in chunk_bounds(states.offsets, states.chunk)]
    return Reading(chosen.astype(np.int32), int(chosen.max()) + 1, reads)


def at_random(states: ChunkedActivations, folds: int | np.ndarray, groups: np.ndarray | None, seed: int) -> Reading:
    """Read blocks of neighbouring strings in random order, as many of each fold; a fold is made of whole blocks.

    Blocks are drawn at random from what there is, so scores of folds differ by all that tells blocks apart, whatever
    the order of the strings. Strings of one group are never in two blocks.

    Raises
    ------
    ValueError
        For folds that are given, strings of a group that do not stand together, or fewer blocks than folds.
    """
    if not isinstance(folds, (int, np.integer)):
        raise ValueError("expected a number of folds beside a tolerance, got an array: folds are made of random blocks")
    size = max(1, min(_BLOCK, states.n_positions // (_BLOCKS_A_FOLD * max(int(folds), 1))))
    bounds = blocks_of(states.offsets, _of_strings(states, groups), size)
    sizes = np.array([states.offsets[last] - states.offsets[first] for first, last in bounds])
    chosen = make_folds(states.n_positions, int(folds), groups=np.repeat(np.arange(len(bounds)), sizes), seed=seed)
    fold_of = chosen[states.offsets[[first for first, _ in bounds]]]
    order = _rounds(fold_of, np.random.default_rng([seed, 1]))
    reads: list[Strings] = []
    looks, blocks, total, pending, last_look = [], [], 0, 0, 0
    for place, block in enumerate(order, start=1):
        blocks.append(bounds[block])
        pending += int(sizes[block])
        if pending < states.chunk and place < len(order):
            continue
        reads.append(sorted(blocks))
        total += pending
        blocks, pending = [], 0
        if place >= 2 * int(folds) and total >= _GROWTH * last_look:
            looks.append(len(reads) - 1)
            last_look = total
    return Reading(chosen.astype(np.int32), int(folds), reads, frozenset(looks))


def sample_of(states: ChunkedActivations) -> Strings:
    """Some strings to choose levels from: all of a short text, stretches all over a long one."""
    if states.n_positions <= SAMPLE:
        return [(0, len(states.offsets) - 1)]
    stretches = chunk_bounds(states.offsets, _BLOCK)
    wanted = min(len(stretches), max(1, SAMPLE // _BLOCK))
    return [stretches[place] for place in np.arange(wanted) * len(stretches) // wanted]


def blocks_of(offsets: Int[np.ndarray, " S1"], groups: Int[np.ndarray, " S"], size: int) -> Strings:
    """Cut the strings between groups into blocks of at least `size` characters; the last may be smaller.

    Examples
    --------
    >>> blocks_of(np.array([0, 4, 8, 12, 16, 20]), np.array([0, 0, 0, 1, 2]), 4)
    [(0, 3), (3, 4), (4, 5)]
    """
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    if len(ends) != len(np.unique(groups)):
        raise ValueError(
            "expected the strings of a group side by side for a tolerance, got a group in several places: record the "
            "corpus with its groups in order"
        )
    found, first = [], 0
    for end in ends.tolist():
        if offsets[end] - offsets[first] >= size or end == len(groups):
            found.append((first, end))
            first = end
    return found


def _of_strings(states: ChunkedActivations, groups: np.ndarray | None) -> np.ndarray:
    """The group of each string."""
    if groups is None:
        return np.asarray(states.string_groups)
    groups = np.asarray(groups)
    if groups.shape != (states.n_positions,):
        raise ValueError(f"expected groups of shape ({states.n_positions},), got {groups.shape}")
    of_strings = groups[states.offsets[:-1]]
    if (np.repeat(of_strings, np.diff(states.offsets)) != groups).any():
        raise ValueError("expected one group a string for a tolerance, got strings of several")
    return of_strings


def _rounds(fold_of: Int[np.ndarray, " b"], rng: np.random.Generator) -> np.ndarray:
    """An order in which each round takes one block of every fold, at random."""
    shuffled = rng.permutation(len(fold_of))
    rank = np.empty(len(fold_of), np.int64)
    for fold in np.unique(fold_of):
        members = shuffled[fold_of[shuffled] == fold]
        rank[members] = np.arange(len(members))
    return np.lexsort((fold_of, rank))
