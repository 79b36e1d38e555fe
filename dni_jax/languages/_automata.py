"""States of deterministic automata, each written once: states that accept the same words share a number."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

# Whether a word may end there; the symbols that lead on, and where to; the states that it is at once as well.
Moves = Callable[[Any], tuple[bool, Iterable[tuple[int, Any]], Iterable[Any]]]
Ways = tuple[tuple[int, int], ...]


class Automata:
    """A growing table of states.

    Attributes
    ----------
    rows
        For each state: whether a word may end there, and ``(symbol, state)`` for each way on, by symbol.

    Examples
    --------
    >>> table = Automata()
    >>> moves = {"a": (False, [(1, "a"), (1, "b")], []), "b": (False, [], ["c"]), "c": (True, [], [])}
    >>> more = table.add(["c"], moves.__getitem__), table.add(["a"], moves.__getitem__)
    >>> table.rows[table.add(["a"], moves.__getitem__)]
    (False, ((1, 1),))
    """

    def __init__(self) -> None:
        self.rows: list[tuple[bool, Ways]] = []
        self._by_row: dict[tuple[bool, Ways], int] = {}
        self._by_loop: dict[Hashable, int] = {}
        self._loops: list[range] = []  # for each state those that it leads to and that lead to it

    def add(self, first: Iterable[Hashable], moves: Moves) -> int:
        """Give the state that accepts what any of some others accept, new or in the table.

        Parameters
        ----------
        first
            The others: integers are states of the table.
        moves
            What is known of those that are no integers. From each some word must be accepted.
        """
        start = _closure(first, moves)
        accepts, edges = self._subsets(start, moves)
        if not edges:
            return _only(start)
        block = _merged(accepts, edges)
        names = self._resolved(
            {
                name: (accepting, tuple(sorted((symbol, _renamed(to, block)) for symbol, to in row.items())))
                for name, accepting, row in zip(block, accepts, edges, strict=True)
            }
        )
        return names[block[0]]

    def _subsets(self, start: frozenset[Hashable], moves: Moves) -> tuple[list[bool], list[dict[int, int]]]:
        """Make it deterministic, as far as no state of the table stands alone: -1 - n is the table's n-th."""
        found = [] if _is_old(start) else [start]
        number = {states: place for place, states in enumerate(found)}
        accepts: list[bool] = []
        edges: list[dict[int, int]] = []
        for states in found:
            reached = [(*self.rows[state], ()) if isinstance(state, int) else moves(state) for state in states]
            accepts.append(any(accepting for accepting, *_ in reached))
            ways: dict[int, list[Hashable]] = {}
            for _, steps, _ in reached:
                for symbol, to in steps:
                    ways.setdefault(symbol, []).append(to)
            row = {}
            for symbol, to in ways.items():
                target = _closure(to, moves)
                if _is_old(target):
                    row[symbol] = -1 - _only(target)
                    continue
                if target not in number:
                    number[target] = len(found)
                    found.append(target)
                row[symbol] = number[target]
            edges.append(row)
        return accepts, edges

    def _resolved(self, rows: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Find or enter new states, from those that lead nowhere new to those that lead to them."""
        names: dict[int, int] = {}
        waiting = dict(rows)
        while waiting:
            ready = [name for name, (_, ways) in waiting.items() if all(to < 0 for _, to in ways)]
            if ready:
                for name in ready:
                    names[name] = self._entered(*waiting.pop(name))
            else:
                loop = _last_loop(waiting)
                names |= self._entered_loop({name: waiting.pop(name) for name in loop})
            waiting = {name: (accepting, _known(ways, names)) for name, (accepting, ways) in waiting.items()}
        return names

    def _entered(self, accepting: bool, ways: Ways) -> int:
        row = accepting, tuple((symbol, -1 - to) for symbol, to in ways)
        if row not in self._by_row:
            self._by_row[row] = len(self.rows)
            self._loops.append(range(len(self.rows), len(self.rows) + 1))
            self.rows.append(row)
        return self._by_row[row]

    def _entered_loop(self, loop: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Find or enter states that lead to one another."""
        names = self._twins(loop)
        if names:
            return names
        # Two of them can turn out alike only now that what they lead to is known.
        block = dict(zip(loop, _merged(*_numbered(loop)), strict=True))
        one = {
            block[name]: (accepting, tuple((symbol, block.get(to, to)) for symbol, to in ways))
            for name, (accepting, ways) in loop.items()
        }
        keys = {name: _written(name, one) for name in one}
        if any(key not in self._by_loop for key in keys.values()):
            first = len(self.rows)
            self._by_loop |= {key: first + place for place, key in enumerate(keys.values())}
            for accepting, ways in one.values():
                row = accepting, tuple((symbol, _place(to, keys, self._by_loop)) for symbol, to in ways)
                self._by_row.setdefault(row, len(self.rows))
                self.rows.append(row)
                self._loops.append(range(first, first + len(one)))
        return {name: self._by_loop[keys[block[name]]] for name in loop}

    def _twins(self, loop: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Find the same states in a loop of the table that this one leads to; none where there are no such."""
        near = {-1 - to for _, ways in loop.values() for _, to in ways if to < 0}
        start = next(iter(loop))
        for twin in sorted({other for state in near for other in self._loops[state]}):
            names = {start: twin}
            if all(self._alike(name, loop, names) for name in _growing(names)):
                return names
        return {}

    def _alike(self, name: int, loop: dict[int, tuple[bool, Ways]], names: dict[int, int]) -> bool:
        """Whether a new state goes where its twin does; notes the twins of those that it leads to."""
        (accepting, ways), (its, others) = loop[name], self.rows[names[name]]
        if accepting != its or [symbol for symbol, _ in ways] != [symbol for symbol, _ in others]:
            return False
        pairs = [(to, other) for (_, to), (_, other) in zip(ways, others, strict=True)]
        return all((names.setdefault(to, other) if to >= 0 else -1 - to) == other for to, other in pairs)


def _growing(names: dict[int, int]) -> Iterable[int]:
    """Yield keys, and those that are added meanwhile."""
    done = 0
    while done < len(names):
        yield list(names)[done]
        done += 1


def _numbered(loop: dict[int, tuple[bool, Ways]]) -> tuple[list[bool], list[dict[int, int]]]:
    """Write a loop as lists."""
    place = {name: number for number, name in enumerate(loop)}
    edges = [{symbol: place.get(to, to) for symbol, to in ways} for _, ways in loop.values()]
    return [accepting for accepting, _ in loop.values()], edges


def _place(to: int, keys: dict[int, Hashable], by_loop: dict[Hashable, int]) -> int:
    return by_loop[keys[to]] if to >= 0 else -1 - to


def _closure(states: Iterable[Hashable], moves: Moves) -> frozenset[Hashable]:
    found = list(dict.fromkeys(states))
    if all(isinstance(state, int) for state in found):
        return frozenset(found)
    seen = set(found)
    for state in found:
        for other in () if isinstance(state, int) else moves(state)[2]:
            if other not in seen:
                seen.add(other)
                found.append(other)
    return frozenset(seen)


def _is_old(states: frozenset[Hashable]) -> bool:
    return len(states) == 1 and isinstance(next(iter(states)), int)


def _only(states: frozenset[Any]) -> int:
    (state,) = states
    return int(state)


def _merged(accepts: list[bool], edges: list[dict[int, int]]) -> list[int]:
    """Number the classes of new states with the same future (Moore 1956)."""
    block = [int(accepting) for accepting in accepts]
    count = len(set(block))
    while True:
        kinds: dict[Hashable, int] = {}
        block = [
            kinds.setdefault(
                (block[state], frozenset((symbol, _renamed(to, block)) for symbol, to in row.items())), len(kinds)
            )
            for state, row in enumerate(edges)
        ]
        if len(kinds) == count:
            return block
        count = len(kinds)


def _renamed(to: int, block: list[int]) -> int:
    return block[to] if to >= 0 else to


def _known(ways: Ways, names: dict[int, int]) -> Ways:
    return tuple((symbol, -1 - names[to] if to in names else to) for symbol, to in ways)


def _reached(name: int, rows: dict[int, tuple[bool, Ways]]) -> list[int]:
    """The new states that one leads to, in the order in which a walk by symbols meets them."""
    found = [name]
    seen = {name}
    for one in found:
        for _, to in rows[one][1]:
            if to >= 0 and to not in seen:
                seen.add(to)
                found.append(to)
    return found


def _last_loop(rows: dict[int, tuple[bool, Ways]]) -> list[int]:
    """New states that lead to one another, and to no others."""
    name = next(iter(rows))
    while True:
        loop = _reached(name, rows)
        before: dict[int, list[int]] = {one: [] for one in loop}
        for one in loop:
            for _, to in rows[one][1]:
                if to >= 0:
                    before[to].append(one)
        back = [name]
        seen = {name}
        for one in back:
            for other in before[one]:
                if other not in seen:
                    seen.add(other)
                    back.append(other)
        if len(back) == len(loop):
            return loop
        name = next(one for one in loop if one not in seen)


def _written(name: int, loop: dict[int, tuple[bool, Ways]]) -> Hashable:
    """Write a loop as it is seen from one of its states."""
    place = {one: number for number, one in enumerate(_reached(name, loop))}
    return tuple(
        (loop[one][0], tuple((symbol, place[to] if to >= 0 else to) for symbol, to in loop[one][1])) for one in place
    )
