"""Run folders to query: which folders a path or pattern names, and what each of them holds."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from glob import glob, has_magic
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dni_jax.app.config import RunConfig
from dni_jax.app.run_folder import INVOCATION_SETTINGS, RunFolder, flatten_config, read_config
from dni_jax.inspection import table_columns

_CONFIG = "config.toml"  # its presence makes a folder a run
# The columns that each table must have, by the name of its view.
PARQUET = {
    "relevance": ("neuron", "feature", "fold", "score"),
    "effects": ("intervention", "feature", "k", "measure"),
    "dynamics": ("step", "neuron", "feature"),
}
CSV = {"findings": ("feature",), "training": ("step",)}

_SQL_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_RESULTS = {"loss": float, "ideal": float, "positions": int}


def find_runs(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the run folders that paths and patterns name, each once, in the order given.

    Patterns skip folders that hold no run. An existing path is never a pattern, even if its name has wildcards.

    Parameters
    ----------
    paths
        A folder, a pattern (``runs/*``, ``runs/**/``), or a list of them. ``~`` is the home folder.

    Raises
    ------
    ValueError
        If a path without wildcards is not a run folder, or there is no run at all.
    """
    names = [paths] if isinstance(paths, str | Path) else list(paths)
    folders: dict[Path, Path] = {}
    for one in names:
        for folder in _expand(os.path.expanduser(one)):
            path = Path(os.path.abspath(folder))
            folders.setdefault(path.resolve(), path)
    if not folders:
        raise ValueError(
            f"expected at least one run (a folder with a {_CONFIG}) at {', '.join(repr(str(one)) for one in names)}, "
            f"searched from {os.getcwd()!r}, got none: `dni run` creates runs"
        )
    return list(folders.values())


def _expand(path: str) -> list[str]:
    if has_magic(path) and not os.path.exists(path):
        return sorted(folder for folder in glob(path, recursive=True) if _is_run(folder))
    if not _is_run(path):
        what = "which holds no run" if os.path.isdir(path) else "a file" if os.path.exists(path) else "nothing"
        raise ValueError(
            f"expected a run's folder (with a {_CONFIG}) in {path!r}, got {what}: a quoted pattern, 'runs/*', "
            "skips everything that is not a run"
        )
    return [path]


def _is_run(path: str) -> bool:
    return os.path.isfile(os.path.join(path, _CONFIG))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return, for each path, its shortest ending that no other path has.

    Examples
    --------
    >>> short_names([Path("/a/runs/one"), Path("/a/runs/two"), Path("/b/runs/two")])
    ['one', 'a/runs/two', 'b/runs/two']
    """
    endings = [["/".join(path.parts[-n:]) for n in range(1, len(path.parts) + 1)] for path in paths]
    counts = Counter(ending for own in endings for ending in own)
    return [next(ending for ending in own if counts[ending] == 1) for own in endings]


@dataclass(frozen=True, eq=False)
class RunContents:
    """What one run folder holds.

    Attributes
    ----------
    name, path
        Short name of the run, and its folder.
    row
        Its row in the table ``runs``, with the columns of `row_types`. Unknown values are None.
    tables
        Columns of each table that exists, by the name of its view.
    """

    name: str
    path: Path
    row: Mapping[str, Any]
    tables: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, name: str, path: Path) -> RunContents:
        """Read the settings and results of a run, and the columns of its tables.

        Raises
        ------
        ValueError
            If a file is broken or was written by a newer version.
        """
        folder = RunFolder(path)
        folder.check_files()
        results = _read_results(folder.summary(), path / "summary.json")
        loss, ideal = results.get("loss"), results.get("ideal")
        row = {
            "run": name,
            "finished": folder.is_finished,
            "loss": loss,
            "ideal": ideal,
            "gap": loss / ideal - 1 if loss is not None and ideal else None,
            "positions": results.get("positions"),
            **_read_settings(path / "config.toml"),
            "path": str(path),
        }
        return cls(name, path, row, _read_columns(path))

    def file(self, view: str) -> Path:
        """Return the path of a table."""
        return self.path / f"{view}.{'parquet' if view in PARQUET else 'csv'}"


def row_types() -> dict[str, str]:
    """Return the columns of the table ``runs`` with their SQL types."""
    results = {"loss": "DOUBLE", "ideal": "DOUBLE", "gap": "DOUBLE", "positions": "BIGINT"}
    return {"run": "VARCHAR", "finished": "BOOLEAN", **results, **_setting_types(RunConfig), "path": "VARCHAR"}


def _setting_types(part: Any) -> dict[str, str]:
    """Return the settings that decide a run's results with their SQL types, nested ones by their short names."""
    types: dict[str, str] = {}
    for name, hint in get_type_hints(part).items():
        if name in INVOCATION_SETTINGS:
            continue
        if is_dataclass(hint):
            types |= _setting_types(hint)
        else:
            types[name] = _sql_type(hint)
    return types


def _sql_type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "VARCHAR"
    if get_origin(hint) is tuple:
        return "VARCHAR[]"
    (kind,) = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    return _SQL_TYPES[kind]


def _read_settings(file: Path) -> dict[str, Any]:
    """Return the settings in a config file. Settings that an older version did not have take their defaults."""
    if not file.stat().st_size:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got an empty file")
    settings = flatten_config(read_config(file))
    if settings["grammar"] is not None:
        settings["language"] = None
    return settings


def _read_results(summary: Mapping[str, Any], file: Path) -> dict[str, Any]:
    results = {name: summary[name] for name in _RESULTS if summary.get(name) is not None}
    for name, value in results.items():
        if isinstance(value, bool) or not isinstance(value, int | _RESULTS[name]):
            raise ValueError(f"expected {name} as a number in {str(file)!r}, got {value!r}: is it broken?")
    return {name: _RESULTS[name](value) for name, value in results.items()}


def _read_columns(path: Path) -> dict[str, tuple[str, ...]]:
    tables = {}
    for view, needed in (PARQUET | CSV).items():
        file = path / f"{view}.{'parquet' if view in PARQUET else 'csv'}"
        if not file.exists():
            continue
        if not file.is_file():
            raise ValueError(f"expected a file in {str(file)!r}, got a folder, pipe or device: is it a run's folder?")
        columns = table_columns(file) if view in PARQUET else _header(file)
        missing = [name for name in needed if name not in columns]
        if missing:
            raise ValueError(
                f"expected the columns {', '.join(needed)} in {str(file)!r}, found none named {', '.join(missing)}: "
                "the file is broken, or not a table of dni_jax"
            )
        tables[view] = tuple(columns)
    return tables


def _header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"expected a CSV table in {str(file)!r}, got a broken one ({error})") from error
