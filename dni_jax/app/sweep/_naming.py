"""Names of a sweep's runs: what a reader of a folder's listing wants to see, and no file system stumbles over."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 120  # characters; file systems take 255 bytes


def run_names(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give every combination of values a name of its own.

    No ``=`` is in a name: DuckDB takes ``key=value`` in a path for a column.

    Parameters
    ----------
    points
        Values of the axes, by full name.

    Examples
    --------
    >>> run_names([{"language": "arithmetic", "train.learning_rate": 0.01, "train.seed": 3}])
    ['arithmetic_learning_rate-0.01_seed-3']
    """
    names = ["_".join(_word(path, value) for path, value in point.items()) for point in points]
    alike = {name for name, times in Counter(names).items() if times > 1}
    return [
        name if name not in alike and len(name) <= _LONGEST else f"{name[:_LONGEST]}_{_digest(point)}"
        for name, point in zip(names, points, strict=True)
    ]


def _word(path: str, value: Any) -> str:
    words = _clean(value)
    return words if path == "language" else f"{path.rpartition('.')[2]}-{words}"


def _clean(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "+".join(_clean(one) for one in value) or "none"
    return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-.") or "none" if isinstance(value, str) else str(value)


def _digest(point: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(point.items())).encode()).hexdigest()[:8]
