"""The states of an imported network: in memory, or some strings at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from dni_jax.interventions import Bound, Intervention
from dni_jax.models._fingerprints import digest, fingerprint_bound
from dni_jax.models.exchange._functions import describe_function
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._reading import initial_carries_of, iterate_rows
from dni_jax.models.exchange._stack import Bidirectional, Layer, Recurrent
from dni_jax.states import Activations, Strings, mask_of
from dni_jax.text import Corpus, concatenate_ranges

KINDS = ("hidden", "cell", "gates", "logits")


class ImportedReader:
    """An imported network that reads some strings of a corpus at a time.

    Attributes
    ----------
    names, dtype
        What is read of it, and in which type.
    n_neurons, gate_names
        As of `Activations`.
    symbols
        int64 ``(T,)``: the code that the network read last at each position; -1 where it read none.
    """

    def __init__(
        self,
        model: ImportedModel,
        corpus: Corpus,
        what: Sequence[str] = ("hidden",),
        intervention: Intervention | None = None,
        dtype: str = "float32",
    ) -> None:
        self.names, self.dtype = _check_kinds(model, what), dtype
        if dtype not in ("float32", "float16"):
            raise ValueError(f"expected dtype 'float32' or 'float16', got {dtype!r}")
        self.model, self.corpus = model, replace(corpus, trees=None, parsed=None, records={})
        self.n_neurons, self.gate_names = model.n_neurons, model.stack.gate_names
        self.symbols = _read_symbols(model, corpus)
        self._bound = model.bind(intervention, corpus.n_positions)
        self._initial = initial_carries_of(model.reading, model.stack, corpus)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of what is kept at each position; the readout's is not known beforehand."""
        width = (self.n_neurons,)
        return {"hidden": width, "cell": width, "gates": (len(self.gate_names), *width)}

    def fingerprint_network(self) -> str:
        """Return a fingerprint of the network, and of how it reads this corpus."""
        stack = self.model.stack
        leaves, structure = jax.tree.flatten(replace(stack, layers=tuple(map(_describe_functions, stack.layers))))
        given = {} if self._initial is None else self._initial[0]
        conditions = repr(replace(self.model.reading, initial_state=sorted(given)))
        # The codes that were read stand for the symbols or the tokenizer, which may be functions.
        arrays = [*leaves, self.symbols, *(given[name] for name in sorted(given))]
        return digest(str(structure), conditions, *map(np.asarray, arrays))

    def fingerprint_intervention(self) -> str | None:
        """Return a fingerprint of what is overridden; None where nothing is."""
        if not self._bound.overrides:
            return None
        return fingerprint_bound(self._bound)

    def read(self, strings: Strings) -> dict[str, np.ndarray]:
        """Return each kind of states at all characters of some strings, in the corpus' order; 0 where there is none.

        Raises
        ------
        ValueError
            For states that are not finite.
        """
        numbers = np.concatenate([np.arange(first, last) for first, last in strings])
        some, bound, initial = self.corpus.take(numbers), self._bound, self._initial
        if bound.overrides:
            first, last = (self.corpus.offsets[list(ends)] for ends in zip(*strings, strict=True))
            positions = concatenate_ranges(first, last - first)
            bound = Bound(bound.overrides, jax.tree.map(lambda rows: np.asarray(rows)[positions], bound.drives))
        if initial is not None:
            given = {name: rows[numbers] if rows.ndim == 2 else rows for name, rows in initial[0].items()}
            initial = (given, initial[1])
        return self._collect(some, bound, initial)

    def _collect(self, corpus: Corpus, bound: Bound, initial: Any) -> dict[str, np.ndarray]:
        model, arrays = self.model, dict[str, np.ndarray]()
        kept = {"with_cell": "cell" in self.names, "with_gates": "gates" in self.names}
        for rows in iterate_rows(model.symbols, model.reading, corpus, model.n_neurons):
            part = model.run_rows(rows, initial, rows.bound(bound), with_outputs="logits" in self.names, **kept)
            places = rows.positions[rows.counted]
            inside = places >= 0
            computed = {"hidden": part.run.trace.hidden, "cell": part.run.cell, "gates": part.run.gates}
            for name in self.names:
                values = part.outputs if name == "logits" else np.asarray(computed[name])[rows.counted]
                assert values is not None
                if name not in arrays:
                    arrays[name] = np.zeros((corpus.n_positions, *values.shape[1:]), self.dtype)
                arrays[name][places[inside]] = values[inside]
        if not np.isfinite(arrays["hidden"]).all():
            raise ValueError(
                "expected finite states, got NaN or infinity: the network's weights, its initial state or the values "
                "of the intervention are not finite or too large"
            )
        return arrays


def record_imported(
    model: ImportedModel,
    corpus: Corpus,
    what: Sequence[str] = ("hidden",),
    intervention: Intervention | None = None,
    dtype: str = "float32",
) -> Activations:
    """Return the states of an imported network; see `dni_jax.record`.

    A symbol's state belongs to its last character; other characters, and those that are not read, have none.
    """
    reader = ImportedReader(model, corpus, what, intervention, dtype)
    arrays: dict[str, Any] = reader.read([(0, len(corpus))])
    about: dict[str, Any] = {"mask": mask_of(reader.symbols), "gate_names": reader.gate_names}
    return Activations(groups=corpus.position_groups, symbols=reader.symbols, **about, **arrays)


def _describe_functions(layer: Layer) -> Layer:
    """Return a layer with a description in place of each function, equal in every process."""
    if isinstance(layer, Bidirectional):
        forward, backward = map(_describe_functions, (layer.forward, layer.backward))
        return replace(layer, forward=forward, backward=backward)  # type: ignore[arg-type]
    if isinstance(layer, Recurrent):
        return replace(layer, activation=describe_function(layer.activation), gate=describe_function(layer.gate))
    return layer


def _check_kinds(model: ImportedModel, what: Sequence[str]) -> tuple[str, ...]:
    unknown = set(what) - set(KINDS)
    if unknown:
        raise ValueError(f"expected what to record among {KINDS}, got {sorted(unknown)}")
    if "cell" in what and not model.stack.has_memory:
        raise ValueError(f"expected 'cell' only for a network whose layers all have a memory, got {model!r}")
    if "gates" in what and not model.stack.gate_names:
        raise ValueError(
            f"expected 'gates' only for a network whose layers have the same cell and no projection, got {model!r}: "
            "take its layers over one by one, each in a network of its own, or leave 'gates' out"
        )
    if "logits" in what and model.readout is not None and model.readout.per == "string":
        raise ValueError("expected an output for each symbol with what='logits', got a readout for each string")
    return tuple(dict.fromkeys(("hidden", *what)))


def _read_symbols(model: ImportedModel, corpus: Corpus) -> Int[np.ndarray, " T"]:
    """Return the code that ends at each position, -1 where none does.

    Raises
    ------
    ValueError
        For a symbol without a code.
    """
    symbols = np.full(corpus.n_positions, -1, np.int64)
    for number, string in enumerate(corpus.strings):
        units = model.symbols.read(string, number)
        symbols[corpus.offsets[number] + units.ends] = units.codes
    return symbols
