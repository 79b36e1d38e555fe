"""A feature: a name and a function that gives every character of a corpus one label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dni_jax.corpora import Corpus

KINDS = ("binary", "continuous")


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing a neuron may know.

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
    """

    name: str
    compute: Callable[[Corpus], np.ndarray]
    kind: str | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("expected a name for the feature, got an empty one")
        if self.kind not in (None, *KINDS):
            raise ValueError(
                f"expected kind 'binary', 'continuous' or None for feature {self.name!r}, got {self.kind!r}"
            )

    def __repr__(self) -> str:
        return f"Feature({self.name!r}{', ' + self.kind if self.kind else ''})"


def feature(name: str, function: Callable[[str], Sequence[Any]], kind: str | None = None) -> Feature:
    """Make a feature of any function that labels a string's characters.

    Parameters
    ----------
    name
        How the feature is called.
    function
        Takes one string of the corpus, returns one number or bool for each of its characters.
    kind
        ``"binary"`` or ``"continuous"``; None decides by the labels.

    Raises
    ------
    ValueError
        When labels are computed, if the function returns another number of labels, NaN, or infinity.

    Examples
    --------
    >>> from dni_jax.corpora import Corpus
    >>> after_open = feature("after (", lambda s: [i > 0 and s[i - 1] == "(" for i in range(len(s))])
    >>> after_open.compute(Corpus.from_strings(["(1)0"])).tolist()
    [False, True, False, False]
    """

    def compute(corpus: Corpus) -> np.ndarray:
        columns = []
        for number, string in enumerate(corpus.strings):
            try:
                labels = np.asarray(function(string))
            except Exception as error:
                raise ValueError(
                    f"feature {name!r}: its function fails on string {number} ({string[:40]!r}) with "
                    f"{type(error).__name__}: {error}"
                ) from error
            if labels.shape != (len(string),):
                raise ValueError(
                    f"feature {name!r}: expected one label for each of the {len(string)} characters of string {number} "
                    f"({string[:40]!r}), got an array of shape {labels.shape}"
                )
            columns.append(labels)
        return np.concatenate(columns)

    return Feature(name, compute, kind)


def char_feature(name: str, function: Callable[[str], Any], kind: str | None = None) -> Feature:
    """Make a feature of a function of a single character; it is called once for each distinct character.

    Examples
    --------
    >>> from dni_jax.corpora import Corpus
    >>> char_feature("digit", str.isdigit).compute(Corpus.from_strings(["0(1)"])).tolist()
    [True, False, True, False]
    """

    def compute(corpus: Corpus) -> np.ndarray:
        points, index = np.unique(corpus.text, return_inverse=True)
        return np.asarray([function(chr(point)) for point in points])[index]

    return Feature(name, compute, kind)
