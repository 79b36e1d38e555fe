"""States of neurons as one type, whichever network or file they come from."""

from dni_jax.states._activations import Activations, mask_of
from dni_jax.states._as_activations import as_activations, as_numpy, read_hidden
from dni_jax.states._chunked import CHUNK, ChunkedActivations, Strings, part_of
from dni_jax.states._prefetch import prefetch

__all__ = [
    "CHUNK",
    "Activations",
    "ChunkedActivations",
    "Strings",
    "as_activations",
    "as_numpy",
    "mask_of",
    "part_of",
    "prefetch",
    "read_hidden",
]
