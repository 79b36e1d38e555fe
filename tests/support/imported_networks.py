"""A few strings, and weights of recurrent layers, for imported networks."""

import numpy as np

from dni_jax.text import Corpus

SYMBOLS = ["c", "a", "x", "b"]
TEXTS = ["abcab", "c", "bbac"]
H, D = 5, 3
CORPUS = Corpus.from_strings(TEXTS)
CODES = [np.asarray([SYMBOLS.index(character) for character in text]) for text in TEXTS]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_weights(blocks, shape, suffix="_l0", n_in=4, seed=0):
    rng = np.random.default_rng(seed)
    size, width = shape
    return {
        f"weight_ih{suffix}": rng.normal(size=(blocks * size, n_in)),
        f"weight_hh{suffix}": rng.normal(size=(blocks * size, width)),
        f"bias_ih{suffix}": rng.normal(size=blocks * size),
        f"bias_hh{suffix}": rng.normal(size=blocks * size),
    }
