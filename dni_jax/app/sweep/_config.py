"""What a sweep is: settings that its runs share, axes along which they differ, and the names of the runs."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

from dni_jax.app.config import RunConfig, config_from_dict
from dni_jax.app.run_folder import INVOCATION_SETTINGS, ROOT
from dni_jax.files import read_text
from dni_jax.settings import RENAMED_SETTINGS

Values = tuple[Any, ...]
_KEYS = ("name", "settings", "grid", "list", "share_text", "together", "out")
_SEED, _TEXT_SEED = "train.seed", "text_seed"
_MAX_NAME = 120  # characters; file systems allow 255 bytes


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes
    ----------
    name
        Name of its folder.
    config
        All of its settings.
    values
        Its values of the axes, by full name.
    """

    name: str
    config: RunConfig
    values: Mapping[str, Any]


@dataclass(frozen=True)
class SweepConfig:
    """Settings that all runs share, and the axes along which they differ.

    Attributes
    ----------
    name
        Name of the sweep.
    settings
        Settings that all runs share, nested as in a run's ``config.toml``.
    grid
        Values of the axes by setting (``hidden``) or its full name (``train.hidden``). Every combination is a run.
    listed
        Explicit combinations of values, all with the same axes. Each is combined with the whole grid.
    share_text
        Whether runs with different seeds read the same text, drawn with the seed in `settings`. They can then train
        together and differ only in their networks. Otherwise every seed draws its own text. A ``text_seed`` among the
        settings or axes takes precedence.
    together
        Maximum number of networks that train as one program. Fewer need less memory.
    out
        Folder of the sweep. Default: ``runs/NAME``.

    Raises
    ------
    ValueError
        If an axis or setting does not exist, an axis has no values or duplicates, or a value is invalid.

    Examples
    --------
    >>> sweep = SweepConfig("sizes", {"train": {"steps": 50}}, grid={"hidden": [8, 16], "seed": [0, 1]})
    >>> [run.name for run in sweep.runs]
    ['hidden-8_seed-0', 'hidden-8_seed-1', 'hidden-16_seed-0', 'hidden-16_seed-1']
    >>> sweep.runs[3].config.train.hidden, sweep.runs[3].config.text_seed
    (16, 0)
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    listed: Sequence[Mapping[str, Any]] = ()
    share_text: bool = True
    together: int = 16
    out: str | None = None
    runs: tuple[PlannedRun, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"expected a valid folder name as the name, got {self.name!r}")
        if self.together < 1:
            raise ValueError(f"expected together of at least 1 network, got {self.together}")
        reserved = [name for name in INVOCATION_SETTINGS if name in self.settings]
        if reserved:
            raise ValueError(f"expected settings of a run, got {reserved[0]}, which the sweep sets itself")
        grid = _resolve_grid(self.grid)
        rows = _resolve_list(self.listed, grid)
        if not grid and not rows:
            raise ValueError("expected at least one axis in [grid] or [[list]], got none: `dni run` does one run")
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "listed", rows)
        object.__setattr__(self, "runs", tuple(self._plan(grid, rows)))

    def _plan(self, grid: Mapping[str, Values], rows: tuple[dict[str, Any], ...]) -> list[PlannedRun]:
        settings = dict(self.settings)
        base, axes = config_from_dict(settings), {*grid, *(rows[0] if rows else ())}
        if self.share_text and _SEED in axes and _TEXT_SEED not in axes and base.text_seed is None:
            settings[_TEXT_SEED] = base.train.seed
        points = list(_combine(grid, rows))
        configs = [_build_config(settings, values) for values in points]
        names = _name_runs(points)
        known: dict[RunConfig, str] = {}
        for name, config in zip(names, configs, strict=True):
            if config in known:
                raise ValueError(f"expected different runs, got {name} with the same settings as {known[config]}")
            known[config] = name
        return [PlannedRun(*each) for each in zip(names, configs, points, strict=True)]

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return ROOT / self.name if self.out is None else Path(self.out)


def parse_sweep(table: Mapping[str, Any], name: str) -> SweepConfig:
    """Build a sweep from the dictionary that its TOML file holds. `name` is the default name.

    Raises
    ------
    ValueError
        As in `SweepConfig`, or if the dictionary has other keys than a sweep.
    """
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise ValueError(
            f"expected {', '.join(_KEYS)} in a sweep's file, got {unknown[0]}: put settings of runs into [settings]"
        )
    kinds: dict[str, tuple[type, str]] = {
        "name": (str, "a text"),
        "settings": (Mapping, "a table"),
        "grid": (Mapping, "a table"),
        "list": (list, "a list of tables"),
        "share_text": (bool, "true or false"),
        "together": (int, "a number"),
        "out": (str, "a path"),
    }
    for key, value in table.items():
        kind, words = kinds[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"expected {key} to be {words}, got {value!r}")
    own = {"listed" if key == "list" else key: value for key, value in table.items()}
    return SweepConfig(**{"name": name, **own})


def read_sweep(file: str | Path) -> SweepConfig:
    """Read a sweep from a TOML file. Its default name is that of the file.

    Raises
    ------
    ValueError
        If the file is missing, is not TOML, or describes no valid sweep.
    """
    path = Path(file)
    try:
        return parse_sweep(tomllib.loads(read_text(path)), path.stem)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise ValueError(f"expected a sweep in {str(path)!r}, got: {error}") from error


def _list_settings() -> tuple[str, ...]:
    """Return the full names of all settings that can be an axis: nested ones have a prefix and a dot."""
    hints = get_type_hints(RunConfig)
    paths: list[str] = []
    for one in fields(RunConfig):
        if is_dataclass(hints[one.name]):
            paths += [f"{one.name}.{each.name}" for each in fields(hints[one.name])]
        elif one.name not in INVOCATION_SETTINGS:
            paths.append(one.name)
    return tuple(paths)


def _resolve_name(name: str) -> str:
    """Return the full name of a setting.

    Raises
    ------
    ValueError
        If there is no such setting, or more than one.

    Examples
    --------
    >>> _resolve_name("hidden"), _resolve_name("train.hidden"), _resolve_name("language")
    ('train.hidden', 'train.hidden', 'language')
    """
    paths = _list_settings()
    prefix, dot, last = name.rpartition(".")
    name = prefix + dot + RENAMED_SETTINGS.get(last, last)
    if name in paths:
        return name
    matches = [path for path in paths if path.rpartition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(f"expected one setting as an axis, got {name}, which can be {' or '.join(matches)}")
    short = {path.rpartition(".")[2]: path for path in paths}
    near = get_close_matches(name, [*paths, *short], n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(short)}"
    raise ValueError(f"expected a setting of a run as an axis, got {name}: {hint}")


def _resolve_grid(grid: Mapping[str, Any]) -> dict[str, Values]:
    """Return the grid by full names, after checking that every axis is a list of distinct values."""
    axes: dict[str, Values] = {}
    for name, values in grid.items():
        path = _resolve_new(name, axes)
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise ValueError(f"expected a list of values for the axis {name}, got {values!r}: write [{values!r}]")
        if not values:
            raise ValueError(f"expected at least one value for the axis {name}, got an empty list")
        axes[path] = tuple(tuple(one) if isinstance(one, list) else one for one in values)
        duplicates = [one for place, one in enumerate(axes[path]) if one in axes[path][:place]]
        if duplicates:
            raise ValueError(f"expected different values for the axis {name}, got {duplicates[0]!r} twice")
    return axes


def _resolve_list(rows: Sequence[Mapping[str, Any]], grid: Mapping[str, Values]) -> tuple[dict[str, Any], ...]:
    """Return the listed combinations by full names, after checking that all have the same axes, none of the grid's."""
    resolved: list[dict[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not row:
            raise ValueError(f"expected a table of settings as entry {number} of the list, got {row!r}")
        own: dict[str, Any] = {}
        for name, value in row.items():
            path = _resolve_new(name, {**grid, **own})
            own[path] = tuple(value) if isinstance(value, list) else value
        if resolved and set(own) != set(resolved[0]):
            raise ValueError(
                f"expected the same axes in every entry of the list, got {', '.join(resolved[0])} in the first and "
                f"{', '.join(own)} in entry {number}"
            )
        if own in resolved:
            raise ValueError(f"expected different entries in the list, got {row} twice (entry {number})")
        resolved.append(own)
    return tuple(resolved)


def _resolve_new(name: str, before: Mapping[str, Any]) -> str:
    path = _resolve_name(name)
    if path in before:
        raise ValueError(f"expected every axis once, got {path} twice")
    return path


def _combine(grid: Mapping[str, Values], rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every listed entry combined with every point of the grid; the last axis of the grid varies fastest.

    Examples
    --------
    >>> list(_combine({"train.seed": (0, 1)}, [{"train.hidden": 8}]))
    [{'train.hidden': 8, 'train.seed': 0}, {'train.hidden': 8, 'train.seed': 1}]
    """
    for row in rows or [{}]:
        for point in product(*grid.values()):
            yield {**row, **dict(zip(grid, point, strict=True))}


def _build_config(settings: Mapping[str, Any], values: Mapping[str, Any]) -> RunConfig:
    """Build the config of a run from shared settings and its values of the axes."""
    nested = {name: dict(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    for path, value in values.items():
        part, _, name = path.rpartition(".")
        if part:
            nested.setdefault(part, {})[name] = value
        else:
            nested[name] = value
    config = config_from_dict(nested)
    config.check()
    return config


def _name_runs(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a unique name for every combination of values.

    Names contain no ``=``, because DuckDB reads ``key=value`` in a path as a column.

    Parameters
    ----------
    points
        Values of the axes by full name.

    Examples
    --------
    >>> _name_runs([{"language": "arithmetic", "train.learning_rate": 0.01, "train.seed": 3}])
    ['arithmetic_learning_rate-0.01_seed-3']
    """
    names = ["_".join(_word(path, value) for path, value in point.items()) for point in points]
    duplicates = {name for name, times in Counter(names).items() if times > 1}
    return [
        name if name not in duplicates and len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}_{_digest(point)}"
        for name, point in zip(names, points, strict=True)
    ]


def _word(path: str, value: Any) -> str:
    words = _clean(value)
    return words if path == "language" else f"{path.rpartition('.')[2]}-{words}"


def _clean(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "+".join(_clean(one) for one in value) or "none"
    return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-.") or "none" if isinstance(value, str) else str(value)


def _digest(point: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(point.items())).encode()).hexdigest()[:8]
