"""Runs that can be queried with SQL."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.query._folders import RunContents, find_runs, short_names
from dni_jax.app.query._views import check_query, connect, format_error, list_columns
from dni_jax.app.run_folder import RunFolder
from dni_jax.inspection import read_relevance
from dni_jax.models import TrainedModel, fingerprint_network, load

_MAX_LISTED = 6  # names in a message
_MAX_EXACT = 2.0**53  # above it, not every integer is a float64


@dataclass(frozen=True, eq=False)
class Runs:
    """Run folders to query with SQL; see `open_runs`.

    The contents of the folders are those at the time of opening. Open the runs again to see newer results.
    """

    contents: tuple[RunContents, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs: for each, the shortest ending of its path that no other run has."""
        return tuple(run.name for run in self.contents)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Folders of the runs, in the order of `names`."""
        return tuple(run.path for run in self.contents)

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """Tables that queries can use, each with its columns and their SQL types."""
        with connect(self.contents) as connection:
            return list_columns(connection)

    def query(self, sql: str) -> pd.DataFrame:
        """Run one SQL query (DuckDB's dialect) and return its result.

        Every table has a column ``run`` to join on:

        - ``runs``: one row per run: ``path``, ``finished``, every setting of its ``config.toml`` (NULL if it was left
          at its default), ``loss`` and ``ideal`` (nats per symbol), ``gap`` (``loss / ideal - 1``), ``positions``
        - ``scores``: one row per run, neuron and feature: means over folds, and the number of ``folds`` with a score;
          the table for most queries
        - ``relevance``: the same with one row per fold
        - ``effects``: the effects of overriding neurons, as from `verify`
        - if a run has them: ``findings`` (one row per feature), ``training`` and ``dynamics`` (one row per step)

        Runs of older and newer versions can be mixed; values that older ones lack are NULL. Only the columns that a
        query needs are read from disk.

        Parameters
        ----------
        sql
            SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, SHOW TABLES or PIVOT ... IN. Statements that could change a file
            are refused, and so is reading any file except the tables of the runs.

        Raises
        ------
        ValueError
            If DuckDB rejects the query (with its message and a list of all tables), or it does more than read.

        Examples
        --------
        >>> import tempfile
        >>> from dni_jax.app.config import RunConfig
        >>> from dni_jax.app.run_folder import RunFolder
        >>> folder = RunFolder.claim(RunConfig(out=tempfile.mkdtemp() + "/first"))
        >>> runs = open_runs(folder.path)
        >>> runs.query("SELECT run, language, hidden, finished FROM runs").values.tolist()
        [['first', 'parentheses', 128, False]]
        """
        with connect(self.contents) as connection:
            try:
                result = connection.sql(check_query(connection, sql))
                return _to_python(result.df(), [str(kind) for kind in result.types])
            except duckdb.Error as error:
                tables = "\n".join(f"  {view}: {', '.join(held)}" for view, held in list_columns(connection).items())
                raise ValueError(
                    f"expected a valid query over {self!r}, got: {format_error(error)}\nTables:\n{tables}"
                ) from error

    def relevance(self, run: str) -> xr.Dataset:
        """Return the relevance of one run, as `dni_jax.inspect` computed it.

        Raises
        ------
        ValueError
            If there is no such run, or it does not have this result yet.
        """
        folder = RunFolder(self._get(run).path)
        folder.check_files(folder.relevance.name)
        return read_relevance(folder.relevance)

    def model(self, run: str) -> TrainedModel:
        """Return the network of one run.

        Raises
        ------
        ValueError
            If there is no such run, or it does not have this result yet.
        """
        folder = RunFolder(self._get(run).path)
        model = load(folder.model)
        folder.check_network(fingerprint_network(model))
        return model

    def _get(self, run: str) -> RunContents:
        for one in self.contents:
            if one.name == run:
                return one
        raise ValueError(f"expected one of the runs {_join(self.names)}, got {run!r}")

    def __len__(self) -> int:
        return len(self.contents)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"{len(self)} run{'s' if len(self) != 1 else ''} ({_join(self.names)})"

    def _repr_html_(self) -> str:
        rows = [
            (run.name, "yes" if run.row["finished"] else "no", _number(run.row["loss"]), _number(run.row["gap"]),
             ", ".join(run.tables), str(run.path))
            for run in self.contents
        ]  # fmt: skip
        header = ("run", "finished", "loss", "gap", "tables", "path")
        lines = [f"<tr>{''.join(f'<th>{name}</th>' for name in header)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
        return f"<table>{''.join(lines)}</table>"


def open_runs(paths: str | Path | Sequence[str | Path]) -> Runs:
    """Open run folders, to query all of them with SQL.

    Parameters
    ----------
    paths
        A run folder, a pattern (``runs/*``; ``runs/**/`` also searches nested folders), or a list of them. Patterns
        skip folders that hold no run.

    Raises
    ------
    ValueError
        If a path without wildcards is not a run folder, there is no run at all, or a file of a run is broken or was
        written by a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from dni_jax.app.config import RunConfig
    >>> from dni_jax.app.run_folder import RunFolder
    >>> root = tempfile.mkdtemp()
    >>> for seed, name in enumerate(("first", "second")):
    ...     _ = RunFolder.claim(RunConfig(out=f"{root}/{name}", strings=1_000 * (seed + 1)))
    >>> runs = open_runs(f"{root}/*")
    >>> runs
    2 runs (first, second)
    >>> runs.query("SELECT run FROM runs WHERE strings > 1500")["run"].tolist()
    ['second']
    """
    folders = find_runs(paths)
    return Runs(tuple(RunContents.read(name, path) for name, path in zip(short_names(folders), folders, strict=True)))


def _to_python(frame: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Convert sums of integers, which DuckDB returns as floats, to integers, and arrays in cells to lists."""
    columns = {}
    for place, kind in enumerate(kinds):
        column = frame.iloc[:, place]
        if kind == "HUGEINT" and (column.dropna().abs() <= _MAX_EXACT).all():
            column = column.astype("Int64" if column.isna().any() else "int64")
        elif column.dtype == object:
            column = column.map(lambda cell: cell.tolist() if isinstance(cell, np.ndarray) else cell)
        columns[frame.columns[place]] = column
    return pd.DataFrame(columns, columns=frame.columns)


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
