"""Overrides in a notebook: which neurons, which part, what value, when and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dni_jax.html import card, numbers, table

_HEADER = ("neurons", "part", "value", "when", "where")
_SETS, _VALUES = 10, 6  # shown


def html_of_edits(edits: Sequence[Any]) -> str:
    """Return a table with one row per override, in the order in which they are applied."""
    rows = [(numbers(edit.neurons), edit.part, _value(edit), _when(edit), edit.where) for edit in edits]
    return card(f"Intervention of {len(rows)} override{'s' if len(rows) != 1 else ''}", table(_HEADER, rows))


def html_of_override(override: Any) -> str:
    """Return a table with one row per set of neurons."""
    masks = np.asarray(override.mask).reshape(-1, np.shape(override.mask)[-1])
    lows, highs = (np.broadcast_to(np.asarray(each), np.shape(override.mask)) for each in (override.low, override.high))
    rows = []
    for mask, low, high in zip(masks[:_SETS], lows.reshape(masks.shape), highs.reshape(masks.shape), strict=False):
        places = np.flatnonzero(mask)
        rows.append((numbers(places.tolist()), override.part, _few(low[places]), _few(high[places]), override.where))
    header = ("neurons", "part", "low (value without a drive)", "high", "where")
    sets = "one set" if np.ndim(override.mask) == 1 else f"{len(masks):,} sets"
    return card(f"Override of {sets} among {masks.shape[1]:,} neurons", table(header, rows, len(masks)))


def _value(edit: Any) -> str:
    if edit.program is not None:
        return f"what {edit.program.name} says, each along its own line"
    if edit.drive is None:
        return _few(edit.low)
    if edit.drive.ndim == 1:
        return f"labels: 0 is {_few(edit.low)}, 1 is {_few(edit.high)}"
    return f"one value for each of {len(edit.drive):,} positions"


def _when(edit: Any) -> str:
    if edit.when is not None:
        return f"at {int(edit.when.sum()):,} of {len(edit.when):,} positions"
    return "every step" if edit.drive is None or edit.program is not None else f"at {len(edit.drive):,} positions"


def _few(values: Any) -> str:
    """Return one number where all are the same, else the first few."""
    values = np.asarray(values)
    if len(values) and (values == values[0]).all():
        return f"{float(values[0]):.4g}"
    shown = ", ".join(f"{float(value):.4g}" for value in values[:_VALUES])
    return shown + (", …" if len(values) > _VALUES else "")
