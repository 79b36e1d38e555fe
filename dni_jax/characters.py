"""Characters as people can see them: white space and what has no glyph get a sign of one column."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

INVISIBLE = {" ": "\u2423", "\n": "\u21b5", "\r": "\u240d", "\t": "\u2192"}  # ␣ ↵ ␍ →
UNKNOWN = "\u25a1"  # □


def visible(character: str) -> str:
    r"""Give a sign of one column's width for any character: ``␣`` for a space, ``↵`` for a line break, ``□`` for more.

    Examples
    --------
    >>> [visible(c) for c in "a \n"]
    ['a', '␣', '↵']
    """
    if character in INVISIBLE:
        return INVISIBLE[character]
    wide = east_asian_width(character) in "WF" or combining(character)
    return UNKNOWN if wide or not character.isprintable() else character


def visible_text(text: str) -> str:
    r"""Give `visible` of every character.

    Examples
    --------
    >>> visible_text("if x:\n\ty")
    'if␣x:↵→y'
    """
    return "".join(map(visible, text))


def shown_name(name: str) -> str:
    r"""Give a feature's name with a sign for what could not be seen: ``symbol:␣`` for a space at its end.

    Examples
    --------
    >>> shown_name("symbol:\n"), shown_name("e -> e + e")
    ('symbol:↵', 'e -> e + e')
    """
    signs = [character if character == " " else visible(character) for character in name[:-1]]
    return "".join([*signs, *map(visible, name[-1:])])
