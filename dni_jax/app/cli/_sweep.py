"""The command for many runs: the plan, a live table of their progress, and the result."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from dni_jax.app.cli._pipeline import enable_compilation_cache
from dni_jax.app.config import OutputConfig
from dni_jax.settings import Described
from dni_jax.status_line import pause_status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from dni_jax.app.cli._console import Console
    from dni_jax.app.sweep import RunMonitor, RunState, SweepConfig, SweepFolder, SweepResult

_INTERVAL = 1.0  # seconds between two checks of the run folders
_COLORS = {"done": "green", "failed": "bold red", "waiting": "dim"}


def sweep(
    config: Positional[Annotated[Path, arg(metavar="CONFIG")]],
    dry_run: bool = False,
    jobs: Described[int | None] = None,
    backend: Literal["loky", "dask", "ray"] = "loky",
    address: Described[str | None] = None,
    out: Described[str | None] = None,
    force: bool = False,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Execute one run for every combination of some settings, and compare the runs.

    Examples
    --------
        dni sweep examples/sizes.toml --dry-run
        dni sweep examples/sizes.toml
        dni sweep examples/sizes.toml --backend dask --address tcp://HOST:8786
        dni query 'runs/sizes/*' "SELECT hidden, avg(gap) FROM runs GROUP BY hidden"

    To continue a sweep that was stopped, repeat the command: finished runs are kept, failed ones are tried again.

    Args:
        config: A TOML file with [settings], [grid] and [[list]]; see docs/sweeps.md.
        dry_run: Show the runs and which of them train together, without executing them.
        jobs: Number of parallel tasks. One task uses all cores; default: one per four cores.
        backend: Where to execute tasks: loky (processes on this machine), or a dask or ray cluster.
        address: Address of the cluster's scheduler.
        out: Folder of the sweep. Default: runs/NAME.
        force: Replace another sweep in that folder.
        output: What to print.
    """
    enable_compilation_cache()
    from dataclasses import replace

    from dni_jax.app import sweep as sweeps
    from dni_jax.app.cli._console import open_console

    plan = sweeps.read_sweep(config)
    if out is not None:
        plan = replace(plan, out=out)
    workers = sweeps.Workers(jobs, backend, address)
    with open_console(output) as console:
        if dry_run:
            workers.check()
            _show_plan(console, plan, sweeps.SweepFolder(plan.path))
            return
        names = [run.name for run in plan.runs]
        console.log(f"{len(names)} runs: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
        result = sweeps.sweep(
            plan, console.log, workers=workers, force=force, monitor=lambda monitor: show_progress(console, monitor)
        )
        _show_result(console, plan, result)
    if result.failed:
        sys.exit(1)


def _show_plan(console: Console, config: SweepConfig, folder: SweepFolder) -> None:
    from rich.text import Text

    from dni_jax.app.sweep import read_state

    folder.check(config)
    task_of = {run.name: number for number, group in enumerate(folder.plan_tasks(config), 1) for run in group.runs}
    states = {run.name: read_state(folder.path / run.name).stage for run in config.runs}
    axes = [path.rpartition(".")[2] for path in config.runs[0].values]
    table = _make_table("run", "task", *axes, "state")
    rows: list[dict[str, Any]] = []
    for run in config.runs:
        task = task_of.get(run.name)
        rows.append({"run": run.name, "task": task, **run.values, "state": states[run.name]})
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in rows[-1].values()))
    summary = f"{len(rows)} runs in {folder.path}. Runs of the same task train together."
    console.show({"sweep": folder.path, "runs": rows}, table, summary)


def _show_result(console: Console, config: SweepConfig, result: SweepResult) -> None:
    from dni_jax.app.sweep import RunMonitor

    states = RunMonitor(result.path, [run.name for run in config.runs], ()).read()
    values = {run.name: run.values for run in config.runs}
    lines = [
        f"{name} failed ({', '.join(f'{path} {value}' for path, value in values[name].items())}): {error}\n"
        f"  see {result.path / name / 'error.txt'}; to try it again, repeat the command"
        for name, error in result.failed.items()
    ]
    files = sorted(path.name for path in result.path.iterdir() if path.suffix in (".html", ".csv", ".png"))
    console.show(
        {"sweep": result.path, "runs": result.table, "failed": result.failed},
        "",
        make_states_table(states),
        *lines,
        f"Results: {result.path}  ({', '.join(files)})",
    )


@contextmanager
def show_progress(console: Console, monitor: RunMonitor) -> Iterator[None]:
    """Show the progress of the runs: as a live table on a terminal, as lines elsewhere, not at all with ``--quiet``."""
    if console.output.quiet:
        yield
    elif console.progress.is_terminal:
        from rich.live import Live

        height = console.progress.size.height - 6
        with (
            pause_status(),
            Live(
                get_renderable=lambda: make_states_table(monitor.read(), max(height, 4)),
                console=console.progress,
                refresh_per_second=2,
                transient=True,
            ),
        ):
            yield
    else:
        with _log_changes(monitor, console.log):
            yield


@contextmanager
def _log_changes(monitor: RunMonitor, log: Callable[[str], None]) -> Iterator[None]:
    """Log a line whenever a run reaches another stage."""
    stages = {state.name: state.stage for state in monitor.read()}
    stop = threading.Event()

    def check() -> None:
        for state in monitor.read():
            if state.stage != stages[state.name]:
                stages[state.name] = state.stage
                log(f"{state.name}: {_describe(state)}")

    def repeat() -> None:
        while not stop.wait(_INTERVAL):
            check()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        check()


def _describe(state: RunState) -> str:
    results = [f"loss {state.loss:.4f}"] if state.loss is not None else []
    results += [f"median AUC {state.auc:.3f}"] if state.auc is not None else []
    duration = f" in {state.seconds:.0f} s" if state.stage == "done" and state.seconds is not None else ""
    return ", ".join([f"{state.stage}{duration}", *results])


def make_states_table(states: Sequence[RunState], height: int | None = None) -> RenderableType:
    """Lay out the progress of runs; of more than `height`, running ones first, then failed, waiting and done ones."""
    from rich.console import Group
    from rich.text import Text

    counts = {stage: sum(state.stage == stage for state in states) for stage in ("done", "failed", "waiting")}
    running = len(states) - sum(counts.values())
    summary = ", ".join(f"{n} {stage}" for stage, n in {"running": running, **counts}.items() if n)
    shown = list(states)
    if height is not None and len(shown) > height:
        rank = {"done": 3, "waiting": 2, "failed": 1}
        kept = sorted(range(len(shown)), key=lambda place: rank.get(shown[place].stage, 0))[:height]
        shown = [shown[place] for place in sorted(kept)]
        summary += f"; {len(states) - height} not shown"
    table = _make_table("run", "stage", "step", "loss", "median AUC", "time")
    for state in shown:
        table.add_row(
            Text(state.name),
            Text(state.stage, _COLORS.get(state.stage, "cyan")),
            "" if state.step is None else f"{state.step:,}",
            "" if state.loss is None else f"{state.loss:.4f}",
            "" if state.auc is None else f"{state.auc:.3f}",
            "" if state.seconds is None else f"{int(state.seconds) // 60}:{int(state.seconds) % 60:02d}",
        )
    return Group(table, Text(summary))


def _make_table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        is_number = name in ("step", "loss", "median AUC", "time", "task")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
    return table


COMMANDS: dict[str, Callable[..., None]] = {"sweep": sweep}
