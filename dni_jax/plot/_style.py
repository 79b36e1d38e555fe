"""What all drawings share: colours, fonts, axes and legends."""

from __future__ import annotations

from functools import cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from dni_jax.characters import UNKNOWN

# The palette of Okabe & Ito (2008), which colour-blind readers can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
STYLES = ("-", "--", "-.")
FONT = "DejaVu Sans Mono"
ADVANCE = 0.602  # the width of a character in that font, as a fraction of its size
LETTERING = 0.85  # the size of a letter in a column of its own, as a fraction of the column's width


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes passed, or those of a new figure, which a notebook then shows.

    Parameters
    ----------
    ax
        Axes of any figure; pyplot is then not imported.
    width, height
        Size of a new figure, in inches.
    """
    if ax is not None:
        return ax
    from matplotlib import pyplot

    _, new = pyplot.subplots(figsize=(width, height), layout="constrained")
    return new


def axes_width(ax: Axes) -> float:
    """Return the current width of the axes, in inches."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def remove_frame(ax: Axes) -> None:
    """Remove the upper and the right edge of the axes."""
    ax.spines[["top", "right"]].set_visible(False)


def place_legend(ax: Axes) -> None:
    """Draw the legend to the right of the axes, where it covers nothing."""
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def replace_missing_glyphs(text: str) -> str:
    """Return a text with ``□`` for every character that the font lacks.

    Examples
    --------
    >>> replace_missing_glyphs("a\u0378")
    'a□'
    """
    return "".join(character if ord(character) in _glyphs() else UNKNOWN for character in text)
