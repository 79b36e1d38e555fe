"""Networks made of Flax NNX cells, and ours as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import nnx

from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange._convert import ForeignNetwork, convert, float32, make_layer

_CELLS = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}


def from_flax(
    recurrent: Any, head: Any, characters: Sequence[str], *, embedding: Any = None, boundary: int | None = None
) -> TrainedModel:
    """Take over a character network made of Flax NNX cells.

    Parameters
    ----------
    recurrent
        An ``nnx.OptimizedLSTMCell``, ``nnx.GRUCell`` or ``nnx.SimpleCell``, an ``nnx.RNN`` around one, or several, the
        lowest first.
    head
        The ``nnx.Linear`` after the top one.
    characters, embedding, boundary
        See `from_torch`; `embedding` is an ``nnx.Embed`` or its weights.

    Returns
    -------
    TrainedModel in float32.

    Raises
    ------
    ValueError
        For other cells, and sizes that do not fit.
    """
    stack = list(recurrent) if isinstance(recurrent, (list, tuple)) else [recurrent]
    cells = [getattr(layer, "cell", layer) for layer in stack]
    names = [next((name for name, kind in _CELLS.items() if isinstance(cell, kind)), None) for cell in cells]
    if None in names or len(set(names)) != 1:
        wanted = ", ".join(kind.__name__ for kind in _CELLS.values())
        raise ValueError(f"expected cells of one kind among {wanted}, got {[type(cell).__name__ for cell in cells]}")
    layers = []
    for cell in cells:
        bias = cell.dense_h.bias if names[0] == "lstm" else cell.dense_i.bias
        wx, wh, b = (float32(array[...]) for array in (cell.dense_i.kernel, cell.dense_h.kernel, bias))
        layers.append(make_layer(wx, wh, b, np.zeros_like(b)))
    head_b = np.zeros(head.out_features, np.float32) if head.bias is None else float32(head.bias[...])
    table = None if embedding is None else float32(getattr(embedding, "embedding", embedding)[...])
    return convert(ForeignNetwork(layers, float32(head.kernel[...]), head_b, table), characters, boundary)


def to_flax(model: TrainedModel) -> list[nnx.RNN]:
    """Return a network's recurrent layers as Flax's own, to be called on one-hot symbols ``(B, L, V)``.

    Raises
    ------
    ValueError
        For a GRU whose state has a bias, which Flax's cell does not have.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> (layer,) = dni.models.to_flax(dni.train(corpus, hidden=8, steps=2, progress=False))
    >>> type(layer.cell).__name__
    'OptimizedLSTMCell'
    """
    weights = model.weights
    made = []
    for layer in weights.layers:
        if layer.bh is not None and np.abs(np.asarray(layer.bh)).max() > 0:
            raise ValueError(
                "expected a GRU without a bias of the state's own, which Flax's GRUCell does not have, got one: "
                "call model.module itself, which is a Flax module"
            )
        cell = _CELLS[weights.cell](layer.wx.shape[0], layer.hidden, rngs=nnx.Rngs(0))
        cell.dense_i.kernel[...], cell.dense_h.kernel[...] = layer.wx, layer.wh
        (cell.dense_h if weights.cell == "lstm" else cell.dense_i).bias[...] = layer.b
        made.append(nnx.RNN(cell))
    return made
