"""States that are computed when they are asked for, and kept nowhere."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float

from dni_jax.interventions import Intervention
from dni_jax.models._chunked import CHUNK, ChunkedActivations, Strings
from dni_jax.models._fingerprints import fingerprint_corpus
from dni_jax.models._lanes import make_lanes
from dni_jax.models._population import Population
from dni_jax.models._running import Bound, asked_for, states_of
from dni_jax.models._trained import TrainedModel
from dni_jax.text import Corpus, concatenate_ranges

_LANES = 256  # texts read side by side
_STEPS = 64  # time steps in one call of the compiled program; lanes are padded to a multiple


class Reader:
    """A network that reads some strings of a corpus at a time, always as one compiled program."""

    def __init__(
        self,
        model: TrainedModel,
        corpus: Corpus,
        what: tuple[str, ...],
        intervention: Intervention | None,
        dtype: str,
        chunk: int,
    ) -> None:
        self.model, self.what, self.dtype = model, what, dtype
        self.corpus = replace(model.encode(corpus), trees=None, parsed=None, records={})
        self.bound: Bound = ((), ())
        if intervention is not None:
            self.bound = intervention.bind(model.n_neurons, corpus.n_positions, model.parts)
        wanted = min(_LANES, max(chunk // _LANES, 1), len(corpus))
        self.n_lanes = wanted - wanted % 2 if wanted > 1 else wanted

    def read(self, strings: Strings) -> dict[str, np.ndarray]:
        """Give each kind of states at all characters of some strings, in the corpus' order."""
        some = self.corpus.take(np.concatenate([np.arange(first, last) for first, last in strings]))
        bound = self.bound
        if bound[0]:
            first, last = (self.corpus.offsets[list(ends)] for ends in zip(*strings, strict=True))
            positions = concatenate_ranges(first, last - first)
            bound = (bound[0], jax.tree.map(lambda rows: rows[positions], bound[1]))
        lanes = make_lanes(some, self.n_lanes, multiple=_STEPS)
        return states_of(self.model, lanes, bound, self.what, self.dtype, _STEPS, some.n_positions)


class StreamedActivations(ChunkedActivations):
    """The states of a network that runs when they are asked for; see `stream`.

    Attributes
    ----------
    corpus
        What the network reads.
    """

    def __init__(self, reader: Reader, corpus: Corpus, chunk: int) -> None:
        self.offsets, self.string_groups = corpus.offsets, corpus.groups
        self.n_neurons, self.chunk, self.corpus = reader.model.n_neurons, chunk, corpus
        self.about = fingerprint_corpus(corpus)
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
    """Give the hidden states of a network without keeping them: it runs while they are used.

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
        raise ValueError(f"expected one network, got a population of {len(model)}: take one after the other")
    size, what = chunk_size(chunk), asked_for(model, ("hidden",), dtype)
    return StreamedActivations(Reader(model, corpus, what, intervention, dtype, size), corpus, size)


def chunk_size(chunk: int | None) -> int:
    """Check a number of characters at a time."""
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int | np.integer) or chunk < 1):
        raise ValueError(f"expected chunk as a whole number of characters of at least 1, or None, got {chunk!r}")
    return CHUNK if chunk is None else int(chunk)
