"""What many features of one corpus need is worked out once, and reset_carry with the call that needed it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from dni_jax.text import Corpus, Vocabulary


class LabelCache(Corpus):
    """A corpus while it is being labelled."""

    @classmethod
    def of(cls, corpus: Corpus) -> LabelCache:
        """Take up a corpus; its arrays are shared."""
        if isinstance(corpus, LabelCache):
            return corpus
        reading = object.__new__(cls)
        reading.__dict__.update(corpus.__dict__)
        return reading

    @cached_property
    def found(self) -> dict[Hashable, Any]:
        """What was worked out so far."""
        return {}


def compute_once(corpus: Corpus, key: Hashable, make: Callable[[Corpus], Any]) -> Any:
    """Give ``make(corpus)``; a `LabelCache` makes it a single time."""
    if not isinstance(corpus, LabelCache):
        return make(corpus)
    if key not in corpus.found:
        corpus.found[key] = make(corpus)
    return corpus.found[key]


def symbols_of(corpus: Corpus) -> tuple[Integer[np.ndarray, " P"], Integer[np.ndarray, " T"]]:
    """The distinct code points, sorted, and which of them each character is."""
    return compute_once(corpus, "symbols", _symbols)


def _symbols(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    # A table over all code points up to the highest takes a tenth of the time that sorting the text does.
    seen = np.zeros(int(corpus.text.max()) + 1, bool)
    seen[corpus.text] = True
    points = np.flatnonzero(seen)
    table = np.zeros(len(seen), np.min_scalar_type(len(points)))
    table[points] = np.arange(len(points))
    return points, table.take(corpus.text)


def codes_in(vocabulary: Vocabulary, corpus: Corpus) -> Int[np.ndarray, " T"]:
    """The characters' codes in some vocabulary, worked out once for all features that ask."""
    if vocabulary == corpus.vocabulary:
        return compute_once(corpus, "codes", lambda corpus: corpus.flat_codes)
    return compute_once(corpus, ("codes", vocabulary), lambda corpus: vocabulary.encode(corpus.text))


def written(character: str) -> str:
    r"""Write a character so that it can be seen in a name: a line break as ``\n``, most others as they are."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()
