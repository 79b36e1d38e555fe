"""A table for people and for programs: on the terminal, as CSV, JSON or Parquet."""

from __future__ import annotations

import io
import json
import math
import sys
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dni_jax.files import atomic_write

FORMATS = ("table", "csv", "json", "parquet")
_ROWS = 100  # of a table on the terminal
_WIDE = 40  # characters of a text on the terminal
_GAP = 2  # between columns on the terminal
_DIGITS = 4  # significant ones of a number on the terminal


def render(frame: pd.DataFrame, kind: str = "table", out: str | Path | None = None) -> None:
    """Write a table to the standard output, or to a file.

    ``table`` is for reading: numbers have four digits, and as many rows and columns are shown as a person can take in;
    what is left out is said. The others hold everything: ``csv`` and ``json`` (a list of records, NULL and NaN as
    ``null``, lists as lists) give numbers with all their digits.

    Parameters
    ----------
    frame
        The table.
    kind
        One of `FORMATS`.
    out
        A file, which appears whole or not at all; Parquet needs one.

    Raises
    ------
    ValueError
        For another kind, Parquet without a file, or infinite numbers, which JSON does not have.

    Examples
    --------
    >>> frame = pd.DataFrame({"feature": ["digit"], "neurons": [[3, 17]], "auc": [0.98765432]})
    >>> render(frame, "csv")
    feature,neurons,auc
    digit,"[3, 17]",0.98765432
    >>> render(frame, "json")
    [
    {"feature": "digit", "neurons": [3, 17], "auc": 0.98765432}
    ]
    """
    if kind not in FORMATS:
        raise ValueError(f"expected a format among {', '.join(FORMATS)}, got {kind!r}")
    if kind == "parquet":
        if out is None:
            raise ValueError("expected a file for Parquet, got none: name one with --out answer.parquet")
        with atomic_write(out) as aside:
            frame.to_parquet(aside, index=False)
        return
    text = _FORMATTERS[kind](frame)
    if out is None:
        sys.stdout.write(text)
        return
    with atomic_write(out) as aside:
        aside.write_bytes(text.encode())


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _json(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    columns = [[_plain(value, name) for value in frame.iloc[:, place].tolist()] for place, name in enumerate(names)]
    records = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in zip(*columns, strict=True))
    return "[\n" + ",\n".join(records) + ("\n]\n" if len(frame) else "]\n")


def _plain(value: Any, column: str) -> Any:
    """The value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(one, column) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one, column) for one in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if math.isinf(value):
            raise ValueError(f"expected finite numbers for json, got {value} in {column!r}: use csv or parquet")
        return None if math.isnan(value) else float(value)
    return value if isinstance(value, str) else str(value)


def _table(frame: pd.DataFrame) -> str:
    """As much as fits the terminal; rich would squeeze wide tables until nothing can be read."""
    console = Console(file=io.StringIO(), highlight=False, soft_wrap=True)
    head = frame.head(_ROWS)
    cells = {place: _cells(head.iloc[:, place]) for place in range(frame.shape[1])}
    names = [_printable(str(name)) for name in frame.columns]
    widths = [max(map(len, (names[place], *column))) for place, column in cells.items()]
    fits = _fitting(widths, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place in range(fits):
        numbers = pd.api.types.is_numeric_dtype(frame.dtypes.iloc[place])
        table.add_column(
            Text(names[place]), justify="right" if numbers else "left", no_wrap=True, min_width=widths[place]
        )
    for row in zip(*(cells[place] for place in range(fits)), strict=True):
        table.add_row(*map(Text, row))
    with console.capture() as shown:
        console.print(table)
    return shown.get() + "".join(f"{line}\n" for line in _left_out(frame, names[fits:]))


def _fitting(widths: list[int], room: int) -> int:
    """How many columns fit beside each other, at least one."""
    used = np.cumsum([width + _GAP for width in widths])
    return max(1, int((used <= room).sum())) if widths else 0


def _left_out(frame: pd.DataFrame, names: list[str]) -> list[str]:
    lines = []
    if len(frame) > _ROWS:
        lines.append(f"{len(frame) - _ROWS:,} more rows: LIMIT takes fewer, --format csv all.")
    if names:
        lines.append(f"{len(names)} more columns: {', '.join(names)}.")
    if len(frame) == 0:
        lines.append("No rows.")
    return lines


def _cells(column: pd.Series) -> list[str]:
    """A column as it is shown; numbers stand below each other where none of them would vanish."""
    values = column.tolist()
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    if not sizes:
        return [_shown(value) for value in values]
    places = max(0, _DIGITS - (math.floor(math.log10(max(sizes))) + 1))
    if all(size.is_integer() for size in sizes):
        places = 0
    aligned = places <= 2 * _DIGITS and min(sizes) >= 0.5 * 10.0**-places and max(sizes) < 10.0 ** (2 * _DIGITS)
    return [
        f"{value:.{places}f}" if aligned and isinstance(value, float) and math.isfinite(value) else _shown(value)
        for value in values
    ]


def _shown(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        return f"{value:.{_DIGITS}g}"
    text = " ".join(map(_shown, value)) if isinstance(value, list) else str(value)
    text = _printable(text)
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


_FORMATTERS = {"table": _table, "csv": _csv, "json": _json}
