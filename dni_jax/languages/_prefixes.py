"""An exact test of whether a text is a prefix of some string of a language: one table lookup per character."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from dni_jax.features import Violation
from dni_jax.languages._automata import Automata
from dni_jax.languages._grammar import Grammar
from dni_jax.programs import Program
from dni_jax.text import Corpus

DEAD = -1  # the state of a text that is a prefix of no string
_STATES = 64  # the most that a program says by name

_Node = tuple[tuple[int, ...], int] | int  # the rest of a production and its left side; or a state of the table


class Prefixes:
    """The prefixes of a language's strings.

    What can follow a text w is determined by the sentential forms that leftmost derivations leave after it:
    ``{v : S =>* w v}``. They form a regular language. Its minimal automaton is the state of the text, so that texts
    with the same continuations share a state; nested parentheses have a dozen states. The next character leads from
    one automaton to another through the grammar's left corners, which is computed once per state and character.

    Attributes
    ----------
    start
        The state before the first character.

    Examples
    --------
    >>> from dni_jax.languages import get
    >>> prefixes = get("parentheses").prefixes
    >>> state = prefixes.advance(prefixes.start, "0(1")
    >>> prefixes.next_characters(state), prefixes.is_accepting(state)
    (('(', '1'), False)
    >>> prefixes.advance(state, ")") == DEAD
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

    def advance(self, state: int, text: str) -> int:
        """Return the state after some more characters; `DEAD` if no string has this prefix."""
        for character in text:
            if state == DEAD:
                return DEAD
            key = state, character
            if key not in self._next:
                self._next[key] = self._derivative(state, -ord(character) - 1)
            state = self._next[key]
        return state

    def is_accepting(self, state: int) -> bool:
        """Return whether a text in this state is a string of the language."""
        if state not in self._ends:
            self._ends[state] = state != DEAD and any(self._table.rows[one][0] for one in self._reach(state))
        return self._ends[state]

    def next_characters(self, state: int) -> tuple[str, ...]:
        """Return the characters that can come next."""
        return tuple(character for character in self.characters if self.advance(state, character) != DEAD)

    def _reach(self, state: int) -> list[int]:
        """Return the states of the table that one leads to through symbols that can be empty."""
        found = [state]
        for one in found:
            found += [to for part, to in self._table.rows[one][1] if part in self._empty and to not in found]
        return found

    def _derivative(self, state: int, character: int) -> int:
        """Return the state of the words that remain after a character (Brzozowski 1964)."""
        # From each symbol that a word can begin with, the states that follow it.
        after: dict[int, set[int]] = {}
        for one in self._reach(state):
            for part, to in self._table.rows[one][1]:
                after.setdefault(part, set()).add(to)
        # The character is the left corner of a symbol that a word begins with. Climbing from the character, only
        # non-terminals below such a symbol can lead there; the others would add states from which no word is accepted.
        live = self._below(after)

        def complete(part: int) -> Iterable[_Node]:
            """Where a complete symbol leads: to what follows it, or on into a production that it begins."""
            yield from after.get(part, ())
            for rest, left in self._corners.get(part, ()):
                if left in live:
                    yield rest, left

        def moves(node: tuple[tuple[int, ...], int]) -> tuple[bool, Iterable[tuple[int, _Node]], Iterable[_Node]]:
            rest, left = node
            return (False, ((rest[0], (rest[1:], left)),), ()) if rest else (False, (), complete(left))

        first = list(complete(character))
        return self._table.add(first, moves) if first else DEAD

    def _below(self, wanted: Iterable[int]) -> set[int]:
        """Return the symbols that derivations of some others can begin with, including these."""
        found = list(wanted)
        seen = set(found)
        for part in found:
            new = self._under.get(part, set()) - seen
            seen |= new
            found += new
        return seen

    @cached_property
    def _under(self) -> dict[int, set[int]]:
        """The non-terminals that a production of each non-terminal can begin with."""
        under: dict[int, set[int]] = {}
        for part, corners in self._corners.items():
            for _, left in corners:
                if part >= 0:
                    under.setdefault(left, set()).add(part)
        return under


_Rules = list[tuple[int, tuple[int, ...]]]


def _numbers(right: tuple[str | int, ...]) -> tuple[int, ...]:
    """Return a production's parts as numbers: the character with code point c is -c - 1."""
    return tuple(-ord(part) - 1 if isinstance(part, str) else part for part in right)


def _productive(rules: _Rules) -> _Rules:
    """Drop productions that derive no finite string."""
    return [rule for rule in rules if set(rule[1]) <= _closed(rules, lambda part: part < 0)]


def _nullable(rules: _Rules) -> set[int]:
    return {part for part in _closed(rules, lambda part: False) if part >= 0}


def _closed(rules: _Rules, holds: Callable[[int], bool]) -> set[int]:
    """Return the parts for which a property holds, and the non-terminals with a production of such parts only."""
    found = {part for _, right in rules for part in right if holds(part)}
    while True:
        new = {left for left, right in rules if set(right) <= found} - found
        if not new:
            return found
        found |= new


def _left_corners(rules: _Rules, empty: set[int]) -> Mapping[int, list[tuple[tuple[int, ...], int]]]:
    """Return, for each part, the rest and the left side of each production that can begin with it."""
    corners: dict[int, list[tuple[tuple[int, ...], int]]] = {}
    for left, right in rules:
        for place, part in enumerate(right):
            corners.setdefault(part, []).append((right[place + 1 :], left))
            if part not in empty:
                break
    return corners


def make_violation(prefixes: Prefixes, language: str) -> Violation:
    """Return the feature that a text is a prefix of no string of a language; see `Language.violations`."""

    def states(corpus: Corpus) -> list[list[int]]:
        found = []
        for string in corpus.strings:
            row, state = [], prefixes.start
            for character in string:
                state = prefixes.advance(state, character)
                row.append(state)
            found.append(row)
        return found

    def compute(corpus: Corpus) -> Bool[np.ndarray, " T"]:
        return np.asarray([state == DEAD for row in states(corpus) for state in row])

    def unfinished(corpus: Corpus) -> Bool[np.ndarray, " S"]:
        return np.asarray([not prefixes.is_accepting(row[-1]) for row in states(corpus)])

    def known(corpus: Corpus) -> Bool[np.ndarray, " T"]:
        return corpus.begins[corpus.string_ids]

    about = f"the text up to here is a prefix of no string of {language}"
    return Violation("violation", compute, "binary", about, known, unfinished=unfinished)


def make_program(prefixes: Prefixes, language: str, says: str) -> Program:
    """Return a program that reads text of a language; see `Language.program`."""
    if says not in ("expected", "state"):
        raise ValueError(f"expected says='expected' or 'state', got {says!r}")

    def expected(state: int, symbol: str) -> tuple[int, tuple[int, ...]]:
        after = prefixes.advance(state, symbol)
        following = prefixes.next_characters(after)
        may = [int(character in following) for character in prefixes.characters]
        return after, (*may, int(prefixes.is_accepting(after)))

    def state(before: int, symbol: str) -> tuple[int, int]:
        after = prefixes.advance(before, symbol)
        return after, after

    if says == "expected":
        return Program(f"{language} expects", lambda: prefixes.start, expected, (*prefixes.characters, "end"))
    return Program(f"{language} state", lambda: prefixes.start, state, values=_reachable_states(prefixes, language))


def _reachable_states(prefixes: Prefixes, language: str) -> tuple[int, ...]:
    """Return all states of non-empty texts, from the start on."""
    found = dict.fromkeys(prefixes.advance(prefixes.start, one) for one in prefixes.characters)
    for state in (waiting := list(found)):
        for after in [prefixes.advance(state, one) for one in prefixes.characters] if state != DEAD else []:
            if after not in found:
                found[after] = None
                waiting.append(after)
        if len(found) > _STATES:
            raise ValueError(
                f"expected a language of at most {_STATES} states for says='state', got more for {language}, whose "
                "nesting may have no bound: use says='expected', or dni_jax.programs.depth()"
            )
    return tuple(found)
