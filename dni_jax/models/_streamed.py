"""States that are computed on demand and not kept."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float

from dni_jax.interventions import Bound, Intervention
from dni_jax.models._collect import choose_states, collect_states
from dni_jax.models._fingerprints import fingerprint_corpus
from dni_jax.models._lanes import make_lanes
from dni_jax.models._population import Population
from dni_jax.models._rollout import Emit
from dni_jax.models._trained import TrainedModel
from dni_jax.states import CHUNK, ChunkedActivations, Strings
from dni_jax.text import Corpus, concatenate_ranges

_LANES = 256  # texts read in parallel
_STEPS = 64  # time steps in one call of the compiled program; lanes are padded to a multiple


class Reader:
    """A network that reads some strings of a corpus at a time, always with the same compiled program."""

    def __init__(
        self,
        model: TrainedModel,
        corpus: Corpus,
        emit: Emit,
        intervention: Intervention | None,
        chunk: int,
    ) -> None:
        self.model, self.emit = model, emit
        self.corpus = replace(model.encode(corpus), trees=None, parsed=None, records={})
        self.bound = model.bind(intervention, corpus.n_positions)
        wanted = min(_LANES, max(chunk // _LANES, 1), len(corpus))
        self.n_lanes = wanted - wanted % 2 if wanted > 1 else wanted

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
        self.n_neurons, self.chunk, self.corpus = reader.model.n_neurons, chunk, corpus
        self.fingerprint = fingerprint_corpus(corpus)
        self._reader = reader

    def read(self, strings: Strings, neurons: slice = slice(None)) -> Float[np.ndarray, "t n"]:
        """Run the network on some strings."""
        return self._reader.read(strings)["hidden"][:, neurons]

    def __repr__(self) -> str:
        return self._describe("StreamedActivations") + ")"


def stream(
    model: TrainedModel | Population,
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
    size, emit = chunk_size(chunk), choose_states(model, ("hidden",), dtype)
    intervention = None if intervention is None else intervention.on(corpus)
    return StreamedActivations(Reader(model, corpus, emit, intervention, size), corpus, size)


def chunk_size(chunk: int | None) -> int:
    """Check a number of characters at a time."""
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int | np.integer) or chunk < 1):
        raise ValueError(f"expected chunk as a whole number of characters of at least 1, or None, got {chunk!r}")
    return CHUNK if chunk is None else int(chunk)
