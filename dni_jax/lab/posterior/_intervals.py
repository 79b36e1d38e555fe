"""Credible intervals of scores and ranks over draws of one network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

_TOP = 10  # neurons, unless it is said how many


def credible_intervals(relevance: xr.Dataset, *, k: int | None = None, level: float = 0.95) -> xr.Dataset:
    """Summarize the relevance of draws neuron by neuron; valid only where neuron 3 is the same neuron in every draw.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect` on a population of draws: with a dimension ``model``.
    k
        The number of neurons that count as the top ones. Default: 10, or all if the network has fewer.
    level
        The share of draws within an interval.

    Returns
    -------
    See `dni_jax.lab.posterior.Posterior.relevance`.

    Raises
    ------
    ValueError
        For a dataset without draws, k out of range, or a level outside (0, 1).
    """
    if "model" not in relevance.dims or relevance.sizes["model"] < 2:
        raise ValueError("expected the relevance of at least two draws (a dimension 'model'), got that of one network")
    n_neurons = relevance.sizes["neuron"]
    k = min(_TOP, n_neurons) if k is None else k
    if not 1 <= k <= n_neurons:
        raise ValueError(f"expected k from 1 to {n_neurons} (the number of neurons), got {k}")
    if not 0 < level < 1:
        raise ValueError(f"expected level between 0 and 1, got {level}")
    dims = ("neuron", "feature")
    scores = {
        name: relevance[name].mean("fold").transpose("model", *dims).values
        for name in ("score", "auc")
        if name in relevance
    }
    scores["strength"] = strength(relevance)
    variables = {}
    for name, values in scores.items():
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
        for column, summary in ((name, values.mean(0)), (f"{name}_low", low), (f"{name}_high", high)):
            variables[column] = (dims, summary)
    rank = ranks(scores["strength"])
    scored = ~np.isnan(scores["strength"]).any((0, 1))
    variables["rank"] = (dims, np.where(scored, rank.mean(0), np.nan))
    variables["p_top"] = (dims, np.where(scored, (rank < k).mean(0), np.nan))
    coords = {name: relevance[name] for name in ("neuron", "feature", "kind", "share") if name in relevance.coords}
    about = {"k": k, "level": level, "draws": relevance.sizes["model"], "local": "draws do not leave one mode"}
    return xr.Dataset(variables, coords, {**relevance.attrs, **about})


def strength(relevance: xr.Dataset) -> Float[np.ndarray, "D N F"]:
    """Compute 2 AUC - 1 of binary features and R^2 of continuous ones, averaged over folds."""
    order = ("model", "neuron", "feature")
    score = relevance["score"].mean("fold").transpose(*order).values.astype(np.float64)
    if "auc" not in relevance:
        return score
    auc = relevance["auc"].mean("fold").transpose(*order).values.astype(np.float64)
    return np.where(relevance["kind"].values == "binary", 2 * auc - 1, score)


def ranks(strength: Float[np.ndarray, "D N F"]) -> Int[np.ndarray, "D N F"]:
    """Return each neuron's rank in each draw, 0 for the best; of equal neurons the lower number comes first."""
    return np.argsort(np.argsort(-strength, axis=1, kind="stable"), axis=1, kind="stable")
