"""What any parser tells of a text: the nodes it found, and where it found none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from dni_jax.text import NodeKind, ParseTrees


@dataclass(frozen=True, eq=False)
class Reading:
    """One text, parsed as far as it can be.

    Attributes
    ----------
    trees
        The text's nodes (one string).
    unparsed
        int64 ``(n, 2)``: first and last character (exclusive) of each part that could not be parsed.
    counts
        What there was and how much of it parsed.
    problem
        The first thing that did not parse, and where; empty where all is well.
    """

    trees: ParseTrees
    unparsed: Int[np.ndarray, "n 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every character was parsed."""
        return len(self.unparsed) == 0

    @classmethod
    def failed(cls, kinds: tuple[NodeKind, ...], length: int, problem: str) -> Reading:
        """Give the reading of a text of which nothing parses."""
        nothing = np.zeros(0, np.int32)
        trees = ParseTrees(kinds, nothing, nothing, nothing, nothing, nothing, np.zeros(2, np.int64))
        return cls(trees, np.asarray([[0, length]], np.int64), problem=problem)
