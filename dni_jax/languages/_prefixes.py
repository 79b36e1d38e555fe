"""Which texts begin a string of a language: an exact test, a table look-up a character once it has seen the like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from dni_jax.features import Violation
from dni_jax.languages._automata import Automata
from dni_jax.languages._grammar import Grammar
from dni_jax.text import Corpus

DEAD = -1  # the state of a text that begins no string

_Node = tuple[tuple[int, ...], int] | int  # what is left of a production, and its left side; or a state of the table


class Prefixes:
    """The beginnings of a language's strings, character by character.

    What may follow a text w is known from the words of characters and non-terminals that leftmost derivations leave
    behind it: ``{v : S =>* w v}``. They form a regular language, whose minimal automaton is the text's state, so that
    texts with the same future share one state: nested parentheses have a dozen. A character leads from one automaton
    to the next through the grammar's left corners, which is worked out once for each state and character.

    Attributes
    ----------
    start
        The state before the first character.

    Examples
    --------
    >>> from dni_jax.languages import get
    >>> prefixes = get("parentheses").prefixes
    >>> state = prefixes.after(prefixes.start, "0(1")
    >>> prefixes.following(state), prefixes.may_end(state)
    (('(', '1'), False)
    >>> prefixes.after(state, ")") == DEAD
    True
    """

    def __init__(self, grammar: Grammar) -> None:
        rules = _productive(
            [(int(left), _numbers(right)) for left, right in zip(grammar.left, grammar.right, strict=True)]
        )
        self._empty = _nullable(rules)
        self._corners = _left_corners(rules, self._empty)
        self._table = Automata()
        self._next: dict[tuple[int, str], int] = {}
        self._ends: dict[int, bool] = {}
        self.characters = tuple(sorted({chr(-part - 1) for _, right in rules for part in right if part < 0}))
        whole = {"start": (False, [(grammar.start, "end")], ()), "end": (True, (), ())}
        self.start = self._table.add(["start"], whole.__getitem__)

    def after(self, state: int, text: str) -> int:
        """The state behind some more characters; `DEAD` where no string begins like that."""
        for character in text:
            if state == DEAD:
                return DEAD
            key = state, character
            if key not in self._next:
                self._next[key] = self._follow(state, -ord(character) - 1)
            state = self._next[key]
        return state

    def may_end(self, state: int) -> bool:
        """Whether the text of a state is a string of the language."""
        if state not in self._ends:
            self._ends[state] = state != DEAD and any(self._table.rows[one][0] for one in self._reach(state))
        return self._ends[state]

    def following(self, state: int) -> tuple[str, ...]:
        """The characters that may come next."""
        return tuple(character for character in self.characters if self.after(state, character) != DEAD)

    def _reach(self, state: int) -> list[int]:
        """The states of the table that one leads to over symbols which may be empty."""
        found = [state]
        for one in found:
            found += [to for part, to in self._table.rows[one][1] if part in self._empty and to not in found]
        return found

    def _follow(self, state: int, character: int) -> int:
        """Take the derivative of a state's words by a character."""
        behind: dict[int, set[int]] = {}
        for one in self._reach(state):
            for part, to in self._table.rows[one][1]:
                behind.setdefault(part, set()).add(to)
        live = self._below(behind)

        def beside(part: int) -> Iterable[_Node]:
            """Where one is when a left corner is complete."""
            yield from behind.get(part, ())
            for rest, left in self._corners.get(part, ()):
                if left in live:
                    yield rest, left

        def moves(node: tuple[tuple[int, ...], int]) -> tuple[bool, Iterable[tuple[int, _Node]], Iterable[_Node]]:
            rest, left = node
            return (False, ((rest[0], (rest[1:], left)),), ()) if rest else (False, (), beside(left))

        first = list(beside(character))
        return self._table.add(first, moves) if first else DEAD

    def _below(self, wanted: Iterable[int]) -> set[int]:
        """The symbols that the wanted ones can begin with, and these themselves."""
        found = list(wanted)
        seen = set(found)
        for part in found:
            new = self._under.get(part, set()) - seen
            seen |= new
            found += new
        return seen

    @cached_property
    def _under(self) -> dict[int, set[int]]:
        """For each non-terminal the non-terminals that one of its productions can begin with."""
        under: dict[int, set[int]] = {}
        for part, corners in self._corners.items():
            for _, left in corners:
                if part >= 0:
                    under.setdefault(left, set()).add(part)
        return under


_Rules = list[tuple[int, tuple[int, ...]]]


def _numbers(right: tuple[str | int, ...]) -> tuple[int, ...]:
    """A production's parts as numbers: the character with code point c is -c - 1."""
    return tuple(-ord(part) - 1 if isinstance(part, str) else part for part in right)


def _productive(rules: _Rules) -> _Rules:
    """Leave out productions that never come to an end."""
    return [rule for rule in rules if set(rule[1]) <= _closed(rules, lambda part: part < 0)]


def _nullable(rules: _Rules) -> set[int]:
    return {part for part in _closed(rules, lambda part: False) if part >= 0}


def _closed(rules: _Rules, given: Callable[[int], bool]) -> set[int]:
    """The parts that are given, and non-terminals with a production of such parts alone."""
    found = {part for _, right in rules for part in right if given(part)}
    while True:
        new = {left for left, right in rules if set(right) <= found} - found
        if not new:
            return found
        found |= new


def _left_corners(rules: _Rules, empty: set[int]) -> Mapping[int, list[tuple[tuple[int, ...], int]]]:
    """For each part what is left of the productions that can begin with it, and their left sides."""
    corners: dict[int, list[tuple[tuple[int, ...], int]]] = {}
    for left, right in rules:
        for place, part in enumerate(right):
            corners.setdefault(part, []).append((right[place + 1 :], left))
            if part not in empty:
                break
    return corners


def violations(prefixes: Prefixes, language: str) -> Violation:
    """Make the feature that a text is no beginning of any string of a language; see `Language.violations`."""

    def states(corpus: Corpus) -> list[list[int]]:
        found = []
        for string in corpus.strings:
            row, state = [], prefixes.start
            for character in string:
                state = prefixes.after(state, character)
                row.append(state)
            found.append(row)
        return found

    def compute(corpus: Corpus) -> Bool[np.ndarray, " T"]:
        return np.asarray([state == DEAD for row in states(corpus) for state in row])

    def unfinished(corpus: Corpus) -> Bool[np.ndarray, " S"]:
        return np.asarray([not prefixes.may_end(row[-1]) for row in states(corpus)])

    def known(corpus: Corpus) -> Bool[np.ndarray, " T"]:
        return corpus.begins[corpus.string_ids]

    about = f"the text up to here begins no string of {language}"
    return Violation("violation", compute, "binary", about, known, unfinished=unfinished)
