"""Progress bars for people; nothing at all where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dni_jax import processes

Item = TypeVar("Item")
Advance = Callable[[float, Callable[[], str]], None]

_AFTER = 0.5  # seconds that work must go on before a bar appears
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def hide(yes: bool = True) -> Iterator[None]:
    """Show no bars in the block, not even on a terminal."""
    token = _hidden.set(yes)
    try:
        yield
    finally:
        _hidden.reset(token)


def _is_watched() -> bool:
    return sys.stderr.isatty() and not _hidden.get() and processes.is_first()


def _ignore(done: float, note: Callable[[], str]) -> None:
    """Nobody watches."""


@contextmanager
def bar(description: str, total: float, enabled: bool = True) -> Iterator[Advance]:
    """Show a bar; yields ``advance(done, note)``, which sets how much is done and asks for a few words beside it.

    Written to standard error, and only to a terminal; work that is over in half a second shows nothing.
    """
    if not enabled or not _is_watched():
        yield _ignore
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=total, note="")
    began = time.monotonic()

    def advance(done: float, note: Callable[[], str]) -> None:
        if time.monotonic() - began > _AFTER:
            progress.start()
            progress.update(task, completed=done, note=note())

    try:
        yield advance
    finally:
        progress.stop()


def track(items: Sequence[Item], description: str, of: str = "", each: float = 1) -> Iterator[Item]:
    """Go through items with a bar that tells the rate and the remaining time.

    Parameters
    ----------
    items
        What to go through.
    description
        What is being done.
    of, each
        What the rate counts, and how many of them there are in an item: ``"characters"``, 2,000.

    Examples
    --------
    >>> [one + 1 for one in track([1, 2], "adding")]
    [2, 3]
    """
    began = time.monotonic()
    with bar(description, len(items)) as advance:
        for number, item in enumerate(items):
            yield item
            rate = (number + 1) * each / max(time.monotonic() - began, 1e-9)
            advance(number + 1, lambda rate=rate: f"{rate:,.{0 if rate >= 10 else 1}f} {of}/s" if of else "")  # type: ignore[misc]


@contextmanager
def spinner(description: str) -> Iterator[None]:
    """Show that something is being worked on that cannot tell how far it is."""
    if not _is_watched():
        yield
        return
    with Console(stderr=True).status(description):
        yield
