"""Scores of states that come in chunks: recording or reading, labelling and counting go on at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from dni_jax.inspection._labelling import labels_in_parts
from dni_jax.inspection._reading import Reading, Strings, at_random, in_order, sample_of
from dni_jax.inspection._table import Part, Table, parts_of
from dni_jax.inspection._tallies import Options, Tally
from dni_jax.models import ChunkedActivations, prefetch
from dni_jax.probes import fold_margin
from dni_jax.text import Corpus

_COUNTS = 3 * 2**29  # bytes of counts in one pass, where the caller does not say how many neurons to count


def inspect_chunks(
    states: ChunkedActivations,
    labels: Any,
    probe: str = "svm",
    folds: int | np.ndarray = 20,
    *,
    corpus: Corpus | None = None,
    groups: np.ndarray | None = None,
    metrics: Sequence[str] = ("accuracy", "auc", "r2"),
    seed: int = 0,
    tolerance: float | None = None,
    confidence: float = 0.95,
    **options: Any,
) -> xr.Dataset:
    """Do what `dni_jax.inspect` does, for states that come in chunks.

    Levels are chosen from some 200,000 positions all over the text; then every chunk is read (or computed) and
    labelled in threads while the one before is counted.

    With n neurons (`neuron_batch`) and f features (`feature_batch`) a pass, memory holds

    - counts: ``4 n B K (f + 1)`` bytes for B levels and K folds, and ``8 K n c`` for the c continuous features;
    - levels: ``131,072 n`` bytes for states in half precision, and while they are chosen the sample of at most
      ``200,000 n`` states;
    - chunks: six of ``chunk * n`` states, three of ``chunk * f`` bytes of labels;
    - the text: the corpus, and 12 bytes a position for folds and groups.

    By default n is as large as lets the counts fit into 1.5 GiB. Each pass reads the states once more.

    With a `tolerance`, folds are made of whole blocks of neighbouring strings (some 8,192 positions, 16 a fold or more)
    and blocks are read in random order, as many of each fold. From time to time (when half as much again has been
    read) each pair gets an interval for the score that all positions would give, with the same folds; reading stops
    when all are narrower than the tolerance to each side. The interval is that of
    `dni_jax.probes._stopping.fold_margin`: from the spread between folds, corrected for shared training sets, for what
    is left to read, and for looking several times. It holds for each pair by itself with the given confidence, not for
    all at once. A fold's spread is taken to be at least what one string more or less would do. A feature of which one
    class has not been met stops nothing; where some folds lack a class, reading goes on.

    Returns
    -------
    As `dni_jax.inspect`. In ``attrs``, "auc_error", "accuracy_error" and "r2_error" say what rounding to levels can do
    (see `dni_jax.probes.score_counts`). With a tolerance, ``score_margin`` and one such variable a metric
    ``(neuron, feature)`` are the intervals' half-widths (0 where all was read), and ``attrs["positions_read"]`` is how
    far it came.

    Raises
    ------
    ValueError
        As `dni_jax.inspect`; or where labels are of another text.
    """
    asked = _options(options)
    made = labels_in_parts(labels, corpus, states)
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"expected a tolerance above 0, or None, got {tolerance}")
    reading = (in_order if tolerance is None else at_random)(states, folds, groups, seed)
    table = Table.empty(states.n_neurons, made.kinds, reading.n_folds, metrics)
    stop = None if tolerance is None else _Stop(tolerance, confidence, states)
    shares, attrs = np.zeros(len(made.names)), dict[str, Any]()
    margins = {name: np.full(array.shape[:2], np.nan) for name, array in table.arrays.items()}
    for features in _batches(len(made.names), asked.feature_batch or len(made.names)):
        names = made.names[features]
        some = made if len(names) == len(made.names) else made.select(list(names))
        parts = parts_of(some.kinds, probe, metrics)
        fitting = _COUNTS // (4 * asked.n_bins * reading.n_folds * (len(names) + 1))
        for neurons in _batches(states.n_neurons, asked.neuron_batch or max(1, fitting)):
            run = _Run(states, some, parts, reading, neurons, asked, stop)
            run.go()
            for tally, scores, widths in run.found():
                whole = tally.part._replace(columns=tally.part.columns + features.start)
                table.put(whole, scores, neurons)
                for name, width in widths.items():
                    margins[name][neurons, whole.columns] = width
                shares[whole.columns] = tally.sums / max(tally.n, 1)
                _note(attrs, scores.attrs)
            _note(attrs, {"positions": run.used, "positions_read": run.read, "looks": run.looks})
    dealt = {"seed": seed, "folds": "dealt"}
    if tolerance is not None or not isinstance(folds, (int, np.integer)):
        dealt = {"folds": "given"} | ({"seed": seed} if tolerance is not None else {})
    if tolerance is None:
        attrs = {name: value for name, value in attrs.items() if name not in ("positions_read", "looks")}
    else:
        attrs |= {"tolerance": tolerance, "confidence": confidence}
    about = {"probe": probe, **dealt, "library": made.source, "engine": "binned", "n_bins": asked.n_bins, **attrs}
    dataset = table.dataset(made.names, made.kinds, shares.tolist(), about)
    if tolerance is not None:
        found = {f"{name}_margin": (("neuron", "feature"), width) for name, width in margins.items()}
        dataset = dataset.assign(found)
    return dataset


def _options(options: dict[str, Any]) -> Options:
    engine = options.pop("engine", "binned")
    known = list(Options.__dataclass_fields__)
    if engine not in ("auto", "binned") or not set(options) <= set(known):
        unknown = sorted(set(options) - set(known)) or [f"engine={engine!r}"]
        raise ValueError(
            f"expected options among {', '.join(known)} for states that come in chunks, got {', '.join(unknown)}: "
            "read the states into memory with .load() for others"
        )
    asked = Options(**options)
    for name in ("neuron_batch", "feature_batch"):
        value = getattr(asked, name)
        if value is not None and (isinstance(value, bool) or value < 1):
            raise ValueError(f"expected {name} to be None or a whole number >= 1, got {value!r}")
    if np.ndim(asked.alpha):
        raise ValueError(f"expected one alpha, got {asked.alpha}")
    return asked


def _batches(total: int, most: int) -> list[slice]:
    """Cut an axis into as few parts of at most `most` as there can be, about equal."""
    count = -(-total // most)
    bounds = [total * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _note(attrs: dict[str, Any], more: dict[str, Any]) -> None:
    """Keep the largest of what passes say."""
    for name in ("auc_error", "accuracy_error", "r2_error", "positions", "positions_read", "looks"):
        if name in more:
            attrs[name] = max(attrs.get(name, 0), more[name])


@dataclass(frozen=True)
class _Stop:
    """When to stop reading."""

    tolerance: float
    confidence: float
    states: ChunkedActivations

    def margins(self, tally: Tally, scores: Any, read: float, look: int) -> dict[str, np.ndarray]:
        """Half-widths of all scores of a part by metric; NaN where a feature has had one class only."""
        string = self.states.n_positions / (len(self.states.offsets) - 1)
        found = {}
        for metric in tally.part.asked:
            n_folds = scores[metric].shape[-1]
            least = tally.least_spread(metric, n_folds, string)
            width = fold_margin(scores[metric], read, self.confidence, look, least)
            found[metric] = np.where(tally.constant & (metric != "accuracy"), np.nan, width)
        return found


class _Run:
    """One pass over the states, for some neurons and features."""

    def __init__(
        self,
        states: ChunkedActivations,
        labels: Any,
        parts: Sequence[Part],
        reading: Reading,
        neurons: slice,
        options: Options,
        stop: _Stop | None,
    ) -> None:
        self.states, self.labels, self.parts, self.reading = states, labels, parts, reading
        self.neurons, self.stop = neurons, stop
        self.used = self.read = self.looks = 0
        self._margins: list[dict[str, np.ndarray]] | None = None
        strings = sample_of(states)
        hidden = states.read(strings, neurons)
        matrices, sampled = self._labelled(strings)
        ranges = states.ranges
        if ranges is not None:
            ranges = ranges[0][neurons], ranges[1][neurons]
        length = reading.longest(states.offsets)
        self.tallies = [
            Tally.begin(part, hidden, matrix, sampled, ranges, reading.n_folds, length, options)
            for part, matrix in zip(parts, matrices, strict=True)
        ]

    def _labelled(self, strings: Strings) -> tuple[list[np.ndarray], np.ndarray]:
        """The labels of each part as a matrix, and the positions' folds."""
        labels, offsets = self.labels.label(strings), self.states.offsets
        folds = np.concatenate([self.reading.folds[offsets[first] : offsets[last]] for first, last in strings])
        matrices = [np.stack([labels.columns[column] for column in part.columns], axis=1) for part in self.parts]
        return matrices, np.where(labels.mask, folds, -1).astype(np.int32)

    def _chunks(self) -> Iterator[tuple[np.ndarray, list[np.ndarray], np.ndarray]]:
        reads = self.reading.reads
        states = prefetch(self.states.read(strings, self.neurons) for strings in reads)
        labels = prefetch(self._labelled(strings) for strings in reads)
        with closing(states), closing(labels):  # type: ignore[type-var]
            for hidden, (matrices, folds) in zip(states, labels, strict=True):
                yield hidden, matrices, folds

    def go(self) -> None:
        """Read until the end, or until all is sure enough."""
        chunks = self._chunks()
        with closing(chunks):  # type: ignore[type-var]
            for number, (hidden, matrices, folds) in enumerate(chunks):
                for tally, matrix in zip(self.tallies, matrices, strict=True):
                    tally.add(hidden, matrix, folds)
                self.read += len(folds)
                self.used += int((folds >= 0).sum())
                if self.stop is not None and number in self.reading.looks and self.read < self.states.n_positions:
                    if self._sure(self.stop):
                        return
                    self._margins = None

    def _sure(self, stop: _Stop) -> bool:
        self.looks += 1
        self._scores = [tally.scores() for tally in self.tallies]
        read = self.read / self.states.n_positions
        pairs = zip(self.tallies, self._scores, strict=True)
        self._margins = [stop.margins(tally, scores, read, self.looks) for tally, scores in pairs]
        return all(
            np.nanmax(width, initial=0.0) <= stop.tolerance for widths in self._margins for width in widths.values()
        )

    def found(self) -> Iterator[tuple[Tally, Any, dict[str, np.ndarray]]]:
        """Scores of each part, and the half-widths of their intervals."""
        for number, tally in enumerate(self.tallies):
            if self._margins is not None:
                scores, widths = self._scores[number], dict(self._margins[number])
            else:
                scores, widths = tally.scores(), {}
                if self.stop is not None:
                    widths = {name: np.zeros(scores[name].shape[:2]) for name in tally.part.asked}
            if widths:
                widths["score"] = widths[tally.part.headline]
                widths = {name: width for name, width in widths.items() if name in ("score", *tally.part.fitting)}
            yield tally, scores, widths
