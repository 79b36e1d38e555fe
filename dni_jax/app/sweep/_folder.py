"""The folder of a sweep: begun once, gone on with, never mixed with another sweep."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from dni_jax.app.run_folder import RunFolder, read_config, settings_of
from dni_jax.app.sweep._config import Planned, SweepConfig, read_sweep
from dni_jax.app.sweep._planning import Group, grouped
from dni_jax.app.sweep._task import TOGETHER
from dni_jax.files import atomic_write

CONFIG = "sweep.toml"


@dataclass(frozen=True)
class SweepFolder:
    """Paths inside a sweep's folder: ``sweep.toml``, one folder a run, and what compares them."""

    path: Path

    @classmethod
    def claim(cls, config: SweepConfig, force: bool = False) -> SweepFolder:
        """Begin a sweep in its folder, or go on with the one there.

        The one there may have fewer runs: a sweep can grow by values of its axes.

        Raises
        ------
        ValueError
            Where the folder holds another sweep, a run of other settings, or no sweep; says what differs.
        """
        folder = cls(config.path)
        if folder.is_taken and force:
            folder.clear()
        folder.check(config)
        with atomic_write(folder.path / CONFIG) as aside:
            aside.write_text(tomli_w.dumps(table_of(config)), encoding="utf-8")
        return folder

    @property
    def is_taken(self) -> bool:
        """Whether anything lies in the folder."""
        return self.path.exists() and any(self.path.iterdir())

    @property
    def page(self) -> Path:
        """The page that compares the runs."""
        return self.path / "sweep.html"

    def clear(self) -> None:
        """Remove a sweep.

        Raises
        ------
        ValueError
            Where the folder holds no sweep.
        """
        if not (self.path / CONFIG).is_file():
            raise ValueError(f"expected a sweep to replace in {str(self.path)!r}, got a folder without {CONFIG}")
        shutil.rmtree(self.path)

    def check(self, config: SweepConfig) -> None:
        """Refuse a folder that holds something else than a part of this sweep; see `claim`."""
        if not self.is_taken:
            return
        file = self.path / CONFIG
        if not file.is_file():
            raise ValueError(
                f"expected an empty or new folder for the sweep, got {str(self.path)!r}, which holds no sweep: "
                "give another name or --out"
            )
        ours = {run.name: run for run in config.runs}
        gone = [run.name for run in read_sweep(file).runs if run.name not in ours]
        if gone:
            raise ValueError(
                f"expected the sweep that {str(self.path)!r} was begun with (or one with more runs), got one without "
                f"its {_counted(len(gone))} {', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''}: go on with "
                f"{str(file)!r}, use another name or --out, or replace it with --force"
            )
        for run in read_sweep(file).runs:
            self._check_same(run.name, settings_of(run.config), settings_of(ours[run.name].config))
        for run in config.runs:
            begun = self.path / run.name / "config.toml"
            if begun.is_file():
                self._check_same(run.name, settings_of(read_config(begun)), settings_of(run.config))

    def _check_same(self, name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        differ = [f"{what} {a!r} there, {b!r} here" for what, a, b in _differences(theirs, ours)]
        if differ:
            raise ValueError(
                f"expected the settings that {name} in {str(self.path)!r} was begun with, got others: "
                f"{'; '.join(differ)}: use another name or --out, or replace the sweep with --force"
            )

    def finished(self, config: SweepConfig) -> list[str]:
        """The runs that are whole."""
        return [run.name for run in config.runs if RunFolder(self.path / run.name).is_whole]

    def to_do(self, config: SweepConfig) -> tuple[Group, ...]:
        """The tasks that are left; runs that are whole are in none of them.

        A population that was cut off goes on as it was begun.
        """
        going_on: list[Group] = []
        left: list[Planned] = []
        for group in grouped(config.runs, config.together):
            if (self.path / TOGETHER / group.name).is_dir():
                going_on.append(group)
            else:
                left += [run for run in group.runs if not RunFolder(self.path / run.name).is_whole]
        trained: list[Planned] = []
        others: list[Planned] = []
        for run in left:
            (trained if RunFolder(self.path / run.name).model.exists() else others).append(run)
        return (*going_on, *grouped(trained, config.together), *grouped(others, config.together))


def table_of(config: SweepConfig) -> dict[str, Any]:
    """What a sweep's file holds."""
    table: dict[str, Any] = {"name": config.name, "share_text": config.share_text, "together": config.together}
    settings, grid = dict(config.settings), {path: list(values) for path, values in config.grid.items()}
    listed = [dict(row) for row in config.listed]
    parts = {"settings": settings, "grid": grid, "list": listed}
    return table | {name: part for name, part in parts.items() if part}


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys((*theirs, *ours)):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{name}.")
        elif _plain(a) != _plain(b):
            found.append((f"{prefix}{name}", a, b))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _counted(n: int) -> str:
    return f"{n} run{'s' if n != 1 else ''}"
