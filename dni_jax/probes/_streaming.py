"""Scores from an iterator of chunks: counts for classes, products for continuous labels."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from dni_jax.probes import _check
from dni_jax.probes._binned import score_counts
from dni_jax.probes._counting import choose_levels, count
from dni_jax.probes._products import Grid, choose_grid, multiply, score_products
from dni_jax.probes._result import Scores


def score_stream(
    chunks: Iterable[_check.Chunk],
    *,
    n_folds: int,
    probe: str = "svm",
    metrics: tuple[str, ...] | None = None,
    n_bins: int = 512,
    levels: Any = None,
    grid: Grid | None = None,
    C: float = 1.0,
    alpha: Any = 1.0,
    class_weight: str | None = None,
) -> Scores:
    """Score an iterator of chunks in memory that does not depend on how many there are.

    Parameters
    ----------
    chunks : iterable of (hidden, labels, folds)
        As for `count` (classes) or `multiply` (continuous labels). Chunks of one length compile once.
    n_folds : int
        Number of folds K.
    probe, metrics
        As in `score_neurons`; "ridge" classifies if the first chunk's labels are 0 and 1.
    n_bins : int
        Levels a neuron. The counts take ``4 * N * n_bins * K * (F + 1)`` bytes, twice that while a chunk is added.
    levels : float array (N, B), optional
        For classes, levels from `choose_levels`; by default those of the first chunk, which should then be a fair
        sample.
    grid : Grid, optional
        For continuous labels, a grid from `choose_grid`; by default that of the first chunk.
    C, alpha, class_weight
        As in `score_neurons`.

    Returns
    -------
    Scores
        As from `score_counts`, or from `score_products`.

    Raises
    ------
    ValueError
        As `count` and `score_counts`, `multiply` and `score_products`.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import score_stream
    >>> def chunks():
    ...     for seed in range(3):
    ...         x = np.random.default_rng(seed).normal(size=(500, 2))
    ...         yield x, x[:, :1] > 0, np.arange(500) % 4
    >>> score_stream(chunks(), n_folds=4)["accuracy"].shape
    (2, 1, 4)
    """
    if isinstance(n_folds, bool) or not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise ValueError(f"expected n_folds as a whole number of at least 2, got {n_folds!r}")
    first, chunks = _first_of(iter(chunks))
    _, _, classifies = _check.check_probe(probe, metrics, first[1])
    _check.check_class_weight(class_weight, classifies)
    if classifies:
        levels = choose_levels(first[0], n_bins) if levels is None else np.asarray(levels, np.float64)
        counts = count(chunks, levels, n_folds)
        return score_counts(counts, probe=probe, metrics=metrics, C=C, alpha=alpha, class_weight=class_weight)
    products = multiply(chunks, choose_grid(*first[:2]) if grid is None else grid, n_folds)
    return score_products(products, probe=probe, metrics=metrics, alpha=alpha)


def _first_of(chunks: Iterator[_check.Chunk]) -> tuple[_check.Chunk, Iterator[_check.Chunk]]:
    first = next(chunks, None)
    if first is None:
        raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
    return first, itertools.chain([first], chunks)
