"""Tables as text for the terminal, or as CSV, JSON or Parquet."""

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
# Limits on the terminal
_MAX_ROWS = 100
_MAX_WIDTH = 40  # characters of a cell
_GAP = 2  # characters between columns
_DIGITS = 4  # significant digits


def render(frame: pd.DataFrame, kind: str = "table", out: str | Path | None = None) -> None:
    """Write a table to standard output or to a file.

    ``table`` is for reading: it rounds to four digits, limits rows and columns, and says what it leaves out. The
    other formats are complete and have all digits. In ``json``, the table is a list of records, in which NULL and NaN
    are ``null``.

    Parameters
    ----------
    frame
        The table.
    kind
        One of `FORMATS`.
    out
        File to write, atomically; required for Parquet.

    Raises
    ------
    ValueError
        If `kind` is unknown, Parquet has no file, or JSON would have to hold an infinite number.

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
            raise ValueError("expected a file for Parquet, got none: set one with --out answer.parquet")
        with atomic_write(out) as part:
            frame.to_parquet(part, index=False)
        return
    text = _FORMATTERS[kind](frame)
    if out is None:
        sys.stdout.write(text)
        return
    with atomic_write(out) as part:
        part.write_bytes(text.encode())


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _json(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    columns = [[_to_json(value, name) for value in frame.iloc[:, place].tolist()] for place, name in enumerate(names)]
    records = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in zip(*columns, strict=True))
    return "[\n" + ",\n".join(records) + ("\n]\n" if len(frame) else "]\n")


def _to_json(value: Any, column: str) -> Any:
    """Convert the value of a cell to what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _to_json(one, column) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_to_json(one, column) for one in value]
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
    """Lay out as many columns as fit the terminal; rich would squeeze wide tables until they are unreadable."""
    console = Console(file=io.StringIO(), highlight=False, soft_wrap=True)
    head = frame.head(_MAX_ROWS)
    cells = {place: _cells(head.iloc[:, place]) for place in range(frame.shape[1])}
    names = [_escape(str(name)) for name in frame.columns]
    widths = [max(map(len, (names[place], *column))) for place, column in cells.items()]
    fits = _count_fitting(widths, console.width)
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
    return shown.get() + "".join(f"{line}\n" for line in _describe_omitted(frame, names[fits:]))


def _count_fitting(widths: list[int], room: int) -> int:
    """Return how many columns fit next to each other, at least one."""
    used = np.cumsum([width + _GAP for width in widths])
    return max(1, int((used <= room).sum())) if widths else 0


def _describe_omitted(frame: pd.DataFrame, names: list[str]) -> list[str]:
    lines = []
    if len(frame) > _MAX_ROWS:
        lines.append(f"{len(frame) - _MAX_ROWS:,} more rows: use LIMIT to select rows, or --format csv for all.")
    if names:
        lines.append(f"{len(names)} more columns: {', '.join(names)}.")
    if len(frame) == 0:
        lines.append("No rows.")
    return lines


def _cells(column: pd.Series) -> list[str]:
    """Format the cells of a column; align the decimals of numbers unless small ones would round to 0."""
    values = column.tolist()
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    if not sizes:
        return [_format(value) for value in values]
    places = max(0, _DIGITS - (math.floor(math.log10(max(sizes))) + 1))
    if all(size.is_integer() for size in sizes):
        places = 0
    aligned = places <= 2 * _DIGITS and min(sizes) >= 0.5 * 10.0**-places and max(sizes) < 10.0 ** (2 * _DIGITS)
    return [
        f"{value:.{places}f}" if aligned and isinstance(value, float) and math.isfinite(value) else _format(value)
        for value in values
    ]


def _format(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        return f"{value:.{_DIGITS}g}"
    text = " ".join(map(_format, value)) if isinstance(value, list) else str(value)
    text = _escape(text)
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"


def _escape(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


_FORMATTERS = {"table": _table, "csv": _csv, "json": _json}
