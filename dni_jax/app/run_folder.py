"""The folder of one run: its config, the results of each stage, and how far the run has come."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import tomli_w

from dni_jax import processes
from dni_jax.app import _manifest
from dni_jax.app.config import Hosts, RunConfig, config_from_dict
from dni_jax.files import (
    FORMAT,
    LOCK,
    FolderLock,
    atomic_write,
    check_array_path,
    check_format,
    remove,
    remove_leftovers,
)
from dni_jax.inspection import table_model

ROOT = Path("runs")
# The files that each stage writes, in this order: once the last one exists, the stage has finished.
STAGE_FILES = {
    "inspect": ("findings.csv", "relevance.png", "excerpt.npz", "relevance.parquet"),
    "verify": ("effects.png", "samples.json", "effects.parquet"),
    "analyse": (
        *("attribution.parquet", "posterior.parquet", "step_sizes.csv", "dimension.parquet"),
        *("programs.parquet", "monitor.parquet", "lags.parquet", "repair.parquet"),
    ),
    "report": ("report.html",),
}
# Everything that a run, or a sweep for its runs, writes into a run's folder: `--force` removes these and nothing else.
# The config is the last one: as long as it is there, the folder can be resumed or replaced.
RUN_FILES = (
    *("summary.json", "training", "training.csv", "dynamics.parquet", "dynamics.png", "checkpoint"),
    *(name for names in STAGE_FILES.values() for name in names),
    *("error.txt", _manifest.NAME, "config.toml"),
)
# The files that commands read, which the manifest lists. Nothing reads the figures and the page.
_READ = tuple(
    name
    for name in RUN_FILES
    if name != _manifest.NAME and name.endswith((".toml", ".json", ".csv", ".parquet", ".npz"))
)
_NETWORK = "checkpoint"  # its entry in the manifest is the fingerprint of the network
# Settings of one invocation: they do not change the results, and config.toml does not hold them.
INVOCATION_SETTINGS = ("out", "force", "resume", "hosts")


def config_to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the settings that decide a run's results, nested as in its TOML file, without those that are None."""
    excluded = {*INVOCATION_SETTINGS, *(() if config.grammar is None else ("language",))}
    return _drop_none({name: value for name, value in asdict(config).items() if name not in excluded})


def _drop_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    nested = {name: _drop_none(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    return {name: value for name, value in nested.items() if value is not None}


def flatten_config(config: RunConfig) -> dict[str, Any]:
    """Return the settings that decide a run's results as one level of names, including those that are None."""
    flat: dict[str, Any] = {}
    for name, value in asdict(config).items():
        if name not in INVOCATION_SETTINGS:
            flat |= value if isinstance(value, Mapping) else {name: value}
    return flat


def read_config(file: Path) -> RunConfig:
    """Read a config from the TOML file of a run, or from one written by hand.

    Raises
    ------
    ValueError
        If the file is missing, is not TOML, holds an unknown setting, or was written by a newer version.
    """
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected the settings of a run in {str(file)!r}, got: {error}") from error
    check_format(held.pop("format", None), file)
    try:
        return config_from_dict(held)
    except ValueError as error:
        raise ValueError(f"expected the settings of a run in {str(file)!r}, got: {error}") from error


def resume_config(config: RunConfig) -> RunConfig:
    """Return the config of the run to resume, with the invocation settings of `config`.

    Raises
    ------
    ValueError
        If there is no run to resume, its config cannot be read, or `config` conflicts with it.
    """
    return processes.broadcast(lambda: _resume_config(config))


def _resume_config(config: RunConfig) -> RunConfig:
    path = _choose_path(config)
    file = path / "config.toml"
    if not file.is_file():
        others = sorted(str(one.parent) for one in path.parent.glob("*/config.toml"))
        hint = f"name one of {', '.join(others[:5])} with --out" if others else "omit --resume to start one"
        raise ValueError(f"expected a run to resume in {str(path)!r}, got none: {hint}")
    RunFolder(path).check_files()
    saved = read_config(file)
    ours, default, theirs = (
        flatten_settings(asdict(replace(one, hosts=Hosts()))) for one in (config, RunConfig(), saved)
    )
    ignored = {*INVOCATION_SETTINGS, *(() if saved.grammar is None else ("language",))}
    changed = [name for name in ours if name not in ignored and ours[name] not in (default[name], theirs[name])]
    if changed:
        raise ValueError(
            f"expected the settings that the run in {str(path)!r} was started with, got other values for "
            f"{', '.join(changed)}: omit them, or start a new run with another --out"
        )
    return replace(saved, out=str(path), resume=True, hosts=config.hosts)


@dataclass(frozen=True)
class RunFolder:
    """The files in a run's folder.

    ``config.toml`` is written first and identifies the run. Every stage adds to ``summary.json``; its entry
    ``finished`` is true once all stages are done. When several processes share a run, only the first one reads and
    writes the folder.

    Attributes
    ----------
    path
        The folder.
    lock
        Keeps other processes from writing into the folder; None for a folder that is only read.
    """

    path: Path
    lock: FolderLock | None = field(default=None, repr=False, compare=False)

    @classmethod
    def choose(cls, config: RunConfig) -> RunFolder:
        """Choose the folder for a run, without changing anything.

        Raises
        ------
        ValueError
            If the folder holds another run that the config does not replace or resume, or files that are not a run.
        """

        def choose() -> Path:
            folder = cls(_choose_path(config))
            check_place(folder.path)
            if folder.is_taken:
                folder._check_taken(config)
            return folder.path

        return cls(processes.broadcast(choose))

    @classmethod
    def claim(cls, config: RunConfig) -> RunFolder:
        """Choose or create the folder for a run, lock it, and write its config.

        With ``force``, the files of the run in the folder are removed; files of other origin stay.

        Raises
        ------
        ValueError
            If the folder holds another run, or files that are not a run, or another process works in it.
        """
        path, locks = cls.choose(config).path, []

        def claim() -> None:
            path.mkdir(parents=True, exist_ok=True)
            locks.append(FolderLock(path))
            folder = cls(path)
            if folder.is_taken:
                folder._check_taken(config)
            remove_leftovers(path)
            if config.force:
                folder.remove_run()
            folder.write_config(config)

        processes.broadcast(claim)
        return cls(path, locks[0] if locks else None)

    def hold(self) -> RunFolder:
        """Return the same folder, locked.

        Raises
        ------
        ValueError
            If another process works in it.
        """
        locks: list[FolderLock] = []

        def hold() -> None:
            locks.append(FolderLock(self.path))
            remove_leftovers(self.path)

        processes.broadcast(hold)
        return replace(self, lock=locks[0] if locks else None)

    def release(self) -> None:
        """Let other processes write into the folder."""
        if self.lock is not None:
            self.lock.release()

    def remove_run(self) -> None:
        """Remove all files of the run, and the folder's other files not."""
        for name in RUN_FILES:
            remove(self.path / name)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of an existing run.

        Raises
        ------
        ValueError
            If the folder holds no run.
        """
        folder = cls(Path(path))
        if not folder.has("config.toml"):
            raise ValueError(
                f"expected the folder of a run, got {str(path)!r}, which has no config.toml: `dni run` and `dni train` "
                "create runs"
            )
        return folder

    def has(self, name: str) -> bool:
        """Whether a file or folder with this name exists."""
        return processes.broadcast(lambda: (self.path / name).exists())

    @property
    def is_taken(self) -> bool:
        """Whether the folder holds anything other than the config of a run that was never started."""
        unused = ("config.toml", _manifest.NAME, LOCK)
        return self.path.exists() and any(path.name not in unused for path in self.path.iterdir())

    def _check_taken(self, config: RunConfig) -> None:
        file = self.path / "config.toml"
        if not file.is_file():
            raise ValueError(
                f"expected an empty or new folder for --out, got {str(self.path)!r}, which holds files but no run"
            )
        if config.force:
            self._check_replaceable()
            return
        if not config.resume:
            raise ValueError(
                f"expected an empty or new folder for --out, got {str(self.path)!r}, which holds another run: "
                "use --resume to continue it, --force to replace it, or another --out to keep both"
            )

    def _check_replaceable(self) -> None:
        """Raise a ValueError unless the folder holds a run, and under the names of its results nothing else."""
        file = self.path / "config.toml"
        try:
            read_config(file)
            is_empty = not file.read_text(encoding="utf-8").strip()
        except ValueError as error:
            raise ValueError(
                f"expected a run to replace in {str(self.path)!r}, got a config.toml of something else ({error}): use "
                "another --out, or remove the files yourself"
            ) from error
        if is_empty:
            raise ValueError(
                f"expected a run to replace in {str(self.path)!r}, got an empty config.toml: use another --out, or "
                "remove the files yourself"
            )
        try:
            files = _manifest.read_manifest(self.path)
        except ValueError:
            return  # a broken run
        if files is None and not (self._is_early_run or not self.is_taken):
            raise ValueError(
                f"expected a run to replace in {str(self.path)!r}, got a config.toml without the files that a run "
                f"writes, such as {_manifest.NAME}: use another --out, or remove the files yourself"
            )
        foreign = [] if files is None else [name for name in _READ if name not in files and (self.path / name).exists()]
        if foreign:
            raise ValueError(
                f"expected in {str(self.path)!r} only results of the run to replace, got {', '.join(foreign)}, which "
                "it has not written: move them elsewhere, or use another --out"
            )

    @property
    def _is_early_run(self) -> bool:
        """Whether a version of this program that wrote no manifest has made the run."""
        try:
            return "loss" in self._summary() or (self.model / "model.json").is_file()
        except (OSError, ValueError):
            return False

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.path / "checkpoint"

    @property
    def metrics(self) -> Path:
        """Losses, learning rate and speed at each evaluation during training."""
        return self.path / "training.csv"

    @property
    def dynamics(self) -> Path:
        """Scores of the neurons at several training steps."""
        return self.path / "dynamics.parquet"

    @property
    def training(self) -> Path:
        """Checkpoints of an unfinished training."""
        return self.path / "training"

    def remove_training(self) -> None:
        """Remove the checkpoints of a finished training run."""
        if processes.is_first():
            shutil.rmtree(self.training, ignore_errors=True)

    @property
    def relevance(self) -> Path:
        """Scores of every neuron, feature and fold."""
        return self.path / "relevance.parquet"

    @property
    def excerpt(self) -> Path:
        """A short held-out text with its states and labels, for the report."""
        return self.path / "excerpt.npz"

    @property
    def effects(self) -> Path:
        """Effects of overriding neurons."""
        return self.path / "effects.parquet"

    @property
    def findings(self) -> Path:
        """The table of features, sorted by their best neuron's score."""
        return self.path / "findings.csv"

    @property
    def samples(self) -> Path:
        """Texts that the network generates, with and without overridden neurons."""
        return self.path / "samples.json"

    @property
    def attribution(self) -> Path:
        """How much predictions depend on each neuron, by lag."""
        return self.path / "attribution.parquet"

    @property
    def posterior(self) -> Path:
        """How certain the ranking of neurons is, given uncertain weights."""
        return self.path / "posterior.parquet"

    @property
    def step_sizes(self) -> Path:
        """The draws of the weights at several step sizes."""
        return self.path / "step_sizes.csv"

    @property
    def dimension(self) -> Path:
        """How many random directions of the state each feature needs."""
        return self.path / "dimension.parquet"

    @property
    def programs(self) -> Path:
        """What a program restores that stands for neurons."""
        return self.path / "programs.parquet"

    @property
    def monitor(self) -> Path:
        """What disagreement between neurons and a program predicts."""
        return self.path / "monitor.parquet"

    @property
    def lags(self) -> Path:
        """What several states of a neuron say together."""
        return self.path / "lags.parquet"

    @property
    def repair(self) -> Path:
        """What a small change of the output layer repairs."""
        return self.path / "repair.parquet"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def summary(self) -> dict[str, Any]:
        """Read ``summary.json``; empty if it does not exist.

        Raises
        ------
        ValueError
            If the file is broken, or was written by a newer version.
        """
        return processes.broadcast(self._summary)

    def _summary(self) -> dict[str, Any]:
        file = self.path / "summary.json"
        if not file.is_file():
            return {}
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"expected valid JSON in {str(file)!r}, got: {error}") from error
        if not isinstance(held, dict):
            raise ValueError(f"expected a JSON object in {str(file)!r}, got a {type(held).__name__}")
        check_format(held.pop("format", None), file)
        return held

    def update_summary(self, **more: Any) -> None:
        """Add entries to ``summary.json``."""
        if processes.is_first():
            held = self._summary()
            with self.writing("summary.json") as path, atomic_write(path) as part:
                part.write_text(json.dumps({"format": FORMAT, **held, **more}, indent=1), encoding="utf-8")

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield the path of a file, to replace the file in one step; then enter its content in the manifest.

        A process that is killed in between leaves the old file or the new one, and the manifest allows both.
        """
        path = self.path / name
        if not processes.is_first():
            yield path
            return
        self._enter(name, None)
        yield path
        self._enter(name, _manifest.hash_file(path))

    def _enter(self, name: str, value: str | None) -> None:
        files = _manifest.read_manifest(self.path)
        if files is None:
            files = _manifest.list_files(self.path, _READ)
        if name not in files or files[name] != value:
            _manifest.write_manifest(self.path, {**files, name: value})

    def set_fingerprint(self, fingerprint: str) -> None:
        """Enter the fingerprint of the trained network in the manifest."""
        if processes.is_first():
            self._enter(_NETWORK, fingerprint)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the network that the results are about, if it is known."""
        return processes.broadcast(lambda: (_manifest.read_manifest(self.path) or {}).get(_NETWORK))

    def check_network(self, fingerprint: str) -> None:
        """Check that a network is the one that the results are about.

        Raises
        ------
        ValueError
            If it is another one.
        """
        if self.fingerprint not in (None, fingerprint):
            raise ValueError(
                f"expected in {str(self.model)!r} the network that the results of the run are about, got another one: "
                "put the network back, or start a new run"
            )

    def check_files(self, *names: str) -> None:
        """Check that files, by default all, are those that this run has written, about one network.

        A folder without a manifest, of an earlier version, is checked by the fingerprints in its tables.

        Raises
        ------
        ValueError
            If a file is damaged, or of another run.
        """
        processes.broadcast(lambda: self._check_files(names or _READ))

    def _check_files(self, names: tuple[str, ...]) -> None:
        files = _manifest.read_manifest(self.path)
        while files is not None:
            problem = _manifest.find_problem(self.path, files, names)
            before, files = files, _manifest.read_manifest(self.path)
            if problem is None:
                break
            if files == before:  # else a file was replaced in the meantime
                raise ValueError(problem)
        self._check_models(names)

    def _check_models(self, names: tuple[str, ...]) -> None:
        """Raise a ValueError if tables are about different networks, as their fingerprints tell."""
        found = {path.name: table_model(path) for path in self._tables if path.name in names and path.is_file()}
        own = self.fingerprint or next((model for model in found.values() if model is not None), None)
        for name, model in found.items():
            if own is not None and model not in (None, own):
                raise ValueError(
                    f"expected results of one network in {str(self.path)!r}, got {name} of another one "
                    f"({model[:8]}, not {own[:8]}): compute it again with --force, or remove it"
                )

    @property
    def _tables(self) -> tuple[Path, ...]:
        """The tables that carry the fingerprint of their network."""
        early = (self.relevance, self.effects, self.dynamics)
        further = (self.attribution, self.posterior, self.dimension, self.programs, self.monitor, self.lags)
        return (*early, *further, self.repair)

    @property
    def is_finished(self) -> bool:
        """Whether every stage has finished."""
        summary = self.summary()
        return bool(summary) and bool(summary.get("finished", True))

    def write_config(self, config: RunConfig) -> None:
        """Write ``config.toml``."""
        with self.writing("config.toml") as path, atomic_write(path) as part:
            part.write_text(tomli_w.dumps({"format": FORMAT, **config_to_dict(config)}), encoding="utf-8")

    def remove_results(self, *stages: str) -> None:
        """Remove the results of some stages."""
        if processes.is_first():
            for stage in stages:
                for name in STAGE_FILES[stage]:
                    (self.path / name).unlink(missing_ok=True)
            files = _manifest.read_manifest(self.path)
            if files is not None:
                gone = {name for stage in stages for name in STAGE_FILES[stage]}
                left = {name: value for name, value in files.items() if name not in gone}
                _manifest.write_manifest(self.path, left)
        if self.summary():
            self.update_summary(finished=False)

    def has_results(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return self.has(STAGE_FILES[stage][-1])


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level of names, joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= flatten_settings(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def check_place(path: Path) -> None:
    """Raise a ValueError if results cannot be written into a folder of this path."""
    if path.is_symlink() and not path.exists():
        raise ValueError(
            f"expected a folder for --out, got {str(path)!r}, a link to {os.readlink(path)!r}, which does not exist: "
            "make that folder, or use another --out"
        )
    check_array_path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"expected a folder for --out, got {str(path)!r}, which is a file: use another --out")


def _choose_path(config: RunConfig) -> Path:
    if config.out is not None:
        return Path(config.out)
    taken: list[Path] = []
    for number in count(1):
        path = ROOT / (config.name if number == 1 else f"{config.name}-{number}")
        if not RunFolder(path).is_taken:
            return taken[-1] if config.resume and taken else path
        taken.append(path)
    raise RuntimeError("count() does not end")
