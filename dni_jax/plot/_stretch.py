"""A part of one string: its characters as they are shown, and its labels as rows of cells below them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from dni_jax.characters import INVISIBLE, display_name, make_visible
from dni_jax.features import Labels
from dni_jax.plot._style import FONT, PALETTE, drawable
from dni_jax.text import Corpus

CELL, LETTER, ROW = 0.15, 0.07, 0.21  # inches: a column, a letter of a feature's name, a feature's row
_FAMILIES = {"depth": PALETTE[2], "indent": PALETTE[2], "range:": PALETTE[0], "impulse:": PALETTE[1]}
_OTHERS, _NOTHING, _FAINT = "#333333", "#F0F0F0", "#AAAAAA"


class Stretch(NamedTuple):
    """A part of one string: its characters as they are shown, its features' labels ``(F, W)``, the mask ``(W,)``."""

    title: str
    characters: tuple[str, ...]
    first: int
    names: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray


def part_of(corpus: Corpus, string: int, start: int, width: int) -> slice:
    """Give the positions of some characters of a string.

    Raises
    ------
    ValueError
        Where there is no such string, or no such place in it.
    """
    if not 0 <= string < len(corpus):
        raise ValueError(f"expected a string from 0 to {len(corpus) - 1}, got {string}")
    low, high = (int(offset) for offset in corpus.offsets[string : string + 2])
    if not 0 <= start < high - low or width < 1:
        raise ValueError(
            f"expected a start from 0 to {high - low - 1} in string {string} and a width of at least 1, "
            f"got start {start} and width {width}"
        )
    return slice(low + start, min(low + start + width, high))


def title_of(corpus: Corpus, string: int, part: slice) -> str:
    """Say which characters of which string are shown."""
    low, high = (int(offset) for offset in corpus.offsets[string : string + 2])
    return (
        f"string {string} of {corpus.language}, characters {part.start - low} to {part.stop - low - 1} of {high - low}"
    )


def characters_of(corpus: Corpus, part: slice) -> tuple[str, ...]:
    """Give the characters as they are shown."""
    return tuple(make_visible(chr(point)) for point in corpus.text[part])


def stretch_of(
    labels: Labels,
    corpus: Corpus,
    string: int,
    start: int,
    width: int,
    features: str | re.Pattern[str] | Sequence[str] | None,
) -> Stretch:
    """Cut out what is to be shown; continuous labels are scaled to [0, 1] by their range over the whole corpus.

    Raises
    ------
    ValueError
        Where the corpus is not the one that was labelled, there is no such string, or no such place in it.
    """
    if corpus.n_positions != len(labels.mask):
        raise ValueError(
            f"expected the corpus that was labelled, of {len(labels.mask)} characters, got {corpus!r}: "
            "label it with library.label(corpus)"
        )
    part = part_of(corpus, string, start, width)
    if features is None:
        some = labels.select([n for n, c in zip(labels.names, labels.columns, strict=True) if c[part].any()])
    else:
        some = labels.select(features)
    if len(some) == 0:
        raise ValueError("expected features that are on somewhere in the stretch, got none: name some with features=")
    values = np.stack([_scaled(column, kind, part) for column, kind in zip(some.columns, some.kinds, strict=True)])
    return Stretch(
        title_of(corpus, string, part),
        characters_of(corpus, part),
        start,
        tuple(display_name(name) for name in some.names),
        values,
        labels.mask[part],
    )


def _scaled(column: np.ndarray, kind: str, part: slice) -> np.ndarray:
    if kind == "binary":
        return column[part].astype(np.float32)
    low, high = float(column.min()), float(column.max())
    return ((column[part] - low) / ((high - low) or 1)).astype(np.float32)


def colour_of(name: str) -> str:
    """Give the colour of a feature's family."""
    return next((colour for start, colour in _FAMILIES.items() if name.startswith(start)), _OTHERS)


def cells_of(shown: Stretch) -> Float[np.ndarray, "F W 3"]:
    """RGB of the labels: from near white to the family's colour; what is not known is white."""
    nothing = np.asarray(to_rgb(_NOTHING))
    full = np.asarray([to_rgb(colour_of(name)) for name in shown.names])
    cells = nothing + shown.values[:, :, None] * (full[:, None, :] - nothing)
    cells[:, ~shown.known] = 1.0
    return cells


def draw_cells(axis: Axes, cells: Float[np.ndarray, "rows W 3"], top: float = 0) -> None:
    """Paint rows of cells, the first at `top`, with white lines between them."""
    rows, columns = cells.shape[:2]
    axis.imshow(cells, extent=(0, columns, top + rows, top), aspect="auto", interpolation="nearest")
    axis.vlines(np.arange(columns + 1), top, top + rows, color="white", linewidth=0.8)
    axis.hlines(np.arange(rows + 1) + top, 0, columns, color="white", linewidth=2.2)


def hatch(axis: Axes, known: Bool[np.ndarray, " W"], top: float, bottom: float) -> None:
    """Hatch the columns that are not known."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~known, [0]])))
    for first, last in edges.reshape(-1, 2).tolist():
        place, width, height = (first, top), last - first, bottom - top
        axis.add_patch(Rectangle(place, width, height, fill=False, hatch="////", edgecolor="#999999", linewidth=0))


def name_rows(axis: Axes, names: Sequence[str], tops: Sequence[float]) -> None:
    """Write the rows' names beside them, in their families' colours."""
    shown = [drawable(name) for name in names]
    axis.set_yticks([top + 0.5 for top in tops], shown, fontsize=8, family="DejaVu Sans", parse_math=False)
    for tick, name in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_color(colour_of(name))


def write(
    axis: Axes,
    characters: Sequence[str],
    y: float,
    size: float = 9,
    colours: Sequence[Any] | None = None,
    va: str = "bottom",
) -> None:
    """Write one character a column; without colours black, and signs for white space faint."""
    for column, character in enumerate(characters):
        plain = _FAINT if character in INVISIBLE.values() else "black"
        axis.text(
            column + 0.5,
            y,
            drawable(character),
            ha="center",
            va=va,
            family=FONT,
            fontsize=size,
            color=plain if colours is None else colours[column],
            parse_math=False,
        )


def number_columns(axis: Axes, first: int, count: int, pad: float) -> None:
    """Write every tenth character's place above the columns."""
    tens = [column for column in range(count) if (first + column) % 10 == 0]
    axis.xaxis.tick_top()
    axis.set_xticks([column + 0.5 for column in tens], [str(first + column) for column in tens], fontsize=6)
    axis.tick_params(axis="x", pad=pad, colors="#999999")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
