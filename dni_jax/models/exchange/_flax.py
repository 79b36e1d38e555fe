"""Networks made of Flax NNX cells, and ours as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights
from dni_jax.models.exchange._convert import ForeignNetwork, convert, float32, make_layer


class _FlaxCell(NamedTuple):
    """A cell of Flax, and the one of its two dense layers that has the bias."""

    kind: Any
    biased: str


_CELLS = {
    "lstm": _FlaxCell(nnx.OptimizedLSTMCell, "dense_h"),
    "gru": _FlaxCell(nnx.GRUCell, "dense_i"),
    "rnn": _FlaxCell(nnx.SimpleCell, "dense_i"),
}


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
    names = {name for cell in cells for name, (kind, _) in _CELLS.items() if isinstance(cell, kind)}
    if len(names) != 1 or not all(isinstance(cell, _CELLS[name].kind) for cell in cells for name in names):
        wanted = ", ".join(kind.__name__ for kind, _ in _CELLS.values())
        raise ValueError(f"expected cells of one kind among {wanted}, got {[type(cell).__name__ for cell in cells]}")
    (name,) = names
    layers = []
    for cell in cells:
        bias = getattr(cell, _CELLS[name].biased).bias
        wx, wh, b = (float32(array[...]) for array in (cell.dense_i.kernel, cell.dense_h.kernel, bias))
        layers.append(make_layer(name, wx, wh, b, np.zeros_like(b)))
    head_b = np.zeros(head.out_features, np.float32) if head.bias is None else float32(head.bias[...])
    table = None if embedding is None else float32(getattr(embedding, "embedding", embedding)[...])
    return convert(ForeignNetwork(name, layers, float32(head.kernel[...]), head_b, table), characters, boundary)


def to_flax(model: TrainedModel) -> list[nnx.RNN]:
    """Return a network's recurrent layers as Flax's own, to be called on one-hot symbols ``(B, L, V)``.

    Raises
    ------
    ValueError
        For a cell that Flax does not have, and for a GRU whose state has a bias, which Flax's GRU does not have.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> (layer,) = dni.models.to_flax(dni.train(corpus, hidden=8, steps=2, progress=False))
    >>> type(layer.cell).__name__
    'OptimizedLSTMCell'
    """
    weights = model.weights
    if weights.cell not in _CELLS:
        raise ValueError(f"expected a network of one of the cells {', '.join(_CELLS)}, got {weights.cell!r} cells")
    flax_cell = _CELLS[weights.cell]
    made = []
    for layer in weights.layers:
        assert isinstance(layer, LayerWeights)  # as of every cell that Flax has
        if layer.bh is not None and np.abs(np.asarray(layer.bh)).max() > 0:
            raise ValueError(
                "expected a GRU without a bias of the state's own, which Flax's GRUCell does not have, got one: "
                "call model.module itself, which is a Flax module"
            )
        cell = flax_cell.kind(layer.wx.shape[0], layer.hidden, rngs=nnx.Rngs(0))
        cell.dense_i.kernel[...], cell.dense_h.kernel[...] = layer.wx, layer.wh
        getattr(cell, flax_cell.biased).bias[...] = layer.b
        made.append(nnx.RNN(cell))
    return made
