"""Control tasks (Hewitt & Liang 2019): labels that a probe can only learn by heart, symbol by symbol."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.features._feature import Feature, FeatureLibrary, column_of, known
from dni_jax.features._reading import LabelCache, codes_in, written
from dni_jax.text import Corpus, Vocabulary

_FEW = 12  # symbols: up to here every map is looked at
_TRIES = 32  # maps of more symbols that are tried to come close to a rate


def control_task(source: Feature | FeatureLibrary, corpus: Corpus, seed: int = 0) -> FeatureLibrary:
    """Make a control task for each feature: a random but fixed map from symbols to labels, with the feature's rate.

    A neuron that scores no better on a feature than on its control task shows what can be told by the current symbol
    and a good memory. The map is never the feature itself, nor its opposite.

    Parameters
    ----------
    source
        A feature, or a library.
    corpus
        Tells how often each symbol and each label occurs. The control tasks can label any corpus with its symbols.
    seed
        The same seed, feature name and corpus give the same map.

    Returns
    -------
    FeatureLibrary with ``control:name`` for each feature. For a binary feature, the share of ones over the corpus is
    within a hundredth of the feature's and a tenth of its rarer label's share, or else as close as can be found;
    at least one symbol is on and one off, unless the feature is constant. Few symbols leave few such maps, so that
    different seeds may draw the same. For a continuous one, the symbols in random order get the feature's
    values in ascending order, each its share of them (their median). Masked positions do not count.

    Raises
    ------
    ValueError
        Where a binary feature leaves no other map: too few symbols.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(200, seed=0)
    >>> control = control_task(dni.char_feature("digit", str.isdigit), corpus, seed=1)
    >>> control.names, set(control.label(corpus).columns[0].tolist())
    (('control:digit',), {0, 1})
    """
    reading = LabelCache.of(corpus)
    features = (source,) if isinstance(source, Feature) else tuple(source)
    return FeatureLibrary(tuple(_control(feature, reading, seed) for feature in features))


def _control(feature: Feature, corpus: Corpus, seed: int) -> Feature:
    vocabulary = corpus.vocabulary
    column, kind = column_of(feature, corpus)
    used = known(feature, corpus)
    codes, column = codes_in(vocabulary, corpus)[used], column[used]
    counts = np.bincount(codes, minlength=len(vocabulary))
    # The name takes part, so that features with equal rates get different maps; crc32 is the same in every process.
    rng = np.random.default_rng([seed, zlib.crc32(feature.name.encode())])
    if len(column) == 0:
        raise ValueError(f"expected positions where feature {feature.name!r} is known, got none in the corpus")
    if kind == "continuous":
        return _task(feature, kind, vocabulary, _values(counts, column, rng), "")
    on = np.bincount(codes, weights=column, minlength=len(vocabulary))
    chosen = _map(feature.name, counts, on, rng)
    rate = counts[chosen].sum() / counts.sum()
    symbols = "".join(written(vocabulary.symbols[code]) for code in np.flatnonzero(chosen) if code)
    about = f": 1 for {symbols} ({rate:.1%} of the text; {feature.name} {column.mean():.1%})"
    return _task(feature, kind, vocabulary, chosen, about)


def _task(feature: Feature, kind: str, vocabulary: Vocabulary, table: np.ndarray, about: str) -> Feature:
    table = table.astype(np.int8 if kind == "binary" else np.float32)
    return Feature(
        f"control:{feature.name}",
        lambda corpus: table.take(codes_in(vocabulary, corpus)),
        kind,
        f"random labels of the symbols{about}",
        feature.known,
    )


def _values(counts: Int[np.ndarray, " V"], column: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, " V"]:
    """Deal the values, sorted, to the symbols in random order: each the median of as many as it has positions."""
    order = rng.permutation(len(counts))
    before = np.cumsum(counts[order]) - counts[order]
    values = np.empty(len(counts))
    values[order] = np.sort(column)[np.minimum(before + counts[order] // 2, len(column) - 1)]
    return values


def _map(
    name: str, counts: Int[np.ndarray, " V"], on: Float[np.ndarray, " V"], rng: np.random.Generator
) -> Bool[np.ndarray, " V"]:
    """Draw a set of symbols that make up the share of ones; symbols that do not occur take part by chance."""
    target, present = on.sum(), np.flatnonzero(counts)
    chosen = rng.random(len(counts)) < target / counts.sum()
    if target in (0, counts.sum()):
        return np.full(len(counts), target > 0)
    itself = on[present] / counts[present]
    forbidden = [itself == 1, itself == 0] if np.isin(itself, (0, 1)).all() else []
    search = _drawn_of_all if len(present) <= _FEW else _drawn
    drawn = search(counts[present], float(target), forbidden, rng)
    if drawn is None:
        raise ValueError(
            f"expected symbols enough for a control task that is not feature {name!r} itself, got {len(present)}: "
            "leave the feature out"
        )
    chosen[present] = drawn
    return chosen


def _near(counts: Int[np.ndarray, " P"], target: float) -> float:
    """How many positions' difference still counts as the same rate."""
    total = counts.sum()
    return float(min(0.01 * total, 0.1 * min(target, total - target)))


def _drawn_of_all(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> Bool[np.ndarray, " P"] | None:
    """Draw from all the sets of a few symbols that come about as close as any can."""
    sets = (np.arange(2 ** len(counts))[:, None] >> np.arange(len(counts))) & 1 == 1
    gaps = np.abs(sets @ counts - target)
    gaps[[0, -1]] = np.inf
    for other in forbidden:
        gaps[(sets == other).all(axis=1)] = np.inf
    if not np.isfinite(gaps).any():
        return None
    return sets[rng.choice(np.flatnonzero(gaps <= max(gaps.min(), _near(counts, target))))]


def _drawn(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> Bool[np.ndarray, " P"] | None:
    """Draw sets of many symbols until one comes close; the closest where none does."""
    best, best_gap = None, np.inf
    for _ in range(_TRIES):
        chosen, gap = _climbed(counts, target, forbidden, rng)
        if gap < best_gap:
            best, best_gap = chosen, gap
        if gap <= _near(counts, target):
            break
    return best


def _climbed(
    counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, " P"], float]:
    """Fill up symbols in random order, then turn over one, or two, until their sum is close or comes no closer."""
    chosen, total = np.zeros(len(counts), bool), 0
    for row in rng.permutation(len(counts)):
        if abs(total + counts[row] - target) < abs(total - target):
            chosen[row] = True
            total += int(counts[row])
    here = abs(total - target) if _allowed(chosen, forbidden) else np.inf
    while here > _near(counts, target):
        turned, gap = _closest(chosen, counts, target, forbidden)
        if gap >= here:
            break
        chosen, here = turned, gap
    return chosen, float(here)


def _closest(
    chosen: Bool[np.ndarray, " P"], counts: Int[np.ndarray, " P"], target: float, forbidden: list[np.ndarray]
) -> tuple[Bool[np.ndarray, " P"], float]:
    """Turn over the one symbol, or the two, that bring the sum closest; infinity where no such set is allowed."""
    change = np.where(chosen, -counts, counts)
    both = change[:, None] + change[None, :]
    np.fill_diagonal(both, change)
    gaps = np.abs(counts[chosen].sum() + both - target).astype(np.float64)
    for _ in range(gaps.size):
        a, b = np.unravel_index(gaps.argmin(), gaps.shape)
        turned = chosen.copy()
        turned[[a, b]] = ~chosen[[a, b]]
        if _allowed(turned, forbidden):
            return turned, float(gaps[a, b])
        gaps[a, b] = np.inf
    return chosen, float("inf")


def _allowed(chosen: Bool[np.ndarray, " P"], forbidden: list[np.ndarray]) -> bool:
    varies = chosen.any() and not chosen.all()
    return bool(varies) and not any((chosen == other).all() for other in forbidden)
