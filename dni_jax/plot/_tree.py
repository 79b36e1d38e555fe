"""The parse tree of one string, as bars below its text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dni_jax.plot._segment import CELL, TITLE, cut_segment, number_columns, write_characters
from dni_jax.plot._style import ADVANCE, FONT, LETTERING, PALETTE, axes_width, fit_text, new_axes
from dni_jax.text import BRACKETS, Corpus

_ROW, _NAME = 0.19, 7.0  # inches: a level of the tree; points: the size of a node's name
_GAP, _EMPTY = 0.06, 0.12  # columns: on either side of a bar; the width of a node without characters


def tree(
    corpus: Corpus,
    string: int = 0,
    ax: Axes | None = None,
    *,
    start: int = 0,
    width: int = 80,
    levels: int | None = None,
    rules: bool = False,
) -> Axes:
    """Draw the parse tree of a string: the text above, and one bar for each node below it, parents above children.

    A bar covers the characters of its node, where the node's ``range:`` feature is 1. A node without characters is a
    thin line. Names that do not fit are shortened and end in ``…``. Each symbol has a color; in a language with many
    symbols, some share one. The pairs of brackets that the parser records in addition to the grammar's nodes are not
    drawn.

    Parameters
    ----------
    corpus
        From a language's ``sample`` or ``corpus``, or from files that were parsed.
    string
        Which of its strings.
    ax
        Axes to draw into; None makes a new figure of the size that the tree needs.
    start, width
        The first character to draw, and how many.
    levels
        How many levels of the tree to draw, from the root; None draws all.
    rules
        Whether to name a node by its production (``e0 -> 0 e0``) instead of its symbol (``e0``).

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        If the corpus was not parsed, or there is no such string, place or level.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> corpus = dni.languages.get("arithmetic").corpus(["1+(2)"])
    >>> ax = plot.tree(corpus, ax=Figure().subplots())
    >>> [name.get_text() for name in ax.texts[:-5]], len(ax.patches)
    (['e', 'e', 'd', 'e', 'e', 'd'], 6)
    """
    if corpus.trees is None:
        raise ValueError(f"expected a corpus with parse trees, got {corpus!r}: language.corpus(strings) parses")
    if levels is not None and levels < 1:
        raise ValueError(f"expected levels of at least 1, got {levels}")
    segment = cut_segment(corpus, string, start, width)
    first, last = start, start + len(segment)
    trees, rows = corpus.trees, slice(*corpus.trees.offsets[string : string + 2].tolist())
    begins, ends, depths = (array[rows] for array in (trees.start, trees.end, trees.depth))
    touches = (begins < last) & (ends > first) | (begins == ends) & (begins >= first) & (begins <= last)
    of_grammar = np.asarray([kind.symbol != BRACKETS for kind in trees.kinds])[trees.rule[rows]]
    nodes = np.flatnonzero(touches & of_grammar & (depths < (levels or np.inf)))
    n_levels = int(depths[nodes].max(initial=0)) + 1

    axis = new_axes(ax, max(CELL * len(segment) + 0.4, 4.5), _ROW * (n_levels + 1.5) + 0.6)
    axis.set(xlim=(0, len(segment)), ylim=(n_levels, 0), yticks=[])
    column = 72 * axes_width(axis) / len(segment)  # points
    symbols, names = trees.symbols, []
    for node in nodes.tolist():
        kind = trees.kinds[trees.rule[rows][node]]
        low, high = max(int(begins[node]), first) - first, min(int(ends[node]), last) - first
        # The last two colors of the palette, black and gray, would be taken for text.
        _draw_bar(axis, low, high, int(depths[node]), PALETTE[symbols.index(kind.symbol) % (len(PALETTE) - 2)])
        name = _shorten(kind.name if rules else kind.symbol, (high - low) * column)
        middle = ((low + high) / 2, depths[node] + 0.5)
        names.append(axis.text(*middle, name, ha="center", va="center_baseline", fontsize=_NAME, family=FONT,
                               color="black", clip_on=True))  # fmt: skip
    fit_text(*names)
    write_characters(axis, segment.characters, -0.15, min(9.0, LETTERING * column))
    number_columns(axis, segment, 15)
    fit_text(axis.set_title(segment.title, loc="left", **TITLE))
    return axis


def _draw_bar(axis: Axes, low: int, high: int, level: int, color: str) -> None:
    left, wide = (low + _GAP, high - low - 2 * _GAP) if high > low else (low - _EMPTY / 2, _EMPTY)
    alpha = 0.3 if high > low else 1.0
    axis.add_patch(Rectangle((left, level + 0.08), wide, 0.84, facecolor=color, alpha=alpha, linewidth=0))


def _shorten(name: str, points: float) -> str:
    """Shorten a name to what fits in a width, in points."""
    room = int(points / (_NAME * ADVANCE))
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= 2 else ""
