"""A corpus as lanes: its strings end to end in a few columns, which a network reads in parallel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dni_jax import processes
from dni_jax.interventions import Drive
from dni_jax.text import BOUNDARY, Corpus, concatenate_ranges, exclusive_sum


class Lanes(NamedTuple):
    """What is read and predicted, time first.

    Attributes
    ----------
    codes
        int32 ``(n, B)``: the symbol read.
    targets
        int32 ``(n, B)``: the symbol after it.
    weights
        float32 ``(n, B)``: 1 where the target counts, 0 where there is none (padding, a piece's end).
    resets
        bool ``(n, B)``: True where a string starts from the zero state.
    positions
        int32 ``(n, B)``: the corpus position of the symbol read; -1 for boundaries and padding.
    """

    codes: Int[np.ndarray, "n B"]
    targets: Int[np.ndarray, "n B"]
    weights: Float[np.ndarray, "n B"]
    resets: Bool[np.ndarray, "n B"]
    positions: Int[np.ndarray, "n B"]

    @property
    def target_positions(self) -> Int[np.ndarray, "n B"]:
        """The corpus position of the symbol to predict; -1 where it is a boundary or nothing."""
        inside = (self.weights > 0) & (self.targets != BOUNDARY)
        following = np.concatenate([self.positions[1:], np.full((1, self.positions.shape[1]), -1, np.int32)])
        return np.where(inside, following, -1)

    def from_positions(self, values: Shaped[np.ndarray, T * x]) -> Shaped[np.ndarray, "n B *x"]:
        """Return what belongs to corpus positions in the order of the lanes; 0 where there is no position."""
        rows = values[np.maximum(self.positions, 0)]
        inside = self.positions.reshape(self.positions.shape + (1,) * (values.ndim - 1)) >= 0
        return np.where(inside, rows, np.zeros((), rows.dtype))

    def drives(self, drives: tuple[Drive, ...]) -> tuple[Drive, ...]:
        """Return drives ``(T, ...)`` in the order of the lanes, with a last axis to broadcast over neurons."""

        def arranged(values: np.ndarray | None) -> np.ndarray | None:
            if values is None:
                return None
            rows = self.from_positions(np.asarray(values))
            return rows[..., None] if rows.ndim == 2 else rows

        return tuple(Drive(arranged(drive.value), arranged(drive.when)) for drive in drives)

    def share(self) -> Lanes:
        """Return the lanes that this process reads, of several that share the work."""
        if processes.count() == 1:
            return self
        mine = processes.shard(self.codes.shape[1])
        return Lanes(*(rows[:, mine] for rows in self))


def to_positions(
    values: Shaped[np.ndarray, "M n B *x"], positions: Int[np.ndarray, "n B"], n_positions: int
) -> Shaped[np.ndarray, "M T *x"]:
    """Return what belongs to lanes in the corpus' order; 0 at positions that no lane holds."""
    result = np.zeros((len(values), n_positions, *values.shape[3:]), values.dtype)
    inside = positions >= 0
    result[:, positions[inside]] = values[:, inside]
    return result


def make_lanes(corpus: Corpus, n_lanes: int, order: Int[np.ndarray, " S"] | None = None, multiple: int = 1) -> Lanes:
    """Return lanes of nearly equal length, each of whole strings end to end.

    Parameters
    ----------
    corpus
        The strings.
    n_lanes
        How many lanes B; with fewer strings than lanes some stay empty.
    order
        The strings' order; None takes the corpus'.
    multiple
        The lanes' length n is padded to a multiple of this.
    """
    order = np.arange(len(corpus)) if order is None else order
    lengths = np.diff(corpus.offsets)[order]
    begins, ends = corpus.begins[order], corpus.ends[order]
    sizes = lengths + begins
    starts = exclusive_sum(sizes)
    total = int(sizes.sum())
    positions = np.full(total, -1, np.int32)
    positions[concatenate_ranges(starts + begins, lengths)] = concatenate_ranges(corpus.offsets[order], lengths)
    codes = np.where(positions >= 0, corpus.flat_codes[positions], BOUNDARY).astype(np.int32)
    last = starts + sizes - 1
    targets = np.append(codes[1:], BOUNDARY).astype(np.int32)
    targets[last] = BOUNDARY
    weights = np.ones(total, np.float32)
    weights[last[~ends]] = 0.0
    resets = np.zeros(total, bool)
    resets[starts] = True
    # A lane takes the strings whose first symbol falls into its part of the total.
    lane = np.minimum(starts * n_lanes // total, n_lanes - 1)
    bounds = np.append(starts, total)[np.searchsorted(lane, np.arange(n_lanes + 1))]
    length = int(np.diff(bounds).max())
    length += -length % multiple
    rows = concatenate_ranges(np.zeros(n_lanes, np.int64), np.diff(bounds))
    columns = np.repeat(np.arange(n_lanes), np.diff(bounds))

    def spread(flat: np.ndarray, fill: int) -> np.ndarray:
        filled = np.full((length, n_lanes), fill, flat.dtype)
        filled[rows, columns] = flat
        return filled

    return Lanes(spread(codes, 0), spread(targets, 0), spread(weights, 0), spread(resets, 0), spread(positions, -1))


def choose_lane_count(corpus: Corpus, limit: int, length: int = 256) -> int:
    """Return a number of lanes of about `length` symbols: at most `limit` and the number of strings; even, or 1."""
    wanted = min(len(corpus), limit, max(corpus.n_positions // length, 1))
    return wanted - wanted % 2 if wanted > 1 else wanted
