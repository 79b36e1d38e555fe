"""What a neuron may echo without knowing anything: the character it has just read, and where it stands."""

from __future__ import annotations

import numpy as np

from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.features._joining import runs
from dni_jax.features._reading import codes_in, written
from dni_jax.features._spans import edge
from dni_jax.text import Corpus, Vocabulary


def confounders(source: Corpus | Vocabulary) -> FeatureLibrary:
    r"""Make the features to hold fixed when a score should not be due to the current character or the position.

    Parameters
    ----------
    source
        A corpus, or its vocabulary.

    Returns
    -------
    FeatureLibrary with, in this order:

    - ``character:x``, one binary feature a symbol of the vocabulary (line breaks and the like escaped, as in
      ``character:\n``); the replacement symbol's stands for all symbols outside the vocabulary;
    - ``class:x``, one a class of characters (`dni_jax.text.character_type`) that occurs in the vocabulary; each is
      a sum of characters, so leave it out where linear dependence hurts;
    - ``position`` (continuous): the number of characters in front of it in its string, and, where a corpus is cut
      into pieces, in its piece;
    - ``position in line`` (continuous), where the vocabulary has line breaks: the number of characters since the
      last one. It is masked where the line began in front of a piece.

    Examples
    --------
    >>> library = confounders(Corpus.from_strings(["a1", "b"]))
    >>> library.names
    ('character:1', 'character:a', 'character:b', 'class:digit', 'class:letter', 'position')
    >>> library["position"].compute(Corpus.from_strings(["a1", "b"])).tolist()
    [0, 1, 0]
    """
    vocabulary = source.vocabulary if isinstance(source, Corpus) else source
    types = np.asarray(vocabulary.types)
    features = [
        _codes_feature(vocabulary, f"character:{written(c)}", np.asarray([code]), f"the character is {c!r}")
        for code, c in enumerate(vocabulary.characters, start=1)
    ]
    features += [
        _codes_feature(vocabulary, f"class:{name}", np.flatnonzero(types == name), f"the character's class is {name}")
        for name in dict.fromkeys(vocabulary.types[1:])
    ]
    features.append(Feature("position", _position, "continuous", "characters before it in its string or piece"))
    if "\n" in vocabulary.characters:
        features.append(
            Feature("position in line", _position_in_line, "continuous", "characters before it in its line", _line_seen)
        )
    return FeatureLibrary(tuple(features))


def _codes_feature(vocabulary: Vocabulary, name: str, codes: np.ndarray, about: str) -> Feature:
    holds = np.zeros(len(vocabulary), bool)
    holds[codes] = True
    return Feature(name, lambda corpus: holds.take(codes_in(vocabulary, corpus)), "binary", about)


def _position(corpus: Corpus) -> np.ndarray:
    return np.arange(corpus.n_positions) - np.repeat(corpus.offsets[:-1], np.diff(corpus.offsets))


def _line_starts(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """The positions at which lines begin, sorted; and whether the beginning is in the corpus."""
    breaks = np.flatnonzero(corpus.text[:-1] == ord("\n")) + 1
    offsets, begins, _ = runs(corpus)
    starts = np.union1d(offsets[:-1], breaks)
    seen = np.ones(len(starts), bool)
    seen[np.searchsorted(starts, offsets[:-1])] = begins
    return starts, seen


def _position_in_line(corpus: Corpus) -> np.ndarray:
    starts, _ = _line_starts(corpus)
    lengths = np.diff(np.append(starts, corpus.n_positions))
    return np.arange(corpus.n_positions) - np.repeat(starts, lengths)


def _line_seen(corpus: Corpus) -> np.ndarray:
    starts, seen = _line_starts(corpus)
    known = np.ones(corpus.n_positions, bool)
    known[edge(np.append(starts, corpus.n_positions), ~seen, corpus.n_positions)] = False
    return known
