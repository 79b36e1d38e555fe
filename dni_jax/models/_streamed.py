"""States that are computed on demand and not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, Int

from dni_jax.interventions import Bound, Intervention
from dni_jax.models._collect import choose_states, collect_states
from dni_jax.models._fingerprints import fingerprint_corpus, fingerprint_intervention, fingerprint_network
from dni_jax.models._lanes import make_lanes
from dni_jax.models._population import Population
from dni_jax.models._rollout import Emit
from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange import ImportedModel, ImportedReader
from dni_jax.states import CHUNK, ChunkedActivations, Strings, mask_of
from dni_jax.text import Corpus, concatenate_ranges

_LANES = 256  # texts read in parallel
_STEPS = 64  # time steps in one call of the compiled program; lanes are padded to a multiple


@runtime_checkable
class Reader(Protocol):
    """Something that reads some strings of a corpus at a time.

    Attributes
    ----------
    names, dtype
        The kinds of states that it returns, and their type.
    n_neurons, gate_names, symbols
        As of `Activations`.
    shapes
        The shape of each kind of states at one position.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def gate_names(self) -> tuple[str, ...]: ...
    @property
    def symbols(self) -> Int[np.ndarray, " T"] | None: ...
    @property
    def shapes(self) -> dict[str, tuple[int, ...]]: ...

    def fingerprint_network(self) -> str:
        """Return a fingerprint of the network, and of how it reads the corpus."""

    def fingerprint_intervention(self) -> str | None:
        """Return a fingerprint of what is overridden; None where nothing is."""

    def read(self, strings: Strings) -> dict[str, np.ndarray]:
        """Return each kind of states at all characters of some strings, in the corpus' order."""


class TrainedReader:
    """A network of our own that reads some strings of a corpus at a time, always with the same compiled program."""

    symbols = None

    def __init__(
        self,
        model: TrainedModel,
        corpus: Corpus,
        emit: Emit,
        intervention: Intervention | None,
        chunk: int,
    ) -> None:
        self.model, self.emit, self.names, self.dtype = model, emit, emit.names, emit.dtype
        self.n_neurons, self.gate_names = model.n_neurons, model.weights.cell_type.gates
        self._intervention = intervention
        self.corpus = replace(model.encode(corpus), trees=None, parsed=None, records={})
        self.bound = model.bind(intervention, corpus.n_positions)
        wanted = min(_LANES, max(chunk // _LANES, 1), len(corpus))
        self.n_lanes = wanted - wanted % 2 if wanted > 1 else wanted

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each kind of states at one position."""
        width = (self.n_neurons,)
        gates, logits = (len(self.gate_names), *width), (self.model.weights.head.shape[-1],)
        return {"hidden": width, "cell": width, "gates": gates, "logits": logits}

    def fingerprint_network(self) -> str:
        """Return a fingerprint of the network, and of how it reads text."""
        return fingerprint_network(self.model)

    def fingerprint_intervention(self) -> str | None:
        """Return a fingerprint of what is overridden; None where nothing is."""
        return fingerprint_intervention(self._intervention, self.model, self.corpus.n_positions)

    def read(self, strings: Strings) -> dict[str, np.ndarray]:
        """Return each kind of states at all characters of some strings, in the corpus' order."""
        some = self.corpus.take(np.concatenate([np.arange(first, last) for first, last in strings]))
        bound = self.bound
        if bound.overrides:
            first, last = (self.corpus.offsets[list(ends)] for ends in zip(*strings, strict=True))
            positions = concatenate_ranges(first, last - first)
            bound = Bound(bound.overrides, jax.tree.map(lambda rows: rows[positions], bound.drives))
        lanes = make_lanes(some, self.n_lanes, multiple=_STEPS)
        return collect_states(self.model, lanes, bound, self.emit, _STEPS, some.n_positions)


class StreamedActivations(ChunkedActivations):
    """The states of a network that runs when they are read; see `stream`.

    Attributes
    ----------
    corpus
        What the network reads.
    """

    def __init__(self, reader: Reader, corpus: Corpus, chunk: int) -> None:
        self.offsets, self.string_groups = corpus.offsets, corpus.groups
        self.n_neurons, self.chunk, self.corpus = reader.n_neurons, chunk, corpus
        self.fingerprint, self.symbols = fingerprint_corpus(corpus), reader.symbols
        self.mask = mask_of(reader.symbols)
        self._reader = reader

    def read(self, strings: Strings, neurons: slice = slice(None)) -> Float[np.ndarray, "t n"]:
        """Run the network on some strings."""
        return self._reader.read(strings)["hidden"][:, neurons]

    def __repr__(self) -> str:
        return self._describe("StreamedActivations") + ")"


def stream(
    model: TrainedModel | Population | ImportedModel,
    corpus: Corpus,
    *,
    intervention: Intervention | None = None,
    dtype: str = "float16",
    chunk: int | None = None,
) -> StreamedActivations:
    """Return the hidden states of a network without keeping them: it runs while they are used.

    Parameters
    ----------
    model, corpus, intervention, dtype
        As in `dni_jax.record`, one network.
    chunk
        How many characters the network reads at a time, in whole strings; by default 65,536.

    Returns
    -------
    StreamedActivations, which `dni_jax.inspect` takes; ``.chunks()`` yields positions and states in order.

    Raises
    ------
    ValueError
        As `dni_jax.record`.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> states = stream(model, corpus, chunk=500)
    >>> sum(len(hidden) for _, hidden in states.chunks()) == corpus.n_positions
    True
    """
    if isinstance(model, Population):
        raise ValueError(f"expected one network, got a population of {len(model)}: stream one after the other")
    size = chunk_size(chunk)
    intervention = None if intervention is None else intervention.on(corpus)
    return StreamedActivations(make_reader(model, corpus, ("hidden",), intervention, dtype, size), corpus, size)


def make_reader(
    model: Any, corpus: Corpus, what: Sequence[str], intervention: Intervention | None, dtype: str, chunk: int
) -> Reader:
    """Return what reads a corpus with a network, about `chunk` characters at a time; see `dni_jax.record`.

    Raises
    ------
    ValueError
        For a model that dni_jax cannot run, or kinds of states that the model does not have.
    """
    if isinstance(model, ImportedModel):
        return ImportedReader(model, corpus, what, intervention, dtype)
    check_model(model)
    return TrainedReader(model, corpus, choose_states(model, what, dtype), intervention, chunk)


def check_model(model: Any) -> None:
    """Raise a ValueError unless the model is one that dni_jax can run."""
    if not isinstance(model, (TrainedModel, ImportedModel)):
        raise ValueError(
            f"expected a network that dni_jax runs itself, got {type(model).__name__}: import it with "
            "dni.from_torch, dni.from_keras or dni.from_flax, or record its states yourself and pass them to "
            "dni.from_arrays"
        )


def chunk_size(chunk: int | None) -> int:
    """Check a number of characters at a time."""
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int | np.integer) or chunk < 1):
        raise ValueError(f"expected chunk as a whole number of characters of at least 1, or None, got {chunk!r}")
    return CHUNK if chunk is None else int(chunk)
