"""Operations on many ranges of positions at once: what they cover, what is near, what lies before."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int8

from dni_jax.text import concatenate_ranges

Positions = Int[np.ndarray, " n"]


def merge_ranges(starts: Positions, ends: Positions) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Merge ranges ``start .. end`` (exclusive) that overlap, and sort them.

    Examples
    --------
    >>> [side.tolist() for side in merge_ranges(np.array([0, 1, 5]), np.array([4, 2, 6]))]
    [[0, 5], [4, 6]]
    """
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    # A range begins a new group if it starts after the end of all ranges before it.
    reach = np.maximum.accumulate(ends) if len(ends) else ends
    first = np.ones(len(starts), bool)
    first[1:] = starts[1:] >= reach[:-1]
    last = np.ones(len(starts), bool)
    last[:-1] = first[1:]
    return starts[first], reach[last]


def cover(length: int, starts: Positions, ends: Positions) -> Int8[np.ndarray, " T"]:
    """Return 1 at each of `length` positions that lies in one of the ranges, 0 elsewhere.

    Examples
    --------
    >>> cover(6, np.array([0, 1, 5]), np.array([2, 3, 6])).tolist()
    [1, 1, 1, 0, 0, 1]
    """
    steps = np.zeros(length + 1, np.int8)
    starts, ends = merge_ranges(starts, ends)
    steps[starts] = 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8)


def edge_positions(offsets: Int[np.ndarray, " R1"], rows: Bool[np.ndarray, " R"], n: int) -> Positions:
    """Return the first `n` positions, or the last -n if n is negative, of the texts chosen by `rows`."""
    starts, ends = offsets[:-1][rows], offsets[1:][rows]
    lengths = np.minimum(ends - starts, abs(n))
    return concatenate_ranges(starts if n >= 0 else ends - lengths, lengths)


def shift(column: np.ndarray, offsets: Int[np.ndarray, " R1"], n: int, fill: float) -> np.ndarray:
    """Return the value `n` positions before each one in the same text (after it if n is negative), or else `fill`.

    Examples
    --------
    >>> shift(np.array([1, 2, 3, 4, 5]), np.array([0, 3, 5]), 1, 0).tolist()
    [0, 1, 2, 0, 4]
    """
    result = np.full_like(column, fill)
    if abs(n) < len(column):
        result[max(n, 0) : len(column) + min(n, 0)] = column[max(-n, 0) : len(column) - max(n, 0)]
    result[edge_positions(offsets, np.ones(len(offsets) - 1, bool), n)] = fill
    return result


def near(on: Bool[np.ndarray, " T"], offsets: Int[np.ndarray, " R1"], n: int) -> Int8[np.ndarray, " T"]:
    """Return 1 where `on` holds at the position or at one of the `n` before it (after it if n is negative).

    Only positions of the same text count.

    Examples
    --------
    >>> near(np.array([1, 0, 0, 1, 0], bool), np.array([0, 4, 5]), 1).tolist()
    [1, 1, 0, 1, 0]
    """
    positions = np.flatnonzero(on)
    text = np.searchsorted(offsets, positions, side="right")
    starts = np.maximum(positions + min(n, 0), offsets[text - 1])
    ends = np.minimum(positions + max(n, 0) + 1, offsets[text])
    return cover(len(on), starts, ends)
