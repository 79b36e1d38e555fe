"""How far off the visited states an intervention goes: the numbers for a reader."""

from __future__ import annotations

import pandas as pd
import xarray as xr


def plausibility_table(effect: xr.Dataset) -> pd.DataFrame:
    """Give one row a feature and k of a verdict that was made with a density.

    Parameters
    ----------
    effect
        From ``dni.verify(..., density=dni.plausibility(states))``.

    Returns
    -------
    Columns ``feature``, ``k``; ``distance`` of the best set's states (Mahalanobis over the square root of N, 1 is
    usual); ``percentile``, ``random percentile`` and ``intact percentile``: of the median state among visited ones, for
    the best neurons, random sets and the intact network (about 50 is usual, 0 is like no visited state).

    Raises
    ------
    ValueError
        For a verdict without a density.
    """
    if "percentile_top" not in effect:
        raise ValueError("expected a verdict with percentiles, got one without: pass density= to dni.verify")
    whole = effect if "feature" in effect.dims else effect.expand_dims("feature")
    shape = xr.zeros_like(whole["percentile_top"])
    columns = {
        "distance": whole["top"].sel(measure="distance", drop=True),
        "percentile": whole["percentile_top"],
        "random percentile": whole["percentile_random"],
        "intact percentile": whole["percentile_intact"] + shape,
    }
    table = xr.Dataset({name: values + shape for name, values in columns.items()}).to_dataframe().reset_index()
    return table[["feature", "k", *columns]]
