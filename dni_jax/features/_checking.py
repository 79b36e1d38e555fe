"""What labels must be: one finite number a character, 0 or 1 where a feature says so."""

from __future__ import annotations

import numpy as np

from dni_jax.text import Corpus


def checked(name: str, kind: str | None, column: np.ndarray, corpus: Corpus) -> tuple[np.ndarray, str]:
    """Check a feature's labels and tell their kind; bring them to int8 or float32 without losing anything.

    Raises
    ------
    ValueError
        For a wrong number of labels, labels that are not finite numbers, and others than 0 and 1 for a binary feature.
    """
    if column.shape != (corpus.n_positions,):
        raise ValueError(
            f"feature {name!r}: expected one label for each of the {corpus.n_positions} positions, "
            f"got an array of shape {column.shape}"
        )
    if column.dtype.kind not in "biuf":
        raise ValueError(f"feature {name!r}: expected numbers or bools, got {column.dtype}")
    if column.dtype.kind == "f":
        _refuse_infinite(name, corpus, column)
    only_01 = column.dtype == bool or _only_01(column)
    if kind == "binary" and not only_01:
        other = column[(column != 0) & (column != 1)][0]
        raise ValueError(f"feature {name!r}: expected labels 0 and 1 for a binary feature, got {other}")
    kind = kind or ("binary" if only_01 else "continuous")
    return column.astype(np.int8 if kind == "binary" else np.float32, copy=False), kind


def _only_01(column: np.ndarray) -> bool:
    if column.dtype.kind in "iu":
        return bool(column.max(initial=0) <= 1 and column.min(initial=0) >= 0)
    return bool(((column == 0) | (column == 1)).all())


def _refuse_infinite(name: str, corpus: Corpus, column: np.ndarray) -> None:
    finite = np.abs(column) <= np.finfo(np.float32).max
    if not finite.all():
        where = int(np.flatnonzero(~finite)[0])
        string = int(corpus.string_ids[where])
        raise ValueError(
            f"feature {name!r}: expected finite labels (as float32), got {column[where]} at character "
            f"{where - int(corpus.offsets[string])} of string {string} ({corpus.strings[string][:40]!r})"
        )
