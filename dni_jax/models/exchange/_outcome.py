"""How well an imported network computes its output, under many sets of overrides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dni_jax.interventions import Bound
from dni_jax.models._prediction import StateGaussian
from dni_jax.models.exchange._imported import ImportedModel, Outputs
from dni_jax.models.exchange._reading import Rows, initial_carries_of, iterate_rows
from dni_jax.progress import track
from dni_jax.text import Corpus, character_type

_FLOOR = 1e-7  # of a probability whose logarithm is taken, as in Keras' losses


class Outcome(NamedTuple):
    """What M sets of overrides do to an output, by position; 0 where `measured` is False.

    An output per string belongs to the string's last character.

    Attributes
    ----------
    right
        ``(M, T)``: whether the class with the largest total probability is that of the target; NaN for values.
    right_by_symbol
        ``(M, T)``: whether the single most probable output is of the class of the target; NaN for values.
    right_symbol
        ``(M, T)``: whether the target is the most probable output of its class; NaN for values.
    loss
        ``(M, T)``: minus the natural log of the target's probability; the squared error of values.
    class_probability
        ``(M, T, X)``: the probability of each of X classes of outputs.
    distance
        ``(M, T)``: how far the state after each symbol lies from those of the intact network.
    measured
        bool ``(T,)``: the positions that have an output and a target.
    """

    right: Shaped[np.ndarray, "M T"]
    right_by_symbol: Shaped[np.ndarray, "M T"]
    right_symbol: Shaped[np.ndarray, "M T"]
    loss: Float[np.ndarray, "M T"]
    class_probability: Float[np.ndarray, "M T X"]
    distance: Float[np.ndarray, "M T"]
    measured: Bool[np.ndarray, " T"]


@dataclass(frozen=True, eq=False)
class OutputTask:
    """What a network's output is compared with.

    Attributes
    ----------
    model, corpus
        The network, and what it reads.
    targets
        None: the symbol that comes next. Else the wanted outputs: codes ``(T,)`` for each symbol, ``(S, *x)`` for each
        string, -1 where none is wanted; for values, floats with a last axis of C.
    names
        The class of each output: symbols by their type, other outputs by their number.
    table
        int32 ``(C,)``: the number of each output's class.
    codes
        int64 ``(T,)``: the target of each position, -1 where there is none or it is not one code.
    """

    model: ImportedModel
    corpus: Corpus
    targets: Shaped[np.ndarray, ...] | None
    names: tuple[str, ...]
    table: Int[np.ndarray, " C"]
    codes: Int[np.ndarray, " T"]

    def measure(
        self,
        overrides: Bound,
        classes: Float[np.ndarray, "C X"],
        gaussian: StateGaussian,
    ) -> Outcome:
        """Measure M sets of overrides: from `Intervention.bind` with ``sets=``."""
        model, n_positions = self.model, self.corpus.n_positions
        n_sets = overrides.overrides[0].mask.shape[0]
        initial = initial_carries_of(model.reading, model.stack, self.corpus)
        every = list(iterate_rows(model.symbols, model.reading, self.corpus, model.n_neurons))
        shape = (n_sets, n_positions)
        compared, distance = np.zeros((4, *shape)), np.zeros(shape)
        probability = np.zeros((*shape, classes.shape[1]))
        measured = np.zeros(n_positions, bool)
        bounds = [
            Bound(jax.tree.map(lambda a, n=n: a[n], overrides.overrides), overrides.drives) for n in range(n_sets)
        ]
        for rows in track(every, "overriding", "batches", 1):
            laid = rows.bound(Bound((), overrides.drives)).drives
            places = self._places(rows)
            measured[places.positions] = True
            for which, bound in enumerate(bounds):
                part = model.run_rows(rows, initial, Bound(bound.overrides, laid), with_outputs=True)
                numbers, of_classes = self._compare(part, places, classes)
                compared[:, which, places.positions] = numbers
                probability[which, places.positions] = of_classes
                where, values = self._distances(part, gaussian)
                distance[which, where] = values
        right, by_symbol, symbol, loss = compared
        return Outcome(right, by_symbol, symbol, loss, probability, distance, measured)

    def _places(self, rows: Rows) -> _Places:
        """Return which outputs of some rows are compared, with what, and where that belongs."""
        if self._by_string:
            strings = rows.strings[rows.real]
            wanted = self.targets[strings]  # type: ignore[index]
            known = _known(wanted, self._values).reshape(len(strings), -1).any(axis=1)
            which = np.flatnonzero(known)
            return _Places(which, wanted[which], self.corpus.offsets[strings[which] + 1] - 1)
        counted = rows.counted
        if self.targets is None:
            codes, positions = rows.targets[counted], rows.target_positions[counted]
            which = np.flatnonzero((codes >= 0) & (positions >= 0))
            return _Places(which, codes[which], positions[which])
        positions = rows.positions[counted]
        wanted = self.targets[np.maximum(positions, 0)]
        which = np.flatnonzero((positions >= 0) & _known(wanted, self._values))
        return _Places(which, wanted[which], positions[which])

    @property
    def _by_string(self) -> bool:
        return self.model.readout is not None and self.model.readout.per == "string"

    @property
    def _values(self) -> bool:
        return self.model.readout is not None and self.model.readout.output == "values"

    def _compare(
        self, part: Outputs, places: _Places, classes: Float[np.ndarray, "C X"]
    ) -> tuple[Float[np.ndarray, "4 n"], Float[np.ndarray, "n X"]]:
        """Return whether outputs are right in three ways, their loss, and the probability of each class."""
        outputs = np.asarray(part.outputs, np.float64)[places.which]
        targets = places.targets
        if self._values:
            loss = np.square(outputs - targets).reshape(len(outputs), -1).mean(axis=1)
            unknown = np.full((3, len(loss)), np.nan)
            return np.concatenate([unknown, loss[None]]), np.full((len(loss), classes.shape[1]), np.nan)
        logs = _log_probabilities(outputs, self.model.readout.output)  # type: ignore[union-attr]
        chances, wanted = np.exp(logs), np.maximum(targets, 0)
        own = self.table[wanted]
        alike = self.table == own[..., None]
        compared = (
            (chances @ np.eye(len(self.names))[self.table]).argmax(axis=-1) == own,
            self.table[chances.argmax(axis=-1)] == own,
            np.where(alike, logs, -np.inf).argmax(axis=-1) == wanted,
            -np.take_along_axis(logs, wanted[..., None], axis=-1)[..., 0],
        )
        # Several places of a string count as one, their mean.
        counts = (targets >= 0).reshape(len(targets), -1)
        mass = (chances @ classes).reshape(len(targets), counts.shape[1], classes.shape[1])
        totals = counts.sum(axis=1)
        means = [(values.reshape(counts.shape) * counts).sum(axis=1) / totals for values in compared]
        return np.stack(means), (mass * counts[..., None]).sum(axis=1) / totals[:, None]

    def _distances(self, part: Outputs, gaussian: StateGaussian) -> tuple[np.ndarray, np.ndarray]:
        """Return positions, and the distance of the state there; of a string the mean, at its last character."""
        rows = part.rows
        distance = np.asarray(gaussian.distance(part.run.trace.hidden), np.float64)
        counted = rows.counted & (rows.positions >= 0)
        if not self._by_string:
            return rows.positions[counted], distance[counted]
        counted, distance = counted[rows.real], distance[rows.real]
        means = np.where(counted, distance, 0.0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        return self.corpus.offsets[rows.strings[rows.real] + 1] - 1, means


class _Places(NamedTuple):
    """Which outputs are compared, with what, and the positions that this belongs to."""

    which: np.ndarray
    targets: np.ndarray
    positions: np.ndarray


def _known(targets: np.ndarray, values: bool) -> np.ndarray:
    return np.isfinite(targets).all(axis=-1) if values else targets >= 0


def make_output_task(model: ImportedModel, corpus: Corpus, targets: Any = None) -> OutputTask:
    """Check what a network's output is to be compared with.

    Parameters
    ----------
    model
        A network with a readout.
    corpus
        What it reads.
    targets
        See `OutputTask`; ``"own"``: what the intact network's most probable outputs are.

    Raises
    ------
    ValueError
        For a network without an output; without targets, for an output that is not the next symbol; and for targets
        of another shape.
    """
    readout = model.readout
    if readout is None:
        raise ValueError(
            "expected a network with an output to verify, got one without a head: pass readout=, a function of its "
            "states, "
            "when you import it"
        )
    first = next(model.run(corpus, with_outputs=True)).outputs
    assert first is not None
    n_outputs = first.shape[-1]
    values = readout.output == "values"
    if targets is None:
        if readout.per == "string" or values or n_outputs != model.stack.n_symbols:
            raise ValueError(
                f"expected targets= for an output that is not the next symbol ({n_outputs} {readout.output} per "
                f'{readout.per}), got none: pass the wanted outputs, or targets="own" for those of the intact network'
            )
    elif isinstance(targets, str):
        if targets != "own" or values:
            raise ValueError(f'expected targets as an array, or "own" for classes, got {targets!r}')
        targets = _own(model, corpus)
    else:
        targets = np.asarray(targets)
        rows, what = (len(corpus), "string") if readout.per == "string" else (corpus.n_positions, "position")
        inner = first.shape[1:] if values else first.shape[1:-1]
        wrong_kind = not values and targets.dtype.kind not in "iu"
        if targets.shape != (rows, *inner) or wrong_kind:
            kind = "floats" if values else "integer codes"
            raise ValueError(
                f"expected targets as {kind} of shape {(rows, *inner)}, one for each {what}, got {targets.dtype} of "
                "shape "
                f"{targets.shape}"
            )
        if not values and targets.max() >= n_outputs:
            raise ValueError(f"expected targets below {n_outputs}, the number of outputs, got {int(targets.max())}")
    names, table = _types(model, n_outputs)
    return OutputTask(model, corpus, targets, names, table, _codes(model, corpus, targets))


def _own(model: ImportedModel, corpus: Corpus) -> np.ndarray:
    """Return the intact network's most probable outputs."""
    by_string = model.readout is not None and model.readout.per == "string"
    found: np.ndarray | None = None
    for part in model.run(corpus, with_outputs=True):
        assert part.outputs is not None
        best = part.outputs.argmax(axis=-1)
        places = part.rows.strings[part.rows.real] if by_string else part.rows.positions[part.rows.counted]
        if found is None:
            found = np.full((len(corpus) if by_string else corpus.n_positions, *best.shape[1:]), -1, np.int64)
        found[places[places >= 0]] = best[places >= 0]
    assert found is not None
    return found


def _codes(model: ImportedModel, corpus: Corpus, targets: np.ndarray | None) -> Int[np.ndarray, " T"]:
    codes = np.full(corpus.n_positions, -1, np.int64)
    if targets is None:
        for rows in iterate_rows(model.symbols, model.reading, corpus, model.n_neurons):
            inside = rows.counted & (rows.target_positions >= 0)
            codes[rows.target_positions[inside]] = rows.targets[inside]
    elif targets.dtype.kind in "iu" and targets.ndim == 1:
        places = corpus.offsets[1:] - 1 if len(targets) == len(corpus) != corpus.n_positions else slice(None)
        codes[places] = targets
    return codes


def _types(model: ImportedModel, n_outputs: int) -> tuple[tuple[str, ...], Int[np.ndarray, " C"]]:
    """Return the classes of outputs, and the number of each output's class."""
    symbols = model.symbols.names if n_outputs == model.stack.n_symbols else (None,) * n_outputs
    kinds = []
    for code, name in enumerate(symbols):
        if name is None:
            kinds.append(f"output {code}")
        else:
            kinds.append(character_type(name) if len(name) == 1 else name)
    names = tuple(dict.fromkeys(kinds))
    return names, np.asarray([names.index(kind) for kind in kinds], np.int32)


def _log_probabilities(outputs: Float[np.ndarray, "*batch C"], output: str) -> Float[np.ndarray, "*batch C"]:
    if output == "probabilities":
        return np.asarray(np.log(np.maximum(outputs, _FLOOR)))
    shifted = outputs - outputs.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
