"""The default features of a language, from its grammar and its alphabet."""

from __future__ import annotations

from collections.abc import Sequence

from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.features._functions import char_feature, symbol_feature
from dni_jax.features._nodes import depth_features, node_features
from dni_jax.text import BRACKETS, NodeKind, character_type

CHARACTER_CLASSES = ("digit", "letter", "parenthesis", "operator", "quote", "space", "newline", "punctuation")
_LEVELS = 5  # depth=0 ... depth=4: the grammar of Lin & Wu (2017) has four levels of brackets
_SMALL_ALPHABET = 32  # characters; in a larger alphabet, single characters are not features
_MANY_RULES = 64  # with more productions, only symbols are features


def default_library(
    kinds: Sequence[NodeKind], characters: Sequence[str] | None = None, rules: bool | None = None
) -> FeatureLibrary:
    """Return the default features of a language: nesting, classes of characters, symbols, and the nodes of its trees.

    Parameters
    ----------
    kinds
        The kinds of nodes of the language's trees.
    characters
        The alphabet of the language; None if it is unknown (real text).
    rules
        Whether productions are features, in addition to non-terminals; None: if there are at most 64 of them.

    Returns
    -------
    FeatureLibrary with, in this order:

    - if the language has brackets, ``depth`` (continuous, from 0 to 1) and ``depth=0`` ... ``depth=4``;
    - ``digit``, ``letter``, ``parenthesis``, ``operator``, ... for the classes of characters in the alphabet, and
      ``symbol:x`` for each character of a small alphabet;
    - ``range:x`` and ``impulse:x`` for each non-terminal, and with `rules` for each production.
    """
    symbols = tuple(dict.fromkeys(kind.symbol for kind in kinds))
    features = list(depth_features(_LEVELS)) if BRACKETS in symbols else []
    features += _character_features(characters)
    names = [symbol for symbol in symbols if symbol != BRACKETS]
    if rules if rules is not None else len(kinds) <= _MANY_RULES:
        several = {symbol for symbol in symbols if sum(kind.symbol == symbol for kind in kinds) > 1}
        names += [kind.name for kind in kinds if kind.symbol in several]
    features += node_features({name: [name] for name in names})
    return FeatureLibrary(tuple(features))


def _character_features(characters: Sequence[str] | None) -> list[Feature]:
    if characters is None:
        classes = list(CHARACTER_CLASSES)
    else:
        present = {character_type(c) for c in characters}
        classes = [name for name in CHARACTER_CLASSES if name in present]
    features = [_class_feature(name) for name in classes]
    if characters is not None and len(characters) <= _SMALL_ALPHABET:
        features += [symbol_feature(character) for character in characters]
    return features


def _class_feature(name: str) -> Feature:
    return char_feature(name, lambda c: character_type(c) == name, "binary", f"the character's class is {name}")
