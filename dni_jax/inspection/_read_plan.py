"""In which order states are read, chunk by chunk, and which fold each position is in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from dni_jax.inspection._data import deal_folds
from dni_jax.probes import make_folds
from dni_jax.states import ChunkedActivations
from dni_jax.text import chunk_bounds

Strings = list[tuple[int, int]]  # first and last (exclusive) string of each segment, in ascending order
SAMPLE = 200_000  # positions that levels are chosen from, about
_BLOCK, _BLOCKS_A_FOLD = 8_192, 16
_STEP = 512  # lengths of reads are rounded up to a multiple, so that one program takes them all
_GROWTH = 1.5  # of what has been read, from one evaluation to the next


@dataclass(frozen=True)
class ReadPlan:
    """An order in which states are read.

    Attributes
    ----------
    folds
        int32 ``(T,)``: the fold of each position, -1 for those left out.
    n_folds
        Their number K.
    reads
        The strings to read together, read after read.
    evaluations
        The reads after which scores are evaluated, to stop where they are precise enough.
    """

    folds: Int[np.ndarray, " T"]
    n_folds: int
    reads: list[Strings]
    evaluations: frozenset[int] = frozenset()

    def longest(self, offsets: Int[np.ndarray, " S1"]) -> int:
        """Return the length of the longest read, rounded up."""
        most = max(sum(int(offsets[last] - offsets[first]) for first, last in strings) for strings in self.reads)
        return most + -most % _STEP


def in_order(states: ChunkedActivations, folds: int | np.ndarray, groups: np.ndarray | None, seed: int) -> ReadPlan:
    """Read everything from the first string to the last; positions without a state are left out."""
    group_of = states.position_groups if groups is None and isinstance(folds, (int, np.integer)) else groups
    chosen = deal_folds(states.n_positions, folds, None if group_of is None else np.asarray(group_of), seed)
    if states.mask is not None:
        chosen = np.where(states.mask, chosen, -1).astype(np.int32)
    reads = [[segment] for segment in chunk_bounds(states.offsets, states.chunk)]
    return ReadPlan(chosen, int(chosen.max()) + 1, reads)


def at_random(states: ChunkedActivations, folds: int | np.ndarray, groups: np.ndarray | None, seed: int) -> ReadPlan:
    """Read blocks of neighboring strings in random order, equally many from each fold; a fold is made of whole blocks.

    Blocks are drawn at random from what there is, so scores of folds differ by all that distinguishes blocks, whatever
    the order of the strings. Strings of one group are never in two blocks.

    Raises
    ------
    ValueError
        For an array of folds, strings of a group that are not next to each other, or fewer blocks than folds.
    """
    if not isinstance(folds, (int, np.integer)):
        raise ValueError("expected a number of folds with a tolerance, got an array: folds are made of random blocks")
    size = max(1, min(_BLOCK, states.n_positions // (_BLOCKS_A_FOLD * max(int(folds), 1))))
    bounds = cut_blocks(states.offsets, _of_strings(states, groups), size)
    sizes = np.array([states.offsets[last] - states.offsets[first] for first, last in bounds])
    chosen = make_folds(states.n_positions, int(folds), groups=np.repeat(np.arange(len(bounds)), sizes), seed=seed)
    fold_of = chosen[states.offsets[[first for first, _ in bounds]]]
    order = _rounds(fold_of, np.random.default_rng([seed, 1]))
    reads: list[Strings] = []
    evaluations, blocks, total, pending, evaluated = [], [], 0, 0, 0
    for place, block in enumerate(order, start=1):
        blocks.append(bounds[block])
        pending += int(sizes[block])
        if pending < states.chunk and place < len(order):
            continue
        reads.append(sorted(blocks))
        total += pending
        blocks, pending = [], 0
        if place >= 2 * int(folds) and total >= _GROWTH * evaluated:
            evaluations.append(len(reads) - 1)
            evaluated = total
    return ReadPlan(chosen.astype(np.int32), int(folds), reads, frozenset(evaluations))


def sample_strings(states: ChunkedActivations) -> Strings:
    """Return some strings to choose levels from: all of a short text, segments from all over a long one."""
    if states.n_positions <= SAMPLE:
        return [(0, len(states.offsets) - 1)]
    segments = chunk_bounds(states.offsets, _BLOCK)
    wanted = min(len(segments), max(1, SAMPLE // _BLOCK))
    return [segments[place] for place in np.arange(wanted) * len(segments) // wanted]


def cut_blocks(offsets: Int[np.ndarray, " S1"], groups: Int[np.ndarray, " S"], size: int) -> Strings:
    """Cut the strings between groups into blocks of at least `size` characters; the last may be smaller.

    Examples
    --------
    >>> cut_blocks(np.array([0, 4, 8, 12, 16, 20]), np.array([0, 0, 0, 1, 2]), 4)
    [(0, 3), (3, 4), (4, 5)]
    """
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    if len(ends) != len(np.unique(groups)):
        raise ValueError(
            "expected the strings of a group next to each other for a tolerance, got a group in several places: "
            "record the corpus with its groups in order"
        )
    blocks, first = [], 0
    for end in ends.tolist():
        if offsets[end] - offsets[first] >= size or end == len(groups):
            blocks.append((first, end))
            first = end
    return blocks


def _of_strings(states: ChunkedActivations, groups: np.ndarray | None) -> np.ndarray:
    """The group of each string."""
    if groups is None:
        return np.asarray(states.string_groups)
    groups = np.asarray(groups)
    if groups.shape != (states.n_positions,):
        raise ValueError(f"expected groups of shape ({states.n_positions},), got {groups.shape}")
    of_strings = groups[states.offsets[:-1]]
    if (np.repeat(of_strings, np.diff(states.offsets)) != groups).any():
        raise ValueError("expected one group per string for a tolerance, got strings of several")
    return of_strings


def _rounds(fold_of: Int[np.ndarray, " b"], rng: np.random.Generator) -> np.ndarray:
    """An order in which each round takes one block of every fold, at random."""
    shuffled = rng.permutation(len(fold_of))
    rank = np.empty(len(fold_of), np.int64)
    for fold in np.unique(fold_of):
        members = shuffled[fold_of[shuffled] == fold]
        rank[members] = np.arange(len(members))
    return np.lexsort((fold_of, rank))
