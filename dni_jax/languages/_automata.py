"""Deterministic automata that share their states: states that accept the same words have the same number."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

# For a state: whether it accepts; its transitions as (symbol, state); the states reached without a symbol.
Moves = Callable[[Any], tuple[bool, Iterable[tuple[int, Any]], Iterable[Any]]]
Ways = tuple[tuple[int, int], ...]


class Automata:
    """A growing table of the states of minimal deterministic automata.

    Attributes
    ----------
    rows
        For each state: whether it accepts, and its transitions ``(symbol, state)``, sorted by symbol.

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
        self._by_component: dict[Hashable, int] = {}
        self._components: list[range] = []  # for each state, the strongly connected component that it is in

    def add(self, first: Iterable[Hashable], moves: Moves) -> int:
        """Return the state that accepts the union of what some states accept, adding it if it is not in the table.

        The automaton is made deterministic (subset construction), minimized (Moore 1956), and its states are then
        looked up in the table, or entered, beginning with those whose transitions are known.

        Parameters
        ----------
        first
            The states; integers are states of the table, others are described by `moves`.
        moves
            The transitions of states that are not integers. Each of them must accept some word.
        """
        start = _closure(first, moves)
        accepts, edges = self._determinize(start, moves)
        if not edges:
            return _only(start)
        block = _minimize(accepts, edges)
        numbers = self._intern(
            {
                name: (accepting, tuple(sorted((symbol, _renamed(to, block)) for symbol, to in row.items())))
                for name, accepting, row in zip(block, accepts, edges, strict=True)
            }
        )
        return numbers[block[0]]

    def _determinize(self, start: frozenset[Hashable], moves: Moves) -> tuple[list[bool], list[dict[int, int]]]:
        """Subset construction, which stops at sets of a single state of the table: -1 - n stands for state n.

        Such a set needs no expansion, because the table's states are deterministic and minimal already. This keeps
        the work proportional to what is new.
        """
        found = [] if _is_known(start) else [start]
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
                if _is_known(target):
                    row[symbol] = -1 - _only(target)
                    continue
                if target not in number:
                    number[target] = len(found)
                    found.append(target)
                row[symbol] = number[target]
            edges.append(row)
        return accepts, edges

    def _intern(self, rows: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Look up or enter new states, those that lead only to known states first."""
        numbers: dict[int, int] = {}
        waiting = dict(rows)
        while waiting:
            ready = [name for name, (_, ways) in waiting.items() if all(to < 0 for _, to in ways)]
            if ready:
                for name in ready:
                    numbers[name] = self._intern_state(*waiting.pop(name))
            else:
                # Every remaining state leads into a cycle: take a strongly connected component without a way out.
                component = _terminal_component(waiting)
                numbers |= self._intern_component({name: waiting.pop(name) for name in component})
            waiting = {name: (accepting, _known(ways, numbers)) for name, (accepting, ways) in waiting.items()}
        return numbers

    def _intern_state(self, accepting: bool, ways: Ways) -> int:
        row = accepting, tuple((symbol, -1 - to) for symbol, to in ways)
        if row not in self._by_row:
            self._by_row[row] = len(self.rows)
            self._components.append(range(len(self.rows), len(self.rows) + 1))
            self.rows.append(row)
        return self._by_row[row]

    def _intern_component(self, component: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Look up or enter states that lead to one another."""
        numbers = self._find_component(component)
        if numbers:
            return numbers
        # Now that the states outside are known, some states inside may turn out to be equivalent.
        block = dict(zip(component, _minimize(*_numbered(component)), strict=True))
        one = {
            block[name]: (accepting, tuple((symbol, block.get(to, to)) for symbol, to in ways))
            for name, (accepting, ways) in component.items()
        }
        keys = {name: _canonical_form(name, one) for name in one}
        if any(key not in self._by_component for key in keys.values()):
            first = len(self.rows)
            self._by_component |= {key: first + place for place, key in enumerate(keys.values())}
            for accepting, ways in one.values():
                row = accepting, tuple((symbol, _place(to, keys, self._by_component)) for symbol, to in ways)
                self._by_row.setdefault(row, len(self.rows))
                self.rows.append(row)
                self._components.append(range(first, first + len(one)))
        return {name: self._by_component[keys[block[name]]] for name in component}

    def _find_component(self, component: dict[int, tuple[bool, Ways]]) -> dict[int, int]:
        """Return the equivalent states in a component of the table that this one leads to, or nothing.

        Equivalent states lead to the same known states, so only components next to those need to be compared.
        """
        near = {-1 - to for _, ways in component.values() for _, to in ways if to < 0}
        start = next(iter(component))
        for candidate in sorted({other for state in near for other in self._components[state]}):
            numbers = {start: candidate}
            if all(self._agrees(name, component, numbers) for name in _growing(numbers)):
                return numbers
        return {}

    def _agrees(self, name: int, component: dict[int, tuple[bool, Ways]], numbers: dict[int, int]) -> bool:
        """Return whether a new state has the transitions of the state it is matched with; match those it leads to."""
        (accepting, ways), (its, others) = component[name], self.rows[numbers[name]]
        if accepting != its or [symbol for symbol, _ in ways] != [symbol for symbol, _ in others]:
            return False
        pairs = [(to, other) for (_, to), (_, other) in zip(ways, others, strict=True)]
        return all((numbers.setdefault(to, other) if to >= 0 else -1 - to) == other for to, other in pairs)


def _growing(numbers: dict[int, int]) -> Iterable[int]:
    """Yield the keys, including those added during the iteration."""
    done = 0
    while done < len(numbers):
        yield list(numbers)[done]
        done += 1


def _numbered(component: dict[int, tuple[bool, Ways]]) -> tuple[list[bool], list[dict[int, int]]]:
    """Return a component as the lists that `_minimize` takes."""
    place = {name: number for number, name in enumerate(component)}
    edges = [{symbol: place.get(to, to) for symbol, to in ways} for _, ways in component.values()]
    return [accepting for accepting, _ in component.values()], edges


def _place(to: int, keys: dict[int, Hashable], by_component: dict[Hashable, int]) -> int:
    return by_component[keys[to]] if to >= 0 else -1 - to


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


def _is_known(states: frozenset[Hashable]) -> bool:
    return len(states) == 1 and isinstance(next(iter(states)), int)


def _only(states: frozenset[Any]) -> int:
    (state,) = states
    return int(state)


def _minimize(accepts: list[bool], edges: list[dict[int, int]]) -> list[int]:
    """Return the equivalence class of each new state: states that accept the same words share one (Moore 1956)."""
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


def _known(ways: Ways, numbers: dict[int, int]) -> Ways:
    return tuple((symbol, -1 - numbers[to] if to in numbers else to) for symbol, to in ways)


def _breadth_first(name: int, rows: dict[int, tuple[bool, Ways]]) -> list[int]:
    """Return the new states that one leads to, breadth first by symbol."""
    found = [name]
    seen = {name}
    for one in found:
        for _, to in rows[one][1]:
            if to >= 0 and to not in seen:
                seen.add(to)
                found.append(to)
    return found


def _terminal_component(rows: dict[int, tuple[bool, Ways]]) -> list[int]:
    """Return new states that lead to one another and to no other new state."""
    name = next(iter(rows))
    while True:
        component = _breadth_first(name, rows)
        before: dict[int, list[int]] = {one: [] for one in component}
        for one in component:
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
        if len(back) == len(component):
            return component
        name = next(one for one in component if one not in seen)


def _canonical_form(name: int, component: dict[int, tuple[bool, Ways]]) -> Hashable:
    """Return a component numbered from one of its states, which is the same for equivalent states."""
    place = {one: number for number, one in enumerate(_breadth_first(name, component))}
    return tuple(
        (component[one][0], tuple((symbol, place[to] if to >= 0 else to) for symbol, to in component[one][1]))
        for one in place
    )
