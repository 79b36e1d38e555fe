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

from dni_jax import processes
from dni_jax.app.config import Hosts, RunConfig, from_settings
from dni_jax.files import FORMAT, atomic_write, check_format

ROOT = Path("runs")
# What each stage leaves; the last file says that it has ended.
RESULTS = {
    "inspect": ("findings.csv", "relevance.png", "excerpt.npz", "relevance.parquet"),
    "verify": ("effects.png", "samples.json", "effects.parquet"),
    "analyse": ("attribution.parquet", "posterior.parquet", "step_sizes.csv", "dimension.parquet", "repair.parquet"),
    "report": ("report.html",),
}
NOT_OF_THE_RUN = ("out", "force", "resume", "hosts")  # settings that say where and how, not what


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What the config file holds: all that decides the results; what is None is left out."""
    without = {*NOT_OF_THE_RUN, *(() if config.grammar is None else ("language",))}
    return _given({name: value for name, value in asdict(config).items() if name not in without})


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    whole = {name: _given(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    return {name: value for name, value in whole.items() if value is not None}


def read_config(file: Path) -> RunConfig:
    """Read the settings of a run, or of a file that a person has written.

    Raises
    ------
    ValueError
        Where the file is missing, is no TOML, holds what is no setting, or was written by a newer version; names it.
    """
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got: {error}") from error
    check_format(held.pop("format", None), file)
    try:
        return from_settings(held)
    except ValueError as error:
        raise ValueError(f"expected a run's settings in {str(file)!r}, got: {error}") from error


def taken_up(config: RunConfig) -> RunConfig:
    """Give a config with the settings that the run to resume was begun with.

    Raises
    ------
    ValueError
        Where there is no run to resume, its settings cannot be read, or `config` asks for others.
    """
    return processes.broadcast(lambda: _taken_up(config))


def _taken_up(config: RunConfig) -> RunConfig:
    path = _place(config)
    file = path / "config.toml"
    if not file.is_file():
        others = sorted(str(one.parent) for one in path.parent.glob("*/config.toml"))
        there = f"name one of {', '.join(others[:5])} with --out" if others else "leave --resume out to begin one"
        raise ValueError(f"expected a run to resume in {str(path)!r}, got none: {there}")
    begun = read_config(file)
    ours, default, theirs = (_flat(asdict(replace(one, hosts=Hosts()))) for one in (config, RunConfig(), begun))
    elsewhere = {*NOT_OF_THE_RUN, *(() if begun.grammar is None else ("language",))}
    differ = [name for name in ours if name not in elsewhere and ours[name] not in (default[name], theirs[name])]
    if differ:
        raise ValueError(
            f"expected the settings that the run in {str(path)!r} was begun with, got others for: {', '.join(differ)}: "
            "leave them out, or use another --out for a new run"
        )
    return replace(begun, out=str(path), resume=True, hosts=config.hosts)


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder.

    ``config.toml`` appears first and says which run it is; ``summary.json`` grows from stage to stage, and its
    ``finished`` says that the run is whole. Of several processes the first alone reads and writes the folder.
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
        return processes.broadcast(lambda: cls._claim(config))

    @classmethod
    def _claim(cls, config: RunConfig) -> RunFolder:
        folder = cls(_place(config))
        if folder.is_taken:
            folder._check_taken(config)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.settle(config)
        return folder

    @classmethod
    def of(cls, path: str | Path) -> RunFolder:
        """Find a run that was begun.

        Raises
        ------
        ValueError
            Where there is none.
        """
        folder = cls(Path(path))
        if not folder.has("config.toml"):
            raise ValueError(
                f"expected the folder of a run, got {str(path)!r}, which has no config.toml: `dni run` makes one, "
                "`dni train` begins one"
            )
        return folder

    def has(self, name: str) -> bool:
        """Whether something of this name lies in the folder."""
        return processes.broadcast(lambda: (self.path / name).exists())

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
        if processes.is_first():
            shutil.rmtree(self.training, ignore_errors=True)

    @property
    def relevance(self) -> Path:
        """Scores of every neuron, feature and fold."""
        return self.path / "relevance.parquet"

    @property
    def excerpt(self) -> Path:
        """A little held-out text with its states and labels, for the report."""
        return self.path / "excerpt.npz"

    @property
    def effects(self) -> Path:
        """What overriding neurons does."""
        return self.path / "effects.parquet"

    @property
    def findings(self) -> Path:
        """The table of features, the best known first."""
        return self.path / "findings.csv"

    @property
    def samples(self) -> Path:
        """What the network writes, left alone and with neurons held."""
        return self.path / "samples.json"

    @property
    def report(self) -> Path:
        """The page that shows it all."""
        return self.path / "report.html"

    def summary(self) -> dict[str, Any]:
        """What the stages so far have noted.

        Raises
        ------
        ValueError
            Where the file is broken, or was written by a newer version; names it.
        """
        return processes.broadcast(self._summary)

    def _summary(self) -> dict[str, Any]:
        file = self.path / "summary.json"
        if not file.is_file():
            return {}
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"expected a run's summary in {str(file)!r}, got: {error}") from error
        if not isinstance(held, dict):
            raise ValueError(f"expected a run's summary by name in {str(file)!r}, got a {type(held).__name__}")
        check_format(held.pop("format", None), file)
        return held

    def note(self, **more: Any) -> None:
        """Add to the summary."""
        if processes.is_first():
            with atomic_write(self.path / "summary.json") as aside:
                aside.write_text(json.dumps({"format": FORMAT, **self._summary(), **more}, indent=1), encoding="utf-8")

    @property
    def is_whole(self) -> bool:
        """Whether every stage has ended."""
        summary = self.summary()
        return bool(summary) and bool(summary.get("finished", True))

    def settle(self, config: RunConfig) -> None:
        """Write down the settings."""
        with atomic_write(self.path / "config.toml") as aside:
            aside.write_text(tomli_w.dumps({"format": FORMAT, **settings_of(config)}), encoding="utf-8")

    def without(self, *stages: str) -> None:
        """Remove what some stages have left, and what was made from it."""
        for name in (name for stage in stages for name in RESULTS[stage] if processes.is_first()):
            (self.path / name).unlink(missing_ok=True)
        if self.summary():
            self.note(finished=False)

    def holds(self, stage: str) -> bool:
        """Whether a stage has left its results."""
        return self.has(RESULTS[stage][-1])


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
