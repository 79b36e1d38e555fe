"""The parse tree of one string, as bars below its text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dni_jax.features import BRACKETS
from dni_jax.plot._stretch import CELL, characters_of, number_columns, part_of, title_of, write
from dni_jax.plot._style import ADVANCE, LETTERING, PALETTE, axes_of, drawable, width_of
from dni_jax.text import Corpus, NodeKind

_ROW, _NAME = 0.19, 7.0  # inches: a level of the tree; points: a node's name
_GAP, _EMPTY = 0.06, 0.12  # columns: beside a bar; the width of a node that holds no character


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
    """Draw the parse tree of a string: the text on top, below it one bar a node, parents above their children.

    A bar is as wide as what the node holds: the characters at which its ``range:`` feature is 1. A node that holds
    nothing is a thin line. The pairs of brackets that are kept beside the grammar's nodes are not drawn. Names that do
    not fit are cut and end in ``…``. A colour is a symbol; where a language has many, some share one.

    Parameters
    ----------
    corpus
        From a language's ``sample`` or ``corpus``, or from files that were parsed.
    string
        Which of its strings.
    ax
        Axes to draw into; None makes a figure of its own that fits.
    start, width
        The first character to show, and how many.
    levels
        How many levels of the tree to draw, from the root; None draws all.
    rules
        Whether a node is called by its whole production (``e0 -> 0 e0``) instead of its symbol (``e0``).

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        Where the corpus was not parsed, or there is no such string, place or level.

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
    part = part_of(corpus, string, start, width)
    columns, base = part.stop - part.start, int(corpus.offsets[string])
    first, last = part.start - base, part.stop - base
    trees, rows = corpus.trees, slice(*corpus.trees.offsets[string : string + 2].tolist())
    begins, ends, depths = (array[rows] for array in (trees.start, trees.end, trees.depth))
    touches = (begins < last) & (ends > first) | (begins == ends) & (begins >= first) & (begins <= last)
    of_grammar = np.asarray([kind.symbol != BRACKETS for kind in trees.kinds])[trees.rule[rows]]
    nodes = np.flatnonzero(touches & of_grammar & (depths < (levels or np.inf)))
    n_levels = int(depths[nodes].max(initial=0)) + 1
    axis = axes_of(ax, max(CELL * columns + 0.4, 4.5), _ROW * (n_levels + 1.5) + 0.6)
    axis.set(xlim=(0, columns), ylim=(n_levels, 0), yticks=[])
    column = 72 * width_of(axis) / columns  # points
    symbols = trees.symbols
    for node in nodes.tolist():
        kind = trees.kinds[trees.rule[rows][node]]
        low, high = max(int(begins[node]), first) - first, min(int(ends[node]), last) - first
        colour = PALETTE[symbols.index(kind.symbol) % (len(PALETTE) - 2)]
        _bar(axis, low, high, int(depths[node]), colour)
        name = _fitting(_name(kind, rules), (high - low) * column)
        middle = ((low + high) / 2, depths[node] + 0.5)
        axis.text(*middle, name, ha="center", va="center_baseline", fontsize=_NAME, family="DejaVu Sans Mono",
                  color="black", parse_math=False, clip_on=True)  # fmt: skip
    write(axis, characters_of(corpus, part), -0.15, min(9.0, LETTERING * column))
    number_columns(axis, start, columns, 15)
    axis.set_title(title_of(corpus, string, part), fontsize=9, color="#444444", loc="left", parse_math=False)
    return axis


def _name(kind: NodeKind, rules: bool) -> str:
    return drawable(kind.name if rules else kind.symbol)


def _bar(axis: Axes, low: int, high: int, level: int, colour: str) -> None:
    left, wide = (low + _GAP, high - low - 2 * _GAP) if high > low else (low - _EMPTY / 2, _EMPTY)
    alpha = 0.3 if high > low else 1.0
    axis.add_patch(Rectangle((left, level + 0.08), wide, 0.84, facecolor=colour, alpha=alpha, linewidth=0))


def _fitting(name: str, points: float) -> str:
    """Cut a name to what fits in a width."""
    room = int(points / (_NAME * ADVANCE))
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= 2 else ""
