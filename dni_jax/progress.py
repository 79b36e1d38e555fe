"""Progress bars on a terminal; silent everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dni_jax import processes
from dni_jax.status_line import pause_status

Item = TypeVar("Item")
Advance = Callable[[float, Callable[[], str]], None]

_DELAY = 0.5  # seconds before a bar appears
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def hide(enabled: bool = True) -> Iterator[None]:
    """Show no progress bars, and no status, inside the block."""
    with pause_status() if enabled else nullcontext():
        token = _hidden.set(enabled)
        try:
            yield
        finally:
            _hidden.reset(token)


def _is_visible() -> bool:
    return sys.stderr.isatty() and not _hidden.get() and processes.is_first()


def _ignore(done: float, note: Callable[[], str]) -> None:
    """Ignore progress when no bar is visible."""


@contextmanager
def bar(description: str, total: float, enabled: bool = True) -> Iterator[Advance]:
    """Show a progress bar and yield ``advance(done, note)``, which updates it.

    `note` is a function that returns a short text, shown after the bar. The bar is written to standard error, only if
    that is a terminal, and only if the work takes longer than half a second.
    """
    if not enabled or not _is_visible():
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
    with ExitStack() as shown:

        def advance(done: float, note: Callable[[], str]) -> None:
            if time.monotonic() - began > _DELAY:
                if not progress.live.is_started:
                    shown.enter_context(pause_status())
                    shown.enter_context(progress)
                progress.update(task, completed=done, note=note())

        yield advance


def track(items: Sequence[Item], description: str, unit: str = "", units_per_item: float = 1) -> Iterator[Item]:
    """Iterate over items with a progress bar that shows the rate and the remaining time.

    Parameters
    ----------
    items
        The items to iterate over.
    description
        Text in front of the bar.
    unit, units_per_item
        Unit of the rate, and how many of them an item has: ``"characters"``, 2,000.

    Examples
    --------
    >>> [one + 1 for one in track([1, 2], "adding")]
    [2, 3]
    """
    began = time.monotonic()
    with bar(description, len(items)) as advance:
        for number, item in enumerate(items):
            yield item
            rate = (number + 1) * units_per_item / max(time.monotonic() - began, 1e-9)
            advance(number + 1, lambda rate=rate: f"{rate:,.{0 if rate >= 10 else 1}f} {unit}/s" if unit else "")  # type: ignore[misc]


@contextmanager
def spinner(description: str) -> Iterator[None]:
    """Show a spinner while the block runs, for work of unknown length."""
    if not _is_visible():
        yield
        return
    with pause_status(), Console(stderr=True).status(description):
        yield
