"""What is wrong with a text: a feature that can also tell where a string must not end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dni_jax.features._feature import Feature
from dni_jax.text import Corpus


@dataclass(frozen=True, eq=False, repr=False)
class Violation(Feature):
    """A binary feature that holds where a text has gone wrong, and a test of where strings must not end.

    A feature has a label for every character, and none for the end of a string. Where ending too soon is wrong as
    well, this says so.

    Attributes
    ----------
    unfinished
        Takes a corpus, returns bool ``(S,)``: True where a string must not end behind its last character. An empty
        string, which no corpus holds, counts as such. None: strings may end anywhere.

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
