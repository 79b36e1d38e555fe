"""What the labels of a string look like: the text on top, one row a feature (Figure 1 of Lin & Wu 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from dni_jax.features import Labels
from dni_jax.plot._stretch import (
    CELL,
    LETTER,
    ROW,
    cells_of,
    draw_cells,
    hatch,
    name_rows,
    number_columns,
    stretch_of,
    write,
)
from dni_jax.text import Corpus

_EDGE, _HEAD = 0.25, 0.75  # inches: the margin; the title, the places and the text
_SHADES = " \u2591\u2592\u2593\u2588"  # from 0 to 1: ░▒▓█


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
    left, right = _EDGE + LETTER * max(map(len, shown.names)), _EDGE
    wide, high = left + CELL * n_columns + right, _HEAD + ROW * n_rows + _EDGE
    figure = Figure(figsize=(max(wide, 4.5), high), facecolor="white")
    wide = figure.get_figwidth()
    axis = figure.add_axes((left / wide, _EDGE / high, CELL * n_columns / wide, ROW * n_rows / high))
    draw_cells(axis, cells_of(shown))
    hatch(axis, shown.known, 0, n_rows)
    name_rows(axis, shown.names, range(n_rows))
    write(axis, shown.characters, -0.25)
    number_columns(axis, shown.first, n_columns, 15)
    figure.text(_EDGE / wide, 1 - 0.22 / high, shown.title, fontsize=9, color="#444444", va="bottom", parse_math=False)
    return figure
