"""Which stretches of a text to show: whole short strings, lines of long ones, with examples of many features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.text import Corpus

_EXAMPLES = 2  # stretches in which a feature is to hold
_FOR_EXAMPLES = 0.5  # share of the characters that are chosen for what holds in them
_NEWLINE = ord("\n")
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Stretches:
    """Parts of a corpus' strings.

    Attributes
    ----------
    first, last
        int64 ``(P,)``: a part's first position in the corpus, and the one behind its last.
    strings, places
        int64 ``(P,)``: its string, and the place in the string where it starts.
    """

    first: Int[np.ndarray, " P"]
    last: Int[np.ndarray, " P"]
    strings: Int[np.ndarray, " P"]
    places: Int[np.ndarray, " P"]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Int[np.ndarray, " n"]) -> Stretches:
        """Give some of them, in the given order."""
        return Stretches(self.first[rows], self.last[rows], self.strings[rows], self.places[rows])

    @property
    def lengths(self) -> Int[np.ndarray, " P"]:
        """How many characters each has."""
        return self.last - self.first

    @property
    def offsets(self) -> Int[np.ndarray, " P1"]:
        """Where each begins, laid end to end, and where the last one ends."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)

    @property
    def positions(self) -> Int[np.ndarray, " T"]:
        """The corpus' positions, part by part."""
        return np.concatenate([np.arange(a, b) for a, b in zip(self.first, self.last, strict=True)])


def stretches_of(corpus: Corpus, most: int) -> Stretches:
    r"""Cut strings longer than `most` characters, behind the last line break that is near enough or else anywhere.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["ab", "cd\nefgh"])
    >>> parts = stretches_of(corpus, 4)
    >>> [corpus.strings[s][p : p + n] for s, p, n in zip(parts.strings, parts.places, parts.lengths)]
    ['ab', 'cd\n', 'efgh']
    """
    rows = []
    for string, (begin, end) in enumerate(zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True)):
        at = begin
        while at < end:
            cut = min(at + most, end)
            if cut < end:
                breaks = np.flatnonzero(corpus.text[at:cut] == _NEWLINE)
                cut = at + int(breaks[-1]) + 1 if len(breaks) else cut
            rows.append((at, cut, string, at - begin))
            at = cut
    first, last, strings, places = np.asarray(rows, np.int64).T
    return Stretches(first, last, strings, places)


def chosen_stretches(
    parts: Stretches,
    held: Sequence[Bool[np.ndarray, " T"]],
    weights: Float[np.ndarray, " F"],
    characters: int,
) -> Int[np.ndarray, " n"]:
    """Choose stretches of at most so many characters together (at least one), in the order of the text.

    For at most half of the characters, each stretch is the one that adds most examples a character: a feature counts
    by its weight until it holds in two stretches. The others are spread evenly over the text.
    """
    holds = np.zeros((len(parts), len(held)))
    for place, on in enumerate(held):
        before = np.concatenate([[0], np.cumsum(on)])
        holds[:, place] = before[parts.last] > before[parts.first]
    lengths, wanted = parts.lengths, np.full(len(held), float(_EXAMPLES))
    taken = np.zeros(len(parts), bool)
    left = int(characters * _FOR_EXAMPLES)
    while len(held):
        gain = np.where(taken | (lengths > left), 0.0, holds @ (weights * (wanted > 0)) / lengths)
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        taken[best] = True
        left -= int(lengths[best])
        wanted -= holds[best]
    room = characters - int(lengths[taken].sum())
    for row in _spread(len(parts)):
        if not taken[row] and (lengths[row] <= room or not taken.any()):
            taken[row] = True
            room -= int(lengths[row])
        if room <= 0:
            break
    return np.flatnonzero(taken)


def _spread(count: int) -> Int[np.ndarray, " P"]:
    """All places in an order whose every beginning is spread evenly: multiples of the golden ratio, modulo 1."""
    return np.argsort(np.arange(count) * _GOLDEN % 1, kind="stable")
