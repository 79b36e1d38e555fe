"""What all drawings share: colours, axes to draw into, signs that the font has."""

from __future__ import annotations

from functools import cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from dni_jax.characters import UNKNOWN

# Okabe & Ito's palette, told apart by colour-blind readers too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
STYLES = ("-", "--", "-.")
FONT = "DejaVu Sans Mono"
ADVANCE = 0.602  # a character's width in that font, as a share of its size
LETTERING = 0.85  # the size of a letter that stands in a column of its own, as a share of the column's width


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """Give the axes to draw into: those given, or new ones in a figure of their own, which a notebook then shows.

    Parameters
    ----------
    ax
        Axes of any figure; pyplot is then not touched, and not even imported.
    width, height
        Of a new figure, in inches.
    """
    if ax is not None:
        return ax
    from matplotlib import pyplot

    _, new = pyplot.subplots(figsize=(width, height), layout="constrained")
    return new


def width_of(ax: Axes) -> float:
    """Give the axes' width in inches, as they are laid out now."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def place_legend(ax: Axes) -> None:
    """Put the legend to the right of the axes, where it hides nothing."""
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def drawable(text: str) -> str:
    """Give a text with ``□`` for every character that the font lacks.

    Examples
    --------
    >>> drawable("a\u0378")
    'a□'
    """
    return "".join(character if ord(character) in _glyphs() else UNKNOWN for character in text)
