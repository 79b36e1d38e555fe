"""Features from parse trees: where a node spans, where it begins and ends, how deeply it is nested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.features._feature import Feature
from dni_jax.features._reading import compute_once
from dni_jax.features._spans import cover
from dni_jax.text import Corpus, ParseTrees, iterate_chunks

BRACKETS = "brackets"
_PART = 1_000_000  # characters whose depth is looked at together


class Nodes(NamedTuple):
    """All nodes that cover a character, kind by kind, each kind's in the trees' order.

    ``start`` and ``end`` (exclusive) are corpus positions, cut at the ends of the node's string; ``starts_here`` and
    ``ends_here`` tell whether the node's own first and last character are there. The nodes of kind ``k`` are
    ``bounds[k]:bounds[k + 1]``.
    """

    start: Int[np.ndarray, " M"]
    end: Int[np.ndarray, " M"]
    starts_here: Bool[np.ndarray, " M"]
    ends_here: Bool[np.ndarray, " M"]
    bounds: Int[np.ndarray, " K1"]

    def of(self, kinds: Iterable[int]) -> Nodes:
        """Give the nodes of some kinds; they keep no bounds."""
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
    """Sort the nodes by kind, once for all features: each then reads its own nodes only."""
    trees = _trees(corpus)
    rows = np.flatnonzero(trees.end > trees.start)
    rule = trees.rule[rows].astype(np.min_scalar_type(len(trees.kinds)))
    rows = rows[np.argsort(rule, kind="stable")]
    string = trees.string_ids[rows]
    base, top = corpus.offsets[string], corpus.offsets[string + 1]
    start, end = base + trees.start[rows], base + trees.end[rows]
    counts = np.bincount(rule, minlength=len(trees.kinds))
    bounds = np.concatenate([[0], np.cumsum(counts)])
    return Nodes(np.maximum(start, base), np.minimum(end, top), start >= base, end <= top, bounds)


def nodes_of(corpus: Corpus, names: Iterable[str]) -> tuple[Nodes, list[int]]:
    """All nodes of a corpus, and which kinds are meant by symbols or kinds' names.

    Raises
    ------
    ValueError
        Where the corpus has no trees, or the trees have no such kind.
    """
    trees, nodes, wanted = _trees(corpus), compute_once(corpus, "nodes", _nodes), set(names)
    kinds = [row for row, kind in enumerate(trees.kinds) if kind.symbol in wanted or kind.name in wanted]
    if not kinds:
        raise ValueError(f"expected a node of the language ({', '.join(trees.symbols)}), got {sorted(wanted)}")
    return nodes, kinds


def nesting(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """How many nodes of these kinds cover each character, int32."""
    nodes, kinds = nodes_of(corpus, names)
    some = nodes.of(kinds)
    steps = np.bincount(some.start, minlength=corpus.n_positions + 1)
    steps -= np.bincount(some.end, minlength=corpus.n_positions + 1)
    return np.cumsum(steps[:-1], dtype=np.int32)


def node_range(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """1 on every character of each node of these kinds."""
    nodes, kinds = nodes_of(corpus, names)
    some = nodes.of(kinds)
    return cover(corpus.n_positions, some.start, some.end)


def node_impulse(corpus: Corpus, names: Iterable[str]) -> Int[np.ndarray, " T"]:
    """1 at the first and the last character of each node of these kinds."""
    nodes, kinds = nodes_of(corpus, names)
    some = nodes.of(kinds)
    labels = np.zeros(corpus.n_positions, np.int8)
    labels[some.start[some.starts_here]] = 1
    labels[some.end[some.ends_here] - 1] = 1
    return labels


def bracket_nesting(corpus: Corpus) -> Int[np.ndarray, " T"]:
    """How many pairs of brackets enclose each character, a pair's own brackets included.

    Where the parser has matched bracket tokens (kind ``brackets``), these count, so that brackets in strings and
    comments do not; otherwise every bracket character of the text does.
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
    """Make a feature that is 1 on every character of the nodes (symbols or productions) named.

    The paper's time representation (Lin & Wu 2017, section 3).
    """
    kinds = tuple(nodes)
    return Feature(
        name,
        lambda corpus: node_range(corpus, kinds),
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


def _scaled_feature(name: str, depth: Callable[[Corpus], np.ndarray], about: str) -> Feature:
    """Make a feature of a depth, scaled to [0, 1] by the deepest of the corpus."""

    def scaled(deepest: int) -> Callable[[Corpus], np.ndarray]:
        return lambda corpus: (depth(corpus) / max(deepest, 1)).astype(np.float32)

    def fit(corpus: Corpus) -> Feature:
        deepest = max(int(depth(part).max()) for part in iterate_chunks(corpus, _PART))
        return Feature(name, scaled(deepest), "continuous", about)

    return Feature(name, lambda corpus: scaled(int(depth(corpus).max()))(corpus), "continuous", about, fit=fit)


def nesting_feature(name: str, nodes: Iterable[str], level: int | None = None) -> Feature:
    """Make a feature of how many of the nodes named enclose a character.

    With `level`, binary: exactly so many. Without, continuous and scaled to [0, 1] by the deepest of the corpus.
    """
    kinds = tuple(nodes)
    words = " or ".join(kinds)
    if level is None:
        return _scaled_feature(name, lambda corpus: nesting(corpus, kinds), f"nesting of {words}, 0 to 1")
    return Feature(name, lambda corpus: nesting(corpus, kinds) == level, "binary", f"inside exactly {level} {words}")


def node_features(nodes: Mapping[str, Iterable[str]]) -> tuple[Feature, ...]:
    """Make ``range:name`` and ``impulse:name`` for each name of some nodes (symbols or productions)."""
    pairs = (
        (range_feature(f"range:{name}", kinds), impulse_feature(f"impulse:{name}", kinds))
        for name, kinds in nodes.items()
    )
    return tuple(one for pair in pairs for one in pair)


def nesting_features(name: str, nodes: Iterable[str], levels: int) -> tuple[Feature, ...]:
    """Make ``name`` (how deeply nodes are nested) and ``name=0`` ... for each level."""
    exact = [nesting_feature(f"{name}={level}", nodes, level) for level in range(levels)]
    return (nesting_feature(name, nodes), *exact)


def depth_features(levels: int) -> tuple[Feature, ...]:
    """Make ``depth`` (bracket nesting scaled to [0, 1] by the deepest) and ``depth=0`` ... for each level."""
    exact = [_level_feature(level) for level in range(levels)]
    return (_scaled_feature("depth", bracket_nesting, "bracket nesting, 0 to 1"), *exact)


def _level_feature(level: int) -> Feature:
    return Feature(
        f"depth={level}",
        lambda corpus: bracket_nesting(corpus) == level,
        "binary",
        f"inside exactly {level} pairs of brackets",
    )
