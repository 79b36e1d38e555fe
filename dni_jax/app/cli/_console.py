"""What a command prints: progress lines with the elapsed time, then the result as text or JSON."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import console as rich_console
from rich.console import RenderableType
from rich.text import Text

from dni_jax import processes
from dni_jax.app.config import OutputConfig
from dni_jax.progress import hide
from dni_jax.status_line import pause_status


class Console:
    """Prints the progress and the result of one command. With several processes, only the first one prints.

    Attributes
    ----------
    output
        The output flags of the command.
    progress
        The rich console for progress lines: standard output, or standard error with ``--json``.
    """

    def __init__(self, output: OutputConfig) -> None:
        self.output = output
        self.progress = rich_console.Console(highlight=False, soft_wrap=True, stderr=output.json)
        self._start = time.perf_counter()
        self._results = rich_console.Console(highlight=False, soft_wrap=True)

    def log(self, line: object) -> None:
        """Print one line of progress after the seconds since the command began."""
        if self.output.quiet or not processes.is_first():
            return
        # One call per line: a live table below is redrawn between calls.
        elapsed = f"{time.perf_counter() - self._start:6.1f} s  "
        with pause_status():
            self.progress.print(Text.assemble((elapsed, "dim"), str(line)))

    def show(self, result: Mapping[str, Any], *parts: RenderableType) -> None:
        """Print a result: `result` as JSON with ``--json``, otherwise `parts` one after another."""
        if not processes.is_first():
            return
        with pause_status():
            if self.output.json:
                sys.stdout.write(json.dumps(to_json(result), ensure_ascii=False, allow_nan=False) + "\n")
                return
            for part in parts:
                self._results.print(part, markup=False)


@contextmanager
def open_console(output: OutputConfig) -> Iterator[Console]:
    """Yield a console that also prints warnings; hide progress bars with ``--quiet``."""
    console = Console(output)
    with warnings.catch_warnings(), hide(output.quiet):
        warnings.showwarning = lambda message, *_, **__: console.log(message)
        yield console


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (pd.DataFrame, lambda frame: to_json(frame.to_dict("records"))),
    (Mapping, lambda mapping: {str(name): to_json(value) for name, value in mapping.items()}),
    ((np.ndarray, np.generic), lambda array: to_json(array.tolist())),
    (Path, str),
    (str, str),
    (Sequence, lambda values: [to_json(value) for value in values]),
    (float, lambda number: number if math.isfinite(number) else None),
)


def to_json(value: Any) -> Any:
    """Convert a value to what JSON can hold: data frames to lists of rows, NaN and infinity to null."""
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    return value
