"""Where the tasks of a sweep run: here, in processes of this machine, or on a cluster; all through joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dni_jax.app.sweep._planning import Group
from dni_jax.app.sweep._task import Outcome, Share, do_group, fail_group
from dni_jax.devices import count_cores, use_all_cores

_FILLS = 4  # cores that one network fills: its 32 lanes are split into parts of at least 8
Took = Callable[[Group, Outcome], None]


@dataclass(frozen=True)
class Workers:
    """Who does the tasks.

    Attributes
    ----------
    jobs
        Tasks at a time. One task uses all cores, or the accelerator, by itself; so the default is one, and on a machine
        with many cores and no accelerator one for every four cores, which is what a network with 32 lanes fills. One
        task at a time runs in this process, several in processes of their own, which share the cores evenly. On a
        cluster, by default as many as it has workers for.
    backend
        loky (processes of this machine), dask or ray.
    address
        Of the cluster's scheduler; its workers must see the sweep's folder under the same path.
    """

    jobs: int | None = None
    backend: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        ValueError
            For a number of jobs below 1, a cluster without an address, or one whose package is not installed.
        """
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"expected at least 1 job, got {self.jobs}")
        if self.backend == "loky":
            if self.address is not None:
                raise ValueError(f"expected --backend dask or ray beside --address, got --address {self.address} alone")
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
    def at_once(self) -> int:
        """Tasks at a time; -1 as many as the cluster has workers for."""
        if self.jobs is not None:
            return self.jobs
        return -1 if self.backend != "loky" else _usual_jobs()

    def do(self, groups: Sequence[Group], folder: Path, took: Took) -> None:
        """Do all tasks; `took` is told of each when it has ended.

        A process that dies (out of memory, killed) fails its own task only.
        """
        if self.backend == "loky" and self.at_once == 1:
            for group in groups:
                took(group, do_group(group, folder, Share()))
            return
        with self._connected() as deaths:
            self._do_elsewhere(groups, folder, deaths, took)

    @contextmanager
    def _connected(self) -> Iterator[type[Exception]]:
        """Make joblib use the backend; gives what it raises where a process has died."""
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

    def _do_elsewhere(self, groups: Sequence[Group], folder: Path, deaths: type[Exception], took: Took) -> None:
        """Where a process dies, the tasks that may have been its are tried once more, each alone."""
        left, jobs = list(groups), self.at_once

        def done(group: Group, outcome: Outcome) -> None:
            left.remove(group)
            took(group, outcome)

        while left:
            try:
                self._spread(tuple(left), folder, jobs, done)
            except deaths:
                for group in left[: jobs if jobs > 0 else None]:
                    try:
                        # Two jobs for one task: joblib does a single job in this process, which must not die.
                        self._spread((group,), folder, 2, done)
                    except deaths as error:
                        done(group, fail_group(group, folder, error))

    def _spread(self, groups: Sequence[Group], folder: Path, jobs: int, took: Took) -> None:
        """Send tasks to the backend; take each when it has ended."""
        share = Share(max(1, count_cores() // jobs), 0.75 / jobs) if self.backend == "loky" else Share()
        calls = (joblib.delayed(_numbered)(number, group, folder, share) for number, group in enumerate(groups))
        # Ray's backend can only give all results at the end.
        way = "list" if self.backend == "ray" else "generator_unordered"
        # No task waits in a pool, so that one that breaks has lost no more of them than it has processes.
        for number, outcome in joblib.Parallel(jobs, return_as=way, batch_size=1, pre_dispatch="n_jobs")(calls):
            took(groups[number], outcome)


def _numbered(number: int, group: Group, folder: Path, share: Share) -> tuple[int, Outcome]:
    return number, do_group(group, folder, share)


def _usual_jobs() -> int:
    if count_cores() < 2 * _FILLS:
        return 1
    import jax

    use_all_cores()
    return count_cores() // _FILLS if jax.default_backend() == "cpu" else 1
