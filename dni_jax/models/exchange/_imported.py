"""An imported network that none of our own cells describes: its own layers, symbols, conditions and output."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from dni_jax.interventions import Bound, Intervention
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
from dni_jax.text import Corpus


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
    """A recurrent network from another framework, for everything except training.

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
        """Raise an AttributeError that says why an imported network lacks this attribute."""
        own = ("weights", "module", "vocabulary", "config", "encode", "boundary", "history")
        if name not in own:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"expected a TrainedModel, which has {name!r}, got {self!r}: an ImportedModel can be "
            "recorded, overridden, verified, reported and generated with, but not trained or taken apart"
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
            yield self.run_rows(rows, initial, rows.bound(bound), with_outputs=with_outputs)

    def run_rows(self, rows: Rows, initial: Any, bound: Bound, *, with_outputs: bool = False, **kept: bool) -> Outputs:
        """Read some rows.

        Parameters
        ----------
        rows
            What is read.
        initial
            From `initial_carries_of`.
        bound
            Overrides whose drives are in the order of the rows: from `Rows.bound`.
        with_outputs
            Whether to compute the readout.
        kept
            ``with_cell``, ``with_gates``: see `run_stack`.
        """
        carries = carries_of_rows(initial, self.stack, rows.strings)
        run = run_stack(self.stack, rows.codes, rows.mask, carries, bound, **kept)
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
                "when you import it"
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
