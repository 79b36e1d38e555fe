"""Whether networks that differ in their seed alone know the same: over the runs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._tables import features_table, seed_groups, sweep_table
from dni_jax.inspection import read_relevance, seed_stability

_K = 10


def stability_table(runs: str | Path | Sequence[str | Path], axes: Sequence[str] = ()) -> pd.DataFrame:
    """Compare runs that differ in their seed alone, as `dni_jax.inspection.seed_stability` does.

    Neuron 3 of one network has nothing to do with neuron 3 of another: compared are how well the best neuron for each
    feature knows it, and which features are known best.

    Parameters
    ----------
    runs
        As in `sweep_table`; runs that were not inspected are left out.
    axes
        Settings that tell the groups apart; they become columns.

    Returns
    -------
    DataFrame with one row a group of two or more seeds: `axes`, ``runs``, ``seeds`` (how many), ``features`` (that
    vary in all of them), ``spearman`` (the rank correlation over features, mean over pairs of runs),
    ``spearman_low`` (the least), ``overlap`` (the share of the ``k`` best-known features in common, mean over pairs),
    ``k``, and ``sd`` (of the best neuron's strength over seeds, mean over features).
    """
    table = sweep_table(runs)
    inspected = table[[RunFolder(Path(path)).relevance.is_file() for path in table["path"]]]
    rows = [_row(group, axes) for group in seed_groups(inspected)]
    columns = ["runs", "seeds", "features", "spearman", "spearman_low", "overlap", "k", "sd"]
    return pd.DataFrame([row for row in rows if row is not None], columns=[*axes, *columns])


def _row(group: pd.DataFrame, axes: Sequence[str]) -> dict[str, Any] | None:
    known = features_table(group["path"].tolist())
    times = known["feature"].value_counts()
    common = [name for name in known["feature"].unique() if times[name] == len(group)]
    if len(common) < 2:
        return None
    relevances = [read_relevance(RunFolder(Path(path)).relevance).sel(feature=common) for path in group["path"]]
    k = min(_K, len(common), *(one.sizes["neuron"] for one in relevances))
    found = seed_stability(relevances, k=k)
    pairs = np.triu_indices(len(relevances), 1)
    spearman, overlap = found["spearman"].values[pairs], found["overlap"].values[pairs]
    return {
        **{axis: group[axis].iloc[0] for axis in axes},
        "runs": ", ".join(group["run"]),
        "seeds": len(group),
        "features": len(common),
        "spearman": float(spearman.mean()),
        "spearman_low": float(spearman.min()),
        "overlap": float(overlap.mean()),
        "k": k,
        "sd": float(found["profile_sd"].isel(rank=0).mean()),
    }
