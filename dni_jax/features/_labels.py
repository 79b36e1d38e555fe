"""Labels: one number for every feature and every character; their checks, and the selection of features by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from dni_jax.html import card, table
from dni_jax.text import Corpus, concatenate_ranges, exclusive_sum, to_string

Pattern = str | re.Pattern[str] | Sequence[str]

_ROWS = 40  # shown in a notebook


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of F features at T positions.

    Attributes
    ----------
    names
        The names of the features.
    kinds
        For each feature ``"binary"`` (labels 0 and 1) or ``"continuous"``.
    columns
        int8 ``(T,)`` for each binary feature, float32 ``(T,)`` for each continuous one.
    mask
        bool ``(T,)``: False if a position could not be labeled; it counts in no score.
    library
        The features that made the labels, which can label another corpus; None if they are unknown.
    text_digest
        The ``text_digest`` of the corpus that was labeled; None if it is unknown.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    mask: Bool[np.ndarray, " T"]
    library: Any = None
    text_digest: bytes | None = None

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
        """``(T, F)``: all labels as one array, int8 if all features are binary, float32 otherwise."""
        return np.stack(self.columns, axis=1) if self.columns else np.zeros((len(self.mask), 0), np.int8)

    def index(self, name: str) -> int:
        """Return the index of a feature.

        Raises
        ------
        ValueError
            If there is no such feature; suggests similar names.
        """
        check_feature_name(name, self.names)
        return self.names.index(name)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[self.index(name)]

    def select(self, *patterns: Pattern, kind: str | None = None) -> Labels:
        """Return some of the features, in the order given; see `FeatureLibrary.select`."""
        rows = select_rows(self.names, self.kinds, patterns, kind)
        return Labels(
            tuple(self.names[row] for row in rows),
            tuple(self.kinds[row] for row in rows),
            tuple(self.columns[row] for row in rows),
            self.mask,
            self.library,
            self.text_digest,
        )

    def drop(self, *patterns: Pattern, kind: str | None = None) -> Labels:
        """Return the features that `select` would leave out; all if called without arguments."""
        dropped = self.select(*patterns, kind=kind).names if patterns or kind else ()
        return self.select([name for name in self.names if name not in dropped])

    def of_kind(self, kind: str) -> Labels:
        """Return the binary or the continuous features."""
        return self.select(kind=kind)

    def take(self, positions: Int[np.ndarray, " n"] | slice) -> Labels:
        """Return the labels of some positions, in the order given; of a slice without a copy."""
        columns = tuple(column[positions] for column in self.columns)
        return replace(self, columns=columns, mask=self.mask[positions], text_digest=None)

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

    def by_token(self, ends: Bool[np.ndarray, " T"], corpus: Corpus, how: str = "any") -> Labels:
        """Return labels of tokens, each at the token's last character.

        Parameters
        ----------
        ends
            bool ``(T,)``: the last character of each token, the ``mask`` of states with one row per token. A token's
            characters are those after the token before it, spaces in front of it included.
        corpus
            The text.
        how : {"any", "all", "mean", "first", "last"}
            A token's label from its characters' labels: the largest, the smallest, their mean (binary features then
            become continuous), the first or the last one. Characters without a label do not count.

        Returns
        -------
        Labels whose mask is False at all other characters, and at tokens without a labeled character.

        Raises
        ------
        ValueError
            For other ways, and ends of another length.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["ab c"])
        >>> labels = dni.char_feature("a", lambda character: character == "a").label(corpus)
        >>> tokens = labels.by_token(np.array([False, True, False, True]), corpus)
        >>> tokens["a"][tokens.mask].tolist()
        [1, 0]
        """
        ends = np.asarray(ends)
        if how not in ("any", "all", "mean", "first", "last"):
            raise ValueError(f"expected how to be any, all, mean, first or last, got {how!r}")
        if ends.shape != self.mask.shape or len(self.mask) != corpus.n_positions:
            raise ValueError(
                f"expected ends and labels of {corpus.n_positions} positions, got {ends.shape} and {len(self.mask)}"
            )
        places = np.flatnonzero(ends)
        first_of_string = corpus.offsets[corpus.string_ids[places]]
        starts = np.maximum(np.append(-1, places[:-1]) + 1, first_of_string)
        sizes = places + 1 - starts
        rows = concatenate_ranges(starts, sizes)
        bounds = exclusive_sum(sizes)
        known = self.mask[rows]
        mask = np.zeros(len(self.mask), bool)
        mask[places] = np.logical_or.reduceat(known, bounds) if len(places) else False
        columns = tuple(_of_tokens(column, rows, known, bounds, places, how) for column in self.columns)
        kinds = ("continuous",) * len(self) if how == "mean" else self.kinds
        return replace(self, columns=columns, kinds=kinds, mask=mask, library=None)

    @cached_property
    def duplicates(self) -> dict[str, str]:
        """The earlier feature that has the same labels, or the same with 0 and 1 exchanged, by the later one's name."""
        first: dict[bytes, str] = {}
        same = {}
        for name, kind, column in zip(self.names, self.kinds, self.columns, strict=True):
            used = column[self.mask]
            # Exchange 0 and 1 so that every column begins with 0: opposite columns then have equal hashes.
            flipped = 1 - used if kind == "binary" and len(used) and used[0] else used
            key = kind.encode() + hashlib.sha256(np.ascontiguousarray(flipped).tobytes()).digest()
            if key in first:
                same[name] = first[key]
            else:
                first[key] = name
        return same

    @property
    def constant(self) -> tuple[str, ...]:
        """The features that have the same label at every position that counts."""
        used = self.mask
        return tuple(
            name
            for name, column in zip(self.names, self.columns, strict=True)
            if not used.any() or (column[used] == column[used][0]).all()
        )

    def drop_redundant(self) -> tuple[Labels, pd.DataFrame]:
        """Leave out constant features, and features with the same or the opposite labels as an earlier one.

        Returns
        -------
        The labels of the other features, and a table with one row for each feature left out: ``feature``, ``reason``
        ("always 0", "same labels", "opposite labels", ...) and ``same_as``, the earlier feature that is kept ("" if the
        feature is constant). Only positions in the mask count.

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
                rows.append((name, f"always {used[0]:g}" if len(used) else "no position with labels", ""))
            elif name in self.duplicates:
                first = self.duplicates[name]
                opposite = (self[name] != self[first])[self.mask].any()
                rows.append((name, "opposite labels" if opposite else "same labels", first))
        dropped = {row[0] for row in rows}
        kept = self.select([name for name in self.names if name not in dropped])
        return kept, pd.DataFrame(rows, columns=["feature", "reason", "same_as"], dtype=object)

    def coverage(self, corpus: Corpus | None = None) -> pd.DataFrame:
        """Return how often each feature holds, over the positions in the mask.

        Parameters
        ----------
        corpus
            The corpus that was labeled; needed to count strings.

        Returns
        -------
        DataFrame with one row per feature: ``feature``, ``kind``, ``positions`` (in the mask), ``masked`` (left out);
        ``mean``, ``sd``, ``min`` and ``max`` of the labels; for a binary feature ``count`` and ``share`` of the labels
        1, and with a corpus ``strings`` and ``strings_share``: the strings in which the feature holds at all.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["0(1)", "()"])
        >>> table = dni.char_feature("digit", str.isdigit).label(corpus).coverage(corpus)
        >>> table[["feature", "count", "strings", "strings_share"]].values.tolist()
        [['digit', 2, 1, 0.5]]
        """
        if corpus is not None:
            self.check_corpus(corpus)
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

    def check_corpus(self, corpus: Corpus) -> None:
        """Raise a ValueError for a corpus with other text than was labeled.

        Raises
        ------
        ValueError
            If it has another number of characters, or, where the labeled text is known, other ones.
        """
        if corpus.n_positions != len(self.mask):
            raise ValueError(
                f"expected the corpus that was labeled, of {len(self.mask)} characters, got {corpus!r}: "
                "label it with library.label(corpus)"
            )
        if self.text_digest is not None and self.text_digest != corpus.text_digest:
            raise ValueError(
                f"expected the corpus that was labeled, got another one of as many characters, {corpus!r}: "
                "label it with library.label(corpus)"
            )

    def to_dataframe(self, corpus: Corpus | None = None) -> pd.DataFrame:
        """Return one row per position and one column per feature.

        With a corpus, the first columns are ``string``, ``place`` (in the string) and ``character``. A column
        ``masked`` is True where the labels do not count. Labels keep their type, int8 or float32.

        Raises
        ------
        ValueError
            If the corpus is not the one that was labeled, or a feature has the name of one of these columns.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["a1"])
        >>> dni.char_feature("digit", str.isdigit).label(corpus).to_dataframe(corpus).values.tolist()
        [[0, 0, 'a', False, 0], [0, 1, '1', False, 1]]
        """
        before: dict[str, Any] = {}
        if corpus is not None:
            self.check_corpus(corpus)
            place = corpus.position_in_string
            before = {"string": corpus.string_ids, "place": place, "character": list(to_string(corpus.text))}
        before["masked"] = ~self.mask
        taken = sorted(set(before) & set(self.names))
        if taken:
            raise ValueError(
                f"expected features with other names than {sorted(before)}, got {taken}: use feature.rename(...)"
            )
        return pd.DataFrame(before | dict(zip(self.names, self.columns, strict=True)))

    def _repr_html_(self) -> str:
        names = ["feature", "kind", "count", "share", "mean", "min", "max"]
        some = self.select(list(self.names[:_ROWS])) if len(self) else self
        rows = some.coverage()[names].astype(object).values.tolist()
        masked = int((~self.mask).sum())
        title = f"Labels: {len(self.mask):,} positions x {len(self):,} features"
        title += f", {masked:,} positions masked" if masked else ""
        return card(title, table(["feature", "kind", "count", "share", "mean", "min", "max"], rows, len(self)))


def select_rows(
    names: Sequence[str], kinds: Sequence[str | None], patterns: tuple[Pattern, ...], kind: str | None
) -> list[int]:
    """Return the indices of the features selected, each once, in the order of the patterns.

    Raises
    ------
    ValueError
        If no feature matches a name or pattern, a list contains a name twice, or the kind is unknown.
    """
    if kind not in (None, "binary", "continuous"):
        raise ValueError(f"expected kind 'binary' or 'continuous', got {kind!r}")
    rows = [row for pattern in patterns for row in _matching_rows(names, pattern)] if patterns else range(len(names))
    return [row for row in dict.fromkeys(rows) if kind is None or kinds[row] == kind]


def _matching_rows(names: Sequence[str], pattern: Pattern) -> list[int]:
    if isinstance(pattern, str):
        rows = [row for row, name in enumerate(names) if name == pattern or fnmatchcase(name, pattern)]
    elif isinstance(pattern, re.Pattern):
        rows = [row for row, name in enumerate(names) if pattern.search(name)]
    else:
        return _listed_rows(names, pattern)
    if not rows:
        raise ValueError(_unknown(pattern if isinstance(pattern, str) else pattern.pattern, names))
    return rows


def _listed_rows(names: Sequence[str], listed: Sequence[str]) -> list[int]:
    row_of = {name: row for row, name in enumerate(names)}
    for name in listed:
        check_feature_name(name, names)
    twice = sorted({name for name in listed if list(listed).count(name) > 1})
    if twice:
        raise ValueError(f"expected each feature once, got {twice} more than once")
    return [row_of[name] for name in listed]


def check_feature_name(name: str, names: Sequence[str]) -> None:
    """Check that a feature exists.

    Raises
    ------
    ValueError
        If `name` is not one of `names`; suggests similar names.
    """
    if name not in names:
        raise ValueError(_unknown(name, names))


def _unknown(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f": did you mean {', '.join(map(repr, close))}?" if close else ""
    some = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    return f"expected one of the {len(names)} features ({some}), got {name!r}{hint}"


def _kind_of(column: np.ndarray) -> str:
    return f"strings such as {str(column[0])!r}" if column.dtype.kind == "U" else str(column.dtype)


def check_column(name: str, kind: str | None, column: np.ndarray, corpus: Corpus) -> tuple[np.ndarray, str]:
    """Check the labels of a feature; return them as int8 or float32, and their kind.

    Raises
    ------
    ValueError
        If there is not one finite number per position, or a binary feature has a label other than 0 and 1.
    """
    if column.shape != (corpus.n_positions,):
        raise ValueError(
            f"feature {name!r}: expected one label for each of the {corpus.n_positions} positions, "
            f"got an array of shape {column.shape}"
        )
    if column.dtype.kind not in "biuf":
        raise ValueError(f"feature {name!r}: expected numbers or bools, got {_kind_of(column)}")
    if column.dtype.kind == "f":
        _check_finite_labels(name, corpus, column)
    only_01 = column.dtype == bool or _is_01(column)
    if kind == "binary" and not only_01:
        other = column[(column != 0) & (column != 1)][0]
        raise ValueError(f"feature {name!r}: expected labels 0 and 1 for a binary feature, got {other}")
    kind = kind or ("binary" if only_01 else "continuous")
    return column.astype(np.int8 if kind == "binary" else np.float32, copy=False), kind


def _is_01(column: np.ndarray) -> bool:
    if column.dtype.kind in "iu":
        return bool(column.max(initial=0) <= 1 and column.min(initial=0) >= 0)
    return bool(((column == 0) | (column == 1)).all())


def _check_finite_labels(name: str, corpus: Corpus, column: np.ndarray) -> None:
    finite = np.abs(column) <= np.finfo(np.float32).max
    if not finite.all():
        where = int(np.flatnonzero(~finite)[0])
        string = int(corpus.string_ids[where])
        raise ValueError(
            f"feature {name!r}: expected finite labels (as float32), got {column[where]} at character "
            f"{where - int(corpus.offsets[string])} of string {string} ({corpus.strings[string][:40]!r})"
        )


def _of_tokens(
    column: np.ndarray, rows: np.ndarray, known: np.ndarray, bounds: np.ndarray, places: np.ndarray, how: str
) -> np.ndarray:
    """Return a column with each token's label at its place."""
    result = np.zeros(len(column), np.float32 if how == "mean" else column.dtype)
    if not len(places):
        return result
    values = column[rows].astype(np.float64)
    if how == "mean":
        total = np.add.reduceat(np.where(known, values, 0.0), bounds)
        found = total / np.maximum(np.add.reduceat(known.astype(float), bounds), 1)
    elif how in ("any", "all"):
        extreme = np.maximum if how == "any" else np.minimum
        found = extreme.reduceat(np.where(known, values, -np.inf if how == "any" else np.inf), bounds)
    else:
        order = np.arange(len(rows))
        picks = np.minimum.reduceat(np.where(known, order, len(rows)), bounds)
        if how == "last":
            picks = np.maximum.reduceat(np.where(known, order, -1), bounds)
        found = values[np.clip(picks, 0, len(rows) - 1)]
    result[places] = np.where(np.isfinite(found), found, 0)
    return result
