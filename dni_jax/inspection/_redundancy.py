"""Groups of neurons with the same information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from dni_jax.probes import check_hidden
from dni_jax.states import as_activations


def redundancy(
    states: Any,
    neurons: Sequence[int] | np.ndarray | pd.Series | None = None,
    threshold: float = 0.8,
    *,
    mask: Any = None,
) -> xr.Dataset:
    """Cluster neurons whose states are the same up to sign and scale.

    Agglomerative clustering with complete linkage on ``1 - |r|``: any two neurons of a cluster correlate by at least
    the threshold.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    neurons
        Which to cluster, as the best of a feature (``dni.top(relevance, "depth")["neuron"]``); all by default.
    threshold
        Smallest absolute correlation within a cluster.
    mask
        bool ``(T,)``: positions to take; all by default.

    Returns
    -------
    Dataset with ``correlation`` ``(neuron, other)``; ``cluster`` ``(neuron,)``, numbered from 0, the largest first,
    and ``size`` ``(neuron,)``, how many neurons its cluster has. A constant neuron correlates with none.

    Raises
    ------
    ValueError
        For states that are not finite, unknown neurons, or a threshold outside of 0 to 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.normal(size=(2, 500))
    >>> redundancy(np.stack([one, two, -2 * one + 0.1 * two], axis=1))["cluster"].values.tolist()
    [0, 1, 0]
    """
    hidden = np.asarray(check_hidden(as_activations(states).read_all()))
    chosen = np.arange(hidden.shape[1]) if neurons is None else np.asarray(neurons)
    if chosen.dtype.kind not in "iu" or not len(chosen) or chosen.min() < 0 or chosen.max() >= hidden.shape[1]:
        raise ValueError(f"expected neurons from 0 to {hidden.shape[1] - 1}, got {neurons!r}")
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError(f"expected each neuron once, got {chosen.tolist()}")
    if not 0 < threshold <= 1:
        raise ValueError(f"expected threshold above 0 and at most 1, got {threshold}")
    used = hidden if mask is None else hidden[np.asarray(mask, bool)]
    correlation = correlations(used[:, chosen])
    cluster = _clusters(1 - np.abs(correlation), 1 - threshold)
    size = np.bincount(cluster)[cluster]
    return xr.Dataset(
        {"correlation": (("neuron", "other"), correlation), "cluster": ("neuron", cluster), "size": ("neuron", size)},
        coords={"neuron": chosen, "other": chosen},
        attrs={"threshold": threshold},
    )


def correlations(hidden: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "N N"]:
    """Compute Pearson's correlation of all pairs of neurons; 0 with a constant one, 1 with itself."""
    x = hidden.astype(np.float64)
    x = x - x.mean(0)
    spread = np.sqrt((x * x).sum(0))
    flat = spread <= 1e-12 * np.maximum(np.abs(hidden).max(0), 1e-300) * np.sqrt(len(x))
    x = np.where(flat, 0.0, x / np.where(flat, 1.0, spread))
    result = np.clip(x.T @ x, -1.0, 1.0)
    np.fill_diagonal(result, 1.0)
    return result


def _clusters(distance: Float[np.ndarray, "N N"], most: float) -> np.ndarray:
    """Return cluster numbers, the largest cluster first, then the one with the lowest neuron."""
    if len(distance) == 1:
        return np.zeros(1, np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage  # takes half a second to import
    from scipy.spatial.distance import squareform

    labels = fcluster(linkage(squareform(distance, checks=False), "complete"), most + 1e-12, "distance")
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(sizes), np.int64)
    place[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return place[inverse]
