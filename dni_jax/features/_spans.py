"""Stretches of positions, all at once: what they cover, what lies near."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int8

from dni_jax.text import concatenate_ranges

Positions = Int[np.ndarray, " n"]


def disjoint(starts: Positions, ends: Positions) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Merge stretches ``start .. end`` (exclusive) that overlap; the result is sorted.

    Examples
    --------
    >>> [side.tolist() for side in disjoint(np.array([0, 1, 5]), np.array([4, 2, 6]))]
    [[0, 5], [4, 6]]
    """
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    reach = np.maximum.accumulate(ends) if len(ends) else ends
    fresh = np.ones(len(starts), bool)
    fresh[1:] = starts[1:] >= reach[:-1]
    last = np.ones(len(starts), bool)
    last[:-1] = fresh[1:]
    return starts[fresh], reach[last]


def cover(length: int, starts: Positions, ends: Positions) -> Int8[np.ndarray, " T"]:
    """1 at each of `length` positions that lies in one of the stretches, 0 elsewhere.

    Examples
    --------
    >>> cover(6, np.array([0, 1, 5]), np.array([2, 3, 6])).tolist()
    [1, 1, 1, 0, 0, 1]
    """
    steps = np.zeros(length + 1, np.int8)
    starts, ends = disjoint(starts, ends)
    steps[starts] = 1
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8)


def edge(offsets: Int[np.ndarray, " R1"], rows: Bool[np.ndarray, " R"], n: int) -> Positions:
    """The first `n` positions (the last -n where n is negative) of some of the runs between `offsets`."""
    starts, ends = offsets[:-1][rows], offsets[1:][rows]
    lengths = np.minimum(ends - starts, abs(n))
    return concatenate_ranges(starts if n >= 0 else ends - lengths, lengths)


def shifted(column: np.ndarray, offsets: Int[np.ndarray, " R1"], n: int, fill: float) -> np.ndarray:
    """The value `n` positions before each one in the same run (after it where n is negative), `fill` where none is.

    Examples
    --------
    >>> shifted(np.array([1, 2, 3, 4, 5]), np.array([0, 3, 5]), 1, 0).tolist()
    [0, 1, 2, 0, 4]
    """
    result = np.full_like(column, fill)
    if abs(n) < len(column):
        result[max(n, 0) : len(column) + min(n, 0)] = column[max(-n, 0) : len(column) - max(n, 0)]
    result[edge(offsets, np.ones(len(offsets) - 1, bool), n)] = fill
    return result


def near(on: Bool[np.ndarray, " T"], offsets: Int[np.ndarray, " R1"], n: int) -> Int8[np.ndarray, " T"]:
    """1 where `on` holds at the position or at one of the `n` before it (after it, n negative) in the same run.

    Examples
    --------
    >>> near(np.array([1, 0, 0, 1, 0], bool), np.array([0, 4, 5]), 1).tolist()
    [1, 1, 0, 1, 0]
    """
    places = np.flatnonzero(on)
    run = np.searchsorted(offsets, places, side="right")
    starts = np.maximum(places + min(n, 0), offsets[run - 1])
    ends = np.minimum(places + max(n, 0) + 1, offsets[run])
    return cover(len(on), starts, ends)
