"""The exact probability of a string under a weighted grammar: the inside algorithm, for many strings at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from dni_jax.languages._grammar import Grammar

_CHART_BYTES = 200_000_000
_FAR = 300.0  # exp(300) and exp(-300) are well within float64


@dataclass(frozen=True, eq=False)
class _Binary:
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


def _binarize(grammar: Grammar) -> _Binary:
    number: dict[object, int] = {symbol: symbol for symbol in range(len(grammar.symbols))}
    pairs: list[tuple[int, float, int, int]] = []
    units: list[tuple[int, float, int]] = []
    empties: list[tuple[int, float]] = []

    # A production of more than two parts becomes a chain of pairs: A -> X (Y (Z ...)).
    def symbol_of(parts: tuple[str | int, ...]) -> int:
        key: object = parts[0] if len(parts) == 1 else parts
        if key not in number:
            number[key] = len(number)
            if len(parts) > 1:
                pairs.append((number[key], 1.0, symbol_of(parts[:1]), symbol_of(parts[1:])))
        return number[key]

    for left, parts, weight in zip(grammar.left.tolist(), grammar.right, grammar.weight.tolist(), strict=True):
        if len(parts) == 0:
            empties.append((left, weight))
        elif len(parts) == 1:
            units.append((left, weight, symbol_of(parts)))
        else:
            pairs.append((left, weight, symbol_of(parts[:1]), symbol_of(parts[1:])))
    count = len(number)
    # The probabilities of the empty string solve a polynomial system; from zero, iteration rises to its least solution.
    empty = np.zeros(count)
    for _ in range(10_000):
        update = np.zeros(count)
        np.add.at(update, [a for a, _ in empties], [w for _, w in empties])
        np.add.at(update, [a for a, _, _ in units], [w * empty[x] for _, w, x in units])
        np.add.at(update, [a for a, *_ in pairs], [w * empty[x] * empty[y] for _, w, x, y in pairs])
        if np.abs(update - empty).max() < 1e-16:
            break
        empty = update
    # A pair whose other symbol is empty acts as a unit production. Chains of them of every length sum to the inverse
    # (I - U)^-1, so that the chart below needs neither unit nor empty productions.
    unit = np.zeros((count, count))
    above = np.zeros((len(pairs), count))
    for a, w, x in units:
        unit[a, x] += w
    for row, (a, w, x, y) in enumerate(pairs):
        above[row, a] = w
        unit[a, x] += w * empty[y]
        unit[a, y] += w * empty[x]
    closure = np.linalg.inv(np.eye(count) - unit)
    likeliest = np.max(closure * (1 - np.eye(count)), axis=0)
    return _Binary(
        above,
        np.asarray([x for *_, x, _ in pairs], int),
        np.asarray([y for *_, y in pairs], int),
        {key: value for key, value in number.items() if isinstance(key, str)},
        closure,
        empty,
        -np.log(np.where(likeliest > 0, likeliest, 1.0)),
        grammar.start,
    )


def log_probability(grammar: Grammar, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
    """Return the natural log of each string's probability, summed over all its derivations.

    The distribution is the grammar's, conditioned on the string not being empty. The inside algorithm (Baker 1979,
    Lari & Young 1990) takes time cubic in the length; unit and empty productions are summed as in Stolcke (1995).

    Returns
    -------
    float64 ``(S,)``; minus infinity for a string outside the language.

    Examples
    --------
    >>> from dni_jax.languages import get
    >>> import numpy as np
    >>> language = get("parentheses")
    >>> bool(np.isclose(np.exp(language.log_probability(["(((())))"])[0]), 1 / 2 / 3 / 3 / 3 / 2))
    True
    """
    binary = _binarize(grammar)
    lengths = np.asarray([len(string) for string in strings])
    result = np.full(len(strings), -np.inf)
    # Strings of similar lengths share a chart, as many as fit into memory.
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        cells = lengths[order[first:]].astype(float) ** 2 / 2 * (len(binary.empty) + len(binary.left)) * 8
        fits = int(np.searchsorted(cells * np.arange(1, len(cells) + 1), _CHART_BYTES))
        rows = order[first : first + max(fits, 1)]
        result[rows] = _inside(binary, [strings[row] for row in rows])
        first += len(rows)
    return result - np.log1p(-binary.empty[binary.start])


def _combine(
    binary: _Binary, spans: Sequence[np.ndarray], scale: Float[np.ndarray, "L S"]
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


def _inside(binary: _Binary, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
    """Fill the charts of several strings at once, from short spans to long ones; strings must ascend in length.

    Long strings have probabilities below the range of float64. Each character is therefore scaled by roughly its own
    probability, and the spans of each length so that the largest entry is 1. The logs of all factors are subtracted
    at the end.
    """
    lengths = np.asarray([len(string) for string in strings])
    longest = int(lengths[-1])
    leaves = np.zeros((len(strings), longest, len(binary.empty)))
    added = np.zeros(len(strings))
    for row, string in enumerate(strings):
        for place, character in enumerate(string):
            if character in binary.character:
                symbol = binary.character[character]
                leaves[row, place, symbol] = np.exp(binary.cost[symbol])
                added[row] += binary.cost[symbol]
    spans = [leaves @ binary.closure.T]
    scale = np.zeros((longest + 1, len(strings)))
    result = np.full(len(strings), -np.inf)
    for length in range(1, longest + 1):
        first, last = np.searchsorted(lengths, [length, length + 1])
        spans = [span[first - len(strings) :] for span in spans]  # shorter strings are done
        if length > 1:
            joined, scale[length, first:] = _combine(binary, spans, scale[:length, first:])
            chart = joined @ binary.above @ binary.closure.T
            top = chart.max(axis=(1, 2))
            top = np.where(top > 0, top, 1.0)
            spans.append(chart / top[:, None, None])
            scale[length, first:] -= np.log(top)
        with np.errstate(divide="ignore"):
            whole = spans[-1][: last - first, 0, binary.start]
            result[first:last] = np.log(whole) - scale[length, first:last]
    return result - added
