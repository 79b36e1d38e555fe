"""Features from parse trees: where a node spans, where it begins and ends, how deeply it is nested."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from dni_jax.corpora import Corpus
from dni_jax.features.feature import Feature

BRACKETS = "brackets"


class Spans(NamedTuple):
    """Corpus positions of nodes and of the strings they stand in; ends are exclusive."""

    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    string_start: Int[np.ndarray, " n"]
    string_end: Int[np.ndarray, " n"]


def node_spans(corpus: Corpus, names: Iterable[str]) -> Spans:
    """Where the nodes of some kinds (symbols or kinds' names) lie; nodes that cover no character are left out.

    Raises
    ------
    ValueError
        Where the corpus has no trees, or the trees have no such kind.
    """
    if corpus.trees is None:
        raise ValueError("expected a corpus with parse trees, got one without: make it with language.corpus(strings)")
    trees, wanted = corpus.trees, set(names)
    chosen = np.asarray([kind.symbol in wanted or kind.name in wanted for kind in trees.kinds])
    if not chosen.any():
        raise ValueError(f"expected a node of the language ({', '.join(trees.symbols)}), got {sorted(wanted)}")
    rows = np.flatnonzero(chosen[trees.rule] & (trees.end > trees.start))
    string = trees.string[rows]
    base = corpus.offsets[string]
    return Spans(base + trees.start[rows], base + trees.end[rows], base, corpus.offsets[string + 1])


def nesting(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """How many nodes of these kinds cover each character."""
    spans = node_spans(corpus, names)
    length = corpus.n_positions + 1
    opened = np.bincount(np.maximum(spans.start, spans.string_start), minlength=length)
    closed = np.bincount(np.minimum(spans.end, spans.string_end), minlength=length)
    return np.cumsum(opened - closed)[:-1]


def node_impulse(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """1 at the first and the last character of each node of these kinds."""
    spans = node_spans(corpus, names)
    labels = np.zeros(corpus.n_positions, np.int8)
    labels[spans.start[spans.start >= spans.string_start]] = 1
    labels[spans.end[spans.end <= spans.string_end] - 1] = 1
    return labels


def bracket_nesting(corpus: Corpus) -> Int[np.ndarray, " T"]:
    """How many pairs of brackets enclose each character, a pair's own brackets included.

    Where the parser has matched bracket tokens (kind ``brackets``), these count, so that brackets in strings and
    comments do not; otherwise every bracket character of the text does.
    """
    if corpus.trees is not None and BRACKETS in corpus.trees.symbols:
        return nesting(corpus, [BRACKETS])
    opening = np.isin(corpus.text, [ord(c) for c in "([{"]).astype(np.int64)
    closing = np.isin(corpus.text, [ord(c) for c in ")]}"]).astype(np.int64)
    depth = np.cumsum(opening) - np.cumsum(closing) + closing
    before = depth - opening
    return depth - before[corpus.offsets[:-1]][corpus.string_of]


def range_feature(name: str, nodes: Iterable[str]) -> Feature:
    """Make a feature that is 1 on every character of the nodes (symbols or productions) named.

    The paper's time representation (Lin & Wu 2017, section 3).
    """
    kinds = tuple(nodes)
    return Feature(
        name,
        lambda corpus: (nesting(corpus, kinds) > 0).astype(np.int8),
        "binary",
        f"inside {' or '.join(kinds)}",
    )


def impulse_feature(name: str, nodes: Iterable[str]) -> Feature:
    """Make a feature that is 1 on the first and the last character of the nodes named.

    The paper's signal representation (Lin & Wu 2017, section 3).
    """
    kinds = tuple(nodes)
    return Feature(
        name,
        lambda corpus: node_impulse(corpus, kinds),
        "binary",
        f"first or last character of {' or '.join(kinds)}",
    )


def _scaled(depth: Int[np.ndarray, " T"]) -> np.ndarray:
    return (depth / max(int(depth.max()), 1)).astype(np.float32)


def nesting_feature(name: str, nodes: Iterable[str], level: int | None = None) -> Feature:
    """Make a feature of how many of the nodes named enclose a character.

    With `level`, binary: exactly so many. Without, continuous and scaled to [0, 1] by the deepest of the corpus.
    """
    kinds = tuple(nodes)
    if level is None:
        return Feature(name, lambda corpus: _scaled(nesting(corpus, kinds)), "continuous", "nesting, 0 to 1")
    return Feature(name, lambda corpus: (nesting(corpus, kinds) == level).astype(np.int8), "binary")


def depth_features(levels: int) -> tuple[Feature, ...]:
    """Make ``depth`` (bracket nesting scaled to [0, 1] by the deepest) and ``depth=0`` ... for each level."""
    exact = [_level_feature(level) for level in range(levels)]
    scaled = Feature("depth", lambda corpus: _scaled(bracket_nesting(corpus)), "continuous", "bracket nesting, 0 to 1")
    return (scaled, *exact)


def _level_feature(level: int) -> Feature:
    return Feature(
        f"depth={level}",
        lambda corpus: (bracket_nesting(corpus) == level).astype(np.int8),
        "binary",
        f"inside exactly {level} pairs of brackets",
    )
