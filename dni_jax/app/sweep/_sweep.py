"""A sweep from its config to the page that compares its runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dni_jax.app.sweep._comparing import compare
from dni_jax.app.sweep._config import SweepConfig
from dni_jax.app.sweep._execution import Workers
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._planning import Group
from dni_jax.app.sweep._states import FAILED, Watch
from dni_jax.app.sweep._tables import sweep_table
from dni_jax.app.sweep._task import TOGETHER, Outcome
from dni_jax.app.texts import language_of

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep has left.

    Attributes
    ----------
    path
        The sweep's folder.
    table
        One row a run; see `sweep_table`.
    failed
        The runs that failed, by name, with what went wrong; their folders hold it all as ``error.txt``.
    """

    path: Path
    table: pd.DataFrame
    failed: dict[str, str]


def sweep(
    config: SweepConfig,
    say: Say = lambda line: None,
    *,
    workers: Workers = Workers(),  # noqa: B008
    force: bool = False,
    watched: Callable[[Watch], AbstractContextManager[object]] = lambda watch: nullcontext(),
) -> SweepResult:
    """Do every run of a sweep that is not whole yet, and compare all of them.

    A sweep that was cut off goes on: whole runs are not done again, others from the last state of their training. A run
    that fails is noted and ends no other; the next call tries it again.

    Parameters
    ----------
    config
        The runs; see `SweepConfig` and `read_sweep`.
    say
        Takes one line of text: the plan, warnings, what failed.
    workers
        Who does the tasks: how many at a time, in processes or on a cluster.
    force
        Replace another sweep in the folder.
    watched
        Shows how far the runs are while the work goes on.

    Returns
    -------
    SweepResult

    Raises
    ------
    ValueError
        Before anything is begun: for a folder that holds something else, a language that there is not, a cluster that
        cannot be had.
    """
    workers.check()
    configs = [run.config for run in config.runs]
    for one in {(one.language, one.grammar, one.start, one.parser_states): one for one in configs}.values():
        language_of(one)
    folder = SweepFolder.claim(config, force)
    groups, names = folder.to_do(config), [run.name for run in config.runs]
    left = [run.name for group in groups for run in group.runs]
    say(plan_line(config, folder, groups))
    told: set[str] = set()

    def took(group: Group, outcome: Outcome) -> None:
        for line in outcome.warned:
            if line not in told:
                say(line)
            told.add(line)
        for name, error in outcome.errors.items():
            say(f"{name} failed: {error}")

    with watched(Watch(folder.path, names, left)):
        workers.do(groups, folder.path.resolve(), took)
    states = Watch(folder.path, names, ()).states()
    failed = {state.name: state.error for state in states if state.stage == FAILED}
    unseen = [state.name for state in states if not state.has_ended]
    failed |= {name: f"not whole in {str(folder.path / name)!r}: do the workers see this folder?" for name in unseen}
    if not failed:
        shutil.rmtree(folder.path / TOGETHER, ignore_errors=True)
    compare(folder, config)
    return SweepResult(folder.path, sweep_table([folder.path / name for name in names]), failed)


def plan_line(config: SweepConfig, folder: SweepFolder, groups: tuple[Group, ...]) -> str:
    """Say how many runs there are, how many are left, and how many tasks they are."""
    whole = len(folder.finished(config))
    networks = sum(len(group.networks) for group in groups)
    had = f", {whole} of them whole already" if whole else ""
    return (
        f"{len(config.runs)} runs in {folder.path}{had}; to do: {len(groups)} tasks with {networks} networks "
        f"({', '.join(str(len(group.networks)) for group in groups) or 'none'} trained together)"
    )
