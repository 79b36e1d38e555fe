"""The folder of a sweep, and the tasks that are left to do in it: runs that train together are one task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from dni_jax.app.config import RunConfig
from dni_jax.app.run_folder import RunFolder, check_place, config_to_dict, read_config
from dni_jax.app.sweep._config import PlannedRun, SweepConfig, read_sweep
from dni_jax.files import LOCK, FolderLock, atomic_write, remove, remove_leftovers

CONFIG = "sweep.toml"
# What the comparison of the runs writes, besides the page.
COMPARISON = (
    *("sweep.csv", "stability.csv"),
    *("known_by_size.png", "known_by_step.png", "loss_by_size.png", "known_over_seeds.png"),
)
POPULATIONS = ".together"  # subfolder for checkpoints of populations; hidden, so that it is not taken for a run
_Network = tuple[float | None, int]  # learning rate, seed


@dataclass(frozen=True)
class Group:
    """Runs whose networks train together, as one task.

    Attributes
    ----------
    networks
        For every network, the runs that use it: runs with the same training settings share a network. The networks
        differ only in seed and learning rate, and every seed occurs with every rate.
    """

    networks: tuple[tuple[PlannedRun, ...], ...]

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """All runs of the group."""
        return tuple(run for runs in self.networks for run in runs)

    @property
    def firsts(self) -> tuple[PlannedRun, ...]:
        """The first run of each network."""
        return tuple(runs[0] for runs in self.networks)

    @property
    def name(self) -> str:
        """A unique name."""
        names = [run.name for run in self.firsts]
        return f"{names[0]}+{len(names) - 1}_{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The distinct seeds of the networks."""
        return tuple(dict.fromkeys(run.config.train.seed for run in self.firsts))

    @property
    def rates(self) -> tuple[float, ...] | None:
        """The distinct learning rates of the networks; None if the vocabulary decides."""
        rates = dict.fromkeys(run.config.train.learning_rate for run in self.firsts)
        return None if None in rates else tuple(rate for rate in rates if rate is not None)


def group_runs(runs: Iterable[PlannedRun], together: int) -> tuple[Group, ...]:
    """Group runs whose networks can train as one population, ordered by their first runs.

    Parameters
    ----------
    runs
        The runs to group.
    together
        Maximum number of networks in a group.

    Examples
    --------
    >>> from dni_jax.app.sweep import SweepConfig
    >>> sweep = SweepConfig("s", grid={"hidden": [8, 16], "seed": [0, 1, 2], "probe": ["svm", "ridge"]})
    >>> [(len(group.networks), len(group.runs)) for group in group_runs(sweep.runs, together=16)]
    [(3, 6), (3, 6)]
    >>> [len(group.networks) for group in group_runs(sweep.runs, together=2)]
    [2, 1, 2, 1]
    """
    shapes: dict[str, dict[_Network, list[PlannedRun]]] = {}
    for run in runs:
        train = run.config.train
        shapes.setdefault(_population_key(run.config), {}).setdefault((train.learning_rate, train.seed), []).append(run)
    return tuple(group for networks in shapes.values() for group in _groups(networks, together))


def _population_key(config: RunConfig) -> str:
    """Return the settings that networks of one population share, including the inspection if it happens in training."""
    settings: dict[str, Any] = asdict(config)
    settings["text_seed"] = config.resolved_text_seed
    for name in ("seed", "learning_rate"):
        del settings["train"][name]
    if config.inspect_every is None:
        del settings["inspect"]
    del settings["verify"]
    return repr(settings)


def _groups(networks: dict[_Network, list[PlannedRun]], together: int) -> Iterator[Group]:
    """Split networks into groups in which every seed occurs with every learning rate."""
    seeds_of: dict[float | None, list[int]] = {}
    for rate, seed in networks:
        seeds_of.setdefault(rate, []).append(seed)
    by_seeds: dict[tuple[bool, frozenset[int]], list[float | None]] = {}
    for rate, seeds in seeds_of.items():
        by_seeds.setdefault((rate is None, frozenset(seeds)), []).append(rate)
    for rates in by_seeds.values():
        seeds = seeds_of[rates[0]]
        for seed_part in _split(seeds, together):
            for rate_part in _split(rates, together // len(seed_part)):
                yield Group(tuple(tuple(networks[rate, seed]) for rate in rate_part for seed in seed_part))


def _split(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    size = max(size, 1)
    for first in range(0, len(values), size):
        yield values[first : first + size]


@dataclass(frozen=True)
class SweepFolder:
    """The files in a sweep's folder: ``sweep.toml``, one folder per run, and their comparison.

    Attributes
    ----------
    path
        The folder.
    lock
        Keeps other processes from working on the sweep.
    """

    path: Path
    lock: FolderLock | None = field(default=None, repr=False, compare=False)

    @classmethod
    def claim(cls, config: SweepConfig, force: bool = False) -> SweepFolder:
        """Create the folder of a sweep, or continue the sweep in it.

        The sweep in the folder may have fewer runs, because a sweep can grow by values of its axes.

        Raises
        ------
        ValueError
            If the folder holds another sweep, a run with other settings, or no sweep.
        """
        folder = cls(config.path)
        check_place(folder.path)
        if folder.is_taken and not force:
            folder.check(config)
        if folder.is_taken and force:
            folder.check_replaceable()
        folder.path.mkdir(parents=True, exist_ok=True)
        folder = replace(folder, lock=FolderLock(folder.path))
        if folder.is_taken and force:
            folder.clear()
        else:
            folder.check(config)
        remove_leftovers(folder.path)
        with atomic_write(folder.path / CONFIG) as part:
            part.write_text(tomli_w.dumps(sweep_to_dict(config)), encoding="utf-8")
        return folder

    @property
    def is_taken(self) -> bool:
        """Whether the folder exists and is not empty."""
        return self.path.exists() and any(path.name != LOCK for path in self.path.iterdir())

    @property
    def page(self) -> Path:
        """The HTML overview that compares the runs."""
        return self.path / "sweep.html"

    def check_replaceable(self) -> None:
        """Raise a ValueError if the folder holds no sweep."""
        if not (self.path / CONFIG).is_file():
            raise ValueError(f"expected a sweep to replace in {str(self.path)!r}, got a folder without {CONFIG}")
        read_sweep(self.path / CONFIG)

    def clear(self) -> None:
        """Remove the files of the sweep and of its runs; files of other origin stay.

        Raises
        ------
        ValueError
            If the folder holds no sweep, or another process works in one of its runs.
        """
        self.check_replaceable()
        for run in read_sweep(self.path / CONFIG).runs:
            folder = RunFolder(self.path / run.name)
            if folder.path.is_dir():
                held = folder.hold()
                held.remove_run()
                held.release()
                with suppress(OSError):  # it holds files of other origin
                    folder.path.rmdir()
        for name in (CONFIG, self.page.name, POPULATIONS, *COMPARISON):
            remove(self.path / name)

    def release(self) -> None:
        """Let other processes work on the sweep."""
        if self.lock is not None:
            self.lock.release()

    def check(self, config: SweepConfig) -> None:
        """Raise a ValueError if the folder holds anything but a part of this sweep; see `claim`."""
        if not self.is_taken:
            return
        file = self.path / CONFIG
        if not file.is_file():
            raise ValueError(
                f"expected an empty or new folder for the sweep, got {str(self.path)!r}, which holds no sweep: "
                "use another name or --out"
            )
        ours = {run.name: run for run in config.runs}
        gone = [run.name for run in read_sweep(file).runs if run.name not in ours]
        if gone:
            count = f"{len(gone)} run{'s' if len(gone) != 1 else ''}"
            raise ValueError(
                f"expected the sweep that {str(self.path)!r} was started with (or one with more runs), got one without "
                f"its {count} {', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''}: continue with "
                f"{str(file)!r}, use another name or --out, or replace it with --force"
            )
        for run in read_sweep(file).runs:
            self._check_same(run.name, config_to_dict(run.config), config_to_dict(ours[run.name].config))
        for run in config.runs:
            file = self.path / run.name / "config.toml"
            if file.is_file():
                self._check_same(run.name, config_to_dict(read_config(file)), config_to_dict(run.config))

    def _check_same(self, name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        differ = [f"{what} {a!r} there, {b!r} here" for what, a, b in _differences(theirs, ours)]
        if differ:
            raise ValueError(
                f"expected the settings that {name} in {str(self.path)!r} was started with, got others: "
                f"{'; '.join(differ)}: use another name or --out, or replace the sweep with --force"
            )

    def finished(self, config: SweepConfig) -> list[str]:
        """Return the names of the finished runs."""
        return [run.name for run in config.runs if RunFolder(self.path / run.name).is_finished]

    def plan_tasks(self, config: SweepConfig) -> tuple[Group, ...]:
        """Return the tasks that are left. Finished runs belong to none of them.

        A population whose training was interrupted keeps its group.
        """
        interrupted: list[Group] = []
        left: list[PlannedRun] = []
        for group in group_runs(config.runs, config.together):
            if (self.path / POPULATIONS / group.name).is_dir():
                interrupted.append(group)
            else:
                left += [run for run in group.runs if not RunFolder(self.path / run.name).is_finished]
        trained: list[PlannedRun] = []
        others: list[PlannedRun] = []
        for run in left:
            (trained if RunFolder(self.path / run.name).model.exists() else others).append(run)
        return (*interrupted, *group_runs(trained, config.together), *group_runs(others, config.together))


def sweep_to_dict(config: SweepConfig) -> dict[str, Any]:
    """Return the dictionary that the TOML file of a sweep holds."""
    table: dict[str, Any] = {"name": config.name, "share_text": config.share_text, "together": config.together}
    settings, grid = dict(config.settings), {path: list(values) for path, values in config.grid.items()}
    listed = [dict(row) for row in config.listed]
    parts = {"settings": settings, "grid": grid, "list": listed}
    return table | {name: part for name, part in parts.items() if part}


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    differences: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys((*theirs, *ours)):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            differences += _differences(a, b, f"{prefix}{name}.")
        elif _tuple_to_list(a) != _tuple_to_list(b):
            differences.append((f"{prefix}{name}", a, b))
    return differences


def _tuple_to_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
