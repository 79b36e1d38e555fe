"""A feature, which labels every character of a corpus, and a library of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import index
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool

from dni_jax.features._cache import LabelCache
from dni_jax.features._labels import Labels, Pattern, check_column, check_feature_name, select_rows
from dni_jax.features._ranges import edge_positions, near, shift
from dni_jax.html import card, table
from dni_jax.text import Corpus, join_segments

if TYPE_CHECKING:
    from dni_jax.features._lazy import LazyLabels

KINDS = ("binary", "continuous")
_ROWS = 100  # shown in a notebook


@dataclass(frozen=True, eq=False)
class Feature:
    """A property of characters that a neuron may know: one label for every character of a corpus.

    Binary features combine with ``&``, ``|`` and ``~``; `lag` and `within` refer to nearby characters; ``+`` makes a
    `FeatureLibrary`.

    Attributes
    ----------
    name
        The name of the feature in all results.
    compute
        Takes a corpus, returns one label for each of its T positions.
    kind
        ``"binary"``, ``"continuous"``, or None: binary if all labels are 0 or 1.
    about
        A description, in one line.
    known
        Takes a corpus, returns bool ``(T,)``: False where the label is unknown because it depends on text that is
        missing from the corpus. None: known wherever the corpus was parsed.
    fit
        For a feature whose labels depend on the whole corpus, such as a scale: takes the whole corpus, returns a
        feature that labels any part of it as this one labels the whole. None: the labels of a string depend on that
        string alone.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = Corpus.from_strings(["0(1)"])
    >>> digit, opening = dni.char_feature("digit", str.isdigit), dni.char_feature("(", lambda c: c == "(")
    >>> inner = digit & opening.lag(1)
    >>> inner.name, inner.label(corpus).columns[0].tolist()
    ('(digit & (@-1)', [0, 0, 1, 0])
    """

    name: str
    compute: Callable[[Corpus], np.ndarray]
    kind: str | None = None
    about: str = ""
    known: Callable[[Corpus], np.ndarray] | None = None
    fit: Callable[[Corpus], Feature] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("expected a name for the feature, got an empty one")
        if self.kind not in (None, *KINDS):
            raise ValueError(
                f"expected kind 'binary', 'continuous' or None for feature {self.name!r}, got {self.kind!r}"
            )

    def __repr__(self) -> str:
        return f"Feature({self.name!r}{', ' + self.kind if self.kind else ''})"

    def __bool__(self) -> bool:
        raise ValueError(f"expected & | ~ between features, got 'and', 'or', 'not' or 'if' on feature {self.name!r}")

    def __add__(self, other: Feature | FeatureLibrary) -> FeatureLibrary:
        return FeatureLibrary((self,)) + other

    def label(self, corpus: Corpus) -> Labels:
        """Label a corpus with this feature alone; see `FeatureLibrary.label`."""
        return FeatureLibrary((self,)).label(corpus)

    def rename(self, name: str, about: str | None = None) -> Feature:
        """Return the same feature with another name."""
        return replace(self, name=name, about=self.about if about is None else about)

    def __and__(self, other: Feature) -> Feature:
        return _both(self, other, "&", np.logical_and) if isinstance(other, Feature) else NotImplemented

    def __or__(self, other: Feature) -> Feature:
        return _both(self, other, "|", np.logical_or) if isinstance(other, Feature) else NotImplemented

    def __invert__(self) -> Feature:
        return Feature(
            f"~{self.name}",
            lambda corpus: 1 - _binary(self, corpus, "~"),
            "binary",
            f"not {self.name}",
            self.known,
            self._fit(lambda fixed: ~fixed),
        )

    def lag(self, n: int) -> Feature:
        """Return the feature whose label is that of this one `n` characters earlier (later, if n is negative).

        The first n characters of a string have the label 0. If a segment of a longer text does not follow the one
        before it (after `Corpus.take`), the labels of its first n characters are unknown, and `FeatureLibrary.label`
        masks them for all features. The name of ``digit.lag(3)`` is ``digit@-3``.
        """
        n = index(n)
        return Feature(
            f"{self._operand}@{-n:+d}" if n else self.name,
            lambda corpus: shift(label_column(self, corpus)[0], join_segments(corpus).offsets, n, 0),
            self.kind,
            f"{self.name} {abs(n)} characters {'before' if n >= 0 else 'after'}",
            lambda corpus: _complete(corpus, n) & shift(known(self, corpus), join_segments(corpus).offsets, n, True),
            self._fit(lambda fixed: fixed.lag(n)),
        )

    def within(self, n: int, direction: str = "previous") -> Feature:
        """Return the feature that is 1 if this binary one is 1 at the character or at most `n` characters away.

        Only characters of the same string count. If some of the n characters are missing from a segment of a longer
        text, the label is masked as in `lag`. The name of ``digit.within(3)`` is ``digit@-3..0``, that of
        ``digit.within(3, "next")`` is ``digit@0..+3``. ``digit.lag(1).within(2)`` excludes the character itself.

        Parameters
        ----------
        n
            The distance, in characters.
        direction
            ``"previous"`` or ``"next"``.

        Raises
        ------
        ValueError
            If n is negative, or the direction is neither ``"previous"`` nor ``"next"``.
        """
        n = index(n)
        if n < 0 or direction not in ("previous", "next"):
            raise ValueError(
                f"expected within(n, 'previous' or 'next') with n of at least 0 for feature {self.name!r}, "
                f"got n {n} and {direction!r}"
            )
        reach, place = (n, f"{-n}..0") if direction == "previous" else (-n, f"0..+{n}")
        return Feature(
            f"{self._operand}@{place}",
            lambda corpus: near(_binary(self, corpus, "within") == 1, join_segments(corpus).offsets, reach),
            "binary",
            f"{self.name} here or at one of the {direction} {n} characters",
            lambda corpus: (
                _complete(corpus, reach) & (near(~known(self, corpus), join_segments(corpus).offsets, reach) == 0)
            ),
            self._fit(lambda fixed: fixed.within(n, direction)),
        )

    def fit_to(self, corpus: Corpus) -> Feature:
        """Return the feature that labels parts of this corpus as this one labels the whole; see `fit`."""
        return self if self.fit is None else replace(self.fit(corpus), name=self.name, kind=self.kind)

    def _fit(self, make: Callable[[Feature], Feature]) -> Callable[[Corpus], Feature] | None:
        """Return `fit` for a feature derived from this one by `make`."""
        return None if self.fit is None else lambda corpus: make(self.fit_to(corpus))

    @property
    def _operand(self) -> str:
        return f"({self.name})" if self.name.startswith("~") else self.name


def _both(a: Feature, b: Feature, sign: str, function: np.ufunc) -> Feature:
    both_known = (lambda corpus: known(a, corpus) & known(b, corpus)) if a.known or b.known else None
    return Feature(
        f"({a.name} {sign} {b.name})",
        lambda corpus: function(_binary(a, corpus, sign), _binary(b, corpus, sign)),
        "binary",
        f"{a.name} {'and' if sign == '&' else 'or'} {b.name}",
        both_known,
        (lambda corpus: _both(a.fit_to(corpus), b.fit_to(corpus), sign, function)) if a.fit or b.fit else None,
    )


def _complete(corpus: Corpus, n: int) -> Bool[np.ndarray, " T"]:
    """Return where the corpus has all of the `n` characters before (after, if n is negative) that the string has."""
    complete = np.ones(corpus.n_positions, bool)
    offsets, begins, ends = join_segments(corpus)
    complete[edge_positions(offsets, ~(begins if n >= 0 else ends), n)] = False
    return complete


def known(feature: Feature, corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Return where the labels of a feature are known, bool ``(T,)``."""
    parsed = np.ones(corpus.n_positions, bool) if corpus.parsed is None else corpus.parsed
    if feature.known is None:
        return parsed
    own = np.asarray(feature.known(corpus))
    if own.shape != parsed.shape or own.dtype != bool:
        raise ValueError(
            f"feature {feature.name!r}: expected one bool for each of the {corpus.n_positions} positions from its "
            f"`known`, got {own.dtype} of shape {own.shape}"
        )
    return own & parsed


def label_column(feature: Feature, corpus: Corpus) -> tuple[np.ndarray, str]:
    """Compute the labels of a feature, int8 or float32, and their kind."""
    return check_column(feature.name, feature.kind, np.asarray(feature.compute(corpus)), corpus)


def _binary(feature: Feature, corpus: Corpus, sign: str) -> np.ndarray:
    """Compute the labels of a feature that must be binary."""
    column, kind = label_column(feature, corpus)
    if kind != "binary":
        raise ValueError(
            f"expected a binary feature for {sign}, got {feature.name!r}, which is continuous: "
            "make a feature that compares its labels with a threshold"
        )
    return column


@dataclass(frozen=True, eq=False, repr=False)
class Violation(Feature):
    """A binary feature that holds where a text is wrong, and a test of where strings must not end.

    A feature labels characters, not the end of a string. `unfinished` says where ending is wrong as well.

    Attributes
    ----------
    unfinished
        Takes a corpus, returns bool ``(S,)``: True if a string must not end after its last character. The empty
        string, which no corpus contains, counts as one that must not end. None: strings may end anywhere.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax.features import Violation
    >>> letter = dni.char_feature("letter", str.isalpha)
    >>> odd = lambda corpus: np.diff(corpus.offsets) % 2 == 1
    >>> rule = Violation("a letter, or of odd length", letter.compute, "binary", unfinished=odd)
    >>> corpus = dni.Corpus.from_strings(["01x0", "101"])
    >>> rule.label(corpus).columns[0].tolist(), rule.unfinished(corpus).tolist()
    ([0, 0, 1, 0, 0, 0, 0], [False, True])
    """

    unfinished: Callable[[Corpus], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class FeatureLibrary:
    """An ordered set of features with distinct names.

    ``+`` adds features with new names; ``|`` is the union of libraries that may share features.

    Examples
    --------
    >>> import dni_jax as dni
    >>> library = dni.char_feature("digit", str.isdigit) + dni.char_feature("one", lambda c: c == "1")
    >>> library.label(Corpus.from_strings(["0(1)"])).values.T.astype(int).tolist()
    [[1, 0, 1, 0], [0, 0, 1, 0]]
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(
                f"expected distinct names of features, got {twice} more than once: "
                "rename with feature.rename(...), or use | for libraries that share features"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    def __len__(self) -> int:
        return len(self.features)

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __repr__(self) -> str:
        return f"FeatureLibrary({len(self)} features: {', '.join(self.names[:6])}{', ...' if len(self) > 6 else ''})"

    def _repr_html_(self) -> str:
        rows = [(one.name, one.kind or "by its labels", one.about) for one in self.features[:_ROWS]]
        return card(f"FeatureLibrary: {len(self):,} features", table(["feature", "kind", "about"], rows, len(self)))

    def __getitem__(self, name: str) -> Feature:
        check_feature_name(name, self.names)
        return self.features[self.names.index(name)]

    def __contains__(self, one: object) -> bool:
        return one in self.names if isinstance(one, str) else one in self.features

    def __add__(self, other: Feature | FeatureLibrary) -> FeatureLibrary:
        return FeatureLibrary((*self.features, *_features_of(other)))

    def __or__(self, other: Feature | FeatureLibrary) -> FeatureLibrary:
        return FeatureLibrary(tuple(dict.fromkeys((*self.features, *_features_of(other)))))

    def union(self, *others: Feature | FeatureLibrary) -> FeatureLibrary:
        """Return the features of all libraries, each once.

        Raises
        ------
        ValueError
            If two different features have the same name.
        """
        return reduce(FeatureLibrary.__or__, others, self)

    def select(self, *patterns: Pattern, kind: str | None = None) -> FeatureLibrary:
        """Return some of the features, each once, in the order given.

        Parameters
        ----------
        patterns
            Each is a pattern (``"range:*"``, where ``*``, ``?`` and ``[...]`` mean the same as in file names), a
            compiled regular expression to search for in the names, or a list of exact names (needed for names that
            contain a ``*``, such as ``["symbol:*"]``). Without patterns, all features are selected.
        kind
            Select only ``"binary"`` or only ``"continuous"`` features. A feature whose kind is determined by its labels
            is neither; `Labels.select` can select it.

        Raises
        ------
        ValueError
            If no feature matches a name or pattern; suggests similar names.

        Examples
        --------
        >>> import dni_jax as dni
        >>> library = dni.languages.get("parentheses").features()
        >>> library.select("depth=[12]", ["digit"]).names
        ('depth=1', 'depth=2', 'digit')
        """
        kinds = [feature.kind for feature in self.features]
        return FeatureLibrary(tuple(self.features[row] for row in select_rows(self.names, kinds, patterns, kind)))

    def drop(self, *patterns: Pattern, kind: str | None = None) -> FeatureLibrary:
        """Return the features that `select` would leave out; all if called without arguments."""
        dropped = self.select(*patterns, kind=kind) if patterns or kind else ()
        return FeatureLibrary(tuple(feature for feature in self.features if feature not in dropped))

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per feature: ``feature`` (its name), ``kind`` ("" if labels determine it) and ``about``."""
        rows = [(feature.name, feature.kind or "", feature.about) for feature in self.features]
        return pd.DataFrame(rows, columns=["feature", "kind", "about"])

    def label_lazily(self, corpus: Corpus) -> LazyLabels:
        """Return labels of a corpus that are computed in parts, on request.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["0(1)", "()"])
        >>> library = dni.FeatureLibrary((dni.char_feature("digit", str.isdigit),))
        >>> library.label_lazily(corpus).label([(1, 2)]).mask.tolist()
        [True, True]
        """
        from dni_jax.features._lazy import LazyLabels

        return LazyLabels.from_library(self, corpus)

    def label(self, corpus: Corpus) -> Labels:
        """Label every character of a corpus.

        Returns
        -------
        `Labels` with one column per feature. Their mask excludes characters that could not be parsed, and those where
        any of the features is unknown.

        Raises
        ------
        ValueError
            If a feature does not return one finite number for each character, or returns a number other than 0 and 1
            although it is binary; names the feature and the character.
        """
        cache = LabelCache.wrap(corpus)
        columns, kinds = [], []
        mask = np.ones(corpus.n_positions, bool) if corpus.parsed is None else corpus.parsed
        for feature in self.features:
            column, kind = label_column(feature, cache)
            columns.append(column)
            kinds.append(kind)
            mask = mask if feature.known is None else mask & known(feature, cache)
        return Labels(self.names, tuple(kinds), tuple(columns), mask, self, corpus.text_digest)


def _features_of(some: Feature | FeatureLibrary) -> tuple[Feature, ...]:
    return (some,) if isinstance(some, Feature) else tuple(some)
