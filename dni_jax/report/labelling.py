"""What the labels of a string look like: the text on top, one row a feature (Figure 1 of Lin & Wu 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple
from unicodedata import combining, east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

from dni_jax.corpora import Corpus
from dni_jax.features import Labels
from dni_jax.report.figures import PALETTE

_CELL, _LEFT, _EDGE = 0.15, 0.07, 0.25  # inches: a column, a letter of a feature's name, the margin
_ROW, _HEAD = 0.21, 0.75  # inches: a feature's row; the title, the places and the text
_VISIBLE = {" ": "\u2423", "\n": "\u21b5", "\r": "\u240d", "\t": "\u2192"}  # ␣ ↵ ␍ →
_SHADES = " \u2591\u2592\u2593\u2588"  # from 0 to 1: ░▒▓█
_FAMILIES = ("depth", "indent", "range:", "impulse:")  # one colour each; everything else is about characters


class Stretch(NamedTuple):
    """A part of one string: its characters as they are shown, its features' labels ``(F, W)``, the mask ``(W,)``."""

    title: str
    characters: tuple[str, ...]
    first: int
    names: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray


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
    if not 0 <= string < len(corpus):
        raise ValueError(f"expected a string from 0 to {len(corpus) - 1}, got {string}")
    low, high = (int(offset) for offset in corpus.offsets[string : string + 2])
    if not 0 <= start < high - low or width < 1:
        raise ValueError(
            f"expected a start from 0 to {high - low - 1} in string {string} and a width of at least 1, "
            f"got start {start} and width {width}"
        )
    part = slice(low + start, min(low + start + width, high))
    if features is None:
        some = labels.select([n for n, c in zip(labels.names, labels.columns, strict=True) if c[part].any()])
    else:
        some = labels.select(features)
    if len(some) == 0:
        raise ValueError("expected features that are on somewhere in the stretch, got none: name some with features=")
    values = np.stack([_scaled(column, kind, part) for column, kind in zip(some.columns, some.kinds, strict=True)])
    return Stretch(
        f"string {string} of {corpus.language}, characters {start} to {start + values.shape[1] - 1} of {high - low}",
        tuple(visible(chr(point)) for point in corpus.text[part]),
        start,
        tuple(shown_name(name) for name in some.names),
        values,
        labels.mask[part],
    )


def _scaled(column: np.ndarray, kind: str, part: slice) -> np.ndarray:
    if kind == "binary":
        return column[part].astype(np.float32)
    low, high = float(column.min()), float(column.max())
    return ((column[part] - low) / ((high - low) or 1)).astype(np.float32)


def visible(character: str) -> str:
    r"""Give a sign of one column's width for any character: ``␣`` for a space, ``↵`` for a line break, ``□`` for more.

    Examples
    --------
    >>> [visible(c) for c in "a \n"]
    ['a', '␣', '↵']
    """
    if character in _VISIBLE:
        return _VISIBLE[character]
    wide = east_asian_width(character) in "WF" or combining(character)
    return "\u25a1" if wide or not character.isprintable() else character


def shown_name(name: str) -> str:
    r"""Give a feature's name with a sign for what could not be seen: ``symbol:␣`` for a space at its end.

    Examples
    --------
    >>> shown_name("symbol:\n"), shown_name("e -> e + e")
    ('symbol:↵', 'e -> e + e')
    """
    signs = [character if character == " " else visible(character) for character in name]
    return "".join(signs[:-1]) + visible(name[-1])


def labelling_text(
    labels: Labels,
    corpus: Corpus,
    string: int = 0,
    start: int = 0,
    width: int = 80,
    features: str | re.Pattern[str] | Sequence[str] | None = None,
) -> str:
    """Draw the labels of a string in plain characters, for a terminal; see `labelling_figure` for the arguments.

    ``█`` is 1 and ``·`` 0, ``░▒▓`` lie between; ``?`` marks what is not known.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["0 (12)"])
    >>> labels = (dni.char_feature("digit", str.isdigit) + dni.regex_feature("pair", r"[(].*[)]")).label(corpus)
    >>> print(labelling_text(labels, corpus))
           0␣(12)
    digit  █··██·
    pair   ··████
    """
    shown = stretch_of(labels, corpus, string, start, width, features)
    margin = max(map(len, shown.names))
    lines = [f"{'':{margin}}  {''.join(shown.characters)}"]
    for name, row in zip(shown.names, shown.values, strict=True):
        signs = [_sign(value) if known else "?" for value, known in zip(row.tolist(), shown.known, strict=True)]
        lines.append(f"{name:{margin}}  {''.join(signs)}")
    return "\n".join(lines)


def _sign(value: float) -> str:
    if value == 0:
        return "·"
    return _SHADES[max(1, min(4, int(value * 4 + 0.5)))]


def labelling_figure(
    labels: Labels,
    corpus: Corpus,
    string: int = 0,
    start: int = 0,
    width: int = 80,
    features: str | re.Pattern[str] | Sequence[str] | None = None,
) -> Figure:
    """Draw the labels of a string: its text on top, below it one row a feature (Figure 1 of Lin & Wu 2017).

    A filled cell is a label 1. Continuous labels are shaded from their lowest (white) to their highest in the corpus.
    Characters whose labels are not known are hatched. A colour is a family of features.

    Parameters
    ----------
    labels, corpus
        The labels, and the corpus that was labelled.
    string
        Which string of the corpus.
    start, width
        The first of its characters to show, and how many.
    features
        A pattern (``"range:*"``) or a list of names, as in `Labels.select`; None: those that are on in this stretch.

    Raises
    ------
    ValueError
        Where the corpus is not the one that was labelled, or there is no such string, place or feature.
    """
    shown = stretch_of(labels, corpus, string, start, width, features)
    n_rows, n_columns = shown.values.shape
    left, right = _EDGE + _LEFT * max(map(len, shown.names)), _EDGE
    wide, high = left + _CELL * n_columns + right, _HEAD + _ROW * n_rows + _EDGE
    figure = Figure(figsize=(max(wide, 4.5), high), facecolor="white")
    wide = figure.get_figwidth()
    axis = figure.add_axes((left / wide, _EDGE / high, _CELL * n_columns / wide, _ROW * n_rows / high))
    axis.imshow(_cells(shown), extent=(0, n_columns, n_rows, 0), aspect="auto", interpolation="nearest")
    axis.vlines(np.arange(n_columns + 1), 0, n_rows, color="white", linewidth=0.8)
    axis.hlines(np.arange(n_rows + 1), 0, n_columns, color="white", linewidth=2.2)
    _hatch(axis, shown)
    names = ["".join(_drawable(character) for character in name) for name in shown.names]
    axis.set_yticks(np.arange(n_rows) + 0.5, names, fontsize=8, family="DejaVu Sans", parse_math=False)
    for tick, name in zip(axis.get_yticklabels(), shown.names, strict=True):
        tick.set_color(_colour(name))
    _text_on_top(axis, shown)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.text(_EDGE / wide, 1 - 0.22 / high, shown.title, fontsize=9, color="#444444", va="bottom", parse_math=False)
    return figure


def _family(name: str) -> int:
    return next((row for row, start in enumerate(_FAMILIES) if name.startswith(start)), len(_FAMILIES))


def _colour(name: str) -> str:
    return {0: PALETTE[2], 1: PALETTE[2], 2: PALETTE[0], 3: PALETTE[1]}.get(_family(name), "#333333")


def _cells(shown: Stretch) -> np.ndarray:
    """RGB ``(F, W, 3)``: from near white to the family's colour."""
    nothing = np.asarray(to_rgb("#F0F0F0"))
    full = np.asarray([to_rgb(_colour(name)) for name in shown.names])
    cells = nothing + shown.values[:, :, None] * (full[:, None, :] - nothing)
    cells[:, ~shown.known] = 1.0
    return cells


def _hatch(axis: Axes, shown: Stretch) -> None:
    rows = shown.values.shape[0]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~shown.known, [0]])))
    for first, last in edges.reshape(-1, 2).tolist():
        axis.add_patch(
            Rectangle((first, 0), last - first, rows, fill=False, hatch="////", edgecolor="#999999", linewidth=0)
        )


def _text_on_top(axis: Axes, shown: Stretch) -> None:
    for column, character in enumerate(shown.characters):
        faint = character in _VISIBLE.values()
        axis.text(
            column + 0.5,
            -0.25,
            _drawable(character),
            ha="center",
            va="bottom",
            family="DejaVu Sans Mono",
            fontsize=9,
            color="#AAAAAA" if faint else "black",
            parse_math=False,
        )
    tens = [column for column in range(len(shown.characters)) if (shown.first + column) % 10 == 0]
    axis.xaxis.tick_top()
    axis.set_xticks([column + 0.5 for column in tens], [str(shown.first + column) for column in tens], fontsize=6)
    axis.tick_params(axis="x", pad=15, colors="#999999")


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans Mono"))).get_charmap())


def _drawable(character: str) -> str:
    return character if ord(character) in _glyphs() else "\u25a1"
