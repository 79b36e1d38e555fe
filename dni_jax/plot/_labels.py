"""The labels of a string below its text, one row per feature (Figure 1 of Lin & Wu 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from dni_jax.features import Labels
from dni_jax.plot._segment import (
    CELL,
    LETTER,
    ROW,
    TITLE,
    cut_segment,
    draw_labels,
    label_rows,
    name_rows,
    number_columns,
    write_characters,
)
from dni_jax.plot._style import fit_text
from dni_jax.text import Corpus

_MARGIN, _HEAD = 0.25, 0.75  # inches: the margin; title, column numbers and text together
_SHADES = " \u2591\u2592\u2593\u2588"  # from 0 to 1: ░▒▓█


def labeling_text(
    labels: Labels,
    corpus: Corpus,
    string: int = 0,
    start: int = 0,
    width: int = 80,
    features: str | re.Pattern[str] | Sequence[str] | None = None,
) -> str:
    """Return the labels of a string as lines of plain text, for a terminal.

    ``█`` stands for 1, ``·`` for 0, ``░▒▓`` for values between them, and ``?`` for an unknown label.

    Parameters
    ----------
    labels, corpus, string, start, width, features
        As for `labeling_figure`.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["0 (12)"])
    >>> labels = (dni.char_feature("digit", str.isdigit) + dni.regex_feature("pair", r"[(].*[)]")).label(corpus)
    >>> print(labeling_text(labels, corpus))
           0␣(12)
    digit  █··██·
    pair   ··████
    """
    segment = cut_segment(corpus, string, start, width)
    rows = label_rows(labels, corpus, segment, features)
    margin = max(map(len, rows.names))
    lines = [f"{'':{margin}}  {''.join(segment.characters)}"]
    for name, row in zip(rows.names, rows.values, strict=True):
        shades = [_shade(value) if known else "?" for value, known in zip(row.tolist(), rows.known, strict=True)]
        lines.append(f"{name:{margin}}  {''.join(shades)}")
    return "\n".join(lines)


def _shade(value: float) -> str:
    if value == 0:
        return "·"
    return _SHADES[max(1, min(4, int(value * 4 + 0.5)))]


def labeling_figure(
    labels: Labels,
    corpus: Corpus,
    string: int = 0,
    start: int = 0,
    width: int = 80,
    features: str | re.Pattern[str] | Sequence[str] | None = None,
) -> Figure:
    """Draw the labels of a string below its text, one row per feature (Figure 1 of Lin & Wu 2017).

    A filled cell is a label of 1. Continuous labels are shaded from their lowest value in the corpus (white) to their
    highest. Characters without known labels are hatched. Each family of features has a color.

    Parameters
    ----------
    labels, corpus
        The labels, and the corpus that was labeled.
    string
        Which string of the corpus.
    start, width
        The first character to draw, and how many.
    features
        A pattern (``"range:*"``) or a list of names, as in `Labels.select`; None takes the features that are nonzero
        somewhere in the segment drawn.

    Returns
    -------
    A figure of the size that the text needs. Unlike the other drawings it does not draw into given axes.

    Raises
    ------
    ValueError
        If the labels are of another corpus, or there is no such string, place or feature.
    """
    segment = cut_segment(corpus, string, start, width)
    rows = label_rows(labels, corpus, segment, features)
    n_rows, n_columns = rows.values.shape
    left = _MARGIN + LETTER * max(map(len, rows.names))
    wide, high = left + CELL * n_columns + _MARGIN, _HEAD + ROW * n_rows + _MARGIN
    figure = Figure(figsize=(max(wide, 4.5), high), facecolor="white")
    wide = figure.get_figwidth()
    axis = figure.add_axes((left / wide, _MARGIN / high, CELL * n_columns / wide, ROW * n_rows / high))
    draw_labels(axis, rows)
    name_rows(axis, rows.names, range(n_rows))
    write_characters(axis, segment.characters, -0.25)
    number_columns(axis, segment, 15)
    fit_text(figure.text(_MARGIN / wide, 1 - 0.22 / high, segment.title, va="bottom", **TITLE))
    return figure
