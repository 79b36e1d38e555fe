"""The features that fit a language, from its grammar and its alphabet."""

from __future__ import annotations

from collections.abc import Sequence

from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.features._functions import char_feature
from dni_jax.features._nodes import BRACKETS, depth_features, node_features
from dni_jax.text import NodeKind, character_type

CLASSES = ("digit", "letter", "parenthesis", "operator", "quote", "space", "newline", "punctuation")
_LEVELS = 5  # depth=0 ... depth=4: the paper's grammar has four levels of brackets
_SMALL_ALPHABET = 32  # up to here every symbol is a feature of its own
_MANY_RULES = 64  # above, productions are told apart by their symbol only


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
    features += node_features({name: [name] for name in names})
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
    return char_feature(name, lambda c: character_type(c) == name, "binary", f"the character's class is {name}")


def symbol_feature(character: str) -> Feature:
    """Make the feature ``symbol:x``: the character is x."""
    return char_feature(f"symbol:{character}", lambda c: c == character, "binary", f"the character is {character!r}")
