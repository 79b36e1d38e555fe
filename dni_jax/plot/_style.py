"""What all drawings share: colors, fonts, axes and legends."""

from __future__ import annotations

import warnings
from functools import cache
from unicodedata import combining

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from dni_jax.characters import UNKNOWN, make_visible

# The palette of Okabe & Ito (2008), which color-blind readers can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
STYLES = ("-", "--", "-.")
FONT = "DejaVu Sans Mono"
_PLACEHOLDERS = ("Last Resort", "STIX", "cm")  # boxes for every character, and fonts of formulas
_NAMED = 5
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
    legend = ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fit_text(*legend.get_texts())


@cache
def _glyphs(file: str) -> frozenset[int]:
    """Return the code points that a font draws; none where it cannot be read, as fonts of colored emoji."""
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def find_font(character: str) -> str | None:
    """Return the font that draws a character: the usual one if it has it, else the first that is installed and has it.

    Examples
    --------
    >>> find_font("a"), find_font("\u0378")
    ('DejaVu Sans Mono', None)
    """
    if ord(character) in _glyphs(findfont(FontProperties(family=FONT))):
        return FONT
    others = [entry for entry in fontManager.ttflist if not entry.name.startswith(_PLACEHOLDERS)]
    plain = sorted(others, key=lambda entry: (entry.style != "normal", entry.weight != 400, entry.name))
    return next((entry.name for entry in plain if ord(character) in _glyphs(entry.fname)), None)


def choose_fonts(text: str) -> list[str]:
    """Return the usual font, and those of the characters that it lacks."""
    found = [find_font(character) for character in text]
    return list(dict.fromkeys([FONT, *(name for name in found if name is not None)]))


def replace_missing_glyphs(text: str) -> str:
    """Return a text with ``□`` for every character that no installed font has.

    Examples
    --------
    >>> replace_missing_glyphs("a\u0378")
    'a□'
    """
    return "".join(UNKNOWN if find_font(character) is None else character for character in text)


def fit_text(*texts: Text) -> None:
    """Draw texts as they are written: no formulas, and in fonts that have their characters, whatever these are.

    Every drawing passes the names that its user chose through here.

    Warns
    -----
    UserWarning
        For characters that no installed font has; ``□`` is drawn in their place.
    """
    missing = []
    for text in texts:
        text.set_parse_math(False)
        own = _glyphs(findfont(text.get_fontproperties()))
        lacking = [one for one in dict.fromkeys(text.get_text()) if one.isprintable() and ord(one) not in own]
        found = {one: find_font(one) for one in lacking}
        text.set_text("".join(UNKNOWN if found.get(one, "") is None else one for one in text.get_text()))
        fonts = dict.fromkeys([*text.get_fontfamily(), *(name for name in found.values() if name is not None)])
        text.set_fontfamily(list(fonts))
        missing += [one for one, name in found.items() if name is None]
    if missing:
        named = ", ".join(f"U+{ord(one):04X}" for one in list(dict.fromkeys(missing))[:_NAMED])
        warnings.warn(
            f"no installed font has {named}, drawn as {UNKNOWN}: install one that does, such as Noto Sans CJK or Noto "
            "Emoji, and remove matplotlib's list of fonts (matplotlib.get_cachedir())",
            UserWarning,
            stacklevel=3,
        )


def fit_tick_labels(axis: Axis) -> None:
    """Draw the labels of an axis' ticks as `fit_text` does, and keep them so when the figure is drawn."""
    texts = axis.get_ticklabels()
    fit_text(*texts)
    axis.set_ticklabels([text.get_text() for text in texts])


def make_drawable(text: str) -> tuple[str, ...]:
    """Return each character as it is drawn in a column of its own, and ``□`` where no installed font has it.

    Examples
    --------
    >>> make_drawable("a \u0378")
    ('a', '␣', '□')
    """
    return tuple(_drawable(character) for character in text)


def _drawable(character: str) -> str:
    shown = make_visible(character)
    draws = shown == UNKNOWN and character.isprintable() and not combining(character)
    return character if draws and find_font(character) is not None else shown


def name_missing(text: str) -> str:
    """Say which characters no installed font has; empty where there is none.

    Examples
    --------
    >>> name_missing("a\u4e00")  # doctest: +SKIP
    '; □ is U+4E00, which no installed font has'
    """
    wide = (one for one in dict.fromkeys(text) if one.isprintable() and not combining(one) and one != UNKNOWN)
    missing = [f"U+{ord(one):04X}" for one in wide if find_font(one) is None]
    if not missing:
        return ""
    more = ", ..." if len(missing) > _NAMED else ""
    return f"; □ is {', '.join(missing[:_NAMED])}{more}, which no installed font has"
