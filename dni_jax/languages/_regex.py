"""Regular expressions of terminals as weighted productions."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import _constants as op
from re import _parser as parser
from typing import Any

# Each alternative is a weight and a sequence of characters (str) and non-terminals (int).
Alternative = tuple[float, tuple[str | int, ...]]
AddSymbol = Callable[[list[Alternative]], int]

_RANGE = 0x300  # at most this many characters of one range are drawn
_PRINTABLE = tuple(chr(code) for code in range(32, 127))
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    op.CATEGORY_DIGIT: str.isdigit,
    op.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    op.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    op.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}


def characters_of(items: list[tuple[Any, Any]], fold: bool = False) -> tuple[str, ...]:
    """Return the members of a character class: printable ASCII, and any others that the class names explicitly.

    With `fold`, a letter stands for both its cases.
    """
    negated = bool(items) and items[0][0] is op.NEGATE
    members: set[str] = set()
    for kind, value in items[1:] if negated else items:
        if kind is op.LITERAL:
            members.add(chr(value))
        elif kind is op.RANGE:
            members.update(chr(code) for code in range(value[0], min(value[1], value[0] + _RANGE - 1) + 1))
        elif kind is op.CATEGORY:
            members.update(c for c in _PRINTABLE if _CATEGORIES[value](c))
        else:
            raise NotImplementedError(str(kind))
    if fold:
        members = {one for c in members for one in (c, c.lower(), c.upper()) if len(one) == 1}
    chosen = [c for c in _PRINTABLE if c not in members] if negated else sorted(members)
    if not chosen:
        raise NotImplementedError("a class without printable ASCII characters")
    return tuple(chosen)


def regex_productions(pattern: str, add: AddSymbol) -> list[Alternative]:
    """Return a regular expression as weighted alternatives.

    `add` makes a helper non-terminal of some alternatives and returns its number. Classes and branches are drawn
    uniformly; an unbounded repeat continues with probability 1/2; a negated class draws from printable ASCII.
    Lookaround, back references and the like raise ``NotImplementedError``.
    """
    parsed = parser.parse(pattern)
    return [(1.0, _sequence(list(parsed), add, bool(parsed.state.flags & re.IGNORECASE)))]


def _sequence(items: list[tuple[Any, Any]], add: AddSymbol, fold: bool) -> tuple[str | int, ...]:
    """Return the parts of a sequence of items; `fold` draws letters in either case."""
    return tuple(part for item in items for part in _item(*item, add, fold))


def _uniform(choices: list[tuple[str | int, ...]], add: AddSymbol) -> tuple[str | int, ...]:
    if len(choices) == 1:
        return choices[0]
    return (add([(1.0 / len(choices), choice) for choice in choices]),)


def _item(kind: Any, value: Any, add: AddSymbol, fold: bool) -> tuple[str | int, ...]:
    if kind is op.LITERAL:
        return _uniform([(c,) for c in characters_of([(kind, value)], fold)], add)
    if kind is op.NOT_LITERAL:
        return _uniform([(c,) for c in characters_of([(op.NEGATE, None), (op.LITERAL, value)], fold)], add)
    if kind is op.ANY:
        return _uniform([(c,) for c in _PRINTABLE], add)
    if kind is op.IN:
        return _uniform([(c,) for c in characters_of(value, fold)], add)
    if kind is op.BRANCH:
        return _uniform([_sequence(list(branch), add, fold) for branch in value[1]], add)
    if kind is op.SUBPATTERN:
        _, on, off, body = value
        return _sequence(list(body), add, bool((fold or on & re.IGNORECASE) and not off & re.IGNORECASE))
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, body = value
        return _repeat(least, most, _sequence(list(body), add, fold), add)
    raise NotImplementedError(str(kind))


def _repeat(least: int, most: Any, once: tuple[str | int, ...], add: AddSymbol) -> tuple[str | int, ...]:
    if most is op.MAXREPEAT:
        # The helper refers to itself, so it gets its number before its alternatives are complete.
        alternatives: list[Alternative] = [(0.5, ())]
        helper = add(alternatives)
        alternatives.append((0.5, (*once, helper)))
        return (*once * least, helper)
    return _uniform([once * count for count in range(least, int(most) + 1)], add)
