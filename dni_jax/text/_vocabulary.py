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
    """Name the class of a character: digit, letter, parenthesis, operator, quote, space, newline or punctuation.

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


def code_points(text: str) -> UInt32[np.ndarray, " T"]:
    """The characters of a text as unsigned 32-bit code points."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def to_string(points: Integer[np.ndarray, " T"]) -> str:
    """Turn code points back into a string."""
    return points.astype("<u4").tobytes().decode("utf-32-le")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols in the order of their codes.

    Code 0 is the boundary between strings; the network reads it before a string and predicts it behind one.
    A vocabulary that was limited ends in U+FFFD, which stands for every symbol left out.

    Attributes
    ----------
    characters
        The symbols with codes 1, 2, ..., sorted by code point.

    Examples
    --------
    >>> vocabulary = Vocabulary.of("0(1)0")
    >>> vocabulary.characters, len(vocabulary)
    (('(', ')', '0', '1'), 5)
    >>> vocabulary.encode("(0").tolist()
    [1, 3]
    """

    characters: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.characters) + 1

    @classmethod
    def of(cls, text: str | Integer[np.ndarray, " T"], max_symbols: int | None = None) -> Vocabulary:
        """Collect the symbols of a text; at most `max_symbols` of them, the most frequent."""
        points = code_points(text) if isinstance(text, str) else text
        if len(points) == 0:
            raise ValueError("expected a text with at least one character, got an empty one")
        symbols, counts = np.unique(points, return_counts=True)
        if max_symbols is not None and len(symbols) > max_symbols:
            symbols = symbols[np.argsort(-counts, kind="stable")[: max_symbols - 1]]
            symbols = np.union1d(symbols, np.asarray([ord(REPLACEMENT)], symbols.dtype))
        return cls(tuple(chr(point) for point in np.sort(symbols)))

    @property
    def boundary_text(self) -> str:
        """How the boundary is written in generated text: a line break, or U+2404 where texts have line breaks."""
        return "\u2404" if "\n" in self.characters else "\n"

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols by code, the boundary as it is written."""
        return (self.boundary_text, *self.characters)

    @property
    def types(self) -> tuple[str, ...]:
        """The class of each symbol by code (`character_type`; ``"boundary"`` for code 0)."""
        return ("boundary", *(character_type(character) for character in self.characters))

    def unknown(self, points: Integer[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
        """Tell which code points have no code and no replacement symbol."""
        if REPLACEMENT in self.characters:
            return np.zeros(len(points), bool)
        return ~np.isin(points, code_points("".join(self.characters)))

    def encode(self, text: str | Integer[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
        """Turn text (or code points) into int32 codes.

        Raises
        ------
        ValueError
            Where a symbol has no code and the vocabulary has no replacement symbol; names symbol and position.
        """
        points = code_points(text) if isinstance(text, str) else text
        table = code_points("".join(self.characters))
        places = np.minimum(np.searchsorted(table, points), len(table) - 1)
        unknown = table[places] != points
        if unknown.any():
            if REPLACEMENT not in self.characters:
                where = int(np.flatnonzero(unknown)[0])
                raise ValueError(
                    f"expected symbols of the vocabulary {''.join(self.characters)!r}, got {chr(points[where])!r} at "
                    f"position {where}: train on a corpus that holds it, or remove it from the text"
                )
            places = np.where(unknown, self.characters.index(REPLACEMENT), places)
        return (places + 1).astype(np.int32)

    def decode(self, codes: Int[np.ndarray, " T"]) -> str:
        """Turn codes into text, the boundary as `boundary_text`."""
        return to_string(code_points("".join(self.symbols))[np.asarray(codes)])
