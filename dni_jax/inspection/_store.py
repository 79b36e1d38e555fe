"""Relevance as a table on disk, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from dni_jax import processes
from dni_jax.files import FORMAT, atomic_write, check_format
from dni_jax.settings import RENAMED_COLUMNS

_FORMAT_KEY = b"dni_jax.format"
_MODEL_KEY = b"dni_jax.model"
_ATTRS_KEY = b"PANDAS_ATTRS"  # where pandas keeps a frame's attrs


def relevance_table(relevance: xr.Dataset) -> pd.DataFrame:
    """Return one row for each neuron, feature and fold, with every score and the baseline.

    Values without a fold, or without a neuron, are repeated in each of their rows; the table's ``attrs["dims"]`` lists
    the dimensions of each variable. Its ``attrs["about"]`` holds the dataset's attributes, except for the library.
    """
    table = relevance.to_dataframe().reset_index()
    table.attrs["dims"] = {str(name): [str(dim) for dim in relevance[name].dims] for name in relevance}
    table.attrs["about"] = {name: value for name, value in relevance.attrs.items() if name != "library"}
    return table


def write_table(table: pd.DataFrame, path: str | Path, model: str | None = None) -> None:
    """Write a table as Parquet, with the format's number; the file appears whole or not at all.

    With several processes, only the first writes. `model` is the fingerprint of the network that the table is about;
    see `table_model`.
    """
    if not processes.is_first():
        return
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    about = {**(arrow.schema.metadata or {}), _FORMAT_KEY: str(FORMAT).encode()}
    if model is not None:
        about[_MODEL_KEY] = model.encode()
    if table.attrs:
        about[_ATTRS_KEY] = json.dumps(table.attrs).encode()
    with atomic_write(path) as aside:
        pq.write_table(arrow.replace_schema_metadata(about), aside)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_table` has written, in this format or an older one.

    Raises
    ------
    ValueError
        Where the file is missing, broken, or written by a newer version; names it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.parquet"
    >>> write_table(pd.DataFrame({"neuron": [3, 17]}), path)
    >>> read_table(path)["neuron"].tolist()
    [3, 17]
    """
    table_columns(path)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def table_columns(path: str | Path) -> list[str]:
    """Return the names of a table's columns, and check that the table can be read, without reading it.

    Raises
    ------
    ValueError
        As `read_table` does.
    """
    try:
        about = pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    found = (about.metadata or {}).get(_FORMAT_KEY)
    check_format(int(found) if found is not None and found.isdigit() else found, path)
    schema = about.schema
    return list(dict.fromkeys(schema.column(place).path.split(".")[0] for place in range(len(schema))))


def table_model(path: str | Path) -> str | None:
    """Return the fingerprint of the network that a table is about, if it has one.

    Raises
    ------
    ValueError
        As `read_table` does.
    """
    try:
        found = (pq.read_metadata(path).metadata or {}).get(_MODEL_KEY)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    return None if found is None else found.decode(errors="replace")


def _unreadable(path: str | Path, error: Exception) -> ValueError:
    if not Path(path).exists():
        return ValueError(f"expected a table in {str(path)!r}, got no such file")
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(
        f"expected a whole Parquet file in {str(path)!r}, got a broken one ({first}): make it again, or remove it"
    )


def dynamics_table(relevance: xr.Dataset, step: int) -> pd.DataFrame:
    """Return one row for each neuron and feature: the means over folds at one step of a training run."""
    means = relevance[[name for name in ("score", "auc", "baseline") if name in relevance]].mean("fold")
    table = means.drop_vars(["kind", "share"], errors="ignore").to_dataframe().reset_index()
    table.insert(0, "step", step)
    return table


def continue_table(path: str | Path, rows: pd.DataFrame) -> None:
    """Add the rows of a step to a table on disk, CSV or Parquet by the path's suffix.

    Rows of this step and of later ones, which an interrupted training run has left there, are replaced. With several
    processes, only the first writes.
    """
    if not processes.is_first():
        return
    path = Path(path)
    read = pd.read_csv if path.suffix == ".csv" else read_table
    if path.exists():
        before = read(path)
        rows = pd.concat([before[before["step"] < rows["step"].min()], rows], ignore_index=True)
    if path.suffix != ".csv":
        write_table(rows, path)
        return
    with atomic_write(path) as aside:
        rows.to_csv(aside, index=False)


def read_relevance(path: str | Path) -> xr.Dataset:
    """Read back the dataset that a run has written as ``relevance.parquet``.

    Raises
    ------
    ValueError
        Where the file is missing, broken, no such table, or written by a newer version.
    """
    return processes.broadcast(lambda: _read(path))


def _read(path: str | Path) -> xr.Dataset:
    table = read_table(path).rename(columns=RENAMED_COLUMNS)
    try:
        features = list(dict.fromkeys(table["feature"]))
        dataset = xr.Dataset.from_dataframe(table.set_index(["neuron", "feature", "fold"])).sel(feature=features)
        first = {"neuron": 0, "fold": 0}
        dims = table.attrs.get("dims", {"baseline": ["feature", "fold"]})
        dims = {RENAMED_COLUMNS.get(name, name): own for name, own in dims.items()}
        for name, own in dims.items():
            dataset[name] = dataset[name].isel({dim: 0 for dim in first if dim not in own})
        return dataset.assign_attrs(table.attrs.get("about", {})).assign_coords(
            kind=("feature", dataset["kind"].isel(first).values), share=("feature", dataset["share"].isel(first).values)
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"expected a relevance table in {str(path)!r}, got: {error}") from error
