"""p-values from scores and their repetitions under a null, single and corrected for how many are tested."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_TIE = 1e-9  # scores this close, in units of their spread, are equal


def benjamini_hochberg(p: Float[np.ndarray, "*tests"]) -> Float[np.ndarray, "*tests"]:
    """Return the smallest false discovery rate at which each hypothesis is rejected (Benjamini & Hochberg 1995).

    NaN marks what was not tested.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.9, np.nan])).round(3).tolist()
    [0.03, 0.03, 0.9, nan]
    """
    tested = ~np.isnan(p)
    some = p[tested]
    order = np.argsort(some)
    scaled = some[order] * len(some) / np.arange(1, len(some) + 1)
    q = np.empty(len(some))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    result = np.full(p.shape, np.nan)
    result[tested] = q
    return result


def p_values(
    scores: Float[np.ndarray, "R1 N G"], two_sided: bool
) -> tuple[dict[str, Float[np.ndarray, "N G"]], Float[np.ndarray, "R1 G"]]:
    """Compute the p-values of row 0 among all rows, and each row's maximum over neurons."""
    distance = distances(scores, two_sided)
    observed, n_rows = distance[0], len(scores)
    maxima = distance.max(1)
    rest = scores[1:]
    result = {
        "p": (distance >= observed - _TIE).sum(0) / n_rows,
        "p_family": at_least(maxima, observed),
        "score": scores[0],
        "null_mean": rest.mean(0),
        "null_sd": rest.std(0),
        "distance": observed,
    }
    return result, maxima


def distances(scores: Float[np.ndarray, "R1 N G"], two_sided: bool) -> Float[np.ndarray, "R1 N G"]:
    """Compute distances from the mean over rows in units of their spread; 0 where all rows are equal."""
    centre = scores.mean(0)
    off = scores - centre
    spread = np.sqrt((off * off).mean(0))
    flat = spread <= 1e-12 * np.maximum(np.abs(scores).max(0), 1.0)
    off = np.where(flat, 0.0, off / np.where(flat, 1.0, spread))
    return np.abs(off) if two_sided else off


def at_least(maxima: Float[np.ndarray, "R1 G"], observed: Float[np.ndarray, "N G"]) -> Float[np.ndarray, "N G"]:
    """Compute the share of rows whose maximum is at least as far out as each observed distance."""
    result = np.empty(observed.shape)
    for column in range(observed.shape[1]):
        ordered = np.sort(maxima[:, column])
        result[:, column] = len(ordered) - np.searchsorted(ordered, observed[:, column] - _TIE)
    return result / len(maxima)
