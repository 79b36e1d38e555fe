"""Small HTML tables for notebooks: values are escaped, colors inherited, so that they suit light and dark themes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from dni_jax.characters import make_visible

_CELL = "padding:.15em .7em;border:none;background:none;color:inherit;vertical-align:top;"
_HEAD = _CELL + "border-bottom:1px solid currentColor;font-weight:600;"
_TABLE = "border-collapse:collapse;border:none;background:none;color:inherit;margin:.3em 0;"
_SYMBOLS = 80  # shown at most
_WIDE, _HIGH = 120, 24  # size of a sparkline, in pixels


class Markup(str):
    """HTML that needs no escaping."""

    __slots__ = ()


def cell(value: Any) -> Markup:
    """Format a value as escaped text: integers with separators, other numbers with four digits, missing ones as a dash.

    Examples
    --------
    >>> cell("<b>"), cell(12345), cell(0.123456), cell(float("nan")), cell(True)
    ('&lt;b&gt;', '12,345', '0.1235', '-', 'yes')
    """
    if isinstance(value, Markup):
        return value
    if _is_missing(value):
        return Markup("-")
    if isinstance(value, (bool, np.bool_)):
        return Markup("yes" if value else "no")
    if isinstance(value, (int, np.integer)):
        return Markup(f"{int(value):,}")
    if isinstance(value, (float, np.floating)):
        return Markup(f"{float(value):.4g}")
    return Markup(escape(str(value)))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, (float, np.floating)) and bool(np.isnan(value))) or value is pd.NA


def _align(value: Any) -> str:
    return "right" if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) else "left"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], total: int | None = None) -> Markup:
    """Return a table; if there are more than these rows, a last line says how many of the `total` are not shown.

    Examples
    --------
    >>> "1 more" in table(["feature"], [["<i>"]], total=2), "&lt;i&gt;" in table(["feature"], [["<i>"]])
    (True, True)
    """
    rows = [list(row) for row in rows]
    aligned = [
        _align(next((row[place] for row in rows if not _is_missing(row[place])), "")) for place in range(len(header))
    ]
    head = "".join(
        f'<th style="{_HEAD}text-align:{side}">{escape(name)}</th>' for name, side in zip(header, aligned, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL}text-align:{side}">{cell(value)}</td>' for value, side in zip(row, aligned, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    more = (len(rows) if total is None else total) - len(rows)
    rest = (
        f'<tr><td colspan="{len(header)}" style="{_CELL}opacity:.7">… and {more:,} more</td></tr>' if more > 0 else ""
    )
    return Markup(f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}{rest}</tbody></table>')


def facts(named: Mapping[str, Any]) -> Markup:
    """Return a table with one line for each name and value."""
    body = "".join(
        f'<tr><th scope="row" style="{_CELL}text-align:left;font-weight:normal;opacity:.7">{escape(name)}</th>'
        f'<td style="{_CELL}text-align:left">{cell(value)}</td></tr>'
        for name, value in named.items()
    )
    return Markup(f'<table style="{_TABLE}"><tbody>{body}</tbody></table>')


def card(title: str, *parts: Markup) -> str:
    """Return a title with parts below it."""
    return f'<div style="color:inherit"><strong>{escape(title)}</strong>{"".join(parts)}</div>'


def code(text: str, length: int | None = None) -> Markup:
    r"""Return a text with visible white space; if it is the beginning of a longer one, `length` is the length of that.

    Examples
    --------
    >>> "a␣&lt;↵" in code("a <\n"), "… (100)" in code("a" * 80, 100)
    (True, True)
    """
    length = len(text) if length is None else length
    rest = f' <span style="opacity:.7">… ({length:,})</span>' if length > len(text) else ""
    style = "white-space:pre;background:none;color:inherit"
    return Markup(f'<code style="{style}">{escape(make_visible(text))}</code>{rest}')


def symbols(characters: Sequence[str]) -> Markup:
    """Return the first symbols of a vocabulary, and how many there are if these are not all."""
    return code("".join(characters[:_SYMBOLS]), len(characters))


def numbers(values: Sequence[int], limit: int = 20) -> str:
    """Return the first `limit` numbers of a list, followed by how many there are if these are not all."""
    rest = f", … ({len(values):,})" if len(values) > limit else ""
    return ", ".join(str(int(value)) for value in values[:limit]) + rest


def sparkline(values: Sequence[float]) -> Markup:
    """Draw a line through finite numbers, the smallest at the bottom; return nothing for fewer than two."""
    heights = np.asarray(values, np.float64)
    if len(heights) < 2 or not np.isfinite(heights).all():
        return Markup("")
    span = float(np.ptp(heights)) or 1.0
    across = np.linspace(1, _WIDE - 1, len(heights))
    down = 1 + (heights.max() - heights) / span * (_HIGH - 2)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return Markup(
        f'<svg width="{_WIDE}" height="{_HIGH}" style="vertical-align:middle" role="img">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
