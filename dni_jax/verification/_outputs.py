"""What a network's output is compared with: where, with what, and whose probability is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.interventions import Bound
from dni_jax.models import ImportedModel, Outcome, StateGaussian, TrainedModel, predict
from dni_jax.text import Corpus
from dni_jax.verification._measures import number_types


@runtime_checkable
class Task(Protocol):
    """A network's output and what it is compared with; `dni_jax.models.OutputTask` is one, too."""

    @property
    def model(self) -> TrainedModel | ImportedModel:
        """The network."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes of outputs."""

    @property
    def table(self) -> Int[np.ndarray, " C"]:
        """The number of each output's class."""

    @property
    def codes(self) -> Int[np.ndarray, " T"]:
        """The target of each position, -1 where there is none."""

    def measure(self, overrides: Bound, classes: Float[np.ndarray, "C X"], gaussian: StateGaussian) -> Outcome:
        """Measure M sets of overrides."""


@dataclass(frozen=True, eq=False)
class NextSymbolTask:
    """The next symbol of a text, predicted by a network of our own.

    Attributes
    ----------
    model, corpus
        The network, and what it reads, in its codes.
    names, table, codes
        See `Task`.
    """

    model: TrainedModel
    corpus: Corpus
    names: tuple[str, ...]
    table: Int[np.ndarray, " V"]
    codes: Int[np.ndarray, " T"]

    @classmethod
    def of(cls, model: TrainedModel, corpus: Corpus) -> NextSymbolTask:
        """Return the task of predicting a corpus."""
        names, table = number_types(corpus)
        return cls(model, corpus, names, table, corpus.flat_codes)

    def measure(self, overrides: Bound, classes: Float[np.ndarray, "V X"], gaussian: StateGaussian) -> Outcome:
        """Measure M sets of overrides."""
        found = predict(
            self.model.weights, self.corpus, overrides, classes=classes, types=self.table, gaussian=gaussian
        )
        wanted = self.table[self.corpus.flat_codes]
        return Outcome(
            right=found.best_type == wanted,
            right_by_symbol=self.table[found.best] == wanted,
            right_symbol=found.best_of_type,
            loss=found.loss,
            class_probability=found.class_probability,
            distance=found.distance,
            measured=found.predicted,
        )


def choose_positions(task: Task, corpus: Corpus, at: Any) -> Bool[np.ndarray, " T"]:
    """Return where to measure: at targets of some symbols, or where an array says.

    Raises
    ------
    ValueError
        For unknown symbols, and arrays of another shape.
    """
    if at is None:
        return np.ones(corpus.n_positions, bool)
    if isinstance(at, str) or (isinstance(at, (list, tuple)) and at and all(isinstance(one, str) for one in at)):
        return np.isin(task.codes, _numbers(task, corpus, at, "at"))
    chosen = np.asarray(at)
    if chosen.shape != (corpus.n_positions,) or chosen.dtype != bool:
        raise ValueError(
            f"expected at as symbols, or as bool of shape ({corpus.n_positions},), got {chosen.dtype} of shape "
            f"{chosen.shape}"
        )
    return chosen


def choose_outputs(
    task: Task, held: Sequence[Bool[np.ndarray, " T"]], outputs: Any
) -> tuple[list[int], Float[np.ndarray, "C X"], list[str]]:
    """Return the class whose probability is measured for each feature, the classes' members, and their names.

    Without a choice it is, for each feature, the class of targets that the feature holds for most often.
    """
    if outputs is not None:
        members = np.zeros((len(task.table), 1), np.float32)
        members[_numbers(task, None, outputs, "outputs")] = 1.0
        name = outputs if isinstance(outputs, str) else ", ".join(map(str, outputs))
        return [0] * len(held), members, [name]
    n_types, known = len(task.names), task.codes >= 0
    if not known.any():
        return [0] * len(held), np.zeros((len(task.table), 1), np.float32), ["none"]
    counts = [np.bincount(task.table[task.codes[on & known]], minlength=n_types) for on in held]
    main = [int(count.argmax()) for count in counts]
    used = sorted(set(main))
    classes = (task.table[:, None] == np.asarray(used)).astype(np.float32)
    return [used.index(one) for one in main], classes, [task.names[one] for one in used]


def _numbers(task: Task, corpus: Corpus | None, symbols: Any, name: str) -> list[int]:
    """Return the codes of symbols, or numbers of outputs as they are."""
    model = task.model
    every = list(symbols)
    if not every:
        raise ValueError(f"expected at least one symbol in {name}, got none")
    if not all(isinstance(one, str) for one in every):
        numbers = [int(one) for one in every]
        if min(numbers) < 0 or max(numbers) >= len(task.table):
            raise ValueError(f"expected outputs from 0 to {len(task.table) - 1} in {name}, got {every}")
        return numbers
    if isinstance(model, ImportedModel):
        codes = model.symbols.codes if len(task.table) == model.stack.n_symbols else {}
    else:
        codes = {symbol: code for code, symbol in enumerate(model.vocabulary.symbols)}
    missing = [one for one in every if one not in codes]
    if missing:
        raise ValueError(f"expected symbols that the network predicts in {name}, got {missing}")
    return [codes[one] for one in every]
