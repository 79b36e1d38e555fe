"""Progress bars for people; nothing at all where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[float, Callable[[], str]], None]


def _ignore(done: float, note: Callable[[], str]) -> None:
    """Nobody watches."""


@contextmanager
def bar(description: str, total: float, enabled: bool = True) -> Iterator[Advance]:
    """Show a bar; yields ``advance(done, note)``, which sets how much is done and asks for a few words beside it.

    Written to standard error, and only to a terminal.
    """
    if not (enabled and sys.stderr.isatty()):
        yield _ignore
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, note="")

        def advance(done: float, note: Callable[[], str]) -> None:
            progress.update(task, completed=done, note=note())

        yield advance
