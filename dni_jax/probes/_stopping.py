"""How far a score on some of the data may lie from that on all of it, estimated from its folds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def fold_margin(
    scores: Float[np.ndarray, "*pairs K"],
    read: float,
    confidence: float = 0.95,
    evaluation: int = 1,
    least: Float[np.ndarray, "*some"] | float = 0.0,
) -> Float[np.ndarray, "*pairs"]:
    """Half-width of an interval about the mean over folds, for the mean that all the data would give.

    ``t * s * sqrt((1 / K + 1 / (K - 1)) * (1 - read))``: s is the standard deviation between folds. A fold's score
    depends on its own positions and on the training set, which two folds share in part; the second term stands for
    that (Nadeau & Bengio 2003, the corrected resampled t-test). ``1 - read`` is the correction for draws without
    replacement from what there is (Cochran 1977, section 2.6). t is the two-sided quantile with K - 1 degrees of
    freedom; at the i-th evaluation of growing data the error ``6 (1 - confidence) / (pi^2 i^2)`` is spent, which adds
    up to ``1 - confidence`` over any number of evaluations.

    It holds where each fold is made of parts of the data drawn at random, and a fold holds so many of them that its
    score is about normal and its expectation no longer moves with the size of the data.

    Parameters
    ----------
    scores : float array (..., K)
        Held-out scores.
    read : float
        The share of the data read, 0 to 1.
    confidence : float
        How often the interval holds, at least, over all evaluations together, for one pair.
    evaluation : int
        The number of this evaluation, from 1.
    least : float or array that broadcasts to (...)
        The smallest s: folds that agree by chance, or because all are still perfect, count as no surer than this.

    Returns
    -------
    float64 (...). Infinite where a fold has no score (NaN) and data are left.

    Raises
    ------
    ValueError
        For fewer than two folds, or numbers out of range.

    Examples
    --------
    >>> scores = np.array([0.90, 0.92, 0.91, 0.89])
    >>> [round(float(fold_margin(scores, read)), 4) for read in (0.1, 0.5, 1.0)]
    [0.0363, 0.027, 0.0]
    """
    n_folds = scores.shape[-1]
    if n_folds < 2:
        raise ValueError(f"expected scores of at least 2 folds, got {n_folds}")
    if not 0 <= read <= 1 or not 0 < confidence < 1 or evaluation < 1:
        raise ValueError(
            f"expected read within [0, 1], confidence between 0 and 1 and evaluation of at least 1, got {read}, "
            f"{confidence} and {evaluation}"
        )
    from scipy.stats import t as student  # takes a second to import

    error = 6 * (1 - confidence) / (np.pi**2 * evaluation**2)
    quantile = float(student.ppf(1 - error / 2, n_folds - 1))
    spread = np.maximum(np.std(scores.astype(np.float64), axis=-1, ddof=1), least)
    if read == 1:
        return np.zeros(spread.shape)
    margin = quantile * spread * np.sqrt((1 / n_folds + 1 / (n_folds - 1)) * (1 - read))
    return np.where(np.isnan(margin), np.inf, margin)
