"""Null labels: which rows of a pool of labels are laid against the recorded states in each repetition.

A null is a set of rearrangements, every one as probable as the one that was observed if states and labels have nothing
to do with each other. What a rearrangement leaves alone is what the test conditions on:

===================  ==================================================================================================
null                 what it conditions on, and when it holds
===================  ==================================================================================================
fresh                The length of each string. Each recorded string takes the labels of another string of the same
                     length, fresh or recorded, position by position, so effects of the position are no finding. Exact
                     where strings are independent of each other and alike in distribution: sampled languages.
string_permutation   As fresh, among the recorded strings: also on their labels, as a set. Exact for exchangeable ones.
shift                Each group's labels as a closed circle, turned by a random angle. Holds where a group's labels are
                     stationary and the seam is one place of many: long texts. The position in the text is not kept.
iid                  The labels as a set. Wrong wherever neighbouring positions are alike, which all sequences are: far
                     too many neurons pass. Here for comparison only.
labels               Whatever the given labels keep.
===================  ==================================================================================================

Rearrangements are drawn at random from the whole set, the observed one among them, so that p-values are exact for any
number of repetitions (Phipson & Smyth 2010; Hemerik & Goeman 2018). Correlated series are why "iid" fails (Harris 2020,
"Nonsense correlations in neuroscience").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from dni_jax.text import concatenate_ranges, exclusive_sum

NULLS = ("fresh", "shift", "string_permutation", "iid", "labels")
_ALTERNATIVES = 20  # strings a length class should have to choose from


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
        Takes the number of a repetition, gives int64 (n,): the row of the pool laid against each position used. The
        same number gives the same rows.
    attrs : dict
        What was matched and what was left out, as counts.
    """

    used: Int[np.ndarray, " n"]
    pool: Shaped[np.ndarray, "P F"]
    draw: Callable[[int], np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)

    def only(self, features: Int[np.ndarray, " G"], dtype: Any) -> Rearrangements:
        """Give the same for some features, their labels in a type that holds them."""
        return replace(self, pool=self.pool[:, features].astype(dtype))

    def columns(self, repetitions: range) -> Shaped[np.ndarray, "R n F"]:
        """Labels of some repetitions; repetition -1 is what was observed."""
        return np.stack([self.pool[self.used if r < 0 else self.draw(r)] for r in repetitions])


def shift(labels: Shaped[np.ndarray, "T F"], groups: Int[np.ndarray, " T"], seed: int) -> Rearrangements:
    """Turn each group's labels by a random number of positions, as if its end were joined to its beginning.

    Raises
    ------
    ValueError
        Where no group has two positions.
    """
    used, sizes = by_group(groups)
    if sizes.max(initial=0) < 2:
        raise ValueError(
            'expected groups of several positions to shift labels in, got single positions: null="iid" if positions '
            "are independent, or the string (or file) of each position as groups"
        )
    start, size = (np.repeat(per_group, sizes) for per_group in (exclusive_sum(sizes), sizes))
    place = np.arange(len(used)) - start

    def draw(r: int) -> np.ndarray:
        turn = np.repeat(_rng(seed, r).integers(0, sizes), sizes)
        return used[start + (place + turn) % size]

    return Rearrangements(used, labels, draw, {"groups": len(sizes)})


def iid(labels: Shaped[np.ndarray, "T F"], groups: Int[np.ndarray, " T"], seed: int) -> Rearrangements:
    """Deal all labels anew, position by position; wrong for sequences."""
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
    """Lay the labels of other strings of the same length against each recorded string.

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
            f"expected strings of equal length to exchange, got {n_recorded} that differ from all others: give more "
            'fresh strings, a larger length_tolerance, or null="shift" for long texts'
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
    found = np.asarray([row for row in classes if row[2] >= 2], np.int64).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2]


@dataclass(frozen=True, eq=False)
class Given:
    """Null labels that the caller has made: float or integer (R, T, F), used where groups are not -1."""

    used: Int[np.ndarray, " n"]
    labels: Shaped[np.ndarray, "T F"]
    null_labels: Shaped[np.ndarray, "R T F"]
    attrs: dict[str, Any] = field(default_factory=dict)

    def only(self, features: Int[np.ndarray, " G"], dtype: Any) -> Given:
        """Give the same for some features, their labels in a type that holds them."""
        some = self.null_labels[:, :, features].astype(dtype)
        return replace(self, labels=self.labels[:, features].astype(dtype), null_labels=some)

    def columns(self, repetitions: range) -> Shaped[np.ndarray, "R n F"]:
        """Labels of some repetitions; repetition -1 is what was observed."""
        every = [self.labels if r < 0 else self.null_labels[r] for r in repetitions]
        return np.stack([one[self.used] for one in every])


Null = Rearrangements | Given


def by_group(groups: Int[np.ndarray, " T"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " S"]]:
    """Give the positions in use, group after group, and each group's number of positions."""
    used = np.flatnonzero(groups >= 0)
    _, index, sizes = np.unique(groups[used], return_inverse=True, return_counts=True)
    return used[np.argsort(index, kind="stable")], sizes


def _rng(seed: int, repetition: int) -> np.random.Generator:
    return np.random.default_rng([seed, repetition])
