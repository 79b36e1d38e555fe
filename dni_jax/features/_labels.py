"""Labels: what the features say about every character."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from dni_jax.features._choosing import Wanted, check_feature_name, chosen
from dni_jax.html import card, table
from dni_jax.text import Corpus, to_string

_ROWS = 40  # shown in a notebook


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
        check_feature_name(name, self.names)
        return self.names.index(name)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[self.index(name)]

    def select(self, *wanted: Wanted, kind: str | None = None) -> Labels:
        """Give some of the features, in the order in which they are asked for; see `FeatureLibrary.select`."""
        rows = chosen(self.names, self.kinds, wanted, kind)
        return Labels(
            tuple(self.names[row] for row in rows),
            tuple(self.kinds[row] for row in rows),
            tuple(self.columns[row] for row in rows),
            self.mask,
            self.library,
        )

    def drop(self, *unwanted: Wanted, kind: str | None = None) -> Labels:
        """Give the features that `select` would not; all where nothing is named."""
        gone = self.select(*unwanted, kind=kind).names if unwanted or kind else ()
        return self.select([name for name in self.names if name not in gone])

    def of_kind(self, kind: str) -> Labels:
        """Give the binary or the continuous features."""
        return self.select(kind=kind)

    def take(self, positions: Int[np.ndarray, " n"] | slice) -> Labels:
        """Return the labels of some positions, in the order given; of a slice without a copy."""
        return replace(self, columns=tuple(column[positions] for column in self.columns), mask=self.mask[positions])

    def take_strings(self, strings: Iterable[tuple[int, int]], offsets: Int[np.ndarray, " S1"]) -> Labels:
        """Return the labels of some strings; of one range of strings without a copy.

        Parameters
        ----------
        strings
            Ranges of strings: the first and the last (exclusive) of each.
        offsets
            ``(S + 1,)``: where the strings of the corpus begin and end.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["0(", "1)"])
        >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
        >>> labels.take_strings([(1, 2)], corpus.offsets)["digit"].tolist()
        [1, 0]
        """
        bounds = [(int(offsets[first]), int(offsets[last])) for first, last in strings]
        if len(bounds) == 1:
            return self.take(slice(*bounds[0]))
        return self.take(np.concatenate([np.arange(first, last) for first, last in bounds]))

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

    def drop_redundant(self) -> tuple[Labels, pd.DataFrame]:
        """Leave out the features that can teach nothing new, and say why.

        Returns
        -------
        The labels of the other features, and a table with one row a feature left out: ``feature``, ``reason``
        ("always 0", "same labels", "opposite labels", ...) and ``same_as``, the earlier feature that stays ("" for a
        constant one). Only positions in use count.

        Examples
        --------
        >>> import dni_jax as dni
        >>> digit = dni.char_feature("digit", str.isdigit)
        >>> kept, report = (digit + ~digit).label(dni.Corpus.from_strings(["0(1)"])).drop_redundant()
        >>> kept.names, report.values.tolist()
        (('digit',), [['~digit', 'opposite labels', 'digit']])
        """
        constant, rows = set(self.constant), []
        for name in self.names:
            if name in constant:
                used = self[name][self.mask]
                rows.append((name, f"always {used[0]:g}" if len(used) else "no position in use", ""))
            elif name in self.duplicates:
                first = self.duplicates[name]
                opposite = (self[name] != self[first])[self.mask].any()
                rows.append((name, "opposite labels" if opposite else "same labels", first))
        gone = {row[0] for row in rows}
        kept = self.select([name for name in self.names if name not in gone])
        return kept, pd.DataFrame(rows, columns=["feature", "reason", "same_as"], dtype=object)

    def coverage(self, corpus: Corpus | None = None) -> pd.DataFrame:
        """How often each feature is on, where labels are in use.

        Parameters
        ----------
        corpus
            The corpus that was labelled; tells the strings.

        Returns
        -------
        DataFrame with one row a feature: ``feature``, ``kind``, ``positions`` (in use), ``masked`` (positions left
        out); for a binary feature ``count`` and ``share`` of the labels 1, and with a corpus ``strings`` and
        ``strings_share``, in how many strings it is on at all; for each the labels' ``mean``, ``sd``, ``min``, ``max``.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["0(1)", "()"])
        >>> table = dni.char_feature("digit", str.isdigit).label(corpus).coverage(corpus)
        >>> table[["feature", "count", "strings", "strings_share"]].values.tolist()
        [['digit', 2, 1, 0.5]]
        """
        if corpus is not None:
            self._check_corpus(corpus)
        columns = zip(self.names, self.kinds, self.columns, strict=True)
        rows = [{"feature": name, "kind": kind, **self._counts(kind, column, corpus)} for name, kind, column in columns]
        names = ("feature", "kind", "positions", "masked", "count", "share", "strings", "strings_share")
        table = pd.DataFrame(rows, columns=[*names, "mean", "sd", "min", "max"])
        return table.astype({"count": "Int64", "strings": "Int64"})

    def _counts(self, kind: str, column: np.ndarray, corpus: Corpus | None) -> dict[str, Any]:
        used = column[self.mask]
        row: dict[str, Any] = {"positions": len(used), "masked": len(column) - len(used)}
        if kind == "binary":
            row |= {"count": int(used.sum(dtype=np.int64))}
            if corpus is not None:
                strings = np.zeros(len(corpus), bool)
                strings[corpus.string_ids[(column == 1) & self.mask]] = True
                row |= {"strings": int(strings.sum()), "strings_share": float(strings.mean())}
        if len(used):
            row |= {"mean": float(used.mean(dtype=np.float64)), "sd": float(used.std(dtype=np.float64))}
            row |= {"min": float(used.min()), "max": float(used.max())}
            row |= {"share": row["mean"]} if kind == "binary" else {}
        return row

    def _check_corpus(self, corpus: Corpus) -> None:
        if corpus.n_positions != len(self.mask):
            raise ValueError(
                f"expected the corpus that was labelled, of {len(self.mask)} characters, got {corpus!r}: "
                "label it with library.label(corpus)"
            )

    def to_dataframe(self, corpus: Corpus | None = None) -> pd.DataFrame:
        """One row a position: with a corpus its ``string``, ``place`` in it and ``character``; then every feature.

        A column ``masked`` is True where the labels do not count. Labels keep their int8 or float32.

        Raises
        ------
        ValueError
            Where the corpus is not the one that was labelled, or a feature is called like one of these columns.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["a1"])
        >>> dni.char_feature("digit", str.isdigit).label(corpus).to_dataframe(corpus).values.tolist()
        [[0, 0, 'a', False, 0], [0, 1, '1', False, 1]]
        """
        before: dict[str, Any] = {}
        if corpus is not None:
            self._check_corpus(corpus)
            place = np.arange(corpus.n_positions) - corpus.offsets[corpus.string_ids]
            before = {"string": corpus.string_ids, "place": place, "character": list(to_string(corpus.text))}
        before["masked"] = ~self.mask
        taken = sorted(set(before) & set(self.names))
        if taken:
            raise ValueError(f"expected features not called {sorted(before)}, got {taken}: use feature.rename(...)")
        return pd.DataFrame(before | dict(zip(self.names, self.columns, strict=True)))

    def _repr_html_(self) -> str:
        names = ["feature", "kind", "count", "share", "mean", "min", "max"]
        some = self.select(list(self.names[:_ROWS])) if len(self) else self
        rows = some.coverage()[names].astype(object).values.tolist()
        masked = int((~self.mask).sum())
        title = f"Labels: {len(self.mask):,} positions x {len(self):,} features"
        title += f", {masked:,} positions masked" if masked else ""
        return card(title, table(["feature", "kind", "on", "share on", "mean", "least", "most"], rows, len(self)))
