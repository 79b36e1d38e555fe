"""The uncertainty of predictions over draws: their mean and deviation, and the two parts of their entropy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import entr


class Uncertainty(NamedTuple):
    """The mean and the standard deviation of probabilities over draws, and the entropy of the mean in two parts.

    Attributes
    ----------
    mean, std
        float32 ``(..., V)``. The deviation divides by the number of draws.
    total
        float64 ``(...)``: the entropy of the mean probabilities, in nats; the sum of the two others.
    shared
        The mean of the draws' entropies: what every draw is unsure of, such as noise in the data (aleatoric).
    disagreement
        The mean KL divergence from the draws to their mean, the mutual information of prediction and weights: what the
        draws do not agree on, and more data would settle (epistemic).
    """

    mean: Float[np.ndarray, "*batch V"]
    std: Float[np.ndarray, "*batch V"]
    total: Float[np.ndarray, "*batch"]
    shared: Float[np.ndarray, "*batch"]
    disagreement: Float[np.ndarray, "*batch"]


def measure_uncertainty(probabilities: Iterable[Float[np.ndarray, "*batch V"]]) -> Uncertainty:
    """Measure how unsure the mean of several class probabilities is, and split its entropy in two.

    ``H(mean p) = mean H(p) + mean KL(p || mean p)``: what the draws share, and what they disagree on (Depeweg et al.
    2018).

    Parameters
    ----------
    probabilities
        Of each draw, one at a time or as one array ``(D, ..., V)``.

    Raises
    ------
    ValueError
        For no draws, or numbers that are not probabilities.

    Examples
    --------
    Two draws that are each sure, of different classes, disagree by one bit; two that toss a coin share it.

    >>> at_odds = measure_uncertainty(np.asarray([[1.0, 0.0], [0.0, 1.0]]))
    >>> (at_odds.shared.item(), round(at_odds.disagreement.item(), 4), at_odds.std.tolist())
    (0.0, 0.6931, [0.5, 0.5])
    >>> coins = measure_uncertainty(np.asarray([[0.5, 0.5], [0.5, 0.5]]))
    >>> (round(coins.shared.item(), 4), coins.disagreement.item())
    (0.6931, 0.0)
    """
    count, mean, square, shared = 0, np.zeros(()), np.zeros(()), np.zeros(())
    for one in probabilities:
        p = np.asarray(one, np.float64)
        if not (p.min(initial=0.0) >= 0 and np.allclose(p.sum(-1), 1, atol=1e-3)):
            raise ValueError(
                "expected probabilities of at least 0 that sum to 1 over the last axis, got numbers from "
                f"{p.min(initial=0.0):.4g} and sums up to {p.sum(-1).max(initial=0.0):.4g}: apply a softmax"
            )
        # Welford's update: the sum of squares about the mean so far, without storing the draws.
        count += 1
        change = p - mean
        mean = mean + change / count
        square = square + change * (p - mean)
        shared = shared + entr(p).sum(-1)
    if not count:
        raise ValueError("expected the probabilities of at least one draw, got none")
    total, shared = entr(mean).sum(-1), shared / count
    std = np.sqrt(square / count).astype(np.float32)
    return Uncertainty(mean.astype(np.float32), std, total, shared, np.maximum(total - shared, 0.0))
