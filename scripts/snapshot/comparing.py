"""Two snapshots, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from storing import chosen, read_snapshot

EQUAL = "equal to the bit"


def compare_snapshots(old: Path, new: Path, only: str, skip: str, tolerance: float, quiet: bool) -> int:
    """Print a line for each case; return 1 if any differs by more than the tolerance, failed or is missing."""
    before, after = _read(old), _read(new)
    bad, equal, largest = 0, 0, 0.0
    every = chosen(dict.fromkeys([*before, *after]), only, skip)
    for name in every:
        verdict, is_bad, difference = _compare_case(before.get(name), after.get(name), tolerance)
        bad, equal, largest = bad + is_bad, equal + (verdict == EQUAL), max(largest, difference)
        if not quiet or verdict != EQUAL:
            print(f"{'DIFFERS' if is_bad else 'ok':8}{name}: {verdict}")
    print(f"{len(every)} cases: {equal} equal to the bit, {len(every) - equal - bad} within {tolerance:g}, {bad} not")
    print(f"largest absolute difference between numbers: {largest:.3g}")
    return 1 if bad else 0


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """The results of each case; those of a case that failed are its error under an empty name."""
    arrays, texts, log = read_snapshot(folder)
    found: dict[str, dict[str, Any]] = {
        name: {"": each["error"]} if each["error"] else {} for name, each in log.items()
    }
    for key, value in {**arrays, **texts}.items():
        name, _, part = key.partition("|")
        found[name][part or "result"] = value
    return found


def _compare_case(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, tolerance: float
) -> tuple[str, bool, float]:
    """What to say of a case, whether it is bad, and its largest difference."""
    for which, one in (("old", old), ("new", new)):
        if one is None:
            return f"missing in the {which} snapshot", True, 0.0
        if "" in one:
            return f"failed in the {which} snapshot: {one['']}", True, 0.0
    assert old is not None
    assert new is not None
    wrong, largest, where = [], 0.0, ""
    for part in dict.fromkeys([*old, *new]):
        if part not in old or part not in new:
            wrong.append(f"{part} missing in the {'old' if part not in old else 'new'} snapshot")
            continue
        problem, difference = _compare_part(old[part], new[part])
        if problem:
            wrong.append(f"{part}: {problem}")
        if difference > largest:
            largest, where = difference, part
    if largest > tolerance:
        wrong.insert(0, f"largest absolute difference {largest:.3g} in {where}")
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return "; ".join(wrong[:3]) + more, True, largest
    return (f"largest absolute difference {largest:.3g} in {where}" if largest else EQUAL), False, largest


def _compare_part(old: Any, new: Any) -> tuple[str, float]:
    """What is wrong with a result, or nothing; and the largest difference between its numbers."""
    if not (isinstance(old, np.ndarray) and isinstance(new, np.ndarray)):
        return ("" if old is not None and _same_text(old, new) else _text_problem(old, new)), 0.0
    if old.shape != new.shape:
        return f"shape {old.shape} became {new.shape}", 0.0
    if old.dtype.kind != new.dtype.kind:
        return f"dtype {old.dtype} became {new.dtype}", 0.0
    if old.tobytes() == new.tobytes() and old.dtype == new.dtype:
        return "", 0.0
    a, b = old.astype(np.float64), new.astype(np.float64)
    if (np.isfinite(a) != np.isfinite(b)).any() or not _same(a[~np.isfinite(a)], b[~np.isfinite(b)]):
        return "NaN or infinity in other places", 0.0
    finite = np.isfinite(a)
    return "", float(np.abs(a[finite] - b[finite]).max(initial=0.0))


def _same(a: ArrayLike, b: ArrayLike) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _same_text(old: Any, new: Any) -> bool:
    return type(old) is type(new) and old == new


def _text_problem(old: Any, new: Any) -> str:
    if old is None and new is None:
        return ""
    return f"text {_first(old, new)!r:.120} became {_first(new, old)!r:.120}"


def _first(one: Any, other: Any) -> Any:
    """The first entry of a list that another list does not have in its place."""
    if not isinstance(one, list) or not isinstance(other, list):
        return one
    return next((entry for place, entry in enumerate(one) if place >= len(other) or other[place] != entry), "(its end)")
