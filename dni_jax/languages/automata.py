"""Minimal automata in a canonical form: equal ones accept the same words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

# One row a state, the first is where words begin: whether a word may end there, and (symbol, row) for each way on.
Automaton = tuple[tuple[bool, tuple[tuple[int, int], ...]], ...]
Moves = Callable[[Any], tuple[bool, Iterable[tuple[int, Any]], Iterable[Any]]]


def minimal(first: Iterable[Hashable], moves: Moves) -> Automaton:
    """Give the minimal deterministic automaton of one that need not be deterministic.

    Parameters
    ----------
    first
        The states where words begin.
    moves
        For a state: whether a word may end there; the symbols that lead on, and where to; the states that it is at
        once as well. From every state some word must be accepted.

    Examples
    --------
    >>> rows = {"a": (False, [(1, "a"), (1, "b")], []), "b": (False, [], ["c"]), "c": (True, [], [])}
    >>> minimal(["a"], rows.__getitem__)
    ((False, ((1, 1),)), (True, ((1, 1),)))
    """
    accepts, edges = _subsets(first, moves)
    block = _merged(accepts, edges)
    return _in_order(block, accepts, edges)


def _closure(states: Iterable[Hashable], moves: Moves) -> frozenset[Hashable]:
    found = list(dict.fromkeys(states))
    seen = set(found)
    for state in found:
        for other in moves(state)[2]:
            if other not in seen:
                seen.add(other)
                found.append(other)
    return frozenset(seen)


def _subsets(first: Iterable[Hashable], moves: Moves) -> tuple[list[bool], list[dict[int, int]]]:
    """Make it deterministic."""
    number = {_closure(first, moves): 0}
    found = list(number)
    accepts: list[bool] = []
    edges: list[dict[int, int]] = []
    for states in found:
        reached = [moves(state) for state in states]
        accepts.append(any(accepting for accepting, *_ in reached))
        ways: dict[int, list[Hashable]] = {}
        for _, steps, _ in reached:
            for symbol, to in steps:
                ways.setdefault(symbol, []).append(to)
        row = {}
        for symbol, to in ways.items():
            target = _closure(to, moves)
            if target not in number:
                number[target] = len(found)
                found.append(target)
            row[symbol] = number[target]
        edges.append(row)
    return accepts, edges


def _merged(accepts: list[bool], edges: list[dict[int, int]]) -> list[int]:
    """Number the classes of states with the same future (Moore 1956)."""
    block = [int(accepting) for accepting in accepts]
    count = len(set(block))
    while True:
        kinds: dict[Hashable, int] = {}
        block = [
            kinds.setdefault((block[state], frozenset((symbol, block[to]) for symbol, to in row.items())), len(kinds))
            for state, row in enumerate(edges)
        ]
        if len(kinds) == count:
            return block
        count = len(kinds)


def _in_order(block: list[int], accepts: list[bool], edges: list[dict[int, int]]) -> Automaton:
    """Write the classes in the order in which a walk from the first one meets them."""
    member = {name: state for state, name in enumerate(block)}
    place = {block[0]: 0}
    rows = []
    for name in (order := [block[0]]):
        ways = []
        for symbol, to in sorted(edges[member[name]].items()):
            if block[to] not in place:
                place[block[to]] = len(order)
                order.append(block[to])
            ways.append((symbol, place[block[to]]))
        rows.append((accepts[member[name]], tuple(ways)))
    return tuple(rows)
