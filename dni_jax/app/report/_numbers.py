"""Numbers as the reports show them."""

from __future__ import annotations

import math

MISSING = "\u2013"  # shown for a missing number


def decimals(value: float | None, digits: int) -> str:
    """Return a number with so many decimals; a dash if it is missing or not finite.

    Examples
    --------
    >>> decimals(1.25, 4), decimals(None, 4)
    ('1.2500', '–')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
