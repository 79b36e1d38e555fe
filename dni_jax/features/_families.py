"""Families of features, by their names."""

from __future__ import annotations

import re

from dni_jax.features._defaults import CHARACTER_CLASSES

FAMILIES = ("nesting", "characters", "range", "impulse", "other")


def feature_family(name: str) -> str:
    """Return the family of the feature of a name, among `FAMILIES`; ``"other"`` for features of one's own.

    Examples
    --------
    >>> [feature_family(name) for name in ("depth=1", "braces depth", "symbol:=", "range:e", "impulse:e", "stack size")]
    ['nesting', 'nesting', 'characters', 'range', 'impulse', 'other']
    """
    head = name.partition(":")[0]
    if head in ("range", "impulse"):
        return head
    if head == "symbol" or name in CHARACTER_CLASSES:
        return "characters"
    return "nesting" if re.fullmatch(r"(.* )?(depth|indent)(=\d+)?", name) else "other"
