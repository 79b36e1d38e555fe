"""Features to compare scores with: confounders, and control tasks (Hewitt & Liang 2019)."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dni_jax.characters import escape
from dni_jax.features._cache import LabelCache, encode
from dni_jax.features._feature import Feature, FeatureLibrary, known, label_column
from dni_jax.features._ranges import edge_positions
from dni_jax.text import Corpus, Vocabulary, exclusive_sum, join_segments

_FEW = 12  # with at most this many symbols, all maps are enumerated
_TRIES = 32  # with more symbols, so many maps are drawn to find one with about the right rate


def confounders(source: Corpus | Vocabulary) -> FeatureLibrary:
    r"""Return the features to control for when a score should not be due to the current character or the position.

    Parameters
    ----------
    source
        A corpus, or its vocabulary.

    Returns
    -------
    FeatureLibrary with, in this order:

    - ``character:x``, a binary feature for each symbol of the vocabulary (line breaks and the like are escaped, as in
      ``character:\n``); that of the replacement symbol stands for all symbols outside the vocabulary;
    - ``class:x``, a binary feature for each class of characters (`dni_jax.text.character_type`) in the vocabulary; each
      is a sum of character features, so leave it out if linear dependence is a problem;
    - ``position`` (continuous): the number of characters before it in its string, or in its segment if the corpus was
      cut into segments;
    - ``position in line`` (continuous), if the vocabulary has line breaks: the number of characters since the last one.
      It is masked where the line began before the segment.

    Examples
    --------
    >>> library = confounders(Corpus.from_strings(["a1", "b"]))
    >>> library.names
    ('character:1', 'character:a', 'character:b', 'class:digit', 'class:letter', 'position')
    >>> library["position"].compute(Corpus.from_strings(["a1", "b"])).tolist()
    [0, 1, 0]
    """
    vocabulary = source.vocabulary if isinstance(source, Corpus) else source
    types = np.asarray(vocabulary.types)
    features = [
        _codes_feature(vocabulary, f"character:{escape(c)}", np.asarray([code]), f"the character is {c!r}")
        for code, c in enumerate(vocabulary.characters, start=1)
    ]
    features += [
        _codes_feature(vocabulary, f"class:{name}", np.flatnonzero(types == name), f"the character's class is {name}")
        for name in dict.fromkeys(vocabulary.types[1:])
    ]
    features.append(
        Feature(
            "position",
            lambda corpus: corpus.position_in_string,
            "continuous",
            "characters before it in its string or segment",
        )
    )
    if "\n" in vocabulary.characters:
        features.append(
            Feature("position in line", _position_in_line, "continuous", "characters before it in its line", _line_seen)
        )
    return FeatureLibrary(tuple(features))


def _codes_feature(vocabulary: Vocabulary, name: str, codes: np.ndarray, about: str) -> Feature:
    holds = np.zeros(len(vocabulary), bool)
    holds[codes] = True
    return Feature(name, lambda corpus: holds.take(encode(corpus, vocabulary)), "binary", about)


def _line_starts(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions at which lines begin, sorted, and whether each is the true beginning of its line."""
    breaks = np.flatnonzero(corpus.text[:-1] == ord("\n")) + 1
    offsets, begins, _ = join_segments(corpus)
    starts = np.union1d(offsets[:-1], breaks)
    seen = np.ones(len(starts), bool)
    seen[np.searchsorted(starts, offsets[:-1])] = begins
    return starts, seen


def _position_in_line(corpus: Corpus) -> np.ndarray:
    starts, _ = _line_starts(corpus)
    lengths = np.diff(np.append(starts, corpus.n_positions))
    return np.arange(corpus.n_positions) - np.repeat(starts, lengths)


def _line_seen(corpus: Corpus) -> np.ndarray:
    starts, seen = _line_starts(corpus)
    known = np.ones(corpus.n_positions, bool)
    known[edge_positions(np.append(starts, corpus.n_positions), ~seen, corpus.n_positions)] = False
    return known


def control_task(source: Feature | FeatureLibrary, corpus: Corpus, seed: int = 0) -> FeatureLibrary:
    """Return a control task for each feature: a random but fixed map from symbols to labels, at the feature's rate.

    If a neuron scores no better on a feature than on its control task, its score shows only what a probe can memorize
    about the current symbol. The map is never the feature itself, nor its opposite.

    Parameters
    ----------
    source
        A feature, or a library.
    corpus
        Determines how often each symbol and each label occurs. The control tasks can label any corpus with these
        symbols.
    seed
        The same seed, feature name and corpus give the same map.

    Returns
    -------
    FeatureLibrary with ``control:name`` for each feature. Masked positions do not count.

    - The control task of a binary feature has about the same fraction of ones in the corpus: the difference is at most
      0.01, and at most a tenth of the fraction of the rarer label, or else as small as possible. At least one symbol is
      labeled 1 and one 0, unless the feature is constant. With few symbols there are few such maps, so that different
      seeds may draw the same one.
    - For a continuous feature, its sorted values are divided among the symbols in random order, and each symbol gets
      the median of its part.

    Raises
    ------
    ValueError
        If there are too few symbols for a map other than a binary feature itself and its opposite.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(200, seed=0)
    >>> control = control_task(dni.char_feature("digit", str.isdigit), corpus, seed=1)
    >>> control.names, set(control.label(corpus).columns[0].tolist())
    (('control:digit',), {0, 1})
    """
    cache = LabelCache.wrap(corpus)
    features = (source,) if isinstance(source, Feature) else tuple(source)
    return FeatureLibrary(tuple(_control(feature, cache, seed) for feature in features))


def _control(feature: Feature, corpus: Corpus, seed: int) -> Feature:
    vocabulary = corpus.vocabulary
    column, kind = label_column(feature, corpus)
    used = known(feature, corpus)
    codes, column = encode(corpus, vocabulary)[used], column[used]
    if len(column) == 0:
        raise ValueError(f"expected positions where feature {feature.name!r} is known, got none in the corpus")
    table = draw_control(feature.name, kind, column, codes, len(vocabulary), seed)
    if kind == "continuous":
        return _task(feature, kind, vocabulary, table, "")
    counts = np.bincount(codes, minlength=len(vocabulary))
    rate = counts[table > 0].sum() / counts.sum()
    symbols = "".join(escape(vocabulary.symbols[code]) for code in np.flatnonzero(table) if code)
    about = f": 1 for {symbols} ({rate:.1%} of the text; {feature.name} {column.mean():.1%})"
    return _task(feature, kind, vocabulary, table, about)


def draw_control(
    name: str, kind: str, column: np.ndarray, codes: Int[np.ndarray, " T"], n_codes: int, seed: int
) -> Shaped[np.ndarray, " V"]:
    """Return a random label for each symbol, at a feature's rate; see `control_task`.

    Parameters
    ----------
    name, kind, column
        The feature's name, kind and labels ``(T,)``.
    codes
        The symbol at each position, below `n_codes`.
    n_codes
        V.
    seed
        Draws.

    Raises
    ------
    ValueError
        Where there are too few symbols for another map than the feature itself.

    Examples
    --------
    >>> draw_control("late", "binary", np.array([0, 1, 0, 1]), np.array([0, 1, 2, 3]), 4, seed=0).sum().item()
    2
    """
    counts = np.bincount(codes, minlength=n_codes)
    # The name is part of the seed, so that features with equal rates get different maps. Unlike hash(), crc32 is the
    # same in every process.
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if kind == "continuous":
        return _draw_values(counts, column, rng)
    on = np.bincount(codes, weights=column, minlength=n_codes)
    return _draw_map(name, counts, on, rng)


def _task(feature: Feature, kind: str, vocabulary: Vocabulary, table: np.ndarray, about: str) -> Feature:
    table = table.astype(np.int8 if kind == "binary" else np.float32)
    return Feature(
        f"control:{feature.name}",
        lambda corpus: table.take(encode(corpus, vocabulary)),
        kind,
        f"random labels of the symbols{about}",
        feature.known,
    )


def _draw_values(
    counts: Int[np.ndarray, " V"], column: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, " V"]:
    """Divide the sorted values among the symbols in random order, as many as each has positions; return the medians."""
    order = rng.permutation(len(counts))
    before = exclusive_sum(counts[order])
    values = np.empty(len(counts))
    values[order] = np.sort(column)[np.minimum(before + counts[order] // 2, len(column) - 1)]
    return values


def _draw_map(
    name: str, counts: Int[np.ndarray, " V"], on: Float[np.ndarray, " V"], rng: np.random.Generator
) -> Bool[np.ndarray, " V"]:
    """Draw the symbols labeled 1, with about as many positions as the feature; absent symbols are drawn freely."""
    target, present = on.sum(), np.flatnonzero(counts)
    chosen = rng.random(len(counts)) < target / counts.sum()
    if target in (0, counts.sum()):
        return np.full(len(counts), target > 0)
    # If each symbol determines the feature, the feature is itself such a map, and must not be drawn.
    rates = on[present] / counts[present]
    forbidden = [rates == 1, rates == 0] if np.isin(rates, (0, 1)).all() else []
    draw = _draw_exhaustively if len(present) <= _FEW else _draw_by_search
    drawn = draw(counts[present], float(target), forbidden, rng)
    if drawn is None:
        raise ValueError(
            f"expected enough symbols for a control task other than feature {name!r} itself, got {len(present)}: "
            "leave the feature out"
        )
    chosen[present] = drawn
    return chosen


def _tolerance(counts: Int[np.ndarray, " P"], target: float) -> float:
    """Return the largest difference, in positions, that counts as the same rate."""
    total = counts.sum()
    return float(min(0.01 * total, 0.1 * min(target, total - target)))


def _draw_exhaustively(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> Bool[np.ndarray, " P"] | None:
    """Draw from all sets of a few symbols one whose count is within the tolerance, or else as close as possible."""
    sets = (np.arange(2 ** len(counts))[:, None] >> np.arange(len(counts))) & 1 == 1
    gaps = np.abs(sets @ counts - target)
    gaps[[0, -1]] = np.inf
    for other in forbidden:
        gaps[(sets == other).all(axis=1)] = np.inf
    if not np.isfinite(gaps).any():
        return None
    return sets[rng.choice(np.flatnonzero(gaps <= max(gaps.min(), _tolerance(counts, target))))]


def _draw_by_search(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> Bool[np.ndarray, " P"] | None:
    """Draw sets of many symbols until the count of one is within the tolerance; return the closest."""
    best, best_gap = None, np.inf
    for _ in range(_TRIES):
        chosen, gap = _climb(counts, target, forbidden, rng)
        if gap < best_gap:
            best, best_gap = chosen, gap
        if gap <= _tolerance(counts, target):
            break
    return best


def _climb(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, " P"], float]:
    """Add symbols in random order, then flip one or two at a time until the count is close or no flip improves it."""
    chosen, total = np.zeros(len(counts), bool), 0
    for row in rng.permutation(len(counts)):
        if abs(total + counts[row] - target) < abs(total - target):
            chosen[row] = True
            total += int(counts[row])
    here = abs(total - target) if _allowed(chosen, forbidden) else np.inf
    while here > _tolerance(counts, target):
        flipped, gap = _best_flip(chosen, counts, target, forbidden)
        if gap >= here:
            break
        chosen, here = flipped, gap
    return chosen, float(here)


def _best_flip(
    chosen: Bool[np.ndarray, " P"], counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray]
) -> tuple[Bool[np.ndarray, " P"], float]:
    """Flip the one or two symbols that bring the count closest; the gap is infinite if no such set is allowed."""
    change = np.where(chosen, -counts, counts)
    both = change[:, None] + change[None, :]
    np.fill_diagonal(both, change)
    gaps = np.abs(counts[chosen].sum() + both - target).astype(np.float64)
    for _ in range(gaps.size):
        a, b = np.unravel_index(gaps.argmin(), gaps.shape)
        flipped = chosen.copy()
        flipped[[a, b]] = ~chosen[[a, b]]
        if _allowed(flipped, forbidden):
            return flipped, float(gaps[a, b])
        gaps[a, b] = np.inf
    return chosen, float("inf")


def _allowed(chosen: Bool[np.ndarray, " P"], forbidden: list[np.ndarray]) -> bool:
    varies = chosen.any() and not chosen.all()
    return bool(varies) and not any((chosen == other).all() for other in forbidden)
