"""The best possible cross entropy on a corpus, from all of its strings or from a random sample of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from dni_jax.text import Corpus

_FEWEST = 20  # strings in a sample: fewer give no standard error worth showing


def estimate_cross_entropy(
    log_probability: Callable[[Sequence[str]], Float[np.ndarray, " S"]], corpus: Corpus, fraction: float, seed: int
) -> tuple[float, float]:
    """Return nats per symbol on a fraction of the strings, and the standard error compared with all of them.

    The value is a ratio of two sums over the sample, so its error is that of a ratio estimator (Cochran 1977, section
    6.3), with the correction for a sample from a finite population.
    """
    count = min(len(corpus), max(int(fraction * len(corpus)), _FEWEST))
    strings = corpus.strings
    if count < len(corpus):
        chosen = np.sort(np.random.default_rng(seed).choice(len(corpus), count, replace=False))
        strings = tuple(strings[row] for row in chosen)
    nats = -log_probability(strings)
    symbols = np.asarray([len(string) + 1 for string in strings], float)
    value = float(nats.sum() / symbols.sum())
    if count == len(corpus):
        return value, 0.0
    residual = nats - value * symbols
    variance = (residual**2).sum() / (count - 1) / count * (1 - count / len(corpus))
    return value, float(np.sqrt(variance) / symbols.mean())
