"""Long strings cut into segments short enough for a network to read, and segments joined again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.text._corpus import Corpus
from dni_jax.text._ragged import chunk_bounds, concatenate_ranges, offsets_from_lengths
from dni_jax.text._trees import ParseTrees

SOURCE_POSITION = "source position"


class Texts(NamedTuple):
    """Text without gaps: whole strings, or segments of one string that follow each other.

    ``offsets`` int64 ``(R + 1,)``; ``begins`` and ``ends`` bool ``(R,)``: False where the text before or after is
    missing.
    """

    offsets: Int[np.ndarray, " R1"]
    begins: Bool[np.ndarray, " R"]
    ends: Bool[np.ndarray, " R"]


def segment_corpus(corpus: Corpus, size: int) -> Corpus:
    r"""Cut the strings of a corpus into segments of at most `size` characters.

    A string is cut after its last line break that makes a segment longer than half of `size`, otherwise at `size`.
    ``begins`` and ``ends`` say whether a segment begins and ends where its string did. A node that extends beyond a
    segment is kept in every segment that it overlaps, with its true start and end, so that a segment's first
    character is not mistaken for the node's. A node without characters goes to the segment of the node around it.
    The record ``"source position"`` numbers the characters of the corpus, so that `join_segments` can recognize
    neighbors after `Corpus.take` too.

    Raises
    ------
    ValueError
        If `size` is less than 1.

    Examples
    --------
    >>> segments = segment_corpus(Corpus.from_strings(["one\ntwo\nthree"]), 8)
    >>> segments.strings, segments.begins.tolist(), segments.ends.tolist()
    (('one\ntwo\n', 'three'), [True, False], [False, True])
    """
    offsets = _segment_offsets(corpus, size)
    source = np.searchsorted(corpus.offsets, offsets[:-1], side="right") - 1
    return replace(
        corpus,
        offsets=offsets,
        trees=None if corpus.trees is None else _segment_trees(corpus, corpus.trees, offsets),
        groups=corpus.groups[source],
        split=corpus.split[source],
        begins=corpus.begins[source] & (offsets[:-1] == corpus.offsets[source]),
        ends=corpus.ends[source] & (offsets[1:] == corpus.offsets[source + 1]),
        records={SOURCE_POSITION: np.arange(corpus.n_positions, dtype=np.int32), **corpus.records},
    )


def join_segments(corpus: Corpus) -> Texts:
    r"""Find the segments that follow each other in the corpus as they did in their string.

    The order of the segments does not show this: `Corpus.take` and `Corpus.shuffle` can place any two segments next
    to each other. Neighbors are joined where the record ``"source position"`` continues from one to the next.

    Examples
    --------
    >>> segments = segment_corpus(Corpus.from_strings(["one\ntwo", "x"]), 4)
    >>> join_segments(segments).offsets.tolist(), join_segments(segments.take(np.array([2, 0, 1]))).offsets.tolist()
    ([0, 7, 8], [0, 1, 8])
    """
    first = np.ones(len(corpus), bool)
    if SOURCE_POSITION in corpus.records:
        position, cuts = corpus.records[SOURCE_POSITION], corpus.offsets[1:-1]
        first[1:] = corpus.ends[:-1] | corpus.begins[1:] | (position[cuts - 1] + 1 != position[cuts])
    last = np.append(first[1:], True)
    return Texts(np.append(corpus.offsets[:-1][first], corpus.offsets[-1]), corpus.begins[first], corpus.ends[last])


def iterate_chunks(corpus: Corpus, size: int) -> Iterator[Corpus]:
    """Yield consecutive strings as corpora of at most `size` characters; a longer string comes alone.

    Examples
    --------
    >>> [chunk.strings for chunk in iterate_chunks(Corpus.from_strings(["ab", "c", "def"]), 3)]
    [('ab', 'c'), ('def',)]
    """
    for first, last in chunk_bounds(corpus.offsets, size):
        yield corpus.take(np.arange(first, last))


def _segment_offsets(corpus: Corpus, size: int) -> Int[np.ndarray, " P1"]:
    if size < 1:
        raise ValueError(f"expected segments of at least 1 character, got size {size}")
    lines = np.concatenate([[0], np.flatnonzero(corpus.text == ord("\n")) + 1])
    cuts = [0]
    for last in corpus.offsets[1:].tolist():
        while last - cuts[-1] > size:
            candidate = int(lines[np.searchsorted(lines, cuts[-1] + size, side="right") - 1])
            cuts.append(candidate if candidate > cuts[-1] + size // 2 else cuts[-1] + size)
        cuts.append(last)
    return np.asarray(cuts, np.int64)


def _segment_trees(corpus: Corpus, trees: ParseTrees, offsets: Int[np.ndarray, " P1"]) -> ParseTrees:
    """Copy each node into every segment that it overlaps; nodes keep their order."""
    base = corpus.offsets[trees.string_ids]
    start, end = base + trees.start, base + trees.end
    first_character, last_character = _node_characters(corpus, trees)
    first = np.searchsorted(offsets, first_character, side="right") - 1
    last = np.searchsorted(offsets, last_character, side="right") - 1
    copies = last - first + 1
    rows = np.repeat(np.arange(len(start)), copies)
    segment = concatenate_ranges(first, copies)
    order = np.argsort(segment, kind="stable")
    rows, segment = rows[order], segment[order]
    node_offsets = offsets_from_lengths(np.bincount(segment, minlength=len(offsets) - 1))
    # A parent overlaps every segment that its child overlaps, so each copy's parent has a copy in the same segment.
    # Copies are sorted by segment and then by row, so (segment, row) as one number can be searched for.
    key = segment * len(start) + rows
    above = trees.parent[rows]
    parent_row = trees.offsets[trees.string_ids[rows]] + above
    found = np.searchsorted(key, segment * len(start) + parent_row)
    parent = np.where(above >= 0, found - node_offsets[segment], -1)
    return ParseTrees(
        trees.kinds,
        trees.rule[rows],
        (start[rows] - offsets[segment]).astype(np.int32),
        (end[rows] - offsets[segment]).astype(np.int32),
        parent.astype(np.int32),
        trees.depth[rows],
        node_offsets,
    )


def _node_characters(corpus: Corpus, trees: ParseTrees) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Return the first and last character of each node within its string.

    An empty node takes the nearest character of the closest ancestor that has any, or else of the whole string.
    """
    string = trees.string_ids
    base, top = corpus.offsets[string], corpus.offsets[string + 1]
    first, last = np.maximum(base + trees.start, base), np.minimum(base + trees.end, top) - 1
    empty = np.flatnonzero(trees.start == trees.end)
    ancestor = empty
    while True:
        parent = trees.parent[ancestor]
        climbing = (parent >= 0) & (trees.start[ancestor] == trees.end[ancestor])
        if not climbing.any():
            break
        ancestor = np.where(climbing, trees.offsets[string[ancestor]] + parent, ancestor)
    no_ancestor = trees.start[ancestor] == trees.end[ancestor]
    low = np.where(no_ancestor, base[empty], first[ancestor])
    high = np.where(no_ancestor, top[empty] - 1, last[ancestor])
    first[empty] = last[empty] = np.clip(first[empty], low, high)
    return first, last
