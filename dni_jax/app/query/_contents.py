"""What a run folder holds: its settings and results as one row, and its tables, checked but not read."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dni_jax.app.config import RunConfig
from dni_jax.app.run_folder import NOT_OF_THE_RUN, RunFolder, read_config
from dni_jax.inspection import table_columns

# What a table must have to be one, by the view that shows it.
PARQUET = {
    "relevance": ("neuron", "feature", "fold", "score"),
    "effects": ("intervention", "feature", "k", "measure"),
    "dynamics": ("step", "neuron", "feature"),
}
CSV = {"findings": ("feature",), "training": ("step",)}

_SQL_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_RESULTS = {"loss": float, "ideal": float, "positions": int}


@dataclass(frozen=True, eq=False)
class Contents:
    """One run folder.

    Attributes
    ----------
    name, path
        Its short name, and where it is.
    row
        Its row in the table ``runs``; the names are those of `row_types`, what is not known is None.
    tables
        The columns of each table that is there, by the name of its view.
    """

    name: str
    path: Path
    row: Mapping[str, Any]
    tables: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, name: str, path: Path) -> Contents:
        """Evaluation into a run folder.

        Raises
        ------
        ValueError
            Where a file is broken or written by a newer version; names it.
        """
        folder = RunFolder(path)
        results = _results(folder.summary(), path / "summary.json")
        loss, ideal = results.get("loss"), results.get("ideal")
        row = {
            "run": name,
            "finished": folder.is_whole,
            "loss": loss,
            "ideal": ideal,
            "gap": loss / ideal - 1 if loss is not None and ideal else None,
            "positions": results.get("positions"),
            **_settings(path / "config.toml"),
            "path": str(path),
        }
        return cls(name, path, row, _tables(path))

    def file(self, view: str) -> Path:
        """Where a table is."""
        return self.path / f"{view}.{'parquet' if view in PARQUET else 'csv'}"


def row_types() -> dict[str, str]:
    """The columns of the table ``runs`` and their types in SQL."""
    results = {"loss": "DOUBLE", "ideal": "DOUBLE", "gap": "DOUBLE", "positions": "BIGINT"}
    return {"run": "VARCHAR", "finished": "BOOLEAN", **results, **_setting_types(RunConfig), "path": "VARCHAR"}


def _setting_types(part: Any) -> dict[str, str]:
    """The settings that decide a run, those of its parts without the part's name, and their types in SQL."""
    found: dict[str, str] = {}
    for name, hint in get_type_hints(part).items():
        if name in NOT_OF_THE_RUN:
            continue
        if is_dataclass(hint):
            found |= _setting_types(hint)
        else:
            found[name] = _sql_type(hint)
    return found


def _sql_type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "VARCHAR"
    if get_origin(hint) is tuple:
        return "VARCHAR[]"
    (kind,) = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    return _SQL_TYPES[kind]


def _settings(file: Path) -> dict[str, Any]:
    """The settings in a config file; what an older version has not written there has today's default."""
    if not file.stat().st_size:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got an empty file")
    config = read_config(file)
    flat: dict[str, Any] = {}
    for name, value in asdict(config).items():
        flat |= value if isinstance(value, dict) else {name: value}
    if config.grammar is not None:
        flat["language"] = None
    return {name: flat[name] for name in _setting_types(RunConfig)}


def _results(summary: Mapping[str, Any], file: Path) -> dict[str, Any]:
    found = {name: summary[name] for name in _RESULTS if summary.get(name) is not None}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | _RESULTS[name]):
            raise ValueError(f"expected {name} as a number in {str(file)!r}, got {value!r}: is it broken?")
    return {name: _RESULTS[name](value) for name, value in found.items()}


def _tables(path: Path) -> dict[str, tuple[str, ...]]:
    found = {}
    for view, needed in (PARQUET | CSV).items():
        file = path / f"{view}.{'parquet' if view in PARQUET else 'csv'}"
        if not file.exists():
            continue
        columns = table_columns(file) if view in PARQUET else _header(file)
        missing = [name for name in needed if name not in columns]
        if missing:
            raise ValueError(
                f"expected the columns {', '.join(needed)} in {str(file)!r}, got none named {', '.join(missing)}: "
                "it is broken, or not a table of dni_jax"
            )
        found[view] = tuple(columns)
    return found


def _header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"expected a CSV table in {str(file)!r}, got a broken one ({error})") from error
