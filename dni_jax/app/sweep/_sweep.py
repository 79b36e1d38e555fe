"""Executing a sweep, from its config to the comparison of its runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from dni_jax.app.config import InspectConfig, RunConfig, VerifyConfig
from dni_jax.app.pipeline import Job
from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._comparison import compare_runs
from dni_jax.app.sweep._config import SweepConfig
from dni_jax.app.sweep._folder import POPULATIONS, Group, SweepFolder
from dni_jax.app.sweep._states import FAILED, RunMonitor
from dni_jax.app.sweep._tables import sweep_table
from dni_jax.app.sweep._workers import Outcome, Workers
from dni_jax.app.texts import get_language
from dni_jax.settings import TrainConfig


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The result of a sweep.

    Attributes
    ----------
    path
        Folder of the sweep.
    table
        One row per run; see `sweep_table`.
    failed
        Error messages of the runs that failed, by name; ``error.txt`` in their folders has the details.
    """

    path: Path
    table: pd.DataFrame
    failed: dict[str, str]


def sweep(
    config: SweepConfig,
    log: Callable[[str], None] = lambda line: None,
    *,
    workers: Workers = Workers(),  # noqa: B008
    force: bool = False,
    monitor: Callable[[RunMonitor], AbstractContextManager[object]] = lambda monitor: nullcontext(),
) -> SweepResult:
    """Execute all unfinished runs of a sweep, and compare its runs.

    Calling this again continues an interrupted sweep: finished runs are kept, and training resumes from the last
    checkpoint. A run that fails does not stop the others; the next call tries it again.

    Parameters
    ----------
    config
        The runs; see `SweepConfig` and `read_sweep`.
    log
        Called with one line of text for the plan, each warning and each failed run.
    workers
        Where to execute the tasks, and how many in parallel.
    force
        Replace another sweep in the folder.
    monitor
        Context manager that shows the progress of the runs while they are executed.

    Returns
    -------
    SweepResult

    Raises
    ------
    ValueError
        Before any run starts, if the folder holds something else, a language does not exist, or the cluster is
        unavailable.
    """
    workers.check()
    configs = [run.config for run in config.runs]
    for one in {(one.language, one.grammar, one.start, one.parser_states): one for one in configs}.values():
        get_language(one)
    if force:
        _check_texts(config)
    folder = SweepFolder.claim(config, force)
    try:
        return _execute(config, folder, log, workers, monitor)
    finally:
        folder.release()


def _check_texts(config: SweepConfig) -> None:
    """Read the text of every run, and check that its settings fit it, before a sweep is replaced."""
    sharing: dict[str, list[RunConfig]] = {}
    parts: dict[str, Any] = {
        "train": TrainConfig(),
        "inspect": InspectConfig(),
        "verify": VerifyConfig(),
        "inspect_every": None,
    }
    for one in (run.config for run in config.runs):
        sharing.setdefault(repr(replace(one, text_seed=one.resolved_text_seed, **parts)), []).append(one)
    for configs in sharing.values():
        language, text = get_language(configs[0]), None
        for one in configs:
            text = Job(one, RunFolder(config.path), language, text=text).check()


def _execute(
    config: SweepConfig,
    folder: SweepFolder,
    log: Callable[[str], None],
    workers: Workers,
    monitor: Callable[[RunMonitor], AbstractContextManager[object]],
) -> SweepResult:
    groups, names = folder.plan_tasks(config), [run.name for run in config.runs]
    unfinished = [run.name for group in groups for run in group.runs]
    log(describe_plan(config, folder, groups))
    warned: set[str] = set()

    def report(group: Group, outcome: Outcome) -> None:
        for line in outcome.warnings:
            if line not in warned:
                log(line)
            warned.add(line)
        for name, error in outcome.errors.items():
            log(f"{name} failed: {error}")

    with monitor(RunMonitor(folder.path, names, unfinished)):
        workers.run(groups, folder.path.resolve(), report)
    states = RunMonitor(folder.path, names, ()).read()
    failed = {state.name: state.error for state in states if state.stage == FAILED}
    missing = [state.name for state in states if not state.has_ended]
    failed |= {name: f"unfinished in {str(folder.path / name)!r}: do the workers see this folder?" for name in missing}
    if not failed:
        shutil.rmtree(folder.path / POPULATIONS, ignore_errors=True)
    compare_runs(folder, config)
    return SweepResult(folder.path, sweep_table([folder.path / name for name in names]), failed)


def describe_plan(config: SweepConfig, folder: SweepFolder, groups: tuple[Group, ...]) -> str:
    """Describe how many runs a sweep has, how many are finished, and the tasks that are left."""
    n_finished = len(folder.finished(config))
    finished = f", {n_finished} of them finished" if n_finished else ""
    sizes = [len(group.networks) for group in groups]
    return (
        f"{len(config.runs)} runs in {folder.path}{finished}; left: {len(groups)} tasks with {sum(sizes)} networks "
        f"(networks per task: {', '.join(map(str, sizes)) or 'none'})"
    )
