"""Text whose characters are colored by the activation of a neuron."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from dni_jax.features import Labels
from dni_jax.plot._segment import (
    CELL,
    LETTER,
    ROW,
    TITLE,
    cut_segment,
    draw_cells,
    draw_labels,
    label_rows,
    name_rows,
    number_columns,
    write_characters,
)
from dni_jax.plot._style import LETTERING, axes_width, fit_text, new_axes
from dni_jax.states import as_activations, read_hidden
from dni_jax.text import Corpus

_MAP = "RdBu_r"  # blue below 0, white at 0, red above
_DARK = 0.65  # fraction of the scale above which white letters are easier to read
_TOP = -1.4  # the row of activations; labels begin at 0


def text(
    corpus: Corpus,
    states: Any,
    neuron: int | None = None,
    *,
    string: int = 0,
    start: int = 0,
    width: int = 80,
    labels: Labels | None = None,
    features: str | re.Pattern[str] | Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a segment of a string, each character colored by a neuron's activation, with labels below it.

    White is 0, red is positive, blue is negative. The scale is symmetric and extends to the neuron's largest absolute
    value in the whole corpus, so that drawings of several strings can be compared. Characters without a state, or
    without known labels, are hatched.

    Parameters
    ----------
    corpus
        The text that the network read.
    states
        ``Activations`` or an array ``(T, N)``, with `neuron`; or the values themselves, ``(T,)``.
    neuron
        Which of the N neurons.
    string
        Which string of the corpus.
    start, width
        The first character to draw, and how many.
    labels
        Labels of the corpus, drawn as rows below the text.
    features
        Which of the labels: a pattern (``"range:*"``) or a list of names, as in `Labels.select`; None takes those
        that are nonzero somewhere in the segment drawn.
    ax
        Axes to draw into; None makes a new figure of the size that the text needs.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        If the states do not fit the corpus or are not finite, or there is no such neuron, string, place or feature.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> corpus = dni.Corpus.from_strings(["0 (12)"])
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> ax = plot.text(corpus, np.linspace(-1, 1, 6), labels=labels, ax=Figure().subplots())
    >>> "".join(sign.get_text() for sign in ax.texts), [tick.get_text() for tick in ax.get_yticklabels()]
    ('0␣(12)', ['value', 'digit'])
    """
    if labels is None and features is not None:
        raise ValueError("expected labels= together with features=, got none: library.label(corpus)")
    values, known = _values(corpus, states, neuron)
    segment = cut_segment(corpus, string, start, width)
    rows = None if labels is None else label_rows(labels, corpus, segment, features)
    names = ["value" if neuron is None else f"neuron {neuron}", *(rows.names if rows else ())]
    columns, n_rows = len(segment), len(names) - 1
    axis = new_axes(ax, max(CELL * columns + LETTER * max(map(len, names)) + 1.4, 4.5), ROW * (n_rows + 1.4) + 0.5)

    limit = float(np.abs(values[known]).max(initial=0.0)) or 1.0
    shown, seen = values[segment.positions], known[segment.positions]
    colors = colormaps[_MAP](Normalize(-limit, limit)(shown))[:, :3]
    colors[~seen] = 1.0
    draw_cells(axis, colors[None], _TOP, seen)
    if rows:
        draw_labels(axis, rows)

    size = min(10.0, LETTERING * 72 * axes_width(axis) / columns)
    dark = np.where(seen, np.abs(shown) > _DARK * limit, False)
    ink = np.where(dark, "white", "black").tolist()
    write_characters(axis, segment.characters, _TOP + 0.5, size, ink, "center_baseline")
    name_rows(axis, names, [_TOP, *range(n_rows)])
    number_columns(axis, segment, 1)
    axis.set(xlim=(0, columns), ylim=(n_rows if rows else _TOP + 1, _TOP))
    fit_text(axis.set_title(segment.title, loc="left", **TITLE))
    _draw_scale(axis, limit, columns)
    return axis


def _values(corpus: Corpus, states: Any, neuron: int | None) -> tuple[Float[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """Return one value per position, and which positions have one."""
    by_position = np.ndim(states) == 1
    activations = None if by_position else as_activations(states)
    array = np.asarray(states) if activations is None else read_hidden(activations)
    if len(array) != corpus.n_positions:
        raise ValueError(
            f"expected states of the corpus' {corpus.n_positions} characters, (T, N) or (T,), got shape {array.shape}"
        )
    if by_position != (neuron is None):
        raise ValueError(f"expected neuron= with states (T, N), and none with (T,), got {neuron} and {array.shape}")
    if neuron is not None:
        if not 0 <= neuron < array.shape[1]:
            raise ValueError(f"expected a neuron from 0 to {array.shape[1] - 1}, got {neuron}")
        array = array[:, neuron]
    values = array.astype(np.float64)
    mask = None if activations is None else activations.mask
    known = np.ones(len(values), bool) if mask is None else mask
    if not np.isfinite(values[known]).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return values, known


def _draw_scale(axis: Axes, limit: float, columns: int) -> None:
    """Draw the color scale to the right of the text."""
    scale = axis.inset_axes((columns + 2, -1.3, 5, 0.4), transform=axis.transData)
    scale.imshow(np.linspace(-limit, limit, 101)[None], cmap=_MAP, extent=(-limit, limit, 0, 1), aspect="auto")
    scale.set_xticks([-limit, 0, limit], [f"{-limit:.2g}", "0", f"{limit:.2g}"], fontsize=6)
    scale.set_yticks([])
    scale.tick_params(length=0, pad=1, colors="#666666")
    scale.spines[:].set_visible(False)
