"""What a compiled program launches: kernels, times the trips of the loops that they stand in."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Operations that cost no launch: names, views and constants.
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
}
_COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
_ASSUMED_TRIPS = 16  # of a loop whose trips depend on data
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?:\(.*?\)|\S+) ([a-z][\w\-]*)\(")
_CALLED = re.compile(r"(?:to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclass(frozen=True)
class Count:
    """Launches of a program, or of a part of it.

    Attributes
    ----------
    launches : int
    collectives : int
        Those among them that devices exchange data in.
    waiting : int
        Loops whose number of trips depends on data: a GPU's host waits at each trip.
    """

    launches: int = 0
    collectives: int = 0
    waiting: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.launches + other.launches, self.collectives + other.collectives, self.waiting + other.waiting)

    def times(self, trips: int) -> Count:
        """Return the count of so many repetitions."""
        return Count(trips * self.launches, trips * self.collectives, self.waiting)


def count_launches(hlo: str) -> Count:
    """Count the launches of an optimized program, given as text."""
    computations: dict[str, list[tuple[str, str]]] = {}
    current, entry = None, ""
    for line in hlo.splitlines():
        head = None if line.startswith(" ") else _HEAD.match(line)
        if head:
            current = computations.setdefault(head.group(2), [])
            entry = head.group(2) if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (operation := _OPERATION.match(line)):
            current.append((operation.group(1), line))
    return _count(computations, entry)


def _count(computations: dict[str, list[tuple[str, str]]], name: str) -> Count:
    total = Count()
    for operation, line in computations.get(name, []):
        if operation == "while":
            total += _count_loop(computations, line)
        elif operation in ("call", "conditional"):
            names = _CALLED.findall(line)
            names += [name.strip().lstrip("%") for group in _BRANCHES.findall(line) for name in group.split(",")]
            for called in names:
                total += _count(computations, called)
        elif operation not in _FREE and not operation.endswith("-done"):
            total += Count(1, int(operation.startswith(_COLLECTIVES)))
    return total


def _count_loop(computations: dict[str, list[tuple[str, str]]], line: str) -> Count:
    body, condition = (re.search(rf"{part}=%?([\w.\-]+)", line).group(1) for part in ("body", "condition"))  # type: ignore[union-attr]
    known = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
    inner = _count(computations, body)
    if known:
        return inner.times(int(known.group(1)))
    return (inner + _count(computations, condition)).times(_ASSUMED_TRIPS) + Count(waiting=1)
