"""The result of parsing a text that need not parse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from dni_jax.text import NodeKind, ParseTrees


@dataclass(frozen=True, eq=False)
class ParseResult:
    """One text, parsed as far as possible.

    Attributes
    ----------
    trees
        The nodes of the text, as the trees of one string.
    unparsed
        int64 ``(n, 2)``: first and last character (exclusive) of each segment that could not be parsed.
    counts
        How many characters, functions and so on there are, and how many of them parsed.
    error
        The first syntax error and its place; empty if there is none.
    """

    trees: ParseTrees
    unparsed: Int[np.ndarray, "n 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every character was parsed."""
        return len(self.unparsed) == 0

    @classmethod
    def failed(cls, kinds: tuple[NodeKind, ...], length: int, error: str) -> ParseResult:
        """Return the result for a text of `length` characters of which nothing parses."""
        nothing = np.zeros(0, np.int32)
        trees = ParseTrees(kinds, nothing, nothing, nothing, nothing, nothing, np.zeros(2, np.int64))
        return cls(trees, np.asarray([[0, length]], np.int64), error=error)
