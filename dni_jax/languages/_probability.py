"""The exact probability of a string under a weighted grammar: the inside algorithm, for many strings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dni_jax.languages._grammar import Grammar
from dni_jax.languages._inside import BinaryGrammar, inside
from dni_jax.progress import bar

_CHART_BYTES = 200_000_000
_SPREAD = 1.2  # strings that share a chart have lengths within this factor, so that little of it is padding
_SUMS_PER_SECOND = 8e8  # products in sums over splits that a slow core computes


def _binarize(grammar: Grammar) -> BinaryGrammar:
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
    empty = _empty_probability(count, empties, units, pairs)
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
    return BinaryGrammar(
        above,
        np.asarray([x for *_, x, _ in pairs], int),
        np.asarray([y for *_, y in pairs], int),
        {key: value for key, value in number.items() if isinstance(key, str)},
        closure,
        empty,
        -np.log(np.where(likeliest > 0, likeliest, 1.0)),
        grammar.start,
    )


def _empty_probability(
    count: int,
    empties: Sequence[tuple[int, float]],
    units: Sequence[tuple[int, float, int]],
    pairs: Sequence[tuple[int, float, int, int]],
) -> Float[np.ndarray, " A"]:
    """Return the probability that each symbol derives the empty string, from its empty, unit and longer productions."""
    # They solve a polynomial system; from zero, iteration rises to its least solution.
    empty = np.zeros(count)
    for _ in range(10_000):
        update = np.zeros(count)
        np.add.at(update, [a for a, _ in empties], [w for _, w in empties])
        np.add.at(update, [a for a, _, _ in units], [w * empty[x] for _, w, x in units])
        np.add.at(update, [a for a, *_ in pairs], [w * empty[x] * empty[y] for _, w, x, y in pairs])
        if np.abs(update - empty).max() < 1e-16:
            break
        empty = update
    return empty


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
    with bar("probabilities", float(lengths.sum())) as advance:
        first = 0
        while first < len(order):
            rest = lengths[order[first:]]
            cells = rest.astype(float) ** 2 * (len(binary.empty) / 2 + 2 * binary.n_long) * 8
            fits = int(np.searchsorted(cells * np.arange(1, len(cells) + 1), _CHART_BYTES))
            similar = int(np.searchsorted(rest, rest[0] * _SPREAD + 1, side="right"))
            rows = order[first : first + max(min(fits, similar), 1)]
            result[rows] = inside(binary, [strings[row] for row in rows])
            first += len(rows)
            advance(float(lengths[order[:first]].sum()), str)
    return result - np.log1p(-binary.empty[binary.start])


def log_nonempty_probability(grammar: Grammar) -> float:
    """Return the natural log of the probability that a string is not empty."""
    binary = _binarize(grammar)
    return float(np.log1p(-binary.empty[binary.start]))


def estimate_seconds(grammar: Grammar, lengths: Int[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """Return roughly how long `log_probability` takes for a string of each length."""
    binary = _binarize(grammar)
    sizes = lengths.astype(float)
    sums = binary.n_long * sizes**3 / 6
    spans = len(binary.empty) ** 2 * sizes**2 / 2 + 2 * len(binary.short_pairs) * 8 * sizes**2 / 2
    return (sums + spans) / _SUMS_PER_SECOND
