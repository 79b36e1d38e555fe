"""Features from functions of strings or characters, and from regular expressions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from dni_jax.features._cache import distinct_characters
from dni_jax.features._feature import Feature
from dni_jax.features._ranges import cover
from dni_jax.text import Corpus, join_segments, to_string


def feature(name: str, function: Callable[[str], Sequence[Any]], kind: str | None = None, about: str = "") -> Feature:
    """Make a feature of a function that labels the characters of a string.

    Parameters
    ----------
    name
        The name of the feature.
    function
        Takes one string of the corpus, returns one number or bool for each of its characters.
    kind
        ``"binary"`` or ``"continuous"``; None: determined by the labels.
    about
        A description, in one line.

    Raises
    ------
    ValueError
        When labels are computed, if the function fails or does not return one finite number for each character.

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
            if labels.shape == ():
                got = "None" if labels.item() is None else f"one value, {labels.item()!r}"
                raise ValueError(
                    f"feature {name!r}: expected one label for each of the {len(string)} characters of string {number} "
                    f"({string[:40]!r}), got {got}: return a list, or pass a function of one character to "
                    "dni.char_feature"
                )
            if labels.shape != (len(string),):
                raise ValueError(
                    f"feature {name!r}: expected one label for each of the {len(string)} characters of string {number} "
                    f"({string[:40]!r}), got an array of shape {labels.shape}"
                )
            columns.append(labels)
        return np.concatenate(columns)

    return Feature(name, compute, kind, about)


def char_feature(name: str, function: Callable[[str], Any], kind: str | None = None, about: str = "") -> Feature:
    """Make a feature of a function of one character, which is called once for each distinct character.

    Parameters
    ----------
    name, kind, about
        As for `feature`.
    function
        Takes one character, returns a number or bool.

    Examples
    --------
    >>> from dni_jax.text import Corpus
    >>> char_feature("digit", str.isdigit).compute(Corpus.from_strings(["0(1)"])).tolist()
    [True, False, True, False]
    """
    _check_callable(name, function)

    def compute(corpus: Corpus) -> np.ndarray:
        points, index = distinct_characters(corpus)
        return np.asarray([function(chr(point)) for point in points]).take(index)

    return Feature(name, compute, kind, about)


def symbol_feature(character: str) -> Feature:
    """Return the binary feature ``symbol:x``: the character is x."""
    return char_feature(f"symbol:{character}", lambda c: c == character, "binary", f"the character is {character!r}")


def _check_callable(name: str, function: object) -> None:
    if not callable(function):
        raise ValueError(f"feature {name!r}: expected a function, got {function!r}")


_WHERE = {
    "range": "every character of a match of",
    "start": "the first character of a match of",
    "end": "the last character of a match of",
    "impulse": "the first or last character of a match of",
}


def regex_feature(
    name: str, pattern: str | re.Pattern[str], where: str = "range", group: int | str = 0, flags: int = 0
) -> Feature:
    r"""Make a feature of the matches of a regular expression.

    Matches are those of ``re.finditer``: from left to right, without overlap. To find overlapping matches, write
    ``(?=(...))`` with ``group=1``. Empty matches do not count.

    A match lies within one string, and ``^`` and ``$`` match its ends. Segments of a longer text are joined where the
    corpus shows that they follow each other (see `dni_jax.text.join_segments`); no match crosses any other cut. If that
    matters, label the whole corpus and cut it afterwards: the positions stay the same.

    Parameters
    ----------
    name
        The name of the feature.
    pattern
        The expression, as a string or compiled.
    where
        ``"range"``: 1 on every character of a match; ``"start"``, ``"end"``: on its first or last character;
        ``"impulse"``: on both.
    group
        The group whose characters count; 0 is the whole match.
    flags
        Flags of `re`, for a pattern that is a string.

    Raises
    ------
    ValueError
        If the pattern does not compile, or `group` or `where` is unknown.

    Examples
    --------
    >>> corpus = Corpus.from_strings(["12+345"])
    >>> regex_feature("number", r"\d+").compute(corpus).tolist()
    [1, 1, 0, 1, 1, 1]
    >>> regex_feature("second digit", r"\d(\d)", "start", group=1).compute(corpus).tolist()
    [0, 1, 0, 0, 1, 0]
    """
    compiled = _compiled(name, pattern, group, flags)
    if where not in _WHERE:
        raise ValueError(f"feature {name!r}: expected where= one of {list(_WHERE)}, got {where!r}")

    def compute(corpus: Corpus) -> np.ndarray:
        starts, ends = _matches(corpus, compiled, group)
        if where == "range":
            return cover(corpus.n_positions, starts, ends)
        labels = np.zeros(corpus.n_positions, np.int8)
        if where != "end":
            labels[starts] = 1
        if where != "start":
            labels[ends - 1] = 1
        return labels

    return Feature(name, compute, "binary", f"{_WHERE[where]} /{compiled.pattern}/")


def _compiled(name: str, pattern: str | re.Pattern[str], group: int | str, flags: int) -> re.Pattern[str]:
    if isinstance(pattern, re.Pattern):
        if flags:
            raise ValueError(f"feature {name!r}: expected flags only with a pattern that is a string, got both")
        compiled = pattern
    else:
        try:
            compiled = re.compile(pattern, flags)
        except re.error as error:
            raise ValueError(f"feature {name!r}: expected a regular expression, got {pattern!r}: {error}") from error
    known = [*range(compiled.groups + 1), *compiled.groupindex]
    if group not in known:
        raise ValueError(f"feature {name!r}: expected a group of {compiled.pattern!r}, one of {known}, got {group!r}")
    return compiled


def _matches(
    corpus: Corpus, pattern: re.Pattern[str], group: int | str
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    def spans() -> Iterator[tuple[int, int]]:
        text, offsets = to_string(corpus.text), join_segments(corpus).offsets.tolist()
        for first, last in itertools.pairwise(offsets):
            for match in pattern.finditer(text[first:last]):
                start, end = match.span(group)
                if start < end:
                    yield first + start, first + end

    flat = np.fromiter(itertools.chain.from_iterable(spans()), np.int64)
    return flat[0::2], flat[1::2]
