"""An order of neurons and features in which those that go together stand together."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import leaves_list, linkage

_MOST_ORDERED = 600  # leaves whose best order is searched for; beyond, the tree's own order stands


def strengths(relevance: xr.Dataset) -> Float[np.ndarray, "N F"]:
    """How well each neuron knows each feature, from 0 to 1: 2 AUC - 1, or R^2; worse than chance counts as 0."""
    means = relevance[["auc", "score"]].mean("fold").transpose("neuron", "feature")
    binary = relevance["kind"].values == "binary"
    values = np.where(binary[None, :], 2 * means["auc"].values - 1, means["score"].values)
    return np.clip(np.nan_to_num(values.astype(np.float64), nan=0.0), 0, 1)


def clustered(rows: Float[np.ndarray, "N F"]) -> Int[np.ndarray, " N"]:
    """Order rows so that alike ones stand together: average linkage of Euclidean distances, leaves in optimal order.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.1], [1.0, 0.9]])
    >>> order = clustered(rows).tolist()
    >>> abs(order.index(0) - order.index(2)), abs(order.index(1) - order.index(3))
    (1, 1)
    """
    if len(rows) < 3:
        return np.arange(len(rows))
    tree = linkage(rows, method="average", optimal_ordering=len(rows) <= _MOST_ORDERED)
    return leaves_list(tree).astype(np.int64)
