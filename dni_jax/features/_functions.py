"""Features made of a person's own functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dni_jax.features._feature import Feature
from dni_jax.features._reading import symbols_of
from dni_jax.text import Corpus


def feature(name: str, function: Callable[[str], Sequence[Any]], kind: str | None = None, about: str = "") -> Feature:
    """Make a feature of any function that labels a string's characters.

    Parameters
    ----------
    name
        How the feature is called.
    function
        Takes one string of the corpus, returns one number or bool for each of its characters.
    kind
        ``"binary"`` or ``"continuous"``; None decides by the labels.
    about
        One line for people.

    Raises
    ------
    ValueError
        When labels are computed, if the function returns another number of labels, NaN, or infinity.

    Examples
    --------
    >>> from dni_jax.text import Corpus
    >>> after_open = feature("after (", lambda s: [i > 0 and s[i - 1] == "(" for i in range(len(s))])
    >>> after_open.compute(Corpus.from_strings(["(1)0"])).tolist()
    [False, True, False, False]
    """
    _check_callable(name, function)

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

    return Feature(name, compute, kind, about)


def char_feature(name: str, function: Callable[[str], Any], kind: str | None = None, about: str = "") -> Feature:
    """Make a feature of a function of a single character; it is called once for each distinct character.

    The arguments are those of `feature`.

    Examples
    --------
    >>> from dni_jax.text import Corpus
    >>> char_feature("digit", str.isdigit).compute(Corpus.from_strings(["0(1)"])).tolist()
    [True, False, True, False]
    """
    _check_callable(name, function)

    def compute(corpus: Corpus) -> np.ndarray:
        points, index = symbols_of(corpus)
        return np.asarray([function(chr(point)) for point in points]).take(index)

    return Feature(name, compute, kind, about)


def _check_callable(name: str, function: object) -> None:
    if not callable(function):
        raise ValueError(f"feature {name!r}: expected a function, got {function!r}")
