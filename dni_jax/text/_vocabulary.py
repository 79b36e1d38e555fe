"""The symbols a network reads, and the codes that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt32

REPLACEMENT = "\ufffd"
BOUNDARY = 0

_BRACKETS = frozenset("()[]{}")
_OPERATORS = frozenset("+-*/%<>=!&|^~@")
_QUOTES = frozenset("\"'`")


def character_type(character: str) -> str:
    """Return the type of a character: digit, letter, parenthesis, operator, quote, space, newline or punctuation.

    Examples
    --------
    >>> [character_type(c) for c in "7x(+ ;"]
    ['digit', 'letter', 'parenthesis', 'operator', 'space', 'punctuation']
    """
    tests = (
        ("digit", character.isdigit()),
        ("letter", character.isalpha() or character == "_"),
        ("parenthesis", character in _BRACKETS),
        ("operator", character in _OPERATORS),
        ("quote", character in _QUOTES),
        ("newline", character in "\r\n"),
        ("space", character.isspace()),
    )
    return next((name for name, holds in tests if holds), "punctuation")


def to_code_points(text: str) -> UInt32[np.ndarray, " T"]:
    """Return the characters of a text as unsigned 32-bit code points."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def to_string(points: Integer[np.ndarray, " T"]) -> str:
    """Return the text with these code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols in the order of their codes.

    Code 0 is the boundary between strings, which the network reads before a string and predicts after one.
    A vocabulary of limited size contains U+FFFD, which stands for every symbol left out.

    Attributes
    ----------
    characters
        The symbols with codes 1, 2, ..., sorted by code point.

    Examples
    --------
    >>> vocabulary = Vocabulary.from_text("0(1)0")
    >>> vocabulary.characters, len(vocabulary)
    (('(', ')', '0', '1'), 5)
    >>> vocabulary.encode("(0").tolist()
    [1, 3]
    """

    characters: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.characters) + 1

    @classmethod
    def from_text(cls, text: str | Integer[np.ndarray, " T"], max_symbols: int | None = None) -> Vocabulary:
        """Collect the symbols of a text, or its `max_symbols` most frequent ones.

        Raises
        ------
        ValueError
            If the text is empty.
        """
        points = to_code_points(text) if isinstance(text, str) else text
        if len(points) == 0:
            raise ValueError("expected a text with at least one character, got an empty one")
        symbols, counts = np.unique(points, return_counts=True)
        if max_symbols is not None and len(symbols) > max_symbols:
            symbols = symbols[np.argsort(-counts, kind="stable")[: max_symbols - 1]]
            symbols = np.union1d(symbols, np.asarray([ord(REPLACEMENT)], symbols.dtype))
        return cls(tuple(chr(point) for point in np.sort(symbols)))

    @property
    def boundary_text(self) -> str:
        """The boundary in generated text: a line break, or U+2404 if line breaks are symbols themselves."""
        return "\u2404" if "\n" in self.characters else "\n"

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols by code, the boundary as `boundary_text`."""
        return (self.boundary_text, *self.characters)

    @property
    def types(self) -> tuple[str, ...]:
        """The type of each symbol by code (`character_type`; ``"boundary"`` for code 0)."""
        return ("boundary", *(character_type(character) for character in self.characters))

    def unknown(self, points: Integer[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
        """Return which code points `encode` refuses, bool ``(T,)``."""
        if REPLACEMENT in self.characters:
            return np.zeros(len(points), bool)
        return ~np.isin(points, to_code_points("".join(self.characters)))

    def encode(self, text: str | Integer[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
        """Return the codes of a text (or of code points), int32 ``(T,)``.

        Raises
        ------
        ValueError
            If a symbol has no code and the vocabulary has no replacement symbol; the message has symbol and position.
        """
        points = to_code_points(text) if isinstance(text, str) else text
        table = to_code_points("".join(self.characters))
        places = np.minimum(np.searchsorted(table, points), len(table) - 1)
        unknown = table[places] != points
        if unknown.any():
            if REPLACEMENT not in self.characters:
                where = int(np.flatnonzero(unknown)[0])
                raise ValueError(
                    f"expected symbols of the vocabulary {''.join(self.characters)!r}, got {chr(points[where])!r} at "
                    f"position {where}: train on a corpus that contains it, or remove it from the text"
                )
            places = np.where(unknown, self.characters.index(REPLACEMENT), places)
        return (places + 1).astype(np.int32)

    def decode(self, codes: Int[np.ndarray, " T"]) -> str:
        """Return the text with these codes, the boundary as `boundary_text`."""
        return to_string(to_code_points("".join(self.symbols))[np.asarray(codes)])
