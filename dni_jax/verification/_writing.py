"""Measures of the text that a network generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dni_jax.languages import BaseLanguage
from dni_jax.text import character_type

_PAIRS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class TextMeasures:
    """Measurements of some texts.

    Attributes
    ----------
    characters, strings
        How many characters, boundary marks left out; how many whole strings between two boundaries.
    shares
        The share of each class of characters (digit, parenthesis, ...).
    matched
        The share of brackets that have a partner. Those still open where a text was cut off count nowhere; NaN without
        brackets.
    depths
        The share of characters at each depth of nesting, from 0; a bracket lies inside its own pair.
    parses
        The share of whole strings that parse; NaN without a language, or without a whole string.
    """

    characters: int
    strings: int
    shares: dict[str, float]
    matched: float
    depths: tuple[float, ...]
    parses: float


def symbol_shares(texts: Sequence[str], boundary: str = "") -> dict[str, float]:
    """Return the share of each class of characters (digit, parenthesis, ...) in some texts, without `boundary` marks.

    Examples
    --------
    >>> symbol_shares(["0(1)"])
    {'digit': 0.5, 'parenthesis': 0.5}
    """
    whole = [character for text in texts for character in text if character != boundary]
    kinds = [character_type(character) for character in whole]
    return {kind: kinds.count(kind) / len(whole) for kind in sorted(set(kinds))}


def measure_texts(texts: Sequence[str], boundary: str = "", language: BaseLanguage | None = None) -> TextMeasures:
    r"""Measure texts that a network generated.

    Parameters
    ----------
    texts
        From `dni_jax.generate`.
    boundary
        What separates two strings: ``model.vocabulary.boundary_text``. Without it each text is one string, cut
        off at its end.
    language
        Decides which strings parse.

    Raises
    ------
    ValueError
        Where there is no character to measure.

    Examples
    --------
    >>> found = measure_texts(["(1)0\n(2))\n(("], "\n")
    >>> found.strings, round(found.matched, 2), found.shares["digit"]
    (2, 0.8, 0.3)
    """
    strings = [(part, end < len(parts) - 1) for parts in _split(texts, boundary) for end, part in enumerate(parts)]
    characters = sum(len(part) for part, _ in strings)
    if not characters:
        raise ValueError("expected at least one character besides boundaries, got none: generate longer texts")
    walks = [_walk(part, whole) for part, whole in strings]
    partners, alone = sum(walk[0] for walk in walks), sum(walk[1] for walk in walks)
    depths = np.bincount(np.concatenate([np.asarray(walk[2], np.int64) for walk in walks]))
    whole = [part for part, ends in strings if ends]
    parsed = [not language.try_parse(part).error for part in whole] if language is not None else []
    return TextMeasures(
        characters=characters,
        strings=len(whole),
        shares=symbol_shares(texts, boundary),
        matched=partners / (partners + alone) if partners + alone else float("nan"),
        depths=tuple((depths / characters).tolist()),
        parses=float(np.mean(parsed)) if parsed else float("nan"),
    )


def _split(texts: Sequence[str], boundary: str) -> list[list[str]]:
    return [text.split(boundary) if boundary else [text] for text in texts]


def _walk(text: str, whole: bool) -> tuple[int, int, list[int]]:
    """Count brackets with and without a partner, and return each character's depth."""
    open_brackets: list[str] = []
    partners, alone, depths = 0, 0, []
    for character in text:
        if character in _PAIRS.values():
            open_brackets.append(character)
        depths.append(len(open_brackets))
        if character in _PAIRS:
            if open_brackets and open_brackets[-1] == _PAIRS[character]:
                open_brackets.pop()
                partners += 2
            else:
                alone += 1
    return partners, alone + (len(open_brackets) if whole else 0), depths
