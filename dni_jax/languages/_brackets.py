"""Which brackets belong together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from dni_jax.text import NodeKind

BRACKETS = NodeKind("brackets", "brackets")
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


def paired(words: Iterable[str]) -> str:
    """Give the brackets among a grammar's fixed words of which both halves occur, opening and closing in turn."""
    found = set("".join(words))
    return "".join(a + b for a, b in _PAIRS if {a, b} <= found)


def match(
    character: Int[np.ndarray, " n"], string: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Match brackets given as code points in the order of the text; one that has no partner is left out.

    Returns
    -------
    Row of the opening and row of the closing bracket of each pair, sorted by the opening one.

    Examples
    --------
    >>> [rows.tolist() for rows in match(np.asarray([ord(c) for c in "([])"]), np.zeros(4, int))]
    [[0, 1], [3, 2]]
    """
    partner = np.full(len(character), -1)
    for opening, closing in _PAIRS:
        partner[character == ord(opening)] = ord(closing)
    opens = partner >= 0
    after = np.cumsum(np.where(opens, 1, -1))
    order = np.argsort(after + ~opens, kind="stable")  # the brackets of one level, in turn opening and closing
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
