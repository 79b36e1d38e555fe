"""States in memory that pretend to come in chunks."""

import numpy as np

from dni_jax.models import ChunkedActivations


class FakeChunks(ChunkedActivations):
    """States in memory that pretend to come in chunks."""

    def __init__(self, hidden, offsets, groups, chunk, about=""):
        self._hidden, self.offsets, self.string_groups = hidden, offsets, groups
        self.n_neurons, self.chunk, self.fingerprint, self.reads = hidden.shape[1], chunk, about, 0

    def read(self, strings, neurons=slice(None)):
        self.reads += sum(int(self.offsets[b] - self.offsets[a]) for a, b in strings)
        return np.concatenate([self._hidden[self.offsets[a] : self.offsets[b], neurons] for a, b in strings])
