"""Parse trees as flat arrays: one row per node, one offset per string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from dni_jax.text._ragged import concatenate_ranges, offsets_from_lengths, row_ids

BRACKETS = "brackets"  # the symbol of the pairs of brackets that parsers record in addition to a grammar's nodes


@dataclass(frozen=True)
class NodeKind:
    """The grammar's name for a node.

    Attributes
    ----------
    name
        The production, for example ``"e0 -> 0 e0"``; for a token or a parser's node class the same as `symbol`.
    symbol
        The non-terminal, the alias, or the token's name.
    """

    name: str
    symbol: str


@dataclass(frozen=True, eq=False)
class ParseTrees:
    """The parse trees of many strings.

    The rows of one string are consecutive and in pre-order: a parent before its children, children from left to
    right.

    Attributes
    ----------
    kinds
        The kinds of nodes; `rule` indexes it.
    rule, start, end, parent, depth
        int32 ``(M,)`` each. `start` and `end` (exclusive) are positions in the node's own string. If the string is a
        segment of a longer text, a node that begins before the segment has a negative start, and one that ends after
        it an end past the string's. `parent` is a row counted from the string's first row, -1 at a root. `depth` is 0
        at a root.
    offsets
        int64 ``(S + 1,)``: the rows of string ``s`` are ``offsets[s]:offsets[s + 1]``.
    """

    kinds: tuple[NodeKind, ...]
    rule: Int[np.ndarray, " M"]
    start: Int[np.ndarray, " M"]
    end: Int[np.ndarray, " M"]
    parent: Int[np.ndarray, " M"]
    depth: Int[np.ndarray, " M"]
    offsets: Int[np.ndarray, " S1"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def string_ids(self) -> Int[np.ndarray, " M"]:
        """The string each node belongs to, int64 ``(M,)``."""
        return row_ids(self.offsets)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The distinct symbols of the kinds, in the kinds' order."""
        return tuple(dict.fromkeys(kind.symbol for kind in self.kinds))

    def take(self, strings: Int[np.ndarray, " n"]) -> ParseTrees:
        """Return the trees of some strings, in the order given."""
        lengths = np.diff(self.offsets)[strings]
        rows = concatenate_ranges(self.offsets[strings], lengths)
        return ParseTrees(
            self.kinds,
            self.rule[rows],
            self.start[rows],
            self.end[rows],
            self.parent[rows],
            self.depth[rows],
            offsets_from_lengths(lengths),
        )

    def show(self, string: int, text: str) -> str:
        """Format the tree of one string, one line per node, indented by depth."""
        lines = []
        for row in range(self.offsets[string], self.offsets[string + 1]):
            first, last = max(int(self.start[row]), 0), int(self.end[row])
            kind = self.kinds[self.rule[row]].name
            lines.append(f"{'  ' * int(self.depth[row])}{kind}  {text[first:last]!r}")
        return "\n".join(lines)


def concatenate_trees(trees: Sequence[ParseTrees]) -> ParseTrees:
    """Concatenate the trees of several sets of strings.

    Raises
    ------
    ValueError
        If their kinds of nodes differ.
    """
    kinds = trees[0].kinds
    if any(one.kinds != kinds for one in trees):
        raise ValueError("expected trees with the same kinds of nodes, got different ones: parse with one language")
    return ParseTrees(
        kinds,
        np.concatenate([one.rule for one in trees]),
        np.concatenate([one.start for one in trees]),
        np.concatenate([one.end for one in trees]),
        np.concatenate([one.parent for one in trees]),
        np.concatenate([one.depth for one in trees]),
        offsets_from_lengths(np.concatenate([np.diff(one.offsets) for one in trees])),
    )
