"""Axes of a sweep: settings of a run by name, and every combination of their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any, get_type_hints

from dni_jax.app.config import RunConfig, from_settings
from dni_jax.app.run_folder import NOT_OF_THE_RUN
from dni_jax.settings import RENAMED_SETTINGS

Values = tuple[Any, ...]


def settings_by_path() -> tuple[str, ...]:
    """All settings that can be an axis, those of a part with its name before a dot."""
    hints = get_type_hints(RunConfig)
    paths: list[str] = []
    for one in fields(RunConfig):
        if is_dataclass(hints[one.name]):
            paths += [f"{one.name}.{each.name}" for each in fields(hints[one.name])]
        elif one.name not in NOT_OF_THE_RUN:
            paths.append(one.name)
    return tuple(paths)


def path_of(name: str) -> str:
    """Give the full name of a setting.

    Raises
    ------
    ValueError
        Where there is no such setting, or several.

    Examples
    --------
    >>> path_of("hidden"), path_of("train.hidden"), path_of("language")
    ('train.hidden', 'train.hidden', 'language')
    """
    paths = settings_by_path()
    head, dot, last = name.rpartition(".")
    name = head + dot + RENAMED_SETTINGS.get(last, last)
    if name in paths:
        return name
    found = [path for path in paths if path.rpartition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"expected one setting as an axis, got {name}, which may be {' or '.join(found)}")
    short = {path.rpartition(".")[2]: path for path in paths}
    near = get_close_matches(name, [*paths, *short], n=1)
    there = f"did you mean {near[0]}?" if near else f"there are {', '.join(short)}"
    raise ValueError(f"expected a setting of a run as an axis, got {name}: {there}")


def checked_grid(grid: Mapping[str, Any]) -> dict[str, Values]:
    """Give the grid by full names; refuse what is no list of different values."""
    axes: dict[str, Values] = {}
    for name, values in grid.items():
        path = _new(name, axes)
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise ValueError(f"expected a list of values for the axis {name}, got {values!r}: write [{values!r}]")
        if not values:
            raise ValueError(f"expected at least one value for the axis {name}, got an empty list")
        axes[path] = tuple(tuple(one) if isinstance(one, list) else one for one in values)
        twice = [one for place, one in enumerate(axes[path]) if one in axes[path][:place]]
        if twice:
            raise ValueError(f"expected different values for the axis {name}, got {twice[0]!r} twice")
    return axes


def checked_rows(rows: Sequence[Mapping[str, Any]], grid: Mapping[str, Values]) -> tuple[dict[str, Any], ...]:
    """Give the combinations of a list by full names; refuse axes of the grid, and rows with other axes."""
    found: list[dict[str, Any]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not row:
            raise ValueError(f"expected a table of settings as entry {number} of the list, got {row!r}")
        own: dict[str, Any] = {}
        for name, value in row.items():
            path = _new(name, {**grid, **own})
            own[path] = tuple(value) if isinstance(value, list) else value
        if found and set(own) != set(found[0]):
            raise ValueError(
                f"expected the same axes in every entry of the list, got {', '.join(own)} in entry {number} beside "
                f"{', '.join(found[0])} in the first"
            )
        if own in found:
            raise ValueError(f"expected different entries in the list, got {row} twice (entry {number})")
        found.append(own)
    return tuple(found)


def _new(name: str, before: Mapping[str, Any]) -> str:
    path = path_of(name)
    if path in before:
        raise ValueError(f"expected every axis once, got {path} twice")
    return path


def combinations(grid: Mapping[str, Values], rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every entry of the list with every point of the grid, the grid's last axis going fastest.

    Examples
    --------
    >>> list(combinations({"train.seed": (0, 1)}, [{"train.hidden": 8}]))
    [{'train.hidden': 8, 'train.seed': 0}, {'train.hidden': 8, 'train.seed': 1}]
    """
    for row in rows or [{}]:
        for point in product(*grid.values()):
            yield {**row, **dict(zip(grid, point, strict=True))}


def with_values(settings: Mapping[str, Any], values: Mapping[str, Any]) -> RunConfig:
    """Build a run's config from settings and the values of axes.

    Raises
    ------
    ValueError
        For a value that the setting cannot have; names both.
    """
    nested = {name: dict(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    for path, value in values.items():
        part, _, name = path.rpartition(".")
        if part:
            nested.setdefault(part, {})[name] = value
        else:
            nested[name] = value
    config = from_settings(nested)
    config.check()
    return config
