"""A feature, a function that gives every character of a corpus one label; and a library of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import index
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool

from dni_jax.features._checking import checked
from dni_jax.features._choosing import Wanted, check_feature_name, chosen
from dni_jax.features._joining import runs
from dni_jax.features._labels import Labels
from dni_jax.features._reading import LabelCache
from dni_jax.features._spans import edge, near, shifted
from dni_jax.html import card, table
from dni_jax.text import Corpus

if TYPE_CHECKING:
    from dni_jax.features._lazy import LazyLabels

KINDS = ("binary", "continuous")
_ROWS = 100  # shown in a notebook


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing a neuron may know.

    Binary features combine with ``&``, ``|`` and ``~``; `lag` and `within` look at the characters around; ``+`` makes
    a `FeatureLibrary`.

    Attributes
    ----------
    name
        How the feature is called in every result.
    compute
        Takes a corpus, returns one label for each of its T positions.
    kind
        ``"binary"``, ``"continuous"``, or None: binary if all labels are 0 or 1.
    about
        One line for people.
    known
        Takes a corpus, returns bool ``(T,)``: False where the label cannot be known, because it depends on text that
        the corpus does not hold. None: known wherever the corpus was parsed.
    fit
        For a feature whose labels depend on the corpus as a whole (a scale): takes the whole corpus, returns a feature
        that gives any part of it the labels it has there. None: a string's labels depend on that string alone.

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
        """Give the same feature under another name."""
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
        """Make the feature whose label is this one's `n` characters before (after, where n is negative).

        Within one string: its first n characters have the label 0. Where a piece of a longer text does not follow the
        piece in front of it (after `Corpus.take`), the labels of its first n characters are not known, and
        `FeatureLibrary.label` masks them for all features alike. ``digit.lag(3)`` is called ``digit@-3``.
        """
        n = index(n)
        return Feature(
            f"{self._operand}@{-n:+d}" if n else self.name,
            lambda corpus: shifted(column_of(self, corpus)[0], runs(corpus).offsets, n, 0),
            self.kind,
            f"{self.name} {abs(n)} characters {'before' if n >= 0 else 'after'}",
            lambda corpus: _whole(corpus, n) & shifted(known(self, corpus), runs(corpus).offsets, n, True),
            self._fit(lambda fixed: fixed.lag(n)),
        )

    def within(self, n: int, direction: str = "previous") -> Feature:
        """Make the feature that is 1 where this binary one is 1 at most `n` characters before or after.

        The character itself counts: it is at distance 0. Within one string; where a piece of a longer text hides some
        of the n characters, the label is masked as in `lag`. ``digit.within(3)`` is called ``digit@-3..0`` and
        ``digit.within(3, "next")`` ``digit@0..+3``. ``digit.lag(1).within(2)`` leaves the character itself out.

        Raises
        ------
        ValueError
            For a negative n, or a direction that is neither ``"previous"`` nor ``"next"``.
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
            lambda corpus: near(_binary(self, corpus, "within") == 1, runs(corpus).offsets, reach),
            "binary",
            f"{self.name} here or at one of the {direction} {n} characters",
            lambda corpus: _whole(corpus, reach) & (near(~known(self, corpus), runs(corpus).offsets, reach) == 0),
            self._fit(lambda fixed: fixed.within(n, direction)),
        )

    def fit_to(self, corpus: Corpus) -> Feature:
        """Give the feature that labels parts of this corpus as this one labels the whole; see `fit`."""
        return self if self.fit is None else replace(self.fit(corpus), name=self.name, kind=self.kind)

    def _fit(self, make: Callable[[Feature], Feature]) -> Callable[[Corpus], Feature] | None:
        """What `fit` is of a feature made from this one."""
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


def _whole(corpus: Corpus, n: int) -> Bool[np.ndarray, " T"]:
    """Whether the `n` characters before each one (after it, n negative) are in the corpus, or outside the string."""
    whole = np.ones(corpus.n_positions, bool)
    offsets, begins, ends = runs(corpus)
    whole[edge(offsets, ~(begins if n >= 0 else ends), n)] = False
    return whole


def known(feature: Feature, corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Where a feature's labels are known."""
    parsed = np.ones(corpus.n_positions, bool) if corpus.parsed is None else corpus.parsed
    if feature.known is None:
        return parsed
    its = np.asarray(feature.known(corpus))
    if its.shape != parsed.shape or its.dtype != bool:
        raise ValueError(
            f"feature {feature.name!r}: expected one bool for each of the {corpus.n_positions} positions from its "
            f"`known`, got {its.dtype} of shape {its.shape}"
        )
    return its & parsed


def column_of(feature: Feature, corpus: Corpus) -> tuple[np.ndarray, str]:
    """Compute a feature's labels, int8 or float32, and their kind."""
    return checked(feature.name, feature.kind, np.asarray(feature.compute(corpus)), corpus)


def _binary(feature: Feature, corpus: Corpus, sign: str) -> np.ndarray:
    """The labels of a feature that must be binary."""
    column, kind = column_of(feature, corpus)
    if kind != "binary":
        raise ValueError(
            f"expected a binary feature for {sign}, got {feature.name!r}, which is continuous: "
            f"compare its labels with a threshold in a feature of your own"
        )
    return column


@dataclass(frozen=True, eq=False)
class FeatureLibrary:
    """An ordered set of features with distinct names.

    ``+`` adds features with new names; ``|`` unites two libraries that may share features.

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
                "rename with feature.rename(...), or unite libraries that share features with |"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names in order."""
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
        """Give the features of all, each once.

        Raises
        ------
        ValueError
            Where two different features have the same name.
        """
        return reduce(FeatureLibrary.__or__, others, self)

    def select(self, *wanted: Wanted, kind: str | None = None) -> FeatureLibrary:
        """Give some of the features, each once, in the order in which they are asked for.

        Parameters
        ----------
        wanted
            Each a pattern (``"range:*"``, where ``*``, ``?`` and ``[...]`` are as in file names), a compiled regular
            expression that is searched for in the names, or a list of exact names (needed for a name that itself has
            a ``*``, such as ``["symbol:*"]``). Nothing: all features.
        kind
            ``"binary"`` or ``"continuous"``: only those made as such. A feature whose kind is only decided by its
            labels is neither; `Labels.select` knows it.

        Raises
        ------
        ValueError
            For a name or a pattern that no feature fits; names those that are most alike.

        Examples
        --------
        >>> import dni_jax as dni
        >>> library = dni.languages.get("parentheses").features()
        >>> library.select("depth=[12]", ["digit"]).names
        ('depth=1', 'depth=2', 'digit')
        """
        kinds = [feature.kind for feature in self.features]
        return FeatureLibrary(tuple(self.features[row] for row in chosen(self.names, kinds, wanted, kind)))

    def drop(self, *unwanted: Wanted, kind: str | None = None) -> FeatureLibrary:
        """Give the features that `select` would not; all where nothing is named."""
        gone = self.select(*unwanted, kind=kind) if unwanted or kind else ()
        return FeatureLibrary(tuple(feature for feature in self.features if feature not in gone))

    def to_dataframe(self) -> pd.DataFrame:
        """One row a feature: ``feature`` (its name), ``kind`` ("" where the labels decide) and ``about``."""
        rows = [(feature.name, feature.kind or "", feature.about) for feature in self.features]
        return pd.DataFrame(rows, columns=["feature", "kind", "about"])

    def label_lazily(self, corpus: Corpus) -> LazyLabels:
        """Give the labels of a corpus as something that makes them part by part, when they are asked for.

        Examples
        --------
        >>> import dni_jax as dni
        >>> corpus = dni.Corpus.from_strings(["0(1)", "()"])
        >>> dni.FeatureLibrary((dni.char_feature("digit", str.isdigit),)).label_lazily(corpus).label([(1, 2)]).mask.tolist()
        [True, True]
        """
        from dni_jax.features._lazy import LazyLabels

        return LazyLabels.of_library(self, corpus)

    def label(self, corpus: Corpus) -> Labels:
        """Label every character of a corpus.

        Returns
        -------
        `Labels` with one column a feature. Their mask leaves out what could not be parsed, and where any of the
        features is not known.

        Raises
        ------
        ValueError
            Where a feature gives another number of labels than there are characters, a label that is not a finite
            number, or something else than 0 and 1 for a binary feature; names the feature and the place.
        """
        reading = LabelCache.of(corpus)
        columns, kinds = [], []
        mask = np.ones(corpus.n_positions, bool) if corpus.parsed is None else corpus.parsed
        for feature in self.features:
            column, kind = column_of(feature, reading)
            columns.append(column)
            kinds.append(kind)
            mask = mask if feature.known is None else mask & known(feature, reading)
        return Labels(self.names, tuple(kinds), tuple(columns), mask, self)


def _features_of(some: Feature | FeatureLibrary) -> tuple[Feature, ...]:
    return (some,) if isinstance(some, Feature) else tuple(some)
