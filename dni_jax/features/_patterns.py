"""Features from regular expressions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from dni_jax.features._feature import Feature
from dni_jax.features._joining import runs
from dni_jax.features._spans import cover
from dni_jax.text import Corpus, to_string

WHERE = {
    "range": "every character of a match of",
    "start": "the first character of a match of",
    "end": "the last character of a match of",
    "impulse": "the first or last character of a match of",
}


def regex_feature(
    name: str, pattern: str | re.Pattern[str], where: str = "range", group: int | str = 0, flags: int = 0
) -> Feature:
    r"""Make a feature of where a regular expression matches.

    Matches are those of ``re.finditer``: from left to right, not overlapping; write ``(?=(...))`` with ``group=1`` to
    find overlapping ones. Matches without characters count for nothing.

    A match lies within one string, whose ends ``^`` and ``$`` mean. Pieces of a longer text are rejoined where the
    corpus knows that they follow each other (see `dni_jax.features._joining.runs`); across other cuts no match reaches.
    Where that matters, label the whole corpus and cut it afterwards: the positions stay the same.

    Parameters
    ----------
    name
        How the feature is called.
    pattern
        The expression, or a compiled one.
    where
        ``"range"``: 1 on every character of a match; ``"start"``, ``"end"``: on its first or last character;
        ``"impulse"``: on both.
    group
        The group whose characters count; 0 is the whole match.
    flags
        Of `re`, for a pattern that is not compiled.

    Raises
    ------
    ValueError
        For a pattern that does not compile, an unknown group, or an unknown `where`.

    Examples
    --------
    >>> corpus = Corpus.from_strings(["12+345"])
    >>> regex_feature("number", r"\d+").compute(corpus).tolist()
    [1, 1, 0, 1, 1, 1]
    >>> regex_feature("second digit", r"\d(\d)", "start", group=1).compute(corpus).tolist()
    [0, 1, 0, 0, 1, 0]
    """
    compiled = _compiled(name, pattern, group, flags)
    if where not in WHERE:
        raise ValueError(f"feature {name!r}: expected where= one of {list(WHERE)}, got {where!r}")

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

    return Feature(name, compute, "binary", f"{WHERE[where]} /{compiled.pattern}/")


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
        text, offsets = to_string(corpus.text), runs(corpus).offsets.tolist()
        for first, last in itertools.pairwise(offsets):
            for match in pattern.finditer(text[first:last]):
                start, end = match.span(group)
                if start < end:
                    yield first + start, first + end

    flat = np.fromiter(itertools.chain.from_iterable(spans()), np.int64)
    return flat[0::2], flat[1::2]
