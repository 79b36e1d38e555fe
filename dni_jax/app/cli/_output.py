"""How a command speaks: lines for people, or one JSON object for programs."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, RenderableType
from rich.text import Text

from dni_jax import processes
from dni_jax.progress import hide


@dataclass(frozen=True)
class Output:
    """How a command speaks.

    Attributes
    ----------
    quiet
        Say nothing but the result; no progress.
    json
        Print the result as one JSON object; what is being done goes to standard error.
    """

    quiet: bool = False
    json: bool = False


class Voice:
    """Says what is being done, then shows the result."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.began = time.perf_counter()
        self._out = Console(highlight=False, soft_wrap=True)
        self.lines = Console(highlight=False, soft_wrap=True, stderr=output.json)

    def say(self, line: object) -> None:
        """Say one line, with the time since the command began."""
        if self.output.quiet or not processes.is_first():
            return
        # One call, so that a table that renews itself below does not come between.
        self.lines.print(Text.assemble((f"{time.perf_counter() - self.began:6.1f} s  ", "dim"), str(line)))

    def show(self, result: Mapping[str, Any], *parts: RenderableType) -> None:
        """Show a result: as JSON, or in parts for people. Of several processes the first speaks."""
        if not processes.is_first():
            return
        if self.output.json:
            sys.stdout.write(json.dumps(plain(result), ensure_ascii=False, allow_nan=False) + "\n")
            return
        for part in parts:
            self._out.print(part, markup=False)


@contextmanager
def speaking(output: Output) -> Iterator[Voice]:
    """Give a voice; warnings are said by it, and bars are hidden where nothing is to be said."""
    voice = Voice(output)
    with warnings.catch_warnings(), hide(output.quiet):
        warnings.showwarning = lambda message, *_, **__: voice.say(message)
        yield voice


_PLAIN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (pd.DataFrame, lambda frame: plain(frame.to_dict("records"))),
    (Mapping, lambda each: {str(name): plain(value) for name, value in each.items()}),
    ((np.ndarray, np.generic), lambda array: plain(array.tolist())),
    (Path, str),
    (str, str),
    (Sequence, lambda each: [plain(value) for value in each]),
    (float, lambda number: number if math.isfinite(number) else None),
)


def plain(value: Any) -> Any:
    """Give what JSON can hold: frames as lists of rows, NaN and infinity as null."""
    for kinds, convert in _PLAIN:
        if isinstance(value, kinds):
            return convert(value)
    return value
