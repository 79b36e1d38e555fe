"""Relevance as a table on disk, and back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import xarray as xr

from dni_jax import processes
from dni_jax.files import written_aside


def relevance_table(relevance: xr.Dataset) -> pd.DataFrame:
    """One row for each neuron, feature and fold, with every score and the baseline.

    What has no fold, or no neuron, stands in each of its rows; the table's ``attrs["dims"]`` says which.
    """
    table = relevance.to_dataframe().reset_index()
    table.attrs["dims"] = {str(name): [str(dim) for dim in relevance[name].dims] for name in relevance}
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet; the file appears whole or not at all. Of several processes the first writes."""
    if not processes.is_first():
        return
    with written_aside(path) as aside:
        table.to_parquet(aside, index=False)


def dynamics_table(relevance: xr.Dataset, step: int) -> pd.DataFrame:
    """One row for each neuron and feature: the means over folds at one step of a training."""
    means = relevance[[name for name in ("score", "auc", "baseline") if name in relevance]].mean("fold")
    table = means.drop_vars(["kind", "share"], errors="ignore").to_dataframe().reset_index()
    table.insert(0, "step", step)
    return table


def continue_table(path: str | Path, rows: pd.DataFrame) -> None:
    """Add the rows of a step to a table on disk, CSV or Parquet by the path's suffix.

    Rows of this step and of later ones, which an interrupted training has left there, are replaced. Of several
    processes the first writes.
    """
    if not processes.is_first():
        return
    path = Path(path)
    read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
    if path.exists():
        before = read(path)
        rows = pd.concat([before[before["step"] < rows["step"].min()], rows], ignore_index=True)
    with written_aside(path) as aside:
        if path.suffix == ".csv":
            rows.to_csv(aside, index=False)
        else:
            rows.to_parquet(aside, index=False)


def read_relevance(path: str | Path) -> xr.Dataset:
    """Read back the dataset that a run has written as ``relevance.parquet``.

    Raises
    ------
    ValueError
        Where the file is missing or is no such table.
    """
    return processes.from_first(lambda: _read(path))


def _read(path: str | Path) -> xr.Dataset:
    try:
        table = pd.read_parquet(path)
        features = list(dict.fromkeys(table["feature"]))
        dataset = xr.Dataset.from_dataframe(table.set_index(["neuron", "feature", "fold"])).sel(feature=features)
        first = {"neuron": 0, "fold": 0}
        dims = table.attrs.get("dims", {"baseline": ["feature", "fold"]})
        for name, own in dims.items():
            dataset[name] = dataset[name].isel({dim: 0 for dim in first if dim not in own})
        return dataset.assign_coords(
            kind=("feature", dataset["kind"].isel(first).values), share=("feature", dataset["share"].isel(first).values)
        )
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"expected a relevance table in {str(path)!r}, got: {error}") from error
