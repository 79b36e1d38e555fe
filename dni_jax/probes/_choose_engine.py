"""Which engine serves a spec, and updates from several chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dni_jax.probes import _engine_counts, _engine_grid, _engine_moments, _engine_sorted
from dni_jax.probes._check import Chunk
from dni_jax.probes._engine import Engine
from dni_jax.probes._spec import ProbeSpec

_EXACT_POSITIONS = 500_000  # above which the prefixes of sorted neurons outgrow the caches


def choose_engine(spec: ProbeSpec, n_positions: int | None) -> Engine:
    """Return the engine for a resolved spec.

    Parameters
    ----------
    spec : ProbeSpec
    n_positions : int, or None
        How many positions there are, all in memory; None for a stream.

    Returns
    -------
    Engine
        With engine="auto", streams and classifiers on more than 500,000 positions are binned.

    Examples
    --------
    >>> choose_engine(ProbeSpec(metrics=("auc",)), 1_000).name
    'exact'
    """
    binned = spec.engine == "binned"
    if spec.engine == "auto":
        binned = n_positions is None or (spec.classifies and n_positions > _EXACT_POSITIONS)
    if spec.classifies:
        return _engine_counts.ENGINE if binned else _engine_sorted.ENGINE
    return _engine_grid.ENGINE if binned else _engine_moments.ENGINE


def accumulate(engine: Engine, stats: Any, chunks: Iterable[Chunk]) -> Any:
    """Update stats with chunk after chunk.

    Parameters
    ----------
    engine : Engine
    stats
        From ``engine.init``; must not be used afterwards.
    chunks : iterable of (hidden, labels, folds)
        Arrays (t, N), (t, F) and (t,) with -1 for positions not used. Chunks of one length compile once.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import ProbeSpec, Sample
    >>> x, folds = np.linspace(-1, 1, 100)[:, None], np.arange(100) % 2
    >>> spec = ProbeSpec("ridge", metrics=("pearson",))
    >>> engine = choose_engine(spec, n_positions=None)
    >>> stats = engine.init(spec, Sample(x, x**3, folds, n_folds=2))
    >>> engine.score(accumulate(engine, stats, [(x, x**3, folds)]))["pearson"].round(2).tolist()
    [[[0.92, 0.92]]]
    """
    for chunk in chunks:
        stats = engine.update(stats, *chunk)
    return stats
