"""A segment of one string: its characters, one per column, and its labels as rows of cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from dni_jax.characters import INVISIBLE, display_name
from dni_jax.features import Labels, feature_family
from dni_jax.plot._style import (
    PALETTE,
    choose_fonts,
    fit_tick_labels,
    make_drawable,
    name_missing,
    replace_missing_glyphs,
)
from dni_jax.text import Corpus, to_string

CELL, LETTER, ROW = 0.15, 0.07, 0.21  # inches: a column, a letter of a feature's name, a feature's row
_FAMILY_COLORS = {"nesting": PALETTE[2], "range": PALETTE[0], "impulse": PALETTE[1]}
_OTHERS, _ZERO, _FAINT = "#333333", "#F0F0F0", "#AAAAAA"
TITLE: dict[str, Any] = {"fontsize": 9, "color": "#444444", "parse_math": False}


class Segment(NamedTuple):
    """Consecutive characters of one string.

    ``positions`` are positions of the corpus, ``start`` is the place of the first character in its string, and
    ``characters`` are visible stand-ins, one column wide.
    """

    positions: slice
    start: int
    characters: tuple[str, ...]
    title: str

    def __len__(self) -> int:
        return len(self.characters)


class LabelRows(NamedTuple):
    """Labels of a segment of W characters, scaled to [0, 1]: ``values`` ``(F, W)``, ``known`` bool ``(W,)``."""

    names: tuple[str, ...]
    values: Float[np.ndarray, "F W"]
    known: Bool[np.ndarray, " W"]


def cut_segment(corpus: Corpus, string: int, start: int, width: int) -> Segment:
    """Return at most `width` characters of a string from `start` on.

    Raises
    ------
    ValueError
        If there is no such string, or no such place in it.
    """
    if not 0 <= string < len(corpus):
        raise ValueError(f"expected a string from 0 to {len(corpus) - 1}, got {string}")
    low, high = (int(offset) for offset in corpus.offsets[string : string + 2])
    if not 0 <= start < high - low or width < 1:
        raise ValueError(
            f"expected a start from 0 to {high - low - 1} in string {string} and a width of at least 1, "
            f"got start {start} and width {width}"
        )
    positions = slice(low + start, min(low + start + width, high))
    title = f"string {string} of {corpus.language}, characters {start} to {positions.stop - low - 1} of {high - low}"
    shown = to_string(corpus.text[positions])
    return Segment(positions, start, make_drawable(shown), title + name_missing(shown))


def label_rows(
    labels: Labels, corpus: Corpus, segment: Segment, features: str | re.Pattern[str] | Sequence[str] | None
) -> LabelRows:
    """Return the labels of a segment; continuous ones are scaled to [0, 1] by their range over the whole corpus.

    Parameters
    ----------
    labels, corpus
        The labels, and the corpus that was labeled.
    segment
        From `cut_segment`.
    features
        Which features, as in `Labels.select`; None takes those that are nonzero somewhere in the segment.

    Raises
    ------
    ValueError
        If the labels are of another corpus, or there is no such feature.
    """
    if corpus.n_positions != len(labels.mask):
        raise ValueError(
            f"expected the corpus that was labeled, of {len(labels.mask)} characters, got {corpus!r}: "
            "label it with library.label(corpus)"
        )
    part = segment.positions
    if features is None:
        features = [name for name, column in zip(labels.names, labels.columns, strict=True) if column[part].any()]
    some = labels.select(features)
    if len(some) == 0:
        raise ValueError("expected features that hold somewhere in this segment, got none: name some with features=")
    values = np.stack([_scaled(column, kind, part) for column, kind in zip(some.columns, some.kinds, strict=True)])
    return LabelRows(tuple(map(display_name, some.names)), values, labels.mask[part])


def _scaled(column: np.ndarray, kind: str, part: slice) -> np.ndarray:
    if kind == "binary":
        return column[part].astype(np.float32)
    low, high = float(column.min()), float(column.max())
    return ((column[part] - low) / ((high - low) or 1)).astype(np.float32)


def _family_color(name: str) -> str:
    return _FAMILY_COLORS.get(feature_family(name), _OTHERS)


def draw_labels(axis: Axes, rows: LabelRows) -> None:
    """Draw labels as rows of cells, from near white (0) to the color of the feature's family (1), top row at 0."""
    zero = np.asarray(to_rgb(_ZERO))
    one = np.asarray([to_rgb(_family_color(name)) for name in rows.names])
    cells = zero + rows.values[:, :, None] * (one[:, None, :] - zero)
    cells[:, ~rows.known] = 1.0
    draw_cells(axis, cells, 0, rows.known)


def draw_cells(axis: Axes, cells: Float[np.ndarray, "rows W 3"], top: float, known: Bool[np.ndarray, " W"]) -> None:
    """Draw rows of RGB cells, the first at `top`, and hatch the columns that are not known."""
    rows, columns = cells.shape[:2]
    axis.imshow(cells, extent=(0, columns, top + rows, top), aspect="auto", interpolation="nearest")
    axis.vlines(np.arange(columns + 1), top, top + rows, color="white", linewidth=0.8)
    axis.hlines(np.arange(rows + 1) + top, 0, columns, color="white", linewidth=2.2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~known, [0]])))
    for first, last in edges.reshape(-1, 2).tolist():
        corner, width = (first, top), last - first
        axis.add_patch(Rectangle(corner, width, rows, fill=False, hatch="////", edgecolor="#999999", linewidth=0))


def name_rows(axis: Axes, names: Sequence[str], tops: Sequence[float]) -> None:
    """Write the names of rows to their left, in the colors of their families."""
    axis.set_yticks([top + 0.5 for top in tops], list(names), fontsize=8)
    fit_tick_labels(axis.yaxis)
    for tick, name in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_color(_family_color(name))


def write_characters(
    axis: Axes,
    characters: Sequence[str],
    y: float,
    size: float = 9,
    colors: Sequence[Any] | None = None,
    va: str = "bottom",
) -> None:
    """Write one character a column; without `colors` in black, and stand-ins for white space in gray."""
    for column, character in enumerate(characters):
        plain = _FAINT if character in INVISIBLE.values() else "black"
        axis.text(
            column + 0.5,
            y,
            replace_missing_glyphs(character),
            ha="center",
            va=va,
            family=choose_fonts(character),
            fontsize=size,
            color=plain if colors is None else colors[column],
            parse_math=False,
        )


def number_columns(axis: Axes, segment: Segment, pad: float) -> None:
    """Write the place of every tenth character above its column, and remove the frame."""
    tens = [column for column in range(len(segment)) if (segment.start + column) % 10 == 0]
    axis.xaxis.tick_top()
    axis.set_xticks([column + 0.5 for column in tens], [str(segment.start + column) for column in tens], fontsize=6)
    axis.tick_params(axis="x", pad=pad, colors="#999999")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
