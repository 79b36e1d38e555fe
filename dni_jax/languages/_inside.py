"""The inside algorithm (Baker 1979; Lari & Young 1990) for many strings at once, on a grammar in binary form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

_FAR = 300.0  # exp(300) and exp(-300) are well within float64
_NEAR = 100.0  # the largest value of any length is kept between exp(-100) and exp(100)
_SHORT = 8  # a symbol whose strings have at most this many characters is combined length by length


@dataclass(frozen=True, eq=False)
class BinaryGrammar:
    """A grammar in binary form: ``A -> X Y`` with weights; unit and empty productions are summed beforehand.

    A counts symbols, among them characters and the tails of long productions; R counts pairs ``X Y``.

    Attributes
    ----------
    above
        float64 ``(R, A)``: the weight of the production that makes each pair.
    left, right
        The symbols of each pair.
    character
        The symbol of each character.
    closure
        float64 ``(A, A)``: the total weight of all chains of unit productions from one symbol to another.
    empty
        float64 ``(A,)``: the probability that a symbol derives the empty string.
    cost
        float64 ``(A,)``: minus the log of the largest total weight in `closure` from another symbol to this one.
    start
        The start symbol.
    """

    above: Float[np.ndarray, "R A"]
    left: Int[np.ndarray, " R"]
    right: Int[np.ndarray, " R"]
    character: dict[str, int]
    closure: Float[np.ndarray, "A A"]
    empty: Float[np.ndarray, " A"]
    cost: Float[np.ndarray, " A"]
    start: int

    @cached_property
    def longest(self) -> Int[np.ndarray, " A"]:
        """The number of characters of each symbol's longest string; ``_SHORT + 1`` if it is larger than `_SHORT`."""
        longest = np.zeros(len(self.empty), np.int64)
        longest[list(self.character.values())] = 1
        made, makes = np.nonzero(self.above)
        over, under = np.nonzero(self.closure)
        while True:
            update = longest.copy()
            np.maximum.at(update, makes, longest[self.left[made]] + longest[self.right[made]])
            np.maximum.at(update, over, update[under])
            update = np.minimum(update, _SHORT + 1)
            if (update == longest).all():
                return longest
            longest = update

    @cached_property
    def short_pairs(self) -> Int[np.ndarray, " n"]:
        """The pairs of which one symbol has only short strings: they have few splits."""
        return np.flatnonzero(np.minimum(self.longest[self.left], self.longest[self.right]) <= _SHORT)

    @cached_property
    def long_groups(self) -> list[tuple[int, Int[np.ndarray, " m"], Int[np.ndarray, " m"]]]:
        """The other pairs, by their left symbol and the symbol that they make: a sum over pairs is one product.

        Each group is its left symbol, its right symbols, and its pairs.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        made = self.above.argmax(axis=1)
        for row in sorted(set(range(len(self.left))) - set(self.short_pairs.tolist())):
            groups.setdefault((int(self.left[row]), int(made[row])), []).append(row)
        return [(left, self.right[rows], np.asarray(rows)) for (left, _), rows in groups.items()]

    @cached_property
    def n_long(self) -> int:
        """How many sums over all splits each span takes."""
        return len(self.long_groups)


def leaves(binary: BinaryGrammar, strings: Sequence[str]) -> tuple[Float[np.ndarray, "S L A"], Float[np.ndarray, " S"]]:
    """Return the symbols of each character and the log of the factor by which each string's values are enlarged.

    Long strings have probabilities below the range of float64. Each character is therefore scaled by roughly its own
    probability.
    """
    longest = max(len(string) for string in strings)
    values = np.zeros((len(strings), longest, len(binary.empty)))
    added = np.zeros(len(strings))
    for row, string in enumerate(strings):
        for place, character in enumerate(string):
            if character in binary.character:
                symbol = binary.character[character]
                values[row, place, symbol] = np.exp(binary.cost[symbol])
                added[row] += binary.cost[symbol]
    return values, added


def inside(binary: BinaryGrammar, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
    """Return the log of the total weight of each string's derivations; strings of similar lengths share a chart."""
    try:
        return _inside_linear(binary, strings)
    except FloatingPointError:
        return _inside_by_length(binary, strings)


def _inside_linear(binary: BinaryGrammar, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
    """Fill the charts with values that are scaled by a factor per character, so that sums over splits need no factor.

    Raises
    ------
    FloatingPointError
        If no such factor keeps the values of all lengths within float64.
    """
    values, added = leaves(binary, strings)
    n_strings, longest = values.shape[:2]
    spans = [values @ binary.closure.T]
    per_character = np.zeros(n_strings)
    tops = np.zeros((longest, n_strings))  # log of the largest value of each length
    result = np.full(n_strings, -np.inf)
    # Sums over all splits of a span multiply what begins where it begins by what ends where it ends. Stored by first
    # character and, in reverse, by last character, both run along the last axis in the order of the split.
    begin = {left: np.zeros((n_strings, longest, longest)) for left, *_ in binary.long_groups}
    end = [np.zeros((n_strings, longest + 1, longest)) for _ in binary.long_groups]
    weights = [binary.above[rows].max(axis=1) for *_, rows in binary.long_groups]
    lengths = np.asarray([len(string) for string in strings])
    for length in range(1, longest + 1):
        places = longest - length + 1
        if length > 1:
            spans.append(_combine_all(binary, spans, begin, end, length))
        chart = spans[-1]
        top = chart.max(axis=(1, 2))
        tops[length - 1] = np.log(np.where(top > 0, top, 1.0))
        if np.abs(tops[length - 1]).max() > _NEAR:
            step = -tops[length - 1] / length
            step[np.abs(tops[length - 1]) <= _NEAR] = 0.0
            _rescale(step, spans, begin, end)
            per_character += step
            tops[:length] += np.arange(1, length + 1)[:, None] * step
            if np.abs(tops).max() > _FAR:
                raise FloatingPointError("the values of some lengths leave float64 whatever the factor per character")
        chart = spans[-1]
        for left, matrix in begin.items():
            matrix[:, :places, length - 1] = chart[:, :, left]
        for (_, right, _), weight, matrix in zip(binary.long_groups, weights, end, strict=True):
            matrix[:, length:, longest - length] = chart[:, :, right] @ weight
        done = np.flatnonzero(lengths == length)
        with np.errstate(divide="ignore"):
            result[done] = np.log(chart[done, 0, binary.start]) - length * per_character[done]
    return result - added


def _combine_all(
    binary: BinaryGrammar,
    spans: Sequence[np.ndarray],
    begin: dict[int, np.ndarray],
    end: Sequence[np.ndarray],
    length: int,
) -> Float[np.ndarray, "S places A"]:
    """Combine shorter spans into the spans of the next length."""
    n_strings, longest = spans[0].shape[:2]
    places = longest - length + 1
    made = np.zeros((n_strings, places, len(binary.empty)))
    rows = binary.short_pairs
    left, right = binary.left[rows], binary.right[rows]
    bound = np.where(binary.longest > _SHORT, length, binary.longest)
    first, last = bound[left], bound[right]
    joined = np.zeros((n_strings, places, len(rows)))
    near = [split for split in range(1, length) if split <= _SHORT or length - split <= _SHORT]
    for split in near:
        some = np.flatnonzero((split <= first) & (length - split <= last))
        if len(some) == 0:
            continue
        former, latter = spans[split - 1], spans[length - split - 1]
        joined[:, :, some] += former[:, :places, left[some]] * latter[:, split : split + places, right[some]]
    made += joined @ binary.above[rows]
    for number, (symbol, _, group) in enumerate(binary.long_groups):
        before = begin[symbol][:, :places, : length - 1]
        after = end[number][:, length : length + places, longest - length + 1 : longest]
        made[:, :, binary.above[group[0]].argmax()] += np.einsum("spk,spk->sp", before, after)
    return made @ binary.closure.T


def _rescale(
    step: Float[np.ndarray, " S"], spans: list[np.ndarray], begin: dict[int, np.ndarray], end: Sequence[np.ndarray]
) -> None:
    """Multiply the values of every length by a factor per character."""
    longest = spans[0].shape[1]
    factors = np.exp(np.outer(step, np.arange(1, longest + 1)))
    for length, chart in enumerate(spans):
        chart *= factors[:, length, None, None]
    # Lengths that are not known yet are zero, whatever their factor; it must only be finite.
    known = np.where(np.arange(longest) < len(spans), factors, 1.0)[:, None, :]
    for matrix in begin.values():
        matrix *= known
    for matrix in end:
        matrix *= known[:, :, ::-1]


def _combine(
    binary: BinaryGrammar, spans: Sequence[np.ndarray], scale: Float[np.ndarray, "L S"]
) -> tuple[Float[np.ndarray, "S places pairs"], Float[np.ndarray, " S"]]:
    """Combine shorter spans into the spans of the next length.

    Each length has a scale factor per string. The new one is extrapolated from the growth of the factors so far. If
    that could overflow float64, the sum is rescaled by its largest term at each split instead, as in logsumexp.

    Returns
    -------
    The sum over all splits, and the log of its scale factor.
    """
    length, places = len(scale), spans[-1].shape[1] - 1
    sums = scale[1:] + scale[:0:-1]  # log factors of the two halves, by the position of the split
    guess = scale[-1] * length / (length - 1)
    joined = np.zeros((len(guess), places, len(binary.left)))
    within = np.abs(guess - sums).max() < _FAR
    likeliest = np.full(len(guess), -np.inf)
    for split in range(1, length):
        former, latter = spans[split - 1], spans[length - split - 1]
        both = former[:, :places, binary.left] * latter[:, split : split + places, binary.right]
        if within:
            joined += both * np.exp(guess - sums[split - 1])[:, None, None]
            continue
        largest = both.max(axis=(1, 2))
        rows = np.flatnonzero(largest > 0)
        here = np.log(largest[rows]) - sums[split - 1, rows]
        above = np.maximum(likeliest[rows], here)
        joined[rows] *= np.exp(likeliest[rows] - above)[:, None, None]
        joined[rows] += both[rows] / largest[rows, None, None] * np.exp(here - above)[:, None, None]
        likeliest[rows] = above
    return joined, guess if within else np.where(np.isfinite(likeliest), -likeliest, guess)


def _inside_by_length(binary: BinaryGrammar, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
    """Fill the charts with a factor per length, so that the largest value of each length is 1."""
    values, added = leaves(binary, strings)
    longest = values.shape[1]
    spans = [values @ binary.closure.T]
    scale = np.zeros((longest + 1, len(strings)))
    result = np.full(len(strings), -np.inf)
    for length in range(1, longest + 1):
        if length > 1:
            joined, scale[length] = _combine(binary, spans, scale[:length])
            chart = joined @ binary.above @ binary.closure.T
            top = chart.max(axis=(1, 2))
            top = np.where(top > 0, top, 1.0)
            spans.append(chart / top[:, None, None])
            scale[length] -= np.log(top)
        done = [row for row, string in enumerate(strings) if len(string) == length]
        with np.errstate(divide="ignore"):
            result[done] = np.log(spans[-1][done, 0, binary.start]) - scale[length, done]
    return result - added
