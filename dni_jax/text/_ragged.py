"""Ragged arrays: rows of different lengths stored end to end, with the offset of each row."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Num


def exclusive_sum(values: Num[np.ndarray, " n"]) -> Num[np.ndarray, " n"]:
    """Return the sum of all values before each one.

    Examples
    --------
    >>> exclusive_sum(np.array([3, 0, 2])).tolist()
    [0, 3, 3]
    """
    return np.cumsum(values) - values


def offsets_from_lengths(lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n1"]:
    """Return the offsets of rows with these lengths, int64 ``(n + 1,)``: row ``i`` is ``offsets[i]:offsets[i + 1]``.

    Examples
    --------
    >>> offsets_from_lengths(np.array([3, 0, 2])).tolist()
    [0, 3, 3, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def row_ids(offsets: Int[np.ndarray, " n1"]) -> Int[np.ndarray, " total"]:
    """Return the row of each element.

    Examples
    --------
    >>> row_ids(np.array([0, 3, 3, 5])).tolist()
    [0, 0, 0, 2, 2]
    """
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def concatenate_ranges(starts: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " total"]:
    """Return ``start, ..., start + length - 1`` for every range, one range after the other.

    Examples
    --------
    >>> concatenate_ranges(np.array([3, 9, 0]), np.array([2, 0, 3])).tolist()
    [3, 4, 0, 1, 2]
    """
    # One arange over the whole result; each range shifts its own part from where it stands to where it starts.
    shifts = np.repeat(starts - exclusive_sum(lengths), lengths)
    return shifts + np.arange(len(shifts))


def chunk_bounds(offsets: Int[np.ndarray, " n1"], size: int) -> list[tuple[int, int]]:
    """Group consecutive rows into chunks of at most `size` elements; a longer row is a chunk of its own.

    Returns
    -------
    First and last row (exclusive) of each chunk.

    Raises
    ------
    ValueError
        If `size` is less than 1.

    Examples
    --------
    >>> chunk_bounds(np.array([0, 3, 5, 9, 20, 21]), 6)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    if size < 1:
        raise ValueError(f"expected a chunk size of at least 1, got {size}")
    bounds, first, n_rows = [], 0, len(offsets) - 1
    while first < n_rows:
        last = max(int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1, first + 1)
        bounds.append((first, last))
        first = last
    return bounds
