"""What a feature's name means, in words."""

from __future__ import annotations

import re

_FAMILIES = ("nesting", "characters", "range", "impulse", "other")
_CLASSES = ("digit", "letter", "parenthesis", "operator", "quote", "space", "newline", "punctuation")
_SIGNS = {" ": "a space", "\n": "a line break", "\t": "a tab", "\r": "a carriage return"}


def meaning(name: str) -> str:
    """Say what a feature asks of a character; empty for a name that is not one of the built-in features'.

    Examples
    --------
    >>> meaning("range:e3"), meaning("depth=1"), meaning("symbol: ")
    ('the character lies inside e3', 'exactly 1 pair of brackets is open', 'the character is a space')
    """
    if name.startswith("symbol:"):
        character = name.removeprefix("symbol:")
        return f"the character is {_SIGNS.get(character, character)}"
    if name.startswith("range:"):
        return f"the character lies inside {_node(name)}"
    if name.startswith("impulse:"):
        return f"the character is the first or last one of {_node(name)}"
    if name in _CLASSES:
        return f"the character's class is {name}"
    level = re.fullmatch(r"depth=(\d+)", name)
    if level:
        pairs = {"0": "no bracket is open", "1": "exactly 1 pair of brackets is open"}
        return pairs.get(level[1], f"exactly {level[1]} pairs of brackets are open")
    return "how many pairs of brackets are open, from 0 to 1 for the deepest" if name == "depth" else ""


def _node(name: str) -> str:
    return name.partition(":")[2].replace("->", "\u2192")


def family(name: str) -> str:
    """Give the family of features that a name belongs to, as the figures group them.

    Examples
    --------
    >>> [family(name) for name in ("depth=1", "braces depth", "symbol:=", "range:e", "impulse:e", "stack size")]
    ['nesting', 'nesting', 'characters', 'range', 'impulse', 'other']
    """
    head = name.partition(":")[0]
    if head in ("range", "impulse"):
        return head
    if head == "symbol" or name in _CLASSES:
        return "characters"
    return "nesting" if re.fullmatch(r"(.* )?(depth|indent)(=\d+)?", name) else "other"


def families(names: list[str]) -> list[str]:
    """Give the families of some features, each once, in a fixed order."""
    there = {family(name) for name in names}
    return [one for one in _FAMILIES if one in there]
