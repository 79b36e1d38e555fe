"""What is kept of the positions read so far: counts of classes, products of numbers; and scores from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dni_jax.inspection._table import Part
from dni_jax.probes import (
    Counter,
    Grid,
    Multiplier,
    Scores,
    choose_grid,
    choose_levels,
    sample,
    score_counts,
    score_products,
)

_COLUMNS = 64  # neurons whose sample is sorted at a time


@dataclass(frozen=True)
class Options:
    """How chunks are scored; as in `dni_jax.probes.score_neurons`.

    `neuron_batch` and `feature_batch` say how many neurons and features are counted in one pass over the states.
    """

    n_bins: int = 512
    C: float = 1.0
    alpha: Any = 1.0
    class_weight: str | None = None
    neuron_batch: int | None = None
    feature_batch: int | None = None


class Tally:
    """The counts or products of the features of one part with some neurons."""

    def __init__(self, part: Part, accumulator: Counter | Multiplier, options: Options) -> None:
        self.part, self._accumulator, self._options = part, accumulator, options
        self.n, self.sums = 0, np.zeros(len(part.columns))

    @classmethod
    def begin(
        cls,
        part: Part,
        hidden: np.ndarray,
        labels: np.ndarray,
        folds: np.ndarray,
        ranges: tuple[np.ndarray, np.ndarray] | None,
        n_folds: int,
        length: int,
        options: Options,
    ) -> Tally:
        """Choose levels, or a grid, from a sample of positions."""
        if part.classifies:
            some = sample(hidden, folds)
            if len(some) == 0:
                raise ValueError("expected positions in use to choose levels from, got none: labels mask them all")
            each = [
                choose_levels(some[:, at : at + _COLUMNS], options.n_bins) for at in range(0, some.shape[1], _COLUMNS)
            ]
            return cls(part, Counter(np.concatenate(each), n_folds, length), options)
        grid = choose_grid(hidden, labels)
        if ranges is not None:
            own = choose_grid(np.stack(ranges), np.zeros((2, 1)))
            grid = Grid(own.x_middle, own.x_step, grid.y_middle, grid.y_step)
        return cls(part, Multiplier(grid, n_folds, length), options)

    def add(self, hidden: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> None:
        """Take in some positions."""
        used = folds >= 0
        self.n += int(used.sum())
        self.sums += labels[used].sum(axis=0, dtype=np.float64)
        self._accumulator.add(hidden, labels, folds)

    def scores(self) -> Scores:
        """Fit and score on what was taken in so far."""
        part, options = self.part, self._options
        if isinstance(self._accumulator, Counter):
            return score_counts(
                self._accumulator.counts(),
                probe=part.probe,
                metrics=part.asked,
                C=options.C,
                alpha=options.alpha,
                class_weight=options.class_weight,
            )
        products = self._accumulator.products()
        return score_products(products, probe=part.probe, metrics=part.asked, alpha=options.alpha)

    @property
    def constant(self) -> np.ndarray:
        """Which classes have had no member so far; of numbers, none is said to."""
        if not self.part.classifies:
            return np.zeros(len(self.sums), bool)
        return (self.sums == 0) | (self.sums == self.n)

    def least_spread(self, metric: str, n_folds: int, string: float) -> np.ndarray:
        """What one string can do to a fold's score: its share of positions, at least one of the rarer class."""
        members = np.full(len(self.sums), float(self.n))
        if self.part.classifies and metric != "accuracy":
            members = np.minimum(self.sums, self.n - self.sums)
        share = members / max(self.n, 1)
        return np.maximum(string * share, 1.0) / np.maximum(members / n_folds, 1e-9)
