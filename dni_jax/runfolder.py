"""The folder of one run: claimed once, filled piece by piece, marked when whole."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import tomli_w

from dni_jax.config import RunConfig, TrainConfig
from dni_jax.files import FORMAT, check_format, written_aside

ROOT = Path("runs")
NOT_OF_THE_RUN = ("out", "force", "resume")  # settings that say where and how, not what


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What the config file holds: all that decides the results; what is None is left out."""
    without = {*NOT_OF_THE_RUN, *(() if config.grammar is None else ("language",))}
    return _given({name: value for name, value in asdict(config).items() if name not in without})


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    whole = {name: _given(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    return {name: value for name, value in whole.items() if value is not None}


def taken_up(config: RunConfig) -> RunConfig:
    """Give a config with the settings that the run to resume was begun with.

    Raises
    ------
    ValueError
        Where there is no run to resume, its settings cannot be read, or `config` asks for others.
    """
    path = _place(config)
    file = path / "config.toml"
    if not file.is_file():
        others = sorted(str(one.parent) for one in path.parent.glob("*/config.toml"))
        there = f"name one of {', '.join(others[:5])} with --out" if others else "leave --resume out to begin one"
        raise ValueError(f"expected a run to resume in {str(path)!r}, got none: {there}")
    held = read_config(file)
    try:
        begun = RunConfig(**{**held, "train": TrainConfig(**held["train"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got: {error}") from error
    ours, default, theirs = (_flat(asdict(one)) for one in (config, RunConfig(), begun))
    elsewhere = {*NOT_OF_THE_RUN, *(() if begun.grammar is None else ("language",))}
    differ = [name for name in ours if name not in elsewhere and ours[name] not in (default[name], theirs[name])]
    if differ:
        raise ValueError(
            f"expected the settings that the run in {str(path)!r} was begun with, got others for: {', '.join(differ)}: "
            "leave them out, or use another --out for a new run"
        )
    return replace(begun, out=str(path), resume=True)


def read_config(file: Path) -> dict[str, Any]:
    """Read the settings of a ``config.toml``, in this format or an older one, as they stand there.

    Raises
    ------
    ValueError
        Where the file cannot be read, or a newer version has written it; names it.
    """
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got: {error}") from error
    check_format(held.pop("format", None), file)
    return held


def read_summary(file: Path) -> dict[str, Any]:
    """Read the results of a ``summary.json``, in this format or an older one.

    Raises
    ------
    ValueError
        Where the file cannot be read, or a newer version has written it; names it.
    """
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a run's results in {str(file)!r}, got: {error}") from error
    if not isinstance(held, dict):
        raise ValueError(f"expected a run's results by name in {str(file)!r}, got {type(held).__name__}")
    check_format(held.pop("format", None), file)
    return held


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder.

    ``config.toml`` appears first and says which run it is; ``summary.json`` appears last and says that it is whole.
    """

    path: Path

    @classmethod
    def claim(cls, config: RunConfig) -> RunFolder:
        """Find the folder for a run, and write its config.

        Raises
        ------
        ValueError
            Where the folder holds another run, or something that is no run.
        """
        folder = cls(_place(config))
        if folder.is_taken:
            folder._check_taken(config)
        folder.path.mkdir(parents=True, exist_ok=True)
        with written_aside(folder.path / "config.toml") as aside:
            aside.write_text(tomli_w.dumps({"format": FORMAT, **settings_of(config)}), encoding="utf-8")
        return folder

    @property
    def is_taken(self) -> bool:
        """Whether anything but the config of a run that never began lies in the folder."""
        return self.path.exists() and any(path.name != "config.toml" for path in self.path.iterdir())

    def _check_taken(self, config: RunConfig) -> None:
        file = self.path / "config.toml"
        if not file.is_file():
            raise ValueError(f"expected an empty or new folder for --out, got {str(self.path)!r}, which holds no run")
        if config.force:
            shutil.rmtree(self.path)
            return
        if not config.resume:
            raise ValueError(
                f"expected an empty or new folder for --out, got {str(self.path)!r}, which holds another run: "
                "--resume goes on with it, --force replaces it, another --out keeps both"
            )

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.path / "checkpoint"

    @property
    def metrics(self) -> Path:
        """Losses, learning rate and speed at each look of the training."""
        return self.path / "training.csv"

    @property
    def dynamics(self) -> Path:
        """What the neurons knew while the network learnt, by step."""
        return self.path / "dynamics.parquet"

    @property
    def training(self) -> Path:
        """States of an unfinished training."""
        return self.path / "training"

    def drop_training(self) -> None:
        """Remove the states of a training that has ended."""
        shutil.rmtree(self.training, ignore_errors=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as whole."""
        with written_aside(self.path / "summary.json") as aside:
            aside.write_text(json.dumps({"format": FORMAT, **summary}, indent=1), encoding="utf-8")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _place(config: RunConfig) -> Path:
    if config.out is not None:
        return Path(config.out)
    taken: list[Path] = []
    for number in count(1):
        path = ROOT / (config.name if number == 1 else f"{config.name}-{number}")
        if not RunFolder(path).is_taken:
            return taken[-1] if config.resume and taken else path
        taken.append(path)
    raise RuntimeError("count() does not end")
