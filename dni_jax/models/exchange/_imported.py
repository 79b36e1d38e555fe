"""A network from elsewhere that none of our own cells describes: its own layers, symbols, conditions and output."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from dni_jax.interventions import Bound, Intervention
from dni_jax.models._arrays import unpack_states
from dni_jax.models.cells import Carry
from dni_jax.models.exchange._reading import (
    Reading,
    Rows,
    carries_of_rows,
    initial_carries_of,
    iterate_rows,
)
from dni_jax.models.exchange._readout import Readout
from dni_jax.models.exchange._stack import Bidirectional, Dense, Elementwise, Layer, Recurrent, Run, Stack, run_stack
from dni_jax.models.exchange._symbols import Symbols
from dni_jax.states import Activations, as_numpy
from dni_jax.text import Corpus

REFERENCE_TOLERANCE = 1e-3  # of states; float32 networks of a few hundred steps differ by less than 1e-4


class Outputs(NamedTuple):
    """What a network computes of some rows.

    Attributes
    ----------
    rows
        The rows that were read.
    run
        Its states.
    outputs
        float32 ``(n, C)``, one for each of the n symbols that count (`Rows.counted`), or ``(n, *x, C)``, one for each
        of the n rows that are real, with a readout per string; None where they were not asked for.
    """

    rows: Rows
    run: Run
    outputs: np.ndarray | None


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A recurrent network from elsewhere: to record, intervene, verify and report, not to train or generate with.

    Attributes
    ----------
    stack
        Its layers.
    symbols
        Its symbols.
    reading
        How it reads a text.
    readout
        Its output; None: it has none, and its states can be recorded and overridden only.
    source
        Where it comes from.
    reference_difference
        The largest difference from the original's states on the reference; None where none was passed.
    """

    stack: Stack
    symbols: Symbols
    reading: Reading
    readout: Readout | None = None
    source: str = ""
    reference_difference: float | None = None

    @property
    def n_neurons(self) -> int:
        """The number of neurons N of all layers and directions."""
        return self.stack.n_neurons

    @property
    def parts(self) -> tuple[str, ...]:
        """What an override can change."""
        return self.stack.parts

    def __getattr__(self, name: str) -> Any:
        """Say what such a network cannot do, where what our own networks have is asked for."""
        own = ("weights", "module", "vocabulary", "config", "encode", "boundary", "history")
        if name not in own:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"expected a network of our own cells, which has {name!r}, got {self!r}: an imported network can be "
            "recorded, "
            "overridden, verified and reported, but not trained, written with or taken apart"
        )

    def __repr__(self) -> str:
        kinds = " + ".join(
            f"{layer.cell} {layer.size}{' reversed' if layer.reverse else ''}" for layer in self.stack.recurrent
        )
        output = "no readout" if self.readout is None else f"{self.readout.output} per {self.readout.per}"
        known = self.reference_difference
        close = "" if known is None else f", states within {known:.1e} of the original"
        return f"ImportedModel({kinds}, {self.stack.n_symbols} symbols, {output}{close})"

    def bind(self, intervention: Intervention | None, n_positions: int) -> Bound:
        """Bind an intervention to this network and a text of so many positions; None overrides nothing."""
        return Bound() if intervention is None else intervention.bind(self.n_neurons, n_positions, self.parts)

    def run(
        self,
        corpus: Corpus,
        bound: Bound = Bound(),  # noqa: B008
        *,
        with_cell: bool = False,
        with_outputs: bool = False,
    ) -> Iterator[Outputs]:
        """Read a corpus batch by batch, and yield what the network computes.

        Raises
        ------
        ValueError
            For a symbol without a code, or outputs of a network without a readout.
        """
        initial = initial_carries_of(self.reading, self.stack, corpus)
        for rows in iterate_rows(self.symbols, self.reading, corpus, self.n_neurons):
            yield self.run_rows(rows, initial, bound, with_cell=with_cell, with_outputs=with_outputs)

    def run_rows(
        self, rows: Rows, initial: Any, bound: Bound, *, with_cell: bool = False, with_outputs: bool = False
    ) -> Outputs:
        """Read some rows; `initial` is from `initial_carries_of`."""
        return self.run_laid(rows, initial, rows.bound(bound), with_cell=with_cell, with_outputs=with_outputs)

    def run_laid(
        self, rows: Rows, initial: Any, bound: Bound, *, with_cell: bool = False, with_outputs: bool = False
    ) -> Outputs:
        """Read some rows under overrides whose drives are in their order already (`Rows.bound`)."""
        carries = carries_of_rows(initial, self.stack, rows.strings)
        run = run_stack(self.stack, rows.codes, rows.mask, carries, bound, with_cell)
        return Outputs(rows, run, self.outputs(run, rows) if with_outputs else None)

    def outputs(self, run: Run, rows: Rows) -> np.ndarray:
        """Return the readout's outputs as in `Outputs`.

        Raises
        ------
        ValueError
            For a network without a readout, and outputs of another shape or that are not finite.
        """
        if self.readout is None:
            raise ValueError(
                "expected a network with an output, got one without a head: pass readout=, a function of its states, "
                "when you take it over"
            )
        found = self.readout(run.trace)
        if self.readout.per == "string" or (found.ndim == 2 and self.reading.window is not None):
            chosen = found[rows.real]
        elif found.ndim == 2:
            raise ValueError(
                f"expected an output for each symbol, (B, L, C), got shape {found.shape}: pass "
                'Readout(function, per="string") for one output per string'
            )
        else:
            chosen = found[rows.counted]
        if not np.isfinite(chosen).all():
            raise ValueError("expected finite outputs of the readout, got NaN or infinity: check it on one string")
        return chosen

    def untrained(self, seed: int = 0) -> ImportedModel:
        """Return a network of the same architecture with fresh weights, without an output.

        Input kernels and embeddings are drawn as Glorot & Bengio (2010) do, recurrent kernels as orthogonal blocks;
        biases are 0, and 1 for the forget gates of LSTMs. It reads as this network does: the same symbols, the same
        windows.
        """
        root = jax.random.key(seed)
        keys = (jax.random.fold_in(root, number) for number in itertools.count())
        glorot, square = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.orthogonal()

        def fresh(layer: Recurrent) -> Recurrent:
            n_in, columns = layer.wx.shape
            blocks = {"lstm": 4, "gru": 3, "rnn": 1}[layer.cell]
            size = columns // blocks
            wh = np.concatenate([square(next(keys), (len(layer.wh), size)) for _ in range(blocks)], axis=1)
            b = np.zeros(columns, np.float32)
            if layer.cell == "lstm":
                b[size : 2 * size] = 1.0
            return replace(
                layer,
                wx=np.asarray(glorot(next(keys), (n_in, columns))),
                wh=wh,
                b=b,
                bh=None if layer.bh is None else np.zeros_like(layer.bh),
                projection=None if layer.projection is None else np.asarray(glorot(next(keys), layer.projection.shape)),
            )

        layers: list[Layer] = []
        for layer in self.stack.layers:
            if isinstance(layer, Recurrent):
                layers.append(fresh(layer))
            elif isinstance(layer, Bidirectional):
                layers.append(replace(layer, forward=fresh(layer.forward), backward=fresh(layer.backward)))
            elif isinstance(layer, Dense):
                kernel = np.asarray(glorot(next(keys), layer.kernel.shape))
                layers.append(replace(layer, kernel=kernel, bias=np.zeros_like(layer.bias)))
            elif isinstance(layer, Elementwise):
                layers.append(layer)
            else:
                layers.append(replace(layer, scale=np.ones_like(layer.scale), bias=np.zeros_like(layer.bias)))
        table = self.stack.embedding
        stack = Stack(tuple(layers), None if table is None else np.asarray(glorot(next(keys), table.shape)))
        return replace(self, stack=stack, readout=None, reference_difference=None, source=f"{self.source}, untrained")


def record_imported(
    model: ImportedModel,
    corpus: Corpus,
    what: Sequence[str] = ("hidden",),
    intervention: Intervention | None = None,
    dtype: str = "float32",
) -> Activations:
    """Return the states of a network from elsewhere; see `dni_jax.record`.

    A symbol's state belongs to its last character; other characters, and those that are not read, have none.
    """
    unknown = set(what) - {"hidden", "cell", "logits"}
    if unknown:
        raise ValueError(
            f"expected what to record of an imported network among hidden, cell, logits, got {sorted(unknown)}"
        )
    if "cell" in what and not model.stack.has_memory:
        raise ValueError(f"expected 'cell' only for a network whose layers all have a memory, got {model!r}")
    if "logits" in what and model.readout is not None and model.readout.per == "string":
        raise ValueError("expected an output for each symbol with what='logits', got a readout for each string")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"expected dtype 'float32' or 'float16', got {dtype!r}")
    bound = model.bind(intervention, corpus.n_positions)
    arrays: dict[str, Any] = {}
    mask, symbols = np.zeros(corpus.n_positions, bool), np.full(corpus.n_positions, -1, np.int64)
    for part in model.run(corpus, bound, with_cell="cell" in what, with_outputs="logits" in what):
        counted = part.rows.counted
        places = part.rows.positions[counted]
        inside = places >= 0
        places = places[inside]
        values: dict[str, Any] = {"hidden": np.asarray(part.run.trace.hidden)[counted], "logits": part.outputs}
        if "cell" in what:
            values["cell"] = np.asarray(part.run.cell)[counted]
        for name in ("hidden", *(name for name in ("cell", "logits") if name in what)):
            rows = values[name][inside].astype(dtype)
            arrays.setdefault(name, np.zeros((corpus.n_positions, rows.shape[1]), dtype))[places] = rows
        mask[places], symbols[places] = True, part.rows.codes[counted][inside]
    if not np.isfinite(arrays["hidden"]).all():
        raise ValueError(
            "expected finite states, got NaN or infinity: the network's weights, its initial state or the values of "
            "the "
            "intervention are not finite or too large"
        )
    everywhere = None if mask.all() else mask
    return Activations(groups=corpus.position_groups, mask=everywhere, symbols=symbols, **arrays)


def check_reference(model: ImportedModel, reference: Any) -> float:
    """Compare states with the original's on some strings, and return the largest difference.

    Parameters
    ----------
    model
        The network.
    reference
        ``(codes, states)``: integer codes ``(S, L)``, or a sequence of arrays ``(L_s,)``, exactly as the original read
        them; and its states, ``(S, L, N)`` or a sequence of ``(L_s, N)``, of the uppermost layer or of all layers.

    Raises
    ------
    ValueError
        Where they differ by more than 0.001, or do not fit.
    """
    if not isinstance(reference, (tuple, list)) or len(reference) != 2:
        raise ValueError(f"expected reference=(codes, states), got {type(reference).__name__}")
    codes, states = _rows_of(reference[0], 1, "codes"), _rows_of(unpack_states(reference[1]), 2, "states")
    if len(codes) != len(states) or not len(codes):
        raise ValueError(f"expected as many strings of states as of codes, got {len(states)} and {len(codes)}")
    given = model.reading.initial_state
    if callable(given):
        raise ValueError(
            "expected an initial_state that does not depend on the corpus with reference=, got a function: take the "
            "reference over with the zero state or an array"
        )
    worst = 0.0
    for number, (each, theirs) in enumerate(zip(codes, states, strict=True)):
        each = each.astype(np.int32)
        if each.min() < 0 or each.max() >= model.stack.n_symbols:
            raise ValueError(f"expected reference codes from 0 to {model.stack.n_symbols - 1}, got {each.tolist()}")
        mask = np.ones((1, len(each)), bool)
        if model.reading.masked and model.reading.pad is not None:
            mask &= each != model.reading.pad
        initial: tuple[Carry, ...] | None = carries_of_rows(
            initial_carries_of(model.reading, model.stack, _one_string()), model.stack, np.zeros(1, np.int64)
        )
        trace = run_stack(model.stack, each[None], mask, initial).trace
        candidates = [np.asarray(values)[0] for values in (trace.top, trace.hidden)]
        fitting = [ours for ours in candidates if ours.shape == theirs.shape]
        if not fitting:
            raise ValueError(
                f"expected reference states of string {number} of shape {candidates[0].shape} (the uppermost layer) or "
                f"{candidates[1].shape} (all layers), got {theirs.shape}"
            )
        worst = max(worst, min(float(np.abs(ours - theirs)[mask[0]].max(initial=0.0)) for ours in fitting))
    if not worst <= REFERENCE_TOLERANCE:
        raise ValueError(
            f"expected the states of reference= to within {REFERENCE_TOLERANCE:g}, got a difference of {worst:.2g}: "
            "the "
            "original computes something that its description does not say, or read other codes or in another order"
        )
    return worst


def _one_string() -> Corpus:
    return Corpus.from_strings(["-"])


def _rows_of(values: Any, ndim: int, name: str) -> list[np.ndarray]:
    if isinstance(values, (list, tuple)):
        rows = [as_numpy(row, f"reference {name}") for row in values]
    else:
        rows = list(as_numpy(values, f"reference {name}"))
    bad = [row.shape for row in rows if row.ndim != ndim]
    if bad:
        raise ValueError(f"expected reference {name} with {ndim} axes in each string, got shape {bad[0]}")
    return rows
