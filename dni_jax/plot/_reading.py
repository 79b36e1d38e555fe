"""A text whose characters are coloured by what a neuron does at each of them."""

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
from dni_jax.plot._stretch import (
    CELL,
    LETTER,
    ROW,
    cells_of,
    characters_of,
    draw_cells,
    hatch,
    name_rows,
    number_columns,
    part_of,
    stretch_of,
    title_of,
    write,
)
from dni_jax.plot._style import LETTERING, axes_of, width_of
from dni_jax.text import Corpus

_MAP = "RdBu_r"  # blue below 0, white at 0, red above
_DARK = 0.65  # share of the scale from which white letters read better


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
    """Draw a part of a string, each character coloured by a neuron's value there, with labels below it.

    White is 0, red above, blue below. The scale is symmetric and reaches to the neuron's largest absolute value in the
    whole corpus, so that drawings of several strings can be compared. Characters without a state or without labels are
    hatched.

    Parameters
    ----------
    corpus
        What was read.
    states
        ``Activations`` or an array ``(T, N)``, with `neuron`; or the values themselves, ``(T,)``.
    neuron
        Which of the N neurons.
    string
        Which string of the corpus.
    start, width
        The first of its characters to show, and how many.
    labels
        Of the corpus; drawn as rows below the text.
    features
        Which of the labels: a pattern (``"range:*"``) or a list of names, as in `Labels.select`; None: those that are
        on in this stretch.
    ax
        Axes to draw into; None makes a figure of its own that fits.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        For states that do not fit the corpus or are not finite, or where there is no such neuron, string, place or
        feature.

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
        raise ValueError("expected labels= beside features=, got none: library.label(corpus)")
    values, known = _values(corpus, states, neuron)
    part = part_of(corpus, string, start, width)
    shown = None if labels is None else stretch_of(labels, corpus, string, start, width, features)
    name = "value" if neuron is None else f"neuron {neuron}"
    names, columns = [name, *(shown.names if shown else ())], part.stop - part.start
    rows = len(names)
    axis = axes_of(ax, max(CELL * columns + LETTER * max(map(len, names)) + 1.4, 4.5), ROW * (rows + 0.4) + 0.5)
    limit = float(np.abs(values[known]).max(initial=0.0)) or 1.0
    colours = colormaps[_MAP](Normalize(-limit, limit)(values[part]))[:, :3]
    colours[~known[part]] = 1.0
    draw_cells(axis, colours[None], -1.4)
    hatch(axis, known[part], -1.4, -0.4)
    if shown:
        draw_cells(axis, cells_of(shown))
        hatch(axis, shown.known, 0, rows - 1)
    size = min(10.0, LETTERING * 72 * width_of(axis) / columns)
    dark = np.where(known[part], np.abs(values[part]) > _DARK * limit, False)
    write(axis, characters_of(corpus, part), -0.9, size, np.where(dark, "white", "black").tolist(), "center_baseline")
    name_rows(axis, names, [-1.4, *range(rows - 1)])
    number_columns(axis, start, columns, 1)
    axis.set(xlim=(0, columns), ylim=(rows - 1 if shown else -0.4, -1.4))
    axis.set_title(title_of(corpus, string, part), fontsize=9, color="#444444", loc="left", parse_math=False)
    _key(axis, limit, columns)
    return axis


def _values(corpus: Corpus, states: Any, neuron: int | None) -> tuple[Float[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """Give one value a position, and where there is one."""
    array, mask = np.asarray(getattr(states, "hidden", states)), getattr(states, "mask", None)
    if array.ndim not in (1, 2) or len(array) != corpus.n_positions:
        raise ValueError(
            f"expected states of the corpus' {corpus.n_positions} characters, (T, N) or (T,), got shape {array.shape}"
        )
    if (array.ndim == 1) != (neuron is None):
        raise ValueError(f"expected neuron= beside states (T, N), and none beside (T,), got {neuron} and {array.shape}")
    if neuron is not None:
        if not 0 <= neuron < array.shape[1]:
            raise ValueError(f"expected a neuron from 0 to {array.shape[1] - 1}, got {neuron}")
        array = array[:, neuron]
    values = array.astype(np.float64)
    known = np.ones(len(values), bool) if mask is None else np.asarray(mask)
    if not np.isfinite(values[known]).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return values, known


def _key(axis: Axes, limit: float, columns: int) -> None:
    """Draw the scale of the colours to the right of the text."""
    beside = axis.inset_axes((columns + 2, -1.3, 5, 0.4), transform=axis.transData)
    beside.imshow(np.linspace(-limit, limit, 101)[None], cmap=_MAP, extent=(-limit, limit, 0, 1), aspect="auto")
    beside.set_xticks([-limit, 0, limit], [f"{-limit:.2g}", "0", f"{limit:.2g}"], fontsize=6)
    beside.set_yticks([])
    beside.tick_params(length=0, pad=1, colors="#666666")
    beside.spines[:].set_visible(False)
