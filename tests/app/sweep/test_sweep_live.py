"""What a person sees while a sweep runs."""

import io
import re

import pytest
from rich.console import Console

from dni_jax.app.cli._console import Console as CommandConsole
from dni_jax.app.cli._sweep import make_states_table, show_progress
from dni_jax.app.config import OutputConfig
from dni_jax.app.sweep import RunMonitor, RunState
from tests.support.made_runs import SMALL, write_run


def shown(renderable):
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def test_the_table_tells_how_far_runs_are():
    text = shown(
        make_states_table(
            [RunState("a", "done", 40, 0.63, 0.875, 75.0), RunState("b", "training", 20, 0.7), RunState("c", "waiting")]
        )
    )
    assert [line.split() for line in text.splitlines() if line[:3].strip() in ("a", "b", "c")] == [
        ["a", "done", "40", "0.6300", "0.875", "1:15"],
        ["b", "training", "20", "0.7000"],
        ["c", "waiting"],
    ]
    assert "1 running, 1 done, 1 waiting" in text


def test_of_many_runs_those_at_work_are_shown():
    stages = ["done"] * 5 + ["waiting"] * 5 + ["failed", "training", "verifying"]
    text = shown(make_states_table([RunState(f"r{n}", stage) for n, stage in enumerate(stages)], height=4))
    assert [name for name in ("r5", "r10", "r11", "r12") if name in text] == ["r5", "r10", "r11", "r12"]
    assert "r4" not in text
    assert "9 not shown" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_that_comes_further_is_told(tmp_path, terminal):
    command = CommandConsole(OutputConfig())
    command.progress = Console(file=io.StringIO(), width=100, force_terminal=terminal, highlight=False)
    with show_progress(command, RunMonitor(tmp_path, ["a"], [])):
        write_run(tmp_path / "a", SMALL)
        command.log("[bold] is no markup")
    told = command.progress.file.getvalue()
    assert "[bold] is no markup" in told
    if terminal:
        assert "1 done" in told
    else:
        assert re.search(r"a: done in \d+ s, loss 0.6300", told)


def test_a_quiet_sweep_shows_nothing(tmp_path, capsys):
    command = CommandConsole(OutputConfig(quiet=True))
    with show_progress(command, RunMonitor(tmp_path, ["a"], [])):
        write_run(tmp_path / "a", SMALL)
    assert capsys.readouterr().out == ""
