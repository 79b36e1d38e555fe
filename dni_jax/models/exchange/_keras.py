"""Networks that Keras trained. Keras itself is not imported: layers say what they are by ``get_config()``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights
from dni_jax.models.exchange._convert import ForeignNetwork, convert, float32, make_layer, name_cell

# What a layer must be to compute what our cells compute; a setting that a layer lacks does not matter.
_WANTED = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True, "go_backwards": False}


def from_keras(
    recurrent: Any, head: Any, characters: Sequence[str], *, embedding: Any = None, boundary: int | None = None
) -> TrainedModel:
    """Take over a character network that Keras trained.

    Parameters
    ----------
    recurrent
        A ``keras.layers.LSTM``, ``GRU`` (``reset_after=True``, the default) or ``SimpleRNN``, or several, the lowest
        first.
    head
        The ``Dense`` layer after the top one; its softmax, if it has one, is left out, as ours computes its own.
    characters, embedding, boundary
        See `from_torch`; `embedding` is a ``keras.layers.Embedding`` or its weights.

    Returns
    -------
    TrainedModel in float32.

    Raises
    ------
    ValueError
        For activations that are not the defaults, a GRU that resets before the product, and sizes that do not fit.
    """
    stack = list(recurrent) if isinstance(recurrent, (list, tuple)) else [recurrent]
    cells, layers = zip(*map(_layer, stack), strict=True)
    if len(set(cells)) != 1:
        raise ValueError(f"expected layers with cells of one kind, got {', '.join(cells)}")
    if getattr(getattr(head, "activation", None), "__name__", "linear") not in ("linear", "softmax", "log_softmax"):
        raise ValueError(f"expected a Dense head with a linear or softmax activation, got {head.activation.__name__!r}")
    weight, *bias = (float32(array) for array in head.get_weights())
    table = None
    if embedding is not None:
        table = float32(embedding.get_weights()[0] if hasattr(embedding, "get_weights") else embedding)
    head_b = bias[0] if bias else np.zeros(weight.shape[1], np.float32)
    return convert(ForeignNetwork(cells[0], list(layers), weight, head_b, table), characters, boundary)


def _layer(layer: Any) -> tuple[str, LayerWeights]:
    """Return the name of a layer's cell, and its weights in our order."""
    config = layer.get_config()
    for name, value in _WANTED.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"expected a Keras layer with {name}={value!r}, got {config[name]!r}: record its states instead"
            )
    wx, wh, *bias = (float32(array) for array in layer.get_weights())
    both = np.zeros((2, wx.shape[1]), np.float32)
    if bias:
        both[: 1 if bias[0].ndim == 1 else 2] = bias[0]
    cell = name_cell(wh)
    if cell == "gru":  # Keras has update, reset, candidate; ours reset, update, candidate
        n = wh.shape[0]
        order = np.r_[n : 2 * n, :n, 2 * n : 3 * n]
        wx, wh, both = wx[:, order], wh[:, order], both[:, order]
    return cell, make_layer(cell, wx, wh, *both)
