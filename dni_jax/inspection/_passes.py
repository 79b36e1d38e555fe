"""One pass over the states: read, label and update statistics, all at the same time, then score them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dni_jax.inspection._label_source import LabelSource
from dni_jax.inspection._read_plan import ReadPlan, Strings, sample_strings
from dni_jax.inspection._table import FeatureGroup
from dni_jax.probes import Engine, Sample, Scores, choose_engine, fold_margin
from dni_jax.states import ChunkedActivations, prefetch


@dataclass(frozen=True)
class StopRule:
    """When to stop reading.

    Attributes
    ----------
    tolerance, confidence
        Stop when every score is within `tolerance` of its final value with probability `confidence`.
    n_positions, n_strings
        The size of all the data.
    """

    tolerance: float
    confidence: float
    n_positions: int
    n_strings: int

    def margins(self, stats: GroupStats, scores: Scores, n_read: int, evaluation: int) -> dict[str, np.ndarray]:
        """Return the half-widths of all scores of a group by metric; NaN where a feature has had one class only."""
        margins = {}
        for metric in stats.group.spec.names:
            n_folds = scores[metric].shape[-1]
            least = stats.least_spread(metric, n_folds, self.n_positions / self.n_strings)
            width = fold_margin(scores[metric], n_read / self.n_positions, self.confidence, evaluation, least)
            margins[metric] = np.where(stats.constant & (metric != "accuracy"), np.nan, width)
        return margins


@dataclass(frozen=True, eq=False)
class GroupStats:
    """An engine's statistics of the features of one group with some neurons, and how often each feature held.

    Attributes
    ----------
    group, engine, stats
        What is scored, by which engine, and what the engine has kept.
    n
        The number of positions in use so far.
    sums
        float64 ``(G,)``: the sum of each feature's labels over them.
    """

    group: FeatureGroup
    engine: Engine
    stats: Any
    n: int
    sums: Float[np.ndarray, " G"]

    @classmethod
    def begin(cls, group: FeatureGroup, engine: Engine, sample: Sample) -> GroupStats:
        """Return the statistics of no position."""
        return cls(group, engine, engine.init(group.spec, sample), 0, np.zeros(len(group.columns)))

    def update(self, hidden: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> GroupStats:
        """Take in some positions; the statistics before must not be used afterwards."""
        used = folds >= 0
        sums = self.sums + labels[used].sum(axis=0, dtype=np.float64)
        stats = self.engine.update(self.stats, hidden, labels, folds)
        return replace(self, stats=stats, n=self.n + int(used.sum()), sums=sums)

    def score(self) -> Scores:
        """Fit and score on the positions so far."""
        return self.engine.score(self.stats)

    @property
    def shares(self) -> Float[np.ndarray, " G"]:
        """The mean label of each feature."""
        return self.sums / max(self.n, 1)

    @property
    def constant(self) -> Bool[np.ndarray, " G"]:
        """Which classes have had no member so far; False for continuous features."""
        if not self.group.spec.classifies:
            return np.zeros(len(self.sums), bool)
        return (self.sums == 0) | (self.sums == self.n)

    def least_spread(self, metric: str, n_folds: int, string: float) -> Float[np.ndarray, " G"]:
        """Return what one string of this length can change in a fold's score.

        That is its share of the fold's positions, or of its members of the rarer class, and at least one of them.
        """
        members = np.full(len(self.sums), float(self.n))
        if self.group.spec.classifies and metric != "accuracy":
            members = np.minimum(self.sums, self.n - self.sums)
        return np.maximum(string * members / max(self.n, 1), 1.0) / np.maximum(members / n_folds, 1e-9)


class Part(NamedTuple):
    """States of some neurons, the labels of each group as a matrix, and folds, on some positions."""

    hidden: np.ndarray
    labels: list[np.ndarray]
    folds: np.ndarray


@dataclass(frozen=True, eq=False)
class Source:
    """What a pass reads.

    Attributes
    ----------
    states, labels
        Read some strings at a time.
    groups
        The features by kind.
    plan
        In which order.
    neurons
        Which neurons.
    """

    states: ChunkedActivations
    labels: LabelSource
    groups: Sequence[FeatureGroup]
    plan: ReadPlan
    neurons: slice

    def begin(self) -> list[GroupStats]:
        """Return the statistics of no position for each group, prepared on a sample."""
        states, strings = self.states, sample_strings(self.states)
        hidden = states.read(strings, self.neurons)
        matrices, folds = self._label(strings)
        ranges = None if states.ranges is None else (states.ranges[0][self.neurons], states.ranges[1][self.neurons])
        length, n_positions = self.plan.longest(states.offsets), states.n_positions if states.in_memory else None
        stats = []
        for group, matrix in zip(self.groups, matrices, strict=True):
            sample = Sample(hidden, matrix, folds, self.plan.n_folds, length, ranges)
            stats.append(GroupStats.begin(group, choose_engine(group.spec, n_positions), sample))
        return stats

    def parts(self) -> Iterator[Part]:
        """Yield the positions in the order of the plan; threads read and label the next ones meanwhile."""
        reads = self.plan.reads
        states = prefetch(self.states.read(strings, self.neurons) for strings in reads)
        labels = prefetch(self._label(strings) for strings in reads)
        with closing(states), closing(labels):  # type: ignore[type-var]
            for hidden, (matrices, folds) in zip(states, labels, strict=True):
                yield Part(hidden, matrices, folds)

    def _label(self, strings: Strings) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the labels of each group as a matrix, and the positions' folds."""
        labels, offsets = self.labels.label(strings), self.states.offsets
        folds = np.concatenate([self.plan.folds[offsets[first] : offsets[last]] for first, last in strings])
        matrices = [np.stack([labels.columns[column] for column in group.columns], axis=1) for group in self.groups]
        return matrices, np.where(labels.mask, folds, -1).astype(np.int32)


class PassResult(NamedTuple):
    """Scores of each group, half-widths of their intervals by metric, and how much was read.

    Attributes
    ----------
    stats, scores, margins
        One a group.
    n_read, n_used
        Positions that were read, and that were in use.
    n_evaluations
        How often scores were evaluated before the end.
    """

    stats: list[GroupStats]
    scores: list[Scores]
    margins: list[dict[str, np.ndarray]]
    n_read: int
    n_used: int
    n_evaluations: int


def run_pass(source: Source, stop: StopRule | None) -> PassResult:
    """Read until the end, or until every score is known precisely enough."""
    stats = source.begin()
    n_read = n_used = n_evaluations = 0
    parts = source.parts()
    with closing(parts):  # type: ignore[type-var]
        for number, (hidden, matrices, folds) in enumerate(parts):
            stats = [one.update(hidden, matrix, folds) for one, matrix in zip(stats, matrices, strict=True)]
            n_read, n_used = n_read + len(folds), n_used + int((folds >= 0).sum())
            at_end = n_read == source.states.n_positions
            if stop is None or at_end or number not in source.plan.evaluations:
                continue
            n_evaluations += 1
            scores = [one.score() for one in stats]
            margins = [stop.margins(one, its, n_read, n_evaluations) for one, its in zip(stats, scores, strict=True)]
            widest = max(np.nanmax(width, initial=0.0) for widths in margins for width in widths.values())
            if widest <= stop.tolerance:
                return PassResult(stats, scores, margins, n_read, n_used, n_evaluations)
    scores = [one.score() for one in stats]
    margins = [
        {} if stop is None else {name: np.zeros(its[name].shape[:2]) for name in one.group.spec.names}
        for one, its in zip(stats, scores, strict=True)
    ]
    return PassResult(stats, scores, margins, n_read, n_used, n_evaluations)
