"""Whether attribution ranks neurons as ablation and relevance do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import rankdata

from dni_jax.inspection import ranking


def rank_agreement(
    attribution: xr.Dataset,
    effects: xr.Dataset,
    relevance: xr.Dataset | None = None,
    features: str | Sequence[str] = (),
    *,
    by: str = "score",
) -> xr.Dataset:
    """Compare the order of neurons by attribution with their order by ablation, and by what they know.

    Parameters
    ----------
    attribution
        From `dni_jax.lab.attribution.attribute`.
    effects
        From `dni_jax.lab.attribution.ablation_effects` of single neurons, at the same lags, for the same target and part.
    relevance, features
        From `dni_jax.inspect`, and names of its features; or neither.
    by
        The score that ranks neurons by relevance.

    Returns
    -------
    Dataset of Spearman's rank correlations over neurons, one a lag: ``signed`` (mean attribution with mean effect),
    ``magnitude`` (their mean absolute values); and, with features, ``relevance`` ``(lag, feature)`` (mean absolute
    attribution with the order of neurons by relevance) and ``effect_relevance`` (that of ablation). NaN where all
    neurons are alike.

    Raises
    ------
    ValueError
        For datasets of other neurons, lags, targets or parts.

    Examples
    --------
    >>> coords = {"neuron": [0, 1, 2], "lag": [0]}
    >>> both = ("neuron", "lag")
    >>> found = xr.Dataset({"attribution": (both, [[1.0], [-3.0], [2.0]]), "magnitude": (both, [[1.0], [3.0], [2.0]])})
    >>> effects = found.rename(attribution="effect")
    >>> rank_agreement(found.assign_coords(coords), effects.assign_coords(coords))["signed"].item()
    1.0
    """
    _check(attribution, effects)
    lags = attribution["lag"].values
    loud, harm = (one["magnitude"].transpose("lag", "neuron").values for one in (attribution, effects))
    pairs = {
        "signed": (attribution["attribution"].transpose("lag", "neuron").values,
                   effects["effect"].transpose("lag", "neuron").values),
        "magnitude": (loud, harm),
    }  # fmt: skip
    variables = {name: ("lag", np.asarray([spearman(*row) for row in zip(*two, strict=True)]))
                 for name, two in pairs.items()}  # fmt: skip
    result = xr.Dataset(variables, coords={"lag": lags})
    names = [features] if isinstance(features, str) else list(features)
    if not names:
        return result
    if relevance is None or relevance.sizes["neuron"] != attribution.sizes["neuron"]:
        there = "none" if relevance is None else f"one of {relevance.sizes['neuron']}"
        raise ValueError(f"expected a relevance of {attribution.sizes['neuron']} neurons beside features, got {there}")
    orders = [ranking(relevance, name, by) for name in names]
    standing = [-np.argsort(order).astype(float) for order in orders]  # the best neuron's is the highest
    for name, values in (("relevance", loud), ("effect_relevance", harm)):
        table = np.asarray([[spearman(row, stands) for stands in standing] for row in values])
        result[name] = (("lag", "feature"), table)
    return result.assign_coords(feature=names)


def share_by_lag(attribution: xr.Dataset, sets: Int[np.ndarray, "M k"]) -> Float[np.ndarray, "M L"]:
    """What part of all neurons' mean absolute attribution some sets of neurons hold, at each lag.

    Parameters
    ----------
    attribution
        From `dni_jax.lab.attribution.attribute`.
    sets
        The neurons of each set, for example the best of a feature in the first row and random ones in the others.

    Raises
    ------
    ValueError
        For a neuron that is not there.

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


def spearman(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"]) -> float:
    """Rank correlation; NaN where either side is constant.

    Examples
    --------
    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")
