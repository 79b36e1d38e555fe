"""One task of a sweep: the runs of a group, in whatever process it is sent to."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from dni_jax.app.pipeline import Job, begun, complete, share_network, train_stage, train_together
from dni_jax.app.run_folder import RunFolder, settings_of
from dni_jax.app.sweep._config import Planned
from dni_jax.app.sweep._planning import Group
from dni_jax.devices import use_compilation_cache
from dni_jax.files import atomic_write
from dni_jax.languages.code import cache_folder
from dni_jax.progress import hide

ERROR = "error.txt"
TOGETHER = ".together"  # holds states of populations; hidden, because it is no run


@dataclass(frozen=True)
class Share:
    """What one process of a machine may take.

    Attributes
    ----------
    devices
        CPU devices; 0 leaves it to JAX and the settings there are.
    memory
        Part of an accelerator's memory; 0 likewise.
    """

    devices: int = 0
    memory: float = 0.0

    def take(self) -> None:
        """Tell JAX, where it has not begun and was not told otherwise."""
        import jax

        if self.memory:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{self.memory:.3f}")
        if self.devices and jax.config.values["jax_num_cpu_devices"] < 1:
            jax.config.update("jax_num_cpu_devices", self.devices)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    errors
        The runs that failed, by name, with the error's last line.
    warned
        What was warned of, each once.
    """

    errors: dict[str, str]
    warned: tuple[str, ...] = ()


def do_group(group: Group, folder: Path, share: Share) -> Outcome:
    """Do what is left of every run of a group; an error is written down and ends no run but its own.

    Parameters
    ----------
    group
        The runs.
    folder
        The sweep's; runs are in folders of their names.
    share
        What the process may take.
    """
    share.take()
    use_compilation_cache(cache_folder() / "xla")
    work = _Work(group, folder)
    with warnings.catch_warnings(record=True) as caught, hide():
        work.begin()
        work.train()
        work.finish()
    return Outcome(work.errors, tuple(dict.fromkeys(str(one.message) for one in caught)))


class _Work:
    """A group at work: the jobs of those runs that have not failed."""

    def __init__(self, group: Group, folder: Path) -> None:
        self.group, self.folder = group, folder
        self.jobs: dict[str, Job] = {}
        self.errors: dict[str, str] = {}

    def begin(self) -> None:
        """Take up, or begin, every run that is not whole; they read one text."""
        text = None
        for run in self.group.runs:
            path = self.folder / run.name
            if RunFolder(path).is_whole:
                continue
            with self._one(run):
                (path / ERROR).unlink(missing_ok=True)
                config = replace(run.config, out=str(path), resume=(path / "config.toml").is_file())
                job = begun(config, text=text)
                text = job.corpus
                job.check_folds()
                self.jobs[run.name] = job

    def train(self) -> None:
        """Train every network that is not there, once, and give it to all of its runs."""
        networks = [[run for run in runs if run.name in self.jobs] for runs in self.group.networks]
        firsts = [runs[0] for runs in networks if runs]
        left = [run for run in firsts if not self.jobs[run.name].folder.model.exists()]
        if left and 1 < len(firsts) == len(networks):
            self._train_together(firsts)
        else:
            for run in left:
                with self._one(run):
                    train_stage(self.jobs[run.name])
        for first, *others in filter(None, networks):
            for run in others:
                with self._one(run):
                    self._give_network(run, first)

    def _train_together(self, firsts: list[Planned]) -> None:
        jobs = [self.jobs[run.name] for run in firsts]
        checkpoints = self.folder / TOGETHER / self.group.name
        try:
            diverged = train_together(jobs, self.group.seeds, self.group.rates, checkpoints)
        except Exception as error:
            for run in firsts:
                self._note(run, error)
            return
        for number, words in diverged.items():
            self._note(firsts[number], ValueError(words))

    def _give_network(self, run: Planned, first: Planned) -> None:
        if first.name in self.errors:
            raise ValueError(f"expected the network that {first.name} trains, which failed: {self.errors[first.name]}")
        share_network(self.jobs[run.name], self.jobs[first.name])

    def finish(self) -> None:
        """Do the stages after training."""
        for run in self.group.runs:
            if run.name in self.jobs:
                with self._one(run):
                    complete(self.jobs.pop(run.name))

    @contextmanager
    def _one(self, run: Planned) -> Iterator[None]:
        """Note an error of this run, and go on."""
        try:
            yield
        except Exception as error:
            self._note(run, error)

    def _note(self, run: Planned, error: Exception) -> None:
        self.jobs.pop(run.name, None)
        self.errors[run.name] = write_error(self.folder / run.name, run, error)


def fail_group(group: Group, folder: Path, error: BaseException) -> Outcome:
    """Note that the process of a task died; runs that were whole before stay so."""
    words = "expected the process to end by itself, but it was killed; often the machine's memory was full: lower "
    told = ValueError(f"{words}--jobs, the sweep's `together`, or the size of the network")
    told.__cause__ = error
    left = [run for run in group.runs if not RunFolder(folder / run.name).is_whole]
    return Outcome({run.name: write_error(folder / run.name, run, told) for run in left})


def write_error(path: Path, run: Planned, error: BaseException) -> str:
    """Write ``error.txt`` into a run's folder: what happened, where, and in which config; give its last line."""
    words = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    settings = tomli_w.dumps(settings_of(run.config))
    where = "".join(traceback.format_exception(error))
    with atomic_write(path / ERROR) as aside:
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        aside.write_text(f"{words}\n\n{when}, with these settings:\n\n{settings}\n{where}", encoding="utf-8")
    return words.strip() or type(error).__name__
