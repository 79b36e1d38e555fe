"""The last line of a terminal says that a command works, and makes way for everything else."""

import io
import sys
import time

from dni_jax import progress, status_line
from dni_jax.app.cli._console import Console
from dni_jax.app.config import OutputConfig
from dni_jax.status_line import pause_status, show_status


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """A terminal as standard error; called in the test, because pytest replaces the stream after the fixtures."""
    monkeypatch.setattr(status_line, "_INTERVAL", 0.005)
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def wait_for(terminal, text):
    deadline = time.monotonic() + 10
    while text not in terminal.getvalue():
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.002)


def test_a_command_that_works_says_so_and_leaves_no_trace(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with show_status():
        wait_for(terminal, "\rworking, 0 s")
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_nothing_is_said_while_something_else_is_written(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with show_status():
        wait_for(terminal, "working")
        with pause_status():
            before = terminal.getvalue()
            assert before.endswith("\r\x1b[K")  # the line is free
            time.sleep(0.02)
            with pause_status():
                pass
            assert terminal.getvalue() == before
        terminal.truncate(0)
        wait_for(terminal, "working")


def test_hidden_progress_hides_the_status(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with show_status(), progress.hide():
        time.sleep(0.02)
    assert terminal.getvalue() == ""


def test_a_bar_stands_in_its_place(monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(progress, "_DELAY", 0)
    with show_status(), progress.bar("counting", 10) as advance:
        advance(1, str)
        before = terminal.getvalue()
        time.sleep(0.02)
        advance(9, str)
        assert "working" not in terminal.getvalue().removeprefix(before)
    assert "counting" in terminal.getvalue()


def test_a_line_of_progress_stands_alone(monkeypatch):
    terminal = open_terminal(monkeypatch)
    console = Console(OutputConfig(json=True))  # progress goes to standard error
    with show_status():
        wait_for(terminal, "working")
        console.log("done with a stage")
    assert "\r\x1b[K" in terminal.getvalue().partition("done with a stage")[0]


def test_without_a_terminal_nothing_is_said(capsys, monkeypatch):
    monkeypatch.setattr(status_line, "_INTERVAL", 0.001)
    with show_status():
        time.sleep(0.01)
    assert capsys.readouterr().err == ""
