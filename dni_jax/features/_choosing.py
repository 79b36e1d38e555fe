"""Features chosen by name, pattern and kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

Wanted = str | re.Pattern[str] | Sequence[str]


def chosen(
    names: Sequence[str], kinds: Sequence[str | None], wanted: tuple[Wanted, ...], kind: str | None
) -> list[int]:
    """Find the rows of the features wanted, each once, in the order in which they are asked for.

    Raises
    ------
    ValueError
        For a name or a pattern that no feature fits, a name given twice in one list, or an unknown kind.
    """
    if kind not in (None, "binary", "continuous"):
        raise ValueError(f"expected kind 'binary' or 'continuous', got {kind!r}")
    rows = list(range(len(names))) if not wanted else [row for one in wanted for row in _matching(names, one)]
    return [row for row in dict.fromkeys(rows) if kind is None or kinds[row] == kind]


def _matching(names: Sequence[str], wanted: Wanted) -> list[int]:
    if isinstance(wanted, str):
        rows = [row for row, name in enumerate(names) if name == wanted or fnmatchcase(name, wanted)]
    elif isinstance(wanted, re.Pattern):
        rows = [row for row, name in enumerate(names) if wanted.search(name)]
    else:
        return _exactly(names, wanted)
    if not rows:
        text = wanted if isinstance(wanted, str) else wanted.pattern
        raise ValueError(_unknown(text, names))
    return rows


def _exactly(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    place = {name: row for row, name in enumerate(names)}
    for name in wanted:
        check_feature_name(name, names)
    twice = sorted({name for name in wanted if list(wanted).count(name) > 1})
    if twice:
        raise ValueError(f"expected each feature once, got {twice} more than once")
    return [place[name] for name in wanted]


def check_feature_name(name: str, names: Sequence[str]) -> None:
    """Check that a feature exists.

    Raises
    ------
    ValueError
        If `name` is not one of `names`; suggests similar names.
    """
    if name not in names:
        raise ValueError(_unknown(name, names))


def _unknown(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f": did you mean {', '.join(map(repr, close))}?" if close else ""
    some = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    return f"expected one of the {len(names)} features ({some}), got {name!r}{hint}"
