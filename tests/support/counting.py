"""A network that is built by hand: neuron 0 counts open brackets exactly, the others are random and read it."""

import numpy as np

from dni_jax.models import LayerWeights, TrainedModel, Weights
from dni_jax.programs import Program

STEP = 2.0**-10  # of the counter; so small that tanh is a line
N = 6


def open_brackets():
    """The program that says what neuron 0 counts: the brackets that are open after each character."""

    def step(count, symbol):
        count += (symbol == "(") - (symbol == ")")
        return count, count

    return Program("open", lambda: 0, step)


def counting_network(vocabulary):
    rng = np.random.default_rng(0)
    n_symbols = len(vocabulary)
    wx = rng.normal(size=(n_symbols, 4, N)).astype(np.float32)
    wh = rng.normal(size=(N, 4, N)).astype(np.float32)
    wh[0] /= STEP  # what the others read of the counter
    b = np.zeros((4, N), np.float32)
    # Neuron 0: gates wide open, and a candidate of one step up or down.
    wx[:, :, 0], wh[:, :, 0] = 0, 0
    b[[0, 1, 3], 0] = 40
    for symbol, change in (("(", STEP), (")", -STEP)):
        wx[1 + vocabulary.characters.index(symbol), 2, 0] = np.arctanh(change)
    head = rng.normal(size=(N, n_symbols)).astype(np.float32)
    head[0] /= STEP
    layer = LayerWeights(wx.reshape(n_symbols, -1), wh.reshape(N, -1), b.reshape(-1))
    return TrainedModel.from_weights(Weights((layer,), head, np.zeros(n_symbols, np.float32)), vocabulary)
