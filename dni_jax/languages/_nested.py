"""Trees from spans alone: of properly nested spans the parents and depths follow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from dni_jax.text import NodeKind, ParseTrees

Rows = Int[np.ndarray, " n"]
More = Int[np.ndarray, " m"]


def nested_tree(
    kinds: tuple[NodeKind, ...],
    inner: tuple[Rows, Rows, Rows],
    outside: tuple[More, More, More],
) -> ParseTrees:
    """Make the tree of one string.

    Parameters
    ----------
    kinds
        The kinds that the rules number.
    inner
        Rule, start and end of nodes, none empty, which contain one another or are disjoint. Of two with the same
        span the later one is the parent.
    outside
        Rule, start and end of what follows the tree as roots of their own: brackets, comments.

    Examples
    --------
    >>> rows = lambda *values: np.asarray(values, int)
    >>> kinds, inner = (NodeKind("a", "a"), NodeKind("b", "b")), (rows(0, 0, 1), rows(2, 0, 0), rows(4, 1, 4))
    >>> tree = nested_tree(kinds, inner, (rows(), rows(), rows()))
    >>> tree.start.tolist(), tree.parent.tolist(), tree.depth.tolist()
    ([0, 0, 2], [-1, 0, 0], [0, 1, 1])
    """
    rule, start, end = inner
    order = np.lexsort((-np.arange(len(rule)), -end, start))
    rule, start, end = rule[order], start[order], end[order]
    depth = np.arange(len(start)) - np.searchsorted(np.sort(end), start, side="right")
    parent = np.full(len(start), -1, np.int64)
    for level in range(1, int(depth.max(initial=0)) + 1):
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
