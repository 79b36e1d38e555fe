"""Parse trees as flat arrays: one row a node, one offset a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int


def concatenated_ranges(starts: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " total"]:
    """Rows ``start .. start + length`` of every range, one range after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)


@dataclass(frozen=True)
class NodeKind:
    """What a node of a tree is an instance of.

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
    """The trees of many strings.

    Rows of one string stand together in pre-order (a parent before its children, children from left to right).

    Attributes
    ----------
    kinds
        The kinds of nodes; `rule` indexes it.
    rule, start, end, parent, depth
        int32 ``(M,)`` each. `start` and `end` are positions in the node's own string (``end`` exclusive); where a
        string is a piece of a longer text, a node that begins before it has a negative start, and one that ends
        behind it an end past the string's. `parent` is a row counted from the string's first row, -1 at a root.
        `depth` is 0 at a root.
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
    def string(self) -> Int[np.ndarray, " M"]:
        """The string each node belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The distinct symbols of the kinds, in the kinds' order."""
        return tuple(dict.fromkeys(kind.symbol for kind in self.kinds))

    def take(self, strings: Int[np.ndarray, " n"]) -> ParseTrees:
        """Give the trees of some strings, in the given order."""
        lengths = np.diff(self.offsets)[strings]
        rows = concatenated_ranges(self.offsets[strings], lengths)
        return ParseTrees(
            self.kinds,
            self.rule[rows],
            self.start[rows],
            self.end[rows],
            self.parent[rows],
            self.depth[rows],
            np.concatenate([[0], np.cumsum(lengths)]),
        )

    def show(self, string: int, text: str) -> str:
        """Draw one string's tree, a line a node, indented by depth."""
        lines = []
        for row in range(self.offsets[string], self.offsets[string + 1]):
            first, last = max(int(self.start[row]), 0), int(self.end[row])
            kind = self.kinds[self.rule[row]].name
            lines.append(f"{'  ' * int(self.depth[row])}{kind}  {text[first:last]!r}")
        return "\n".join(lines)


def concatenate(trees: Sequence[ParseTrees]) -> ParseTrees:
    """Join the trees of several runs of strings; all must share their kinds."""
    first = trees[0]
    if any(one.kinds != first.kinds for one in trees):
        raise ValueError("expected trees with the same kinds, got different ones: parse them with one language")
    offsets, base = [np.zeros(1, np.int64)], 0
    for one in trees:
        offsets.append(one.offsets[1:] + base)
        base += one.offsets[-1]
    return ParseTrees(
        first.kinds,
        np.concatenate([one.rule for one in trees]),
        np.concatenate([one.start for one in trees]),
        np.concatenate([one.end for one in trees]),
        np.concatenate([one.parent for one in trees]),
        np.concatenate([one.depth for one in trees]),
        np.concatenate(offsets),
    )
