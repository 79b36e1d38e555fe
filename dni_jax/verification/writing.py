"""What a network writes: measurements of produced text."""

from __future__ import annotations

from collections.abc import Sequence

from dni_jax.corpora import character_type


def symbol_shares(texts: Sequence[str], boundary: str = "") -> dict[str, float]:
    """Share of each class of characters (digit, parenthesis, ...) in some texts; `boundary` marks are not counted.

    Examples
    --------
    >>> symbol_shares(["0(1)"])
    {'digit': 0.5, 'parenthesis': 0.5}
    """
    whole = [character for text in texts for character in text if character != boundary]
    kinds = [character_type(character) for character in whole]
    return {kind: kinds.count(kind) / len(whole) for kind in sorted(set(kinds))}
