"""The command for many runs: the plan, a live table of how far they are, the end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from dni_jax.app.cli._output import Output, Voice, speaking
from dni_jax.app.cli._stages import use_compiled

if TYPE_CHECKING:
    from dni_jax.app.sweep import RunState, SweepConfig, SweepFolder, SweepResult, Watch

_EVERY = 1.0  # seconds between two looks at the folders
_COLOURS = {"done": "green", "failed": "bold red", "waiting": "dim"}


def sweep(
    config: Positional[Annotated[Path, arg(metavar="CONFIG")]],
    dry_run: bool = False,
    jobs: int | None = None,
    backend: Literal["loky", "dask", "ray"] = "loky",
    address: str | None = None,
    out: str | None = None,
    force: bool = False,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Do a run for every combination of some settings, and compare them.

    Examples
    --------
        dni sweep examples/sizes.toml --dry-run
        dni sweep examples/sizes.toml
        dni sweep examples/sizes.toml --backend dask --address tcp://HOST:8786
        dni query 'runs/sizes/*' "SELECT hidden, avg(gap) FROM runs GROUP BY hidden"

    The same command goes on with a sweep that was stopped: what is whole is not done again, what failed is tried again.

    Args:
        config: A TOML file with [settings], [grid] and [[list]]; see docs/sweeps.md.
        dry_run: Say which runs there are and which train together, and end.
        jobs: Tasks at a time; each takes all cores by itself, so by default one for every four cores.
        backend: Processes of this machine, or a cluster.
        address: Of the cluster's scheduler.
        out: The sweep's folder; without it, runs/NAME.
        force: Replace another sweep in that folder.
        output: How to speak.
    """
    use_compiled()
    from dataclasses import replace

    from dni_jax.app import sweep as sweeping

    asked = sweeping.read_sweep(config)
    if out is not None:
        asked = replace(asked, out=out)
    workers = sweeping.Workers(jobs, backend, address)
    with speaking(output) as voice:
        if dry_run:
            workers.check()
            _show_plan(voice, asked, sweeping.SweepFolder(asked.path))
            return
        names = [run.name for run in asked.runs]
        voice.say(f"{len(names)} runs: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
        result = sweeping.sweep(
            asked, voice.say, workers=workers, force=force, watched=lambda watch: _watched(voice, watch)
        )
        _show_result(voice, asked, result)
    if result.failed:
        sys.exit(1)


def _show_plan(voice: Voice, config: SweepConfig, folder: SweepFolder) -> None:
    from dni_jax.app.sweep import state_of

    folder.check(config)
    task_of = {run.name: number for number, group in enumerate(folder.to_do(config), 1) for run in group.runs}
    states = {run.name: state_of(folder.path / run.name).stage for run in config.runs}
    table = _table("run", "task", *_axes(config), "state")
    rows: list[dict[str, Any]] = []
    for run in config.runs:
        task = task_of.get(run.name)
        rows.append({"run": run.name, "task": task, **run.values, "state": states[run.name]})
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in rows[-1].values()))
    said = f"{len(rows)} runs in {folder.path}; those of one task train together"
    voice.show({"sweep": folder.path, "runs": rows}, table, said)


def _show_result(voice: Voice, config: SweepConfig, result: SweepResult) -> None:
    from dni_jax.app.sweep import Watch

    states = Watch(result.path, [run.name for run in config.runs], ()).states()
    values = {run.name: run.values for run in config.runs}
    lines = [
        f"{name} failed ({', '.join(f'{path} {value}' for path, value in values[name].items())}): {error}\n"
        f"  see {result.path / name / 'error.txt'}; the same command tries it again"
        for name, error in result.failed.items()
    ]
    left = sorted(path.name for path in result.path.iterdir() if path.suffix in (".html", ".csv", ".png"))
    voice.show(
        {"sweep": result.path, "runs": result.table, "failed": result.failed},
        "",
        states_table(states),
        *lines,
        f"Results: {result.path}  ({', '.join(left)})",
    )


@contextmanager
def _watched(voice: Voice, watch: Watch) -> Iterator[None]:
    """Show how far runs are: a table that renews itself on a terminal, lines elsewhere, nothing where it is quiet."""
    if voice.output.quiet:
        yield
    elif voice.lines.is_terminal:
        height = voice.lines.size.height - 6
        with Live(
            get_renderable=lambda: states_table(watch.states(), max(height, 4)),
            console=voice.lines,
            refresh_per_second=2,
            transient=True,
        ):
            yield
    else:
        with _looking(watch, voice.say):
            yield


@contextmanager
def _looking(watch: Watch, say: Callable[[str], None]) -> Iterator[None]:
    """Say a line whenever a run has come to another stage."""
    before = {state.name: state.stage for state in watch.states()}
    stop = threading.Event()

    def look() -> None:
        for state in watch.states():
            if state.stage != before[state.name]:
                before[state.name] = state.stage
                say(f"{state.name}: {_words(state)}")

    def go_on() -> None:
        while not stop.wait(_EVERY):
            look()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()


def _words(state: RunState) -> str:
    known = [f"loss {state.loss:.4f}"] if state.loss is not None else []
    known += [f"median AUC {state.auc:.3f}"] if state.auc is not None else []
    took = f" in {state.seconds:.0f} s" if state.stage == "done" and state.seconds is not None else ""
    return ", ".join([f"{state.stage}{took}", *known])


def states_table(states: Sequence[RunState], height: int | None = None) -> RenderableType:
    """Lay out how far runs are; of more than `height`, those that are at work, then failed, waiting and done ones."""
    counts = {stage: sum(state.stage == stage for state in states) for stage in ("done", "failed", "waiting")}
    at_work = len(states) - sum(counts.values())
    told = ", ".join(f"{n} {stage}" for stage, n in {"at work": at_work, **counts}.items() if n)
    shown = list(states)
    if height is not None and len(shown) > height:
        rank = {"done": 3, "waiting": 2, "failed": 1}
        kept = sorted(range(len(shown)), key=lambda place: rank.get(shown[place].stage, 0))[:height]
        shown = [shown[place] for place in sorted(kept)]
        told += f"; {len(states) - height} not shown"
    table = _table("run", "stage", "step", "loss", "median AUC", "time")
    for state in shown:
        table.add_row(
            Text(state.name),
            Text(state.stage, _COLOURS.get(state.stage, "cyan")),
            "" if state.step is None else f"{state.step:,}",
            "" if state.loss is None else f"{state.loss:.4f}",
            "" if state.auc is None else f"{state.auc:.3f}",
            "" if state.seconds is None else f"{int(state.seconds) // 60}:{int(state.seconds) % 60:02d}",
        )
    return Group(table, Text(told))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        right = name in ("step", "loss", "median AUC", "time", "task")
        table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    return table


def _axes(config: SweepConfig) -> list[str]:
    return [path.rpartition(".")[2] for path in config.runs[0].values]


COMMANDS: dict[str, Callable[..., None]] = {"sweep": sweep}
