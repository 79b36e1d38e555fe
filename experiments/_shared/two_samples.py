"""Whether two sets of samples come from one distribution."""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import binom


def nearest_neighbor_test(first, second):
    """Tell two samples of equal size apart by each point's nearest other point (Lopez-Paz & Oquab 2017).

    Parameters
    ----------
    first, second
        Both ``(n, d)``.

    Returns
    -------
    The share of points whose nearest other one is of their own sample: about .5 where both come from one distribution,
    1 where they are apart, and below .5 where one repeats the other. And the probability of so large a share, by the
    binomial distribution (nearly: neighbors are not independent).
    """
    if len(first) != len(second):
        raise ValueError(f"expected samples of equal size, got {len(first)} and {len(second)}")
    points = np.concatenate([first, second]).reshape(2 * len(first), -1)
    own = np.arange(len(points)) < len(first)
    distance = cdist(points, points)
    np.fill_diagonal(distance, np.inf)
    right = int((own[distance.argmin(1)] == own).sum())
    return right / len(points), float(binom.sf(right - 1, len(points), 0.5))
