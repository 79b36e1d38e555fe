"""A corpus as lanes: strings one behind the other in a few columns that a network reads side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.text import BOUNDARY, Corpus, concatenate_ranges


class Lanes(NamedTuple):
    """What is read and predicted, time first.

    Attributes
    ----------
    codes
        int32 ``(n, B)``: the symbol read.
    targets
        int32 ``(n, B)``: the symbol behind it.
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


def make_lanes(corpus: Corpus, n_lanes: int, order: Int[np.ndarray, " S"] | None = None, multiple: int = 1) -> Lanes:
    """Lay strings end to end in lanes of nearly equal length, each beginning with a string's start.

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
    starts = np.cumsum(sizes) - sizes
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
    # A lane takes the strings whose first symbol falls into its share of the total.
    lane = np.minimum(starts * n_lanes // total, n_lanes - 1)
    bounds = np.append(starts, total)[np.searchsorted(lane, np.arange(n_lanes + 1))]
    length = int(np.diff(bounds).max())
    length += -length % multiple
    rows = concatenate_ranges(np.zeros(n_lanes, np.int64), np.diff(bounds))
    columns = np.repeat(np.arange(n_lanes), np.diff(bounds))

    def spread(flat: np.ndarray, fill: int) -> np.ndarray:
        laid = np.full((length, n_lanes), fill, flat.dtype)
        laid[rows, columns] = flat
        return laid

    return Lanes(spread(codes, 0), spread(targets, 0), spread(weights, 0), spread(resets, 0), spread(positions, -1))


def choose_lane_count(corpus: Corpus, most: int, length: int = 256) -> int:
    """How many lanes suit a corpus: about `length` symbols each, at most `most`, no more than strings; even, or one."""
    wanted = min(len(corpus), most, max(corpus.n_positions // length, 1))
    return wanted - wanted % 2 if wanted > 1 else wanted
