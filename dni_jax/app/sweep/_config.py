"""What a sweep is: settings that its runs share, and axes along which they differ."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dni_jax.app.config import RunConfig, from_settings
from dni_jax.app.run_folder import NOT_OF_THE_RUN, ROOT
from dni_jax.app.sweep._axes import Values, checked_grid, checked_rows, combinations, with_values
from dni_jax.app.sweep._naming import run_names

_KEYS = ("name", "settings", "grid", "list", "share_text", "together", "out")
_SEED, _TEXT_SEED = "train.seed", "text_seed"


@dataclass(frozen=True)
class Planned:
    """One run of a sweep.

    Attributes
    ----------
    name
        Its folder's name.
    config
        All of its settings.
    values
        Those that are axes, by full name.
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
        Of the sweep; its folder is ``runs/NAME`` unless `out` names another.
    settings
        What all runs share, as the tables of a run's ``config.toml``.
    grid
        Values of axes: settings by name (``hidden``) or full name (``train.hidden``); every combination is a run.
    listed
        Explicit combinations of values, all of the same axes; each is combined with all of the grid.
    share_text
        Whether runs that differ in their seed read the same text, drawn with the seed of `settings`: they can then
        train together, and differ in nothing but their networks. Otherwise every seed draws text of its own. A
        ``text_seed`` among the settings or axes stands as it is.
    together
        The most networks that train as one program; fewer need less memory.
    out
        The sweep's folder.

    Raises
    ------
    ValueError
        For an axis or a setting that there is not, an axis without values, twice the same, or a value that its
        setting cannot have.

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
    runs: tuple[Planned, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"expected a name that a folder can have, got {self.name!r}")
        if self.together < 1:
            raise ValueError(f"expected together of at least 1 network, got {self.together}")
        elsewhere = [name for name in NOT_OF_THE_RUN if name in self.settings]
        if elsewhere:
            raise ValueError(f"expected settings of a run, got {elsewhere[0]}: the sweep decides it")
        grid = checked_grid(self.grid)
        rows = checked_rows(self.listed, grid)
        if not grid and not rows:
            raise ValueError("expected at least one axis in [grid] or [[list]], got none: `dni run` does a single run")
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "listed", rows)
        object.__setattr__(self, "runs", tuple(self._planned(grid, rows)))

    def _planned(self, grid: Mapping[str, Values], rows: tuple[dict[str, Any], ...]) -> list[Planned]:
        settings = dict(self.settings)
        base, axes = from_settings(settings), {*grid, *(rows[0] if rows else ())}
        if self.share_text and _SEED in axes and _TEXT_SEED not in axes and base.text_seed is None:
            settings[_TEXT_SEED] = base.train.seed
        points = list(combinations(grid, rows))
        configs = [with_values(settings, values) for values in points]
        names = run_names(points)
        known: dict[RunConfig, str] = {}
        for name, config in zip(names, configs, strict=True):
            if config in known:
                raise ValueError(f"expected different runs, got {name}, which is {known[config]} once more")
            known[config] = name
        return [Planned(*each) for each in zip(names, configs, points, strict=True)]

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return ROOT / self.name if self.out is None else Path(self.out)


def sweep_from(table: Mapping[str, Any], name: str) -> SweepConfig:
    """Read a sweep from what its file holds; `name` is for one that has none.

    Raises
    ------
    ValueError
        As `SweepConfig` does, and for a table that a sweep does not have.
    """
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise ValueError(
            f"expected {', '.join(_KEYS)} in a sweep's file, got {unknown[0]}: a run's settings stand in [settings]"
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
    """Read a sweep from a TOML file; without a ``name`` there, it has the file's.

    Raises
    ------
    ValueError
        Where the file is missing, is no TOML, or cannot be done; names it.
    """
    path = Path(file)
    try:
        return sweep_from(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise ValueError(f"expected a sweep in {str(path)!r}, got: {error}") from error
