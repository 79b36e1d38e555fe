"""Features from parse trees: what a node covers, where it begins and ends, how deeply it is nested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.features._cache import compute_once
from dni_jax.features._feature import Feature
from dni_jax.features._ranges import cover
from dni_jax.text import BRACKETS, Corpus, ParseTrees, iterate_chunks, offsets_from_lengths

_CHUNK = 1_000_000  # characters whose depth is computed together


class Nodes(NamedTuple):
    """All nodes that cover a character, sorted by kind, and within a kind in the order of the trees.

    ``start`` and ``end`` (exclusive) are positions of the corpus, clipped to the node's string. ``starts_here`` and
    ``ends_here`` are True if the node's own first and last character are there. The nodes of kind ``k`` are
    ``bounds[k]:bounds[k + 1]``.
    """

    start: Int[np.ndarray, " M"]
    end: Int[np.ndarray, " M"]
    starts_here: Bool[np.ndarray, " M"]
    ends_here: Bool[np.ndarray, " M"]
    bounds: Int[np.ndarray, " K1"]

    def take_kinds(self, kinds: Iterable[int]) -> Nodes:
        """Return the nodes of some kinds, without bounds."""
        slices = [slice(self.bounds[kind], self.bounds[kind + 1]) for kind in kinds]
        start, end, starts_here, ends_here = (
            np.concatenate([column[rows] for rows in slices]) if len(slices) > 1 else column[slices[0]]
            for column in self[:4]
        )
        return Nodes(start, end, starts_here, ends_here, self.bounds[:0])


def _trees(corpus: Corpus) -> ParseTrees:
    if corpus.trees is None:
        raise ValueError("expected a corpus with parse trees, got one without: make it with language.corpus(strings)")
    return corpus.trees


def _nodes(corpus: Corpus) -> Nodes:
    """Sort the nodes by kind, so that each feature reads only its own nodes."""
    trees = _trees(corpus)
    rows = np.flatnonzero(trees.end > trees.start)
    rule = trees.rule[rows].astype(np.min_scalar_type(len(trees.kinds)))
    rows = rows[np.argsort(rule, kind="stable")]
    string = trees.string_ids[rows]
    base, top = corpus.offsets[string], corpus.offsets[string + 1]
    start, end = base + trees.start[rows], base + trees.end[rows]
    counts = np.bincount(rule, minlength=len(trees.kinds))
    bounds = offsets_from_lengths(counts)
    return Nodes(np.maximum(start, base), np.minimum(end, top), start >= base, end <= top, bounds)


def find_nodes(corpus: Corpus, names: Iterable[str]) -> tuple[Nodes, list[int]]:
    """Return all nodes of a corpus, and the kinds that have one of these names or symbols.

    Raises
    ------
    ValueError
        If the corpus has no trees, or the trees have no such kind.
    """
    trees, nodes, names = _trees(corpus), compute_once(corpus, "nodes", _nodes), set(names)
    kinds = [row for row, kind in enumerate(trees.kinds) if kind.symbol in names or kind.name in names]
    if not kinds:
        raise ValueError(f"expected a node of the language ({', '.join(trees.symbols)}), got {sorted(names)}")
    return nodes, kinds


def nesting(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """Count the nodes of these kinds that cover each character, int32 ``(T,)``."""
    nodes, kinds = find_nodes(corpus, names)
    some = nodes.take_kinds(kinds)
    steps = np.bincount(some.start, minlength=corpus.n_positions + 1)
    steps -= np.bincount(some.end, minlength=corpus.n_positions + 1)
    return np.cumsum(steps[:-1], dtype=np.int32)


def node_range(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """Return 1 on every character of each node of these kinds, 0 elsewhere, int8 ``(T,)``."""
    nodes, kinds = find_nodes(corpus, names)
    some = nodes.take_kinds(kinds)
    return cover(corpus.n_positions, some.start, some.end)


def node_impulse(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """Return 1 at the first and the last character of each node of these kinds, 0 elsewhere, int8 ``(T,)``."""
    nodes, kinds = find_nodes(corpus, names)
    some = nodes.take_kinds(kinds)
    labels = np.zeros(corpus.n_positions, np.int8)
    labels[some.start[some.starts_here]] = 1
    labels[some.end[some.ends_here] - 1] = 1
    return labels


def bracket_nesting(corpus: Corpus) -> Int[np.ndarray, " T"]:
    """Count the pairs of brackets that enclose each character; a pair encloses its own brackets.

    If the parser has matched bracket tokens (symbol ``brackets``), only these count, not the brackets in strings and
    comments. Otherwise every bracket character of the text counts.
    """
    return compute_once(corpus, "bracket nesting", _bracket_nesting)


def _bracket_nesting(corpus: Corpus) -> Int[np.ndarray, " T"]:
    if corpus.trees is not None and BRACKETS in corpus.trees.symbols:
        return nesting(corpus, [BRACKETS])
    opening = np.isin(corpus.text, [ord(c) for c in "([{"]).astype(np.int64)
    closing = np.isin(corpus.text, [ord(c) for c in ")]}"]).astype(np.int64)
    depth = np.cumsum(opening) - np.cumsum(closing) + closing
    before = depth - opening
    return depth - before[corpus.offsets[:-1]][corpus.string_ids]


def range_feature(name: str, nodes: Iterable[str]) -> Feature:
    """Return a feature that is 1 on every character of some nodes.

    This is the time representation of Lin & Wu (2017, section 3).

    Parameters
    ----------
    name
        The name of the feature.
    nodes
        Symbols or productions.
    """
    return _node_feature(name, node_range, nodes, "inside")


def impulse_feature(name: str, nodes: Iterable[str]) -> Feature:
    """Return a feature that is 1 on the first and the last character of some nodes.

    This is the signal representation of Lin & Wu (2017, section 3).

    Parameters
    ----------
    name
        The name of the feature.
    nodes
        Symbols or productions.
    """
    return _node_feature(name, node_impulse, nodes, "first or last character of")


def _node_feature(
    name: str, mark: Callable[[Corpus, tuple[str, ...]], np.ndarray], nodes: Iterable[str], place: str
) -> Feature:
    """Return a feature that is 1 where `mark` marks some nodes; `place` says in words where that is."""
    kinds = tuple(nodes)
    return Feature(name, lambda corpus: mark(corpus, kinds), "binary", f"{place} {' or '.join(kinds)}")


def _scaled_feature(name: str, depth: Callable[[Corpus], np.ndarray], about: str) -> Feature:
    """Return a feature of a depth, divided by the largest depth in the corpus."""

    def scaled(deepest: int) -> Callable[[Corpus], np.ndarray]:
        return lambda corpus: (depth(corpus) / max(deepest, 1)).astype(np.float32)

    def fit(corpus: Corpus) -> Feature:
        deepest = max(int(depth(part).max()) for part in iterate_chunks(corpus, _CHUNK))
        return Feature(name, scaled(deepest), "continuous", about)

    return Feature(name, lambda corpus: scaled(int(depth(corpus).max()))(corpus), "continuous", about, fit=fit)


def nesting_feature(name: str, nodes: Iterable[str], level: int | None = None) -> Feature:
    """Return a feature of how many of some nodes enclose a character.

    Parameters
    ----------
    name
        The name of the feature.
    nodes
        Symbols or productions.
    level
        Return the binary feature that exactly this many enclose the character. None: return the continuous feature,
        the number divided by the largest in the corpus.
    """
    kinds = tuple(nodes)
    words = " or ".join(kinds)
    if level is None:
        return _scaled_feature(name, lambda corpus: nesting(corpus, kinds), f"nesting of {words}, 0 to 1")
    return Feature(name, lambda corpus: nesting(corpus, kinds) == level, "binary", f"inside exactly {level} {words}")


def node_features(nodes: Mapping[str, Iterable[str]]) -> tuple[Feature, ...]:
    """Return ``range:name`` and ``impulse:name`` for each name of some nodes (symbols or productions)."""
    pairs = (
        (range_feature(f"range:{name}", kinds), impulse_feature(f"impulse:{name}", kinds))
        for name, kinds in nodes.items()
    )
    return tuple(one for pair in pairs for one in pair)


def nesting_features(name: str, nodes: Iterable[str], levels: int) -> tuple[Feature, ...]:
    """Return the `nesting_feature` ``name`` of some nodes, and ``name=0``, ``name=1``, ... for each level."""
    exact = [nesting_feature(f"{name}={level}", nodes, level) for level in range(levels)]
    return (nesting_feature(name, nodes), *exact)


def depth_features(levels: int) -> tuple[Feature, ...]:
    """Return ``depth``, the nesting of brackets divided by the largest in the corpus, and ``depth=0``, ... by level."""
    exact = [_level_feature(level) for level in range(levels)]
    return (_scaled_feature("depth", bracket_nesting, "bracket nesting, 0 to 1"), *exact)


def _level_feature(level: int) -> Feature:
    return Feature(
        f"depth={level}",
        lambda corpus: bracket_nesting(corpus) == level,
        "binary",
        f"inside exactly {level} pairs of brackets",
    )
