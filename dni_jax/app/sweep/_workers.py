"""Executing the tasks of a sweep: in this process, in others on this machine, or on a cluster, through joblib."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import joblib
import tomli_w
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dni_jax.app.pipeline import Job, copy_network, finish_run, start_run, train_stage, train_together
from dni_jax.app.run_folder import RunFolder, config_to_dict
from dni_jax.app.sweep._config import PlannedRun
from dni_jax.app.sweep._folder import POPULATIONS, Group
from dni_jax.devices import count_cores, use_all_cores, use_compilation_cache
from dni_jax.files import atomic_write
from dni_jax.languages.code import cache_folder
from dni_jax.progress import hide

ERROR = "error.txt"
_CORES_PER_NETWORK = 4  # a network has 32 lanes, and a device needs at least 8 of them


@dataclass(frozen=True)
class Resources:
    """The share of a machine's resources that one process may use.

    Attributes
    ----------
    devices
        Number of CPU devices; 0 keeps the current setting of JAX.
    memory
        Fraction of an accelerator's memory; 0 keeps the current setting of JAX.
    """

    devices: int = 0
    memory: float = 0.0

    def apply(self) -> None:
        """Configure JAX accordingly, unless the user has configured it."""
        import jax

        if self.memory:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{self.memory:.3f}")
        if self.devices and jax.config.values["jax_num_cpu_devices"] < 1:
            jax.config.update("jax_num_cpu_devices", self.devices)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes
    ----------
    errors
        Error messages of the runs that failed, by name.
    warnings
        Distinct warnings.
    """

    errors: dict[str, str]
    warnings: tuple[str, ...] = ()


OnDone = Callable[[Group, Outcome], None]


def run_group(group: Group, folder: Path, resources: Resources) -> Outcome:
    """Finish every run of a group. A failing run gets an ``error.txt`` and does not stop the others.

    Parameters
    ----------
    group
        The runs.
    folder
        Folder of the sweep, with one subfolder per run.
    resources
        What this process may use.
    """
    resources.apply()
    use_compilation_cache(cache_folder() / "xla")
    task = _Task(group, folder)
    with warnings.catch_warnings(record=True) as caught, hide():
        task.start()
        task.train()
        task.finish()
    return Outcome(task.errors, tuple(dict.fromkeys(str(one.message) for one in caught)))


class _Task:
    """A group in progress: the jobs of its runs that have not failed."""

    def __init__(self, group: Group, folder: Path) -> None:
        self.group, self.folder = group, folder
        self.jobs: dict[str, Job] = {}
        self.errors: dict[str, str] = {}

    def start(self) -> None:
        """Start or resume every unfinished run. All of them share one text."""
        text = None
        for run in self.group.runs:
            path = self.folder / run.name
            if RunFolder(path).is_finished:
                continue
            with self._catch_errors(run):
                (path / ERROR).unlink(missing_ok=True)
                config = replace(run.config, out=str(path), resume=(path / "config.toml").is_file())
                job = start_run(config, text=text)
                text = job.corpus
                job.check_folds()
                self.jobs[run.name] = job

    def train(self) -> None:
        """Train every missing network once, and copy it to all of its runs."""
        networks = [[run for run in runs if run.name in self.jobs] for runs in self.group.networks]
        firsts = [runs[0] for runs in networks if runs]
        missing = [run for run in firsts if not self.jobs[run.name].folder.model.exists()]
        if missing and 1 < len(firsts) == len(networks):
            self._train_together(firsts)
        else:
            for run in missing:
                with self._catch_errors(run):
                    train_stage(self.jobs[run.name])
        for first, *others in filter(None, networks):
            for run in others:
                with self._catch_errors(run):
                    self._copy_network(run, first)

    def _train_together(self, firsts: list[PlannedRun]) -> None:
        jobs = [self.jobs[run.name] for run in firsts]
        checkpoints = self.folder / POPULATIONS / self.group.name
        try:
            diverged = train_together(jobs, self.group.seeds, self.group.rates, checkpoints)
        except Exception as error:
            for run in firsts:
                self._record_error(run, error)
            return
        for number, message in diverged.items():
            self._record_error(firsts[number], ValueError(message))

    def _copy_network(self, run: PlannedRun, first: PlannedRun) -> None:
        if first.name in self.errors:
            raise ValueError(f"expected the network of {first.name}, which failed: {self.errors[first.name]}")
        copy_network(self.jobs[run.name], self.jobs[first.name])

    def finish(self) -> None:
        """Execute the stages after training."""
        for run in self.group.runs:
            if run.name in self.jobs:
                with self._catch_errors(run), self.jobs.pop(run.name) as job:
                    finish_run(job)

    @contextmanager
    def _catch_errors(self, run: PlannedRun) -> Iterator[None]:
        """Record an error of this run instead of raising it."""
        try:
            yield
        except Exception as error:
            self._record_error(run, error)

    def _record_error(self, run: PlannedRun, error: Exception) -> None:
        job = self.jobs.pop(run.name, None)
        if job is not None:
            job.folder.release()
        self.errors[run.name] = write_error(self.folder / run.name, run, error)


def fail_group(group: Group, folder: Path, error: BaseException) -> Outcome:
    """Record that the process of a task was killed. Runs that had finished keep their results."""
    killed = ValueError(
        "expected the process of the task to finish, but it was killed, perhaps because memory was full: lower --jobs, "
        "the sweep's `together`, or the size of the network"
    )
    killed.__cause__ = error
    unfinished = [run for run in group.runs if not RunFolder(folder / run.name).is_finished]
    return Outcome({run.name: write_error(folder / run.name, run, killed) for run in unfinished})


def write_error(path: Path, run: PlannedRun, error: BaseException) -> str:
    """Write ``error.txt`` into a run's folder, with settings and traceback, and return the message."""
    message = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    settings = tomli_w.dumps(config_to_dict(run.config))
    trace = "".join(traceback.format_exception(error))
    with atomic_write(path / ERROR) as part:
        date = time.strftime("%Y-%m-%d %H:%M:%S")
        part.write_text(f"{message}\n\n{date}, with these settings:\n\n{settings}\n{trace}", encoding="utf-8")
    return message.strip() or type(error).__name__


@dataclass(frozen=True)
class Workers:
    """Where the tasks of a sweep are executed.

    Attributes
    ----------
    jobs
        Number of parallel tasks. A single task runs in this process and uses all cores or the accelerator. Several
        tasks run in separate processes that share the cores evenly. Default: one task per four cores, which a network
        with 32 lanes can use; one task with an accelerator; on a cluster, as many as it has workers.
    backend
        loky (processes on this machine), dask or ray.
    address
        Address of the cluster's scheduler. Its workers must see the sweep's folder under the same path.
    """

    jobs: int | None = None
    backend: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None

    def check(self) -> None:
        """Raise a ValueError for less than 1 job, a cluster without an address, or one whose package is missing."""
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"expected at least 1 job, got {self.jobs}")
        if self.backend == "loky":
            if self.address is not None:
                raise ValueError(
                    f"expected --backend dask or ray along with --address, got only --address {self.address}"
                )
            return
        package = {"dask": "distributed", "ray": "ray"}[self.backend]
        if find_spec(package) is None:
            raise ValueError(
                f"expected the package {package} for --backend {self.backend}, got none: "
                f"pip install 'dni-jax[{self.backend}]'"
            )
        if self.address is None:
            example = {"dask": "tcp://HOST:8786", "ray": "auto, or ray://HOST:10001"}[self.backend]
            raise ValueError(f"expected --address of the {self.backend} cluster, got none: {example}")

    @property
    def n_parallel(self) -> int:
        """Number of parallel tasks; -1 means as many as the cluster has workers."""
        if self.jobs is not None:
            return self.jobs
        return -1 if self.backend != "loky" else _default_jobs()

    def run(self, groups: Sequence[Group], folder: Path, on_done: OnDone) -> None:
        """Execute all tasks, and call `on_done` after each.

        A process that is killed, for instance when memory is full, fails only its own task.
        """
        if self.backend == "loky" and self.n_parallel == 1:
            for group in groups:
                on_done(group, run_group(group, folder, Resources()))
            return
        with self._use_backend() as killed:
            self._run_in_processes(groups, folder, killed, on_done)

    @contextmanager
    def _use_backend(self) -> Iterator[type[Exception]]:
        """Make joblib use the backend, and yield the exception that it raises when a process is killed."""
        if self.backend == "dask":
            from distributed import Client, KilledWorker

            with Client(self.address, timeout="30s"), joblib.parallel_config(backend="dask"):
                yield KilledWorker
        elif self.backend == "ray":
            import ray
            from ray.util.joblib import register_ray

            ray.init(address=self.address, ignore_reinit_error=True)
            register_ray()
            with joblib.parallel_config(backend="ray"):
                yield ray.exceptions.RayError
        else:
            with joblib.parallel_config(backend="loky"):
                yield TerminatedWorkerError

    def _run_in_processes(
        self, groups: Sequence[Group], folder: Path, killed: type[Exception], on_done: OnDone
    ) -> None:
        """Execute tasks in parallel. If a process is killed, retry the tasks that it may have had, one at a time."""
        left, jobs = list(groups), self.n_parallel

        def done(group: Group, outcome: Outcome) -> None:
            left.remove(group)
            on_done(group, outcome)

        while left:
            try:
                self._submit(tuple(left), folder, jobs, done)
            except killed:
                for group in left[: jobs if jobs > 0 else None]:
                    try:
                        # With jobs=1, joblib would run the task in this process, which must survive.
                        self._submit((group,), folder, 2, done)
                    except killed as error:
                        done(group, fail_group(group, folder, error))

    def _submit(self, groups: Sequence[Group], folder: Path, jobs: int, on_done: OnDone) -> None:
        """Submit tasks to the backend, and call `on_done` after each."""
        resources = Resources(max(1, count_cores() // jobs), 0.75 / jobs) if self.backend == "loky" else Resources()
        calls = (joblib.delayed(_run_numbered)(number, group, folder, resources) for number, group in enumerate(groups))
        # Ray's backend can return results only when all tasks are done.
        order = "list" if self.backend == "ray" else "generator_unordered"
        # Tasks are not queued in the pool, so that a broken pool loses at most one task per process.
        for number, outcome in joblib.Parallel(jobs, return_as=order, batch_size=1, pre_dispatch="n_jobs")(calls):
            on_done(groups[number], outcome)


def _run_numbered(number: int, group: Group, folder: Path, resources: Resources) -> tuple[int, Outcome]:
    return number, run_group(group, folder, resources)


def _default_jobs() -> int:
    if count_cores() < 2 * _CORES_PER_NETWORK:
        return 1
    import jax

    use_all_cores()
    return count_cores() // _CORES_PER_NETWORK if jax.default_backend() == "cpu" else 1
