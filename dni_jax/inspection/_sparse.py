"""How many neurons it takes to represent a feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dni_jax.features import Labels
from dni_jax.inspection._data import folds_of, load_data
from dni_jax.probes import select_neurons

_TOP = 10  # neurons at most, unless it is said how many


def sparse_probe(
    states: Any,
    labels: Labels,
    k: int | None = None,
    folds: int | np.ndarray = 5,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how well 1, 2, ... k neurons together predict each feature.

    One neuron may represent a feature, or many may share it. Neurons are chosen greedily by least squares on each
    training set (Gurnee et al. 2023 ask the same of language models); scores are held out.

    Parameters
    ----------
    states, labels, folds, groups, seed
        As in `dni_jax.inspect`.
    k
        The most neurons. Default: 10, or all if the network has fewer.

    Returns
    -------
    Dataset with ``r2`` ``(k, feature, fold)``, the held-out R^2 of the first k neurons (for binary features on labels
    of 0 and 1), and ``neurons`` ``(k, feature, fold)``, the one chosen at each step.

    Raises
    ------
    ValueError
        As `inspect`, and for a k that is not between 1 and the number of neurons.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(50, seed=0)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> hidden = np.random.default_rng(0).normal(size=(corpus.n_positions, 6))
    >>> hidden[:, 4] = labels["digit"] + hidden[:, 2]
    >>> found = dni.inspection.sparse_probe(hidden, labels, k=2, groups=corpus.string_ids)
    >>> set(found["neurons"].sel(k=1).values.ravel().tolist()), bool((found["r2"].sel(k=2) > 0.99).all())
    ({4}, True)
    """
    hidden, labels, own_groups = load_data(states, labels, groups)
    dealt = folds_of(hidden, labels, folds, own_groups, seed)
    k = min(_TOP, hidden.shape[1]) if k is None else k
    selected = select_neurons(hidden, labels.matrix, dealt, k)
    dims = ("k", "feature", "fold")
    return xr.Dataset(
        {"r2": (dims, selected["r2"]), "neurons": (dims, np.moveaxis(selected["neurons"], 2, 0))},
        coords={"k": np.arange(1, k + 1), "feature": list(labels.names), "kind": ("feature", list(labels.kinds))},
    )
