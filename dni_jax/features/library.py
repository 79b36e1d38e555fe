"""A library: the features that are asked about together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dni_jax.corpora import Corpus, NodeKind, character_type
from dni_jax.features.feature import Feature, char_feature
from dni_jax.features.labels import Labels, unknown_feature
from dni_jax.features.nodes import BRACKETS, depth_features, impulse_feature, range_feature

CLASSES = ("digit", "letter", "parenthesis", "operator", "quote", "space", "newline", "punctuation")
_LEVELS = 5  # depth=0 ... depth=4: the paper's grammar has four levels of brackets
_SMALL_ALPHABET = 32  # up to here every symbol is a feature of its own
_MANY_RULES = 64  # above, productions are told apart by their symbol only


@dataclass(frozen=True, eq=False)
class FeatureLibrary:
    """An ordered set of features with distinct names.

    Examples
    --------
    >>> from dni_jax.corpora import Corpus
    >>> library = FeatureLibrary(()) + char_feature("digit", str.isdigit) + char_feature("one", lambda c: c == "1")
    >>> library.label(Corpus.from_strings(["0(1)"])).values.T.astype(int).tolist()
    [[1, 0, 1, 0], [0, 0, 1, 0]]
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected distinct names of features, got {twice} more than once")

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

    def __getitem__(self, name: str) -> Feature:
        if name not in self.names:
            raise ValueError(unknown_feature(name, self.names))
        return self.features[self.names.index(name)]

    def __add__(self, other: Feature | FeatureLibrary) -> FeatureLibrary:
        more = (other,) if isinstance(other, Feature) else tuple(other)
        return FeatureLibrary(self.features + more)

    def select(self, names: Sequence[str]) -> FeatureLibrary:
        """Give some of the features, in the given order."""
        return FeatureLibrary(tuple(self[name] for name in names))

    def label(self, corpus: Corpus) -> Labels:
        """Label every character of a corpus.

        Returns
        -------
        `Labels` with one column a feature.

        Raises
        ------
        ValueError
            Where a feature gives another number of labels than there are characters, a label that is not a finite
            number, or something else than 0 and 1 for a binary feature; names the feature and the place.
        """
        columns, kinds = [], []
        for feature in self.features:
            column, kind = _checked(feature, corpus)
            columns.append(column)
            kinds.append(kind)
        mask = np.ones(corpus.n_positions, bool) if corpus.parsed is None else corpus.parsed
        return Labels(self.names, tuple(kinds), tuple(columns), mask, self)


def _checked(feature: Feature, corpus: Corpus) -> tuple[np.ndarray, str]:
    """Compute one column; bring it to int8 or float32 without losing anything."""
    column = np.asarray(feature.compute(corpus))
    if column.shape != (corpus.n_positions,):
        raise ValueError(
            f"feature {feature.name!r}: expected one label for each of the {corpus.n_positions} positions, "
            f"got an array of shape {column.shape}"
        )
    if column.dtype.kind not in "biuf":
        raise ValueError(f"feature {feature.name!r}: expected numbers or bools, got {column.dtype}")
    finite = np.abs(column) <= np.finfo(np.float32).max if column.dtype.kind == "f" else np.ones(len(column), bool)
    if not finite.all():
        where = int(np.flatnonzero(~finite)[0])
        string = int(corpus.string_of[where])
        raise ValueError(
            f"feature {feature.name!r}: expected finite labels (as float32), got {column[where]} at character "
            f"{where - int(corpus.offsets[string])} of string {string} ({corpus.strings[string][:40]!r})"
        )
    only_01 = bool(((column == 0) | (column == 1)).all())
    if feature.kind == "binary" and not only_01:
        other = column[(column != 0) & (column != 1)][0]
        raise ValueError(f"feature {feature.name!r}: expected labels 0 and 1 for a binary feature, got {other}")
    kind = feature.kind or ("binary" if only_01 else "continuous")
    return column.astype(np.int8 if kind == "binary" else np.float32), kind


def default_library(
    kinds: Sequence[NodeKind], characters: Sequence[str] | None = None, rules: bool | None = None
) -> FeatureLibrary:
    """Make the features of a language: nesting, classes of characters, symbols, and every node of its trees.

    Parameters
    ----------
    kinds
        The kinds of nodes of the language's trees.
    characters
        The language's alphabet; None where it is not known beforehand (real text).
    rules
        Whether productions are features beside their non-terminals; None: where there are at most 64 of them.

    Returns
    -------
    FeatureLibrary with, in this order:

    - ``depth`` (continuous, scaled to [0, 1]) and ``depth=0`` ... ``depth=4``, if the language has brackets;
    - ``digit``, ``letter``, ``parenthesis``, ``operator``, ...: the classes of characters that occur, and
      ``symbol:x`` for each character of a small alphabet;
    - ``range:x`` and ``impulse:x`` for each non-terminal, and for each production where rules are asked for.
    """
    symbols = tuple(dict.fromkeys(kind.symbol for kind in kinds))
    features = list(depth_features(_LEVELS)) if BRACKETS in symbols else []
    features += _character_features(characters)
    names = [symbol for symbol in symbols if symbol != BRACKETS]
    if rules if rules is not None else len(kinds) <= _MANY_RULES:
        several = {symbol for symbol in symbols if sum(kind.symbol == symbol for kind in kinds) > 1}
        names += [kind.name for kind in kinds if kind.symbol in several]
    for name in names:
        features += [range_feature(f"range:{name}", [name]), impulse_feature(f"impulse:{name}", [name])]
    return FeatureLibrary(tuple(features))


def _character_features(characters: Sequence[str] | None) -> list[Feature]:
    if characters is None:
        classes = list(CLASSES)
    else:
        present = {character_type(c) for c in characters}
        classes = [name for name in CLASSES if name in present]
    features = [_class_feature(name) for name in classes]
    if characters is not None and len(characters) <= _SMALL_ALPHABET:
        features += [symbol_feature(character) for character in characters]
    return features


def _class_feature(name: str) -> Feature:
    return char_feature(name, lambda c: character_type(c) == name, "binary")


def symbol_feature(character: str) -> Feature:
    """Make the feature ``symbol:x``: the character is x."""
    return char_feature(f"symbol:{character}", lambda c: c == character, "binary")
