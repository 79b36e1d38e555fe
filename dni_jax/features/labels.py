"""Labels: what the features say about every character."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Labels:
    """One column of labels a feature, one row a position.

    Attributes
    ----------
    names
        The features' names.
    kinds
        ``"binary"`` (labels 0 and 1) or ``"continuous"`` a feature.
    columns
        int8 ``(T,)`` for each binary feature, float32 ``(T,)`` for each continuous one.
    mask
        bool ``(T,)``: False where a position could not be labelled; it takes no part in any score.
    library
        The features that made the labels, if they are known; it can label another corpus.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    mask: Bool[np.ndarray, " T"]
    library: Any = None

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        binary = self.kinds.count("binary")
        return f"Labels({len(self.mask):,} positions x {len(self)} features, {binary} binary)"

    @cached_property
    def values(self) -> Float[np.ndarray, "T F"]:
        """float32 ``(T, F)``: all labels as one array."""
        values = np.empty((len(self.mask), len(self)), np.float32)
        for place, column in enumerate(self.columns):
            values[:, place] = column
        return values

    @property
    def matrix(self) -> np.ndarray:
        """``(T, F)``: int8 if all features are binary, float32 otherwise."""
        return np.stack(self.columns, axis=1) if self.columns else np.zeros((len(self.mask), 0), np.int8)

    def index(self, name: str) -> int:
        """Give the column of a feature.

        Raises
        ------
        ValueError
            Where there is no such feature; names those that are most alike.
        """
        if name not in self.names:
            raise ValueError(unknown_feature(name, self.names))
        return self.names.index(name)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[self.index(name)]

    def select(self, names: Sequence[str]) -> Labels:
        """Give some of the features, in the given order."""
        rows = [self.index(name) for name in names]
        return Labels(
            tuple(names),
            tuple(self.kinds[row] for row in rows),
            tuple(self.columns[row] for row in rows),
            self.mask,
            self.library,
        )

    def of_kind(self, kind: str) -> Labels:
        """Give the binary or the continuous features."""
        return self.select([name for name, its in zip(self.names, self.kinds, strict=True) if its == kind])

    @cached_property
    def duplicates(self) -> dict[str, str]:
        """For each feature whose labels an earlier one has too, exactly or with 0 and 1 exchanged: that one's name."""
        first: dict[bytes, str] = {}
        same = {}
        for name, kind, column in zip(self.names, self.kinds, self.columns, strict=True):
            used = column[self.mask]
            flipped = 1 - used if kind == "binary" and len(used) and used[0] else used
            key = kind.encode() + hashlib.sha256(np.ascontiguousarray(flipped).tobytes()).digest()
            if key in first:
                same[name] = first[key]
            else:
                first[key] = name
        return same

    @property
    def constant(self) -> tuple[str, ...]:
        """The features that have the same label at every position in use."""
        used = self.mask
        return tuple(
            name
            for name, column in zip(self.names, self.columns, strict=True)
            if not used.any() or (column[used] == column[used][0]).all()
        )


def unknown_feature(name: str, names: Sequence[str]) -> str:
    """Word the error for a feature that is not there."""
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f": did you mean {', '.join(map(repr, close))}?" if close else ""
    some = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    return f"expected one of the {len(names)} features ({some}), got {name!r}{hint}"
