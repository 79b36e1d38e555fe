"""Runs that can be asked in SQL."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.query._contents import Contents
from dni_jax.app.query._folders import find_runs, short_names
from dni_jax.app.query._views import bind, columns_of, connected, message_of
from dni_jax.inspection import read_relevance
from dni_jax.models import TrainedModel, load

_SHOWN = 6  # names in a message
_WHOLE = 2.0**53  # above it, not every whole number is a float64


@dataclass(frozen=True, eq=False)
class Runs:
    """Run folders, and SQL over all of them; see `open_runs`.

    It knows what was in the folders when they were opened: open them again to see more.
    """

    contents: tuple[Contents, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names: the shortest ending of each path that no other one has."""
        return tuple(run.name for run in self.contents)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The runs' folders, in the order of `names`."""
        return tuple(run.path for run in self.contents)

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """The views and tables that SQL can ask, each with its columns and their types."""
        with connected(self.contents) as connection:
            return columns_of(connection)

    def query(self, sql: str) -> pd.DataFrame:
        """Answer one question in SQL (DuckDB's dialect).

        Every table has a column ``run`` to join on:

        - ``runs``: one row a run: ``path``, ``finished``, every setting of its ``config.toml`` (NULL where it was left
          to the program), ``loss`` and ``ideal`` (nats a symbol), ``gap`` (``loss / ideal - 1``), ``positions``;
        - ``scores``: one row a run, neuron and feature: the means over folds, and the number of ``folds`` that could
          judge; what most questions are about;
        - ``relevance``: the same with one row a fold; ``effects``: what overriding neurons does, as from `verify`;
        - where a run has them, ``findings`` (one row a feature), ``training`` and ``dynamics`` (one row a step).

        Runs of older versions stand beside newer ones; what they lack is NULL. Files are read as far as the question
        needs. A connection lives as long as the call.

        Parameters
        ----------
        sql
            SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, SHOW TABLES or PIVOT ... IN. Nothing that could change a file is
            let through, and no file is read but the runs' own tables.

        Raises
        ------
        ValueError
            For SQL that DuckDB does not take (with its message and the tables there are), or that asks for anything
            but reading.

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
        with connected(self.contents) as connection:
            try:
                answer = connection.sql(bind(connection, sql))
                return _tidy(answer.df(), [str(kind) for kind in answer.types])
            except duckdb.Error as error:
                there = "\n".join(f"  {view}: {', '.join(held)}" for view, held in columns_of(connection).items())
                raise ValueError(
                    f"expected SQL that DuckDB can answer over {self!r}, got: {message_of(error)}\nThere are:\n{there}"
                ) from error

    def relevance(self, run: str) -> xr.Dataset:
        """One run's relevance, as `dni_jax.inspect` gave it.

        Raises
        ------
        ValueError
            Where there is no such run, or it has not come so far.
        """
        return read_relevance(self._one(run).path / "relevance.parquet")

    def model(self, run: str) -> TrainedModel:
        """One run's network.

        Raises
        ------
        ValueError
            Where there is no such run, or it has not come so far.
        """
        return load(self._one(run).path / "checkpoint")

    def _one(self, run: str) -> Contents:
        for one in self.contents:
            if one.name == run:
                return one
        raise ValueError(f"expected one of the runs {_listed(self.names)}, got {run!r}")

    def __len__(self) -> int:
        return len(self.contents)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"{len(self)} run{'s' if len(self) != 1 else ''} ({_listed(self.names)})"

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
    """Open run folders, to ask all of them in SQL.

    Parameters
    ----------
    paths
        A run's folder, a pattern (``runs/*``; ``runs/**/`` looks into folders of folders), or several of them. A
        pattern passes over what is no run.

    Raises
    ------
    ValueError
        Where a folder named as it is holds no run, there is no run at all, or a file of a run is broken or written by a
        newer version; names the file.

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
    return Runs(tuple(Contents.of(name, path) for name, path in zip(short_names(folders), folders, strict=True)))


def _tidy(frame: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Whole numbers as such, also sums of them; lists as Python's."""
    columns = {}
    for place, kind in enumerate(kinds):
        held = frame.iloc[:, place]
        if kind == "HUGEINT" and (held.dropna().abs() <= _WHOLE).all():
            held = held.astype("Int64" if held.isna().any() else "int64")
        elif held.dtype == object:
            held = held.map(lambda one: one.tolist() if isinstance(one, np.ndarray) else one)
        columns[frame.columns[place]] = held
    return pd.DataFrame(columns, columns=frame.columns)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
