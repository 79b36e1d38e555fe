"""Null labels: which rows of a pool of labels the recorded states are paired with in each repetition.

A null is a set of rearrangements, every one as probable as the one that was observed if states and labels have nothing
to do with each other. What a rearrangement leaves alone is what the test conditions on:

===================  ==================================================================================================
null                 what it conditions on, and when it holds
===================  ==================================================================================================
fresh                The length of each string. Each recorded string takes the labels of another string of the same
                     length, fresh or recorded, position by position, so effects of the position are no finding. Exact
                     where strings are independent of each other and alike in distribution: sampled languages.
string_permutation   As fresh, among the recorded strings: also on their labels, as a set. Exact for exchangeable ones.
shift                Each group's labels as a closed circle, rotated by a random angle. Holds where a group's labels are
                     stationary and the seam is one place of many: long texts. The position in the text is not kept, so
                     that it finds what states and labels of short strings have in common: their place in the string.
iid                  The labels as a set. Wrong wherever neighboring positions are alike, as in all sequences: far too
                     many neurons pass. Here for comparison only.
labels               Whatever the null labels that are passed keep.
===================  ==================================================================================================

Rearrangements are drawn at random from the whole set, the observed one among them, so that p-values are exact for any
number of repetitions (Phipson & Smyth 2010; Hemerik & Goeman 2018). Correlated series are why "iid" fails (Harris 2020,
"Nonsense correlations in neuroscience").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from dni_jax.probes import _check
from dni_jax.text import concatenate_ranges, exclusive_sum

NULLS = ("fresh", "shift", "string_permutation", "iid", "labels")
_ALTERNATIVES = 20  # strings a length class should have to choose from


@dataclass(frozen=True, eq=False)
class NullSpec:
    """How to generate null labels: labels that are unrelated to the states.

    Attributes
    ----------
    name : {"shift", "fresh", "string_permutation", "iid", "labels"}
        See `dni_jax.probes._nulls` for what each conditions on. "iid" is wrong for sequences.
    null_labels : array (R, T, F), optional
        Labels for "labels"; they set the number of repetitions R.
    fresh_labels, fresh_groups : arrays (P, F) and (P,), optional
        Labels and strings of other text of the same distribution, for "fresh".
    length_tolerance : float
        How much longer, at most, strings may be that share a class with a rare length, and are cut, for "fresh" and
        "string_permutation"; 0 matches lengths exactly.

    Raises
    ------
    ValueError
        For an unknown name, or a tolerance below 0.
    """

    name: str = "shift"
    null_labels: Any = None
    fresh_labels: Any = None
    fresh_groups: Any = None
    length_tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in NULLS:
            raise ValueError(f"expected null to be one of {', '.join(NULLS)}, got {self.name!r}")
        if self.length_tolerance < 0:
            raise ValueError(f"expected length_tolerance of at least 0, got {self.length_tolerance}")


def as_null(null: str | NullSpec, settings: Mapping[str, Any]) -> NullSpec:
    """Return the null of a name and its settings, or a whole one.

    Raises
    ------
    ValueError
        For a whole one together with settings.
    """
    if not isinstance(null, NullSpec):
        return NullSpec(null, **settings)
    if settings:
        raise ValueError(f"expected settings in the NullSpec, got {', '.join(settings)} next to it")
    return null


@dataclass(frozen=True, eq=False)
class Rearrangements:
    """Draws of rows.

    Attributes
    ----------
    used : int64 (n,)
        The positions that take part.
    pool : (P, F)
        Labels to choose from; the observed ones come first, at their own positions.
    draw : callable
        Takes the number of a repetition and returns int64 (n,): the row of the pool that each position in use is paired
        with. The same number returns the same rows.
    attrs : dict
        What was matched and what was left out, as counts.
    """

    used: Int[np.ndarray, " n"]
    pool: Shaped[np.ndarray, "P F"]
    draw: Callable[[int], np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> Any:
        """The type of the labels."""
        return self.pool.dtype

    def only(self, features: Int[np.ndarray, " G"], dtype: Any) -> Rearrangements:
        """Return the same for some features, their labels in a type that holds them."""
        return replace(self, pool=self.pool[:, features].astype(dtype))

    def columns(self, repetitions: range) -> Shaped[np.ndarray, "R n F"]:
        """Return the labels of some repetitions; repetition -1 is what was observed."""
        return np.stack([self.pool[self.used if r < 0 else self.draw(r)] for r in repetitions])


def shift(labels: Shaped[np.ndarray, "T F"], groups: Int[np.ndarray, " T"], seed: int) -> Rearrangements:
    """Rotate each group's labels by a random number of positions, as if its end were joined to its beginning.

    Raises
    ------
    ValueError
        Where no group has two positions.
    """
    used, sizes = by_group(groups)
    if sizes.max(initial=0) < 2:
        raise ValueError(
            "expected groups of several positions to shift labels in, got single positions: pass the string (or "
            "file) of "
            "each position as groups"
        )
    start, size = (np.repeat(per_group, sizes) for per_group in (exclusive_sum(sizes), sizes))
    place = np.arange(len(used)) - start

    def draw(r: int) -> np.ndarray:
        shift = np.repeat(_rng(seed, r).integers(0, sizes), sizes)
        return used[start + (place + shift) % size]

    return Rearrangements(used, labels, draw, {"groups": len(sizes)})


def iid(labels: Shaped[np.ndarray, "T F"], groups: Int[np.ndarray, " T"], seed: int) -> Rearrangements:
    """Permute all labels, position by position; wrong for sequences."""
    used = np.flatnonzero(groups >= 0)
    return Rearrangements(used, labels, lambda r: _rng(seed, r).permutation(used))


def strings(
    labels: Shaped[np.ndarray, "T F"],
    groups: Int[np.ndarray, " T"],
    seed: int,
    fresh_labels: Shaped[np.ndarray, "P F"] | None = None,
    fresh_groups: Int[np.ndarray, " P"] | None = None,
    tolerance: float = 0.0,
) -> Rearrangements:
    """Pair each recorded string with the labels of another string of the same length.

    In each repetition the recorded strings of one length draw, without replacement, from the pool of recorded and
    fresh strings of that length. Where a length is rare, strings up to `tolerance` longer join it and all of them are
    cut to the shortest; this assumes that states know no more of the exact length within such a class than of the
    rest. Strings without another one to change places with are left out.

    Raises
    ------
    ValueError
        Where no string has another one of its length.
    """
    rows, sizes = by_group(groups)
    n_recorded = len(sizes)
    if fresh_labels is not None and fresh_groups is not None:
        more, fresh_sizes = by_group(fresh_groups)
        rows = np.concatenate([rows, len(labels) + more])
        sizes = np.concatenate([sizes, fresh_sizes])
        labels = np.concatenate([labels, fresh_labels])
    starts = exclusive_sum(sizes)
    low, high, filled = length_classes(sizes[:n_recorded], sizes, tolerance)
    if len(low) == 0:
        raise ValueError(
            f"expected strings of equal length to exchange, got {n_recorded} that differ from all others: pass more "
            "strings, or a larger length_tolerance"
        )
    member = np.searchsorted(low, sizes, side="right") - 1
    inside = (member >= 0) & (sizes <= high[member])
    slots = np.flatnonzero(inside[:n_recorded])
    slots = slots[np.argsort(member[slots], kind="stable")]
    pool = np.flatnonzero(inside)
    in_class = np.bincount(member[slots], minlength=len(low))
    chosen = concatenate_ranges(exclusive_sum(filled), in_class)
    lengths = low[member[slots]]

    def draw(r: int) -> np.ndarray:
        shuffled = pool[np.argsort(member[pool] + _rng(seed, r).random(len(pool)))]
        return rows[concatenate_ranges(starts[shuffled[chosen]], lengths)]

    used = rows[concatenate_ranges(starts[slots], lengths)]
    exact = (low == high)[member[slots]]
    attrs = {
        "strings": len(slots),
        "strings_left_out": n_recorded - len(slots),
        "positions_left_out": int(sizes[:n_recorded].sum()) - len(used),
        "positions_matched_exactly": int(lengths[exact].sum()),
        "positions_with_few_alternatives": int(lengths[filled[member[slots]] < _ALTERNATIVES].sum()),
        "other_strings_in_pool": len(pool) - len(slots),
    }
    return Rearrangements(used, labels, draw, attrs)


def length_classes(
    recorded: Int[np.ndarray, " S"], pool: Int[np.ndarray, " P"], tolerance: float
) -> tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"], Int[np.ndarray, " C"]]:
    """Shortest and longest length of each class, and how many strings of the pool are in it, at least two.

    A class is one length where the pool has 20 strings of it; otherwise it takes in longer ones, as few as are needed
    for 20, and none that are more than `tolerance` longer.
    """
    counts = np.bincount(pool)
    before = np.concatenate([[0], np.cumsum(counts)])
    classes: list[tuple[int, int, int]] = []
    for length in np.unique(recorded).tolist():
        if classes and length <= classes[-1][1]:
            continue
        longest = min(int(length * (1 + tolerance)), len(counts) - 1)
        enough = int(np.searchsorted(before, before[length] + _ALTERNATIVES)) - 1
        high = min(max(enough, length), longest)
        classes.append((length, high, int(before[high + 1] - before[length])))
    low, high, filled = np.asarray([row for row in classes if row[2] >= 2], np.int64).reshape(-1, 3).T
    return low, high, filled


@dataclass(frozen=True, eq=False)
class PassedLabels:
    """Null labels that the caller has made: float or integer (R, T, F), used where groups are not -1."""

    used: Int[np.ndarray, " n"]
    labels: Shaped[np.ndarray, "T F"]
    null_labels: Shaped[np.ndarray, "R T F"]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> Any:
        """The type of the labels."""
        return self.labels.dtype

    def only(self, features: Int[np.ndarray, " G"], dtype: Any) -> PassedLabels:
        """Return the same for some features, their labels in a type that holds them."""
        some = self.null_labels[:, :, features].astype(dtype)
        return replace(self, labels=self.labels[:, features].astype(dtype), null_labels=some)

    def columns(self, repetitions: range) -> Shaped[np.ndarray, "R n F"]:
        """Return the labels of some repetitions; repetition -1 is what was observed."""
        every = [self.labels if r < 0 else self.null_labels[r] for r in repetitions]
        return np.stack([one[self.used] for one in every])


Null = Rearrangements | PassedLabels


def by_group(groups: Int[np.ndarray, " T"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " S"]]:
    """Return the positions in use, group after group, and each group's number of positions."""
    used = np.flatnonzero(groups >= 0)
    _, index, sizes = np.unique(groups[used], return_inverse=True, return_counts=True)
    return used[np.argsort(index, kind="stable")], sizes


def _rng(seed: int, repetition: int) -> np.random.Generator:
    return np.random.default_rng([seed, repetition])


def check_kinds(labels: np.ndarray, n_positions: int, binary: Sequence[bool]) -> np.ndarray:
    """Labels of which the binary columns are 0 and 1; int8 if all are."""
    labels = _check.check_labels(labels, n_positions, False, "metric")
    columns = np.flatnonzero(binary)
    if len(columns):
        _check.check_labels(labels[:, columns], n_positions, True, "this metric")
    return labels.astype(np.int8) if len(columns) == labels.shape[1] else labels


def choose_null(
    spec: NullSpec, labels: np.ndarray, groups: Any, binary: Sequence[bool], seed: int
) -> Rearrangements | PassedLabels:
    """Return the labels of every repetition of a null."""
    null, tolerance = spec.name, spec.length_tolerance
    n_positions = len(labels)
    if groups is None and null in ("labels", "iid"):
        groups = np.zeros(n_positions, np.int32)
    groups = _check_groups(groups, n_positions, null)
    if null == "labels":
        return PassedLabels(np.flatnonzero(groups >= 0), labels, _check_null_labels(spec.null_labels, labels, binary))
    if null == "shift":
        return shift(labels, groups, seed)
    if null == "iid":
        return iid(labels, groups, seed)
    if null == "string_permutation":
        return strings(labels, groups, seed, tolerance=tolerance)
    if spec.fresh_labels is None or spec.fresh_groups is None:
        raise ValueError(
            'expected fresh_labels (P, F) and fresh_groups (P,) of other strings for null="fresh", got none: '
            "label a corpus of fresh strings"
        )
    fresh_labels = np.asarray(spec.fresh_labels)
    if fresh_labels.ndim != 2 or fresh_labels.shape[1] != labels.shape[1]:
        raise ValueError(f"expected fresh_labels of shape (P, {labels.shape[1]}), got {fresh_labels.shape}")
    fresh_labels = check_kinds(fresh_labels, len(fresh_labels), binary)
    fresh_groups = _check_groups(spec.fresh_groups, len(fresh_labels), null)
    return strings(labels, groups, seed, fresh_labels, fresh_groups, tolerance)


def _check_groups(groups: Any, n_positions: int, null: str) -> np.ndarray:
    if groups is None:
        raise ValueError(f'expected groups (T,), the string of each position, for null="{null}", got none')
    groups = np.asarray(groups)
    if groups.shape != (n_positions,) or groups.dtype.kind not in "iu":
        raise ValueError(f"expected integer groups of shape ({n_positions},), got {groups.dtype} {groups.shape}")
    if groups.min() < -1:
        raise ValueError(f"expected groups >= -1, got {groups.min()}; only -1 marks positions to leave out")
    if groups.max() < 0:
        raise ValueError("expected groups of some positions, got -1 everywhere: nothing is left to test")
    return groups


def _check_null_labels(null_labels: Any, labels: np.ndarray, binary: Sequence[bool]) -> np.ndarray:
    if null_labels is None:
        raise ValueError('expected null_labels (R, T, F) for null="labels", got none')
    null_labels = np.asarray(null_labels)
    if null_labels.ndim != 3 or null_labels.shape[1:] != labels.shape or len(null_labels) == 0:
        raise ValueError(
            f"expected null_labels of shape (R, {labels.shape[0]}, {labels.shape[1]}), got {null_labels.shape}"
        )
    for one in null_labels:
        check_kinds(one, len(labels), binary)
    return null_labels
