"""Nesting: which brackets belong together, and the tree that nested spans make."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from dni_jax.text import NodeKind, ParseTrees

BRACKETS = NodeKind("brackets", "brackets")
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


def paired_brackets(words: Iterable[str]) -> str:
    """Return the brackets in a grammar's fixed words that occur in pairs, opening and closing in turn."""
    found = set("".join(words))
    return "".join(a + b for a, b in _PAIRS if {a, b} <= found)


def match_brackets(
    character: Int[np.ndarray, " n"], string: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Match brackets, given as code points in the order of the text; a bracket without a partner is left out.

    Returns
    -------
    Rows of the opening and of the closing bracket of each pair, sorted by the opening one.

    Examples
    --------
    >>> [rows.tolist() for rows in match_brackets(np.asarray([ord(c) for c in "([])"]), np.zeros(4, int))]
    [[0, 1], [3, 2]]
    """
    partner = np.full(len(character), -1)
    for opening, closing in _PAIRS:
        partner[character == ord(opening)] = ord(closing)
    opens = partner >= 0
    after = np.cumsum(np.where(opens, 1, -1))
    # A pair has one depth inside it. A stable sort by that depth lists the brackets of each level as opening, closing,
    # opening, ...: in balanced text, neighbors are partners.
    order = np.argsort(after + ~opens, kind="stable")
    first, last = order[0::2], order[1::2]
    balanced = len(first) == len(last) and bool(
        (partner[first] == character[last]).all() and (string[first] == string[last]).all()
    )
    if not balanced:
        first, last = _match_one_by_one(partner.tolist(), character.tolist(), string.tolist())
    rows = np.argsort(first, kind="stable")
    return first[rows], last[rows]


def _match_one_by_one(partner: list[int], character: list[int], string: list[int]) -> tuple[np.ndarray, np.ndarray]:
    opened: list[int] = []
    pairs: list[tuple[int, int]] = []
    for row, closing in enumerate(partner):
        if opened and string[opened[-1]] != string[row]:
            opened.clear()
        if closing >= 0:
            opened.append(row)
        elif opened and partner[opened[-1]] == character[row]:
            pairs.append((opened.pop(), row))
    table = np.asarray(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


Rows = Int[np.ndarray, " n"]
More = Int[np.ndarray, " m"]


def tree_from_spans(
    kinds: tuple[NodeKind, ...],
    inner: tuple[Rows, Rows, Rows],
    outside: tuple[More, More, More],
) -> ParseTrees:
    """Return the tree of one string whose nodes are given as spans.

    Parameters
    ----------
    kinds
        The kinds of nodes, which the rules index.
    inner
        Rule, start and end of nodes that are not empty and either contain one another or are disjoint. Of two nodes
        with the same span the later one is the parent.
    outside
        Rule, start and end of nodes outside the tree, such as brackets and comments: roots that follow it.

    Examples
    --------
    >>> rows = lambda *values: np.asarray(values, int)
    >>> kinds, inner = (NodeKind("a", "a"), NodeKind("b", "b")), (rows(0, 0, 1), rows(2, 0, 0), rows(4, 1, 4))
    >>> tree = tree_from_spans(kinds, inner, (rows(), rows(), rows()))
    >>> tree.start.tolist(), tree.parent.tolist(), tree.depth.tolist()
    ([0, 0, 2], [-1, 0, 0], [0, 1, 1])
    """
    rule, start, end = inner
    order = np.lexsort((-np.arange(len(rule)), -end, start))
    rule, start, end = rule[order], start[order], end[order]
    # In pre-order every node that starts earlier and has not ended is an ancestor.
    depth = np.arange(len(start)) - np.searchsorted(np.sort(end), start, side="right")
    parent = np.full(len(start), -1, np.int64)
    for level in range(1, int(depth.max(initial=0)) + 1):
        # The parent is the last node one level up before this one.
        here, above = np.flatnonzero(depth == level), np.flatnonzero(depth == level - 1)
        parent[here] = above[np.searchsorted(above, here) - 1]
    extra = np.lexsort((outside[2], outside[1]))
    count = len(extra)
    return ParseTrees(
        kinds,
        rule=np.concatenate([rule, outside[0][extra]]).astype(np.int32),
        start=np.concatenate([start, outside[1][extra]]).astype(np.int32),
        end=np.concatenate([end, outside[2][extra]]).astype(np.int32),
        parent=np.concatenate([parent, np.full(count, -1)]).astype(np.int32),
        depth=np.concatenate([depth, np.zeros(count, np.int64)]).astype(np.int32),
        offsets=np.asarray([0, len(rule) + count], np.int64),
    )
