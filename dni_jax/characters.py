"""Text with white space and other invisible characters replaced by visible ones."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

INVISIBLE = {" ": "\u2423", "\n": "\u21b5", "\r": "\u240d", "\t": "\u2192"}  # ␣ ↵ ␍ →
UNKNOWN = "\u25a1"  # □


def make_visible(text: str) -> str:
    r"""Return a text in which each character is visible and one column wide.

    ``␣`` stands for a space, ``↵`` for a line break, ``→`` for a tab and ``□`` for any other character that cannot be
    printed, combines with the one before it, or is wider than one column.

    Examples
    --------
    >>> make_visible("if x:\n\ty")
    'if␣x:↵→y'
    """
    return "".join(map(_visible, text))


def display_name(name: str) -> str:
    r"""Return a feature's name with invisible characters made visible, except for spaces between words.

    Wide characters stay: a name does not stand in columns.

    Examples
    --------
    >>> display_name("symbol:\n"), display_name("e -> e + e"), display_name("symbol:猫")
    ('symbol:↵', 'e -> e + e', 'symbol:猫')
    """
    inner = "".join(character if character == " " else _named(character) for character in name[:-1])
    return inner + "".join(map(_named, name[-1:]))


def escape(character: str) -> str:
    r"""Return a character as it appears in a name: a line break as ``\n``, printable characters unchanged."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _named(character: str) -> str:
    return INVISIBLE.get(character, character if character.isprintable() else UNKNOWN)


def _visible(character: str) -> str:
    if character in INVISIBLE:
        return INVISIBLE[character]
    wide = east_asian_width(character) in "WF" or combining(character)
    return UNKNOWN if wide or not character.isprintable() else character
