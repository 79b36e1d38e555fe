"""Relevance as a table on disk, and back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import xarray as xr

from dni_jax.files import written_aside


def relevance_table(relevance: xr.Dataset) -> pd.DataFrame:
    """One row for each neuron, feature and fold, with every score and the baseline.

    What has no fold, or no neuron, stands in each of its rows; the table's ``attrs["dims"]`` says which.
    """
    table = relevance.to_dataframe().reset_index()
    table.attrs["dims"] = {str(name): [str(dim) for dim in relevance[name].dims] for name in relevance}
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet; the file appears whole or not at all."""
    with written_aside(path) as aside:
        table.to_parquet(aside, index=False)


def read_relevance(path: str | Path) -> xr.Dataset:
    """Read back the dataset that a run has written as ``relevance.parquet``.

    Raises
    ------
    ValueError
        Where the file is missing or is no such table.
    """
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
