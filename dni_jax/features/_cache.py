"""Intermediate results that several features of one corpus share, computed once while the corpus is labeled."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from dni_jax.text import Corpus, Vocabulary, check_corpus


class LabelCache(Corpus):
    """A corpus while it is being labeled, with the results of `compute_once`.

    It lives as long as one call that labels, so nothing has to be invalidated.
    """

    @classmethod
    def wrap(cls, corpus: Corpus) -> LabelCache:
        """Return a cache for a corpus; the arrays are shared."""
        if isinstance(corpus, LabelCache):
            return corpus
        check_corpus(corpus)
        cache = object.__new__(cls)
        cache.__dict__.update(corpus.__dict__)
        return cache

    @cached_property
    def results(self) -> dict[Hashable, Any]:
        """The results so far, by key."""
        return {}


def compute_once(corpus: Corpus, key: Hashable, compute: Callable[[Corpus], Any]) -> Any:
    """Return ``compute(corpus)``, computed once for all features that are labeled together.

    Use it in the function of a `Feature` for what several features need, such as a parse.

    Parameters
    ----------
    corpus
        The corpus that the feature's function was called with.
    key
        Identifies the result; features with the same key share it.
    compute
        Takes the corpus.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax.features import Feature, compute_once
    >>> def lengths(corpus):
    ...     print("computed")
    ...     return np.repeat(np.diff(corpus.offsets), np.diff(corpus.offsets))
    >>> def longer(n):
    ...     return Feature(f"longer than {n}", lambda corpus: compute_once(corpus, "lengths", lengths) > n)
    >>> labels = (longer(1) + longer(2)).label(dni.Corpus.from_strings(["ab", "abc"]))
    computed
    """
    if not isinstance(corpus, LabelCache):
        return compute(corpus)
    if key not in corpus.results:
        corpus.results[key] = compute(corpus)
    return corpus.results[key]


def distinct_characters(corpus: Corpus) -> tuple[Integer[np.ndarray, " P"], Integer[np.ndarray, " T"]]:
    """Return the distinct code points, sorted, and the index of each character among them."""
    return compute_once(corpus, "distinct characters", _distinct_characters)


def _distinct_characters(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    # A table over all code points up to the highest takes a tenth of the time of np.unique, which sorts the text.
    seen = np.zeros(int(corpus.text.max()) + 1, bool)
    seen[corpus.text] = True
    points = np.flatnonzero(seen)
    table = np.zeros(len(seen), np.min_scalar_type(len(points)))
    table[points] = np.arange(len(points))
    return points, table.take(corpus.text)


def encode(corpus: Corpus, vocabulary: Vocabulary) -> Int[np.ndarray, " T"]:
    """Return the code of each character in any vocabulary."""
    if vocabulary == corpus.vocabulary:
        return compute_once(corpus, "codes", lambda corpus: corpus.flat_codes)
    return compute_once(corpus, ("codes", vocabulary), lambda corpus: vocabulary.encode(corpus.text))
