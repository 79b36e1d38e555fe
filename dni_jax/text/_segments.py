"""Long texts in pieces that a network can read side by side, their trees cut along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from dni_jax.text._corpus import Corpus
from dni_jax.text._trees import ParseTrees, concatenated_ranges

PLACE = "place"


def piece_offsets(corpus: Corpus, size: int) -> Int[np.ndarray, " P1"]:
    """Cut every string into pieces of at most `size` characters, behind a line break where one is near enough."""
    if size < 1:
        raise ValueError(f"expected pieces of at least 1 character, got size {size}")
    lines = np.concatenate([[0], np.flatnonzero(corpus.text == ord("\n")) + 1])
    cuts = [0]
    for last in corpus.offsets[1:].tolist():
        while last - cuts[-1] > size:
            candidate = int(lines[np.searchsorted(lines, cuts[-1] + size, side="right") - 1])
            cuts.append(candidate if candidate > cuts[-1] + size // 2 else cuts[-1] + size)
        cuts.append(last)
    return np.asarray(cuts, np.int64)


def spans(offsets: Int[np.ndarray, " S1"], size: int) -> list[tuple[int, int]]:
    """Cut the strings into runs of at most `size` characters; a longer string is one by itself.

    Examples
    --------
    >>> spans(np.array([0, 3, 5, 9, 20, 21]), 6)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    if size < 1:
        raise ValueError(f"expected at least 1 character at a time, got {size}")
    found, first, n_strings = [], 0, len(offsets) - 1
    while first < n_strings:
        last = max(int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1, first + 1)
        found.append((first, last))
        first = last
    return found


def parts(corpus: Corpus, size: int) -> Iterator[Corpus]:
    """Yield the strings in their order, at most `size` characters of them (at least one string) at a time.

    Examples
    --------
    >>> [part.strings for part in parts(Corpus.from_strings(["ab", "c", "def"]), 3)]
    [('ab', 'c'), ('def',)]
    """
    for first, last in spans(corpus.offsets, size):
        yield corpus.take(np.arange(first, last))


def cut(corpus: Corpus, size: int) -> Corpus:
    r"""Give the same text in pieces of at most `size` characters.

    A piece remembers whether it begins and ends where its string did; a node that sticks out of a piece keeps its
    true ends, so that a piece's first character is never mistaken for the node's. A node without characters goes
    where the node around it is. The record ``"place"`` numbers the characters, so that pieces which follow each other
    are known as such after `Corpus.take` too.

    Examples
    --------
    >>> pieces = cut(Corpus.from_strings(["one\ntwo\nthree"]), 8)
    >>> pieces.strings, pieces.begins.tolist(), pieces.ends.tolist()
    (('one\ntwo\n', 'three'), [True, False], [False, True])
    """
    offsets = piece_offsets(corpus, size)
    whole = np.searchsorted(corpus.offsets, offsets[:-1], side="right") - 1
    return replace(
        corpus,
        offsets=offsets,
        trees=None if corpus.trees is None else _cut_trees(corpus, corpus.trees, offsets),
        groups=corpus.groups[whole],
        split=corpus.split[whole],
        begins=corpus.begins[whole] & (offsets[:-1] == corpus.offsets[whole]),
        ends=corpus.ends[whole] & (offsets[1:] == corpus.offsets[whole + 1]),
        records={PLACE: np.arange(corpus.n_positions, dtype=np.int32), **corpus.records},
    )


def _cut_trees(corpus: Corpus, trees: ParseTrees, offsets: Int[np.ndarray, " P1"]) -> ParseTrees:
    """Give every piece the nodes that overlap it, in their order."""
    base = corpus.offsets[trees.string]
    start, end = base + trees.start, base + trees.end
    inside_first, inside_last = _characters(corpus, trees)
    first = np.searchsorted(offsets, inside_first, side="right") - 1
    last = np.searchsorted(offsets, inside_last, side="right") - 1
    copies = last - first + 1
    rows = np.repeat(np.arange(len(start)), copies)
    piece = concatenated_ranges(first, copies)
    order = np.argsort(piece, kind="stable")
    rows, piece = rows[order], piece[order]
    counts = np.bincount(piece, minlength=len(offsets) - 1)
    node_offsets = np.concatenate([[0], np.cumsum(counts)])
    # A node's parent overlaps every piece that the node overlaps; keys grow along a piece's rows, pieces in turn.
    key = piece * len(start) + rows
    above = trees.parent[rows]
    parent_row = trees.offsets[trees.string[rows]] + above
    found = np.searchsorted(key, piece * len(start) + parent_row)
    parent = np.where(above >= 0, found - node_offsets[piece], -1)
    return ParseTrees(
        trees.kinds,
        trees.rule[rows],
        (start[rows] - offsets[piece]).astype(np.int32),
        (end[rows] - offsets[piece]).astype(np.int32),
        parent.astype(np.int32),
        trees.depth[rows],
        node_offsets,
    )


def _characters(corpus: Corpus, trees: ParseTrees) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """First and last character of each node within its string; an empty node takes the nearest one around it."""
    string = trees.string
    base, top = corpus.offsets[string], corpus.offsets[string + 1]
    first, last = np.maximum(base + trees.start, base), np.minimum(base + trees.end, top) - 1
    empty = np.flatnonzero(trees.start == trees.end)
    above = empty
    while True:  # the nearest node around it that has characters, or else the whole string
        parent = trees.parent[above]
        climbing = (parent >= 0) & (trees.start[above] == trees.end[above])
        if not climbing.any():
            break
        above = np.where(climbing, trees.offsets[string[above]] + parent, above)
    whole = trees.start[above] == trees.end[above]
    low = np.where(whole, base[empty], first[above])
    high = np.where(whole, top[empty] - 1, last[above])
    first[empty] = last[empty] = np.clip(first[empty], low, high)
    return first, last
