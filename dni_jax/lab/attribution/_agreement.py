"""Agreement of attribution with ablation and with relevance on which neurons matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.inspection import rankings, spearman


def rank_agreement(
    attribution: xr.Dataset,
    effects: xr.Dataset,
    relevance: xr.Dataset | None = None,
    features: str | Sequence[str] = (),
    *,
    by: str = "score",
) -> xr.Dataset:
    """Compare the ranking of neurons by attribution with those by ablation and by relevance.

    Parameters
    ----------
    attribution
        From `dni_jax.lab.attribution.attribute`.
    effects
        From `dni_jax.lab.attribution.ablation_effects` of single neurons, with the same lags, target and part.
    relevance, features
        From `dni_jax.inspect`, and names of its features; or neither of them.
    by
        The score that ranks neurons by relevance.

    Returns
    -------
    Dataset of Spearman's rank correlations over neurons, one per lag: ``signed`` (mean attribution with mean effect),
    ``magnitude`` (their mean absolute values); and, with features, ``relevance`` ``(lag, feature)`` (mean absolute
    attribution with the ranking of neurons by relevance) and ``effect_relevance`` (that of ablation). NaN where all
    neurons have the same value.

    Raises
    ------
    ValueError
        If the datasets differ in neurons, lags, target or part.

    Examples
    --------
    >>> coords = {"neuron": [0, 1, 2], "lag": [0]}
    >>> both = ("neuron", "lag")
    >>> scores = xr.Dataset({"attribution": (both, [[1.0], [-3.0], [2.0]]), "magnitude": (both, [[1.0], [3.0], [2.0]])})
    >>> effects = scores.rename(attribution="effect")
    >>> rank_agreement(scores.assign_coords(coords), effects.assign_coords(coords))["signed"].item()
    1.0
    """
    _check(attribution, effects)
    lags = attribution["lag"].values
    attributed, ablated = (one["magnitude"].transpose("lag", "neuron").values for one in (attribution, effects))
    pairs = {
        "signed": (attribution["attribution"].transpose("lag", "neuron").values,
                   effects["effect"].transpose("lag", "neuron").values),
        "magnitude": (attributed, ablated),
    }  # fmt: skip
    variables = {name: ("lag", spearman(a[:, :, None], b[:, :, None])[:, 0]) for name, (a, b) in pairs.items()}
    result = xr.Dataset(variables, coords={"lag": lags})
    names = [features] if isinstance(features, str) else list(features)
    if not names:
        return result
    if relevance is None or relevance.sizes["neuron"] != attribution.sizes["neuron"]:
        got = "none" if relevance is None else f"one of {relevance.sizes['neuron']}"
        raise ValueError(f"expected a relevance of {attribution.sizes['neuron']} neurons with features=, got {got}")
    # (1, neuron, feature); the best neuron has the highest rank.
    ranks = -np.argsort(rankings(relevance, names, by), axis=1).T.astype(float)[None]
    for name, values in (("relevance", attributed), ("effect_relevance", ablated)):
        result[name] = (("lag", "feature"), spearman(values[:, :, None], ranks))
    return result.assign_coords(feature=names)


def share_by_lag(attribution: xr.Dataset, sets: Int[np.ndarray, "M k"]) -> Float[np.ndarray, "M L"]:
    """Compute the share of sets of neurons in the mean absolute attribution of all neurons, at each lag.

    Parameters
    ----------
    attribution
        From `dni_jax.lab.attribution.attribute`.
    sets
        The neurons of each set, for example the best of a feature in the first row and random sets in the others.

    Raises
    ------
    ValueError
        For a neuron that does not exist.

    Examples
    --------
    >>> found = xr.Dataset({"magnitude": (("neuron", "lag"), [[1.0, 0.0], [3.0, 1.0], [4.0, 1.0]])})
    >>> share_by_lag(found, np.array([[0, 1], [1, 2]])).tolist()
    [[0.5, 0.5], [0.875, 1.0]]
    """
    magnitude = attribution["magnitude"].transpose("neuron", "lag").values
    if sets.size and (sets.min() < 0 or sets.max() >= len(magnitude)):
        raise ValueError(f"expected neurons 0 to {len(magnitude) - 1}, got {sets.min()} to {sets.max()}")
    return magnitude[sets].sum(axis=1) / magnitude.sum(axis=0)


def _check(attribution: xr.Dataset, effects: xr.Dataset) -> None:
    if "neuron" not in effects.dims:
        raise ValueError("expected effects of single neurons, got those of sets: call ablation_effects without sets")
    for name in ("neuron", "lag"):
        ours, theirs = attribution[name].values.tolist(), effects[name].values.tolist()
        if ours != theirs:
            raise ValueError(f"expected effects of the same {name}s as the attribution, {ours}, got {theirs}")
    for name in ("target", "part"):
        if attribution.attrs.get(name) != effects.attrs.get(name):
            raise ValueError(
                f"expected effects of the attribution's {name}, {attribution.attrs.get(name)!r}, "
                f"got {effects.attrs.get(name)!r}"
            )
