"""What the scores of many draws of one network say together: intervals, and who is among the best how often."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float, Int


def credible(found: xr.Dataset, *, k: int = 10, level: float = 0.95) -> xr.Dataset:
    """Put the relevance of draws together, neuron by neuron: right only where neuron 3 is neuron 3 in every draw.

    Parameters
    ----------
    found
        From `dni_jax.inspect` on a population of draws: with a dimension ``model``.
    k
        How many neurons count as the top ones.
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
    if "model" not in found.dims or found.sizes["model"] < 2:
        raise ValueError("expected the relevance of at least two draws (a dimension 'model'), got that of one network")
    if not 1 <= k <= found.sizes["neuron"]:
        raise ValueError(f"expected k from 1 to {found.sizes['neuron']} (the number of neurons), got {k}")
    if not 0 < level < 1:
        raise ValueError(f"expected level between 0 and 1, got {level}")
    dims = ("neuron", "feature")
    each = {
        name: found[name].mean("fold").transpose("model", *dims).values for name in ("score", "auc") if name in found
    }
    each["strength"] = strength_of(found)
    variables = {}
    for name, drawn in each.items():
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        for said, values in ((name, drawn.mean(0)), (f"{name}_low", low), (f"{name}_high", high)):
            variables[said] = (dims, values)
    rank = ranks(each["strength"])
    known = ~np.isnan(each["strength"]).any((0, 1))
    variables["rank"] = (dims, np.where(known, rank.mean(0), np.nan))
    variables["p_top"] = (dims, np.where(known, (rank < k).mean(0), np.nan))
    coords = {name: found[name] for name in ("neuron", "feature", "kind", "share") if name in found.coords}
    about = {"k": k, "level": level, "draws": found.sizes["model"], "local": "draws do not leave one mode"}
    return xr.Dataset(variables, coords, {**found.attrs, **about})


def strength_of(found: xr.Dataset) -> Float[np.ndarray, "D N F"]:
    """2 AUC - 1 of binary features, R^2 of continuous ones, the mean over folds; ``(model, neuron, feature)``."""
    order = ("model", "neuron", "feature")
    score = found["score"].mean("fold").transpose(*order).values.astype(np.float64)
    if "auc" not in found:
        return score
    auc = found["auc"].mean("fold").transpose(*order).values.astype(np.float64)
    return np.where(found["kind"].values == "binary", 2 * auc - 1, score)


def ranks(strength: Float[np.ndarray, "D N F"]) -> Int[np.ndarray, "D N F"]:
    """Each neuron's place in each draw, 0 the best; ties go to the lower number."""
    return np.argsort(np.argsort(-strength, axis=1, kind="stable"), axis=1, kind="stable")
