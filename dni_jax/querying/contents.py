"""What a run folder holds: its settings and results as one row, and its tables, checked but not read."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dni_jax.config import RunConfig, TrainConfig
from dni_jax.inspection.store import table_columns
from dni_jax.runfolder import NOT_OF_THE_RUN, read_config, read_summary

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
        """Look into a run folder.

        Raises
        ------
        ValueError
            Where a file is broken or written by a newer version; names it.
        """
        config, summary = path / "config.toml", path / "summary.json"
        results = _checked(read_summary(summary), _RESULTS, summary) if summary.exists() else {}
        loss, ideal = results.get("loss"), results.get("ideal")
        row = {
            "run": name,
            "finished": summary.exists(),
            "loss": loss,
            "ideal": ideal,
            "gap": loss / ideal - 1 if loss is not None and ideal else None,
            "positions": results.get("positions"),
            **_settings(config),
            "path": str(path),
        }
        return cls(name, path, row, _tables(path))

    def file(self, view: str) -> Path:
        """Where a table is."""
        return self.path / f"{view}.{'parquet' if view in PARQUET else 'csv'}"


def row_types() -> dict[str, str]:
    """The columns of the table ``runs`` and their types in SQL."""
    results = {"loss": "DOUBLE", "ideal": "DOUBLE", "gap": "DOUBLE", "positions": "BIGINT"}
    settings = {name: _SQL_TYPES[kind] for name, kind in _kinds().items()}
    return {"run": "VARCHAR", "finished": "BOOLEAN", **results, **settings, "path": "VARCHAR"}


def _kinds() -> dict[str, type]:
    """The settings that decide a run, those of its training without their section's name, and their types."""
    both = get_type_hints(RunConfig) | get_type_hints(TrainConfig)
    return {name: _kind(hint) for name, hint in both.items() if name not in (*NOT_OF_THE_RUN, "train")}


def _kind(hint: Any) -> type:
    if get_origin(hint) is Literal:
        return str
    (kind,) = [one for one in get_args(hint) or (hint,) if one is not NoneType]
    return kind


def _settings(file: Path) -> dict[str, Any]:
    """The settings in a config file; what an older version has not written there had today's default."""
    held = read_config(file)
    if not isinstance(held.get("train"), dict):
        raise ValueError(f"expected a run's settings with a section [train] in {str(file)!r}, got {sorted(held)}")
    given = _checked({**held, **held["train"]}, _kinds(), file)
    settings = {name: given.get(name, getattr(RunConfig, name, getattr(TrainConfig, name, None))) for name in _kinds()}
    if settings["grammar"] is not None:
        settings["language"] = None
    return settings


def _checked(held: Mapping[str, Any], kinds: Mapping[str, type], file: Path) -> dict[str, Any]:
    """What is asked for, each of its kind."""
    found = {name: held[name] for name in kinds if held.get(name) is not None}
    for name, value in found.items():
        kind = kinds[name]
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise ValueError(f"expected {name} of type {kind.__name__} in {str(file)!r}, got {value!r}: is it broken?")
    return {name: kinds[name](value) for name, value in found.items()}


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
