"""Weights of networks that PyTorch, Keras or Flax trained, in a network of ours; and ours in Flax's cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from dni_jax.models._arrays import as_numpy
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights, Weights, check_finite
from dni_jax.models.cells import CELLS
from dni_jax.text import Vocabulary

_NEVER = -1e9  # logit of the boundary in a network that knows none
_FLAX = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}


@dataclass(frozen=True)
class _Parts:
    """A network in our own conventions, but with its own codes: layers, input table, readout."""

    layers: list[LayerWeights]
    head: np.ndarray
    head_b: np.ndarray
    cell: str


def from_torch(
    recurrent: Any, head: Any, characters: Sequence[str], *, embedding: Any = None, boundary: int | None = None
) -> TrainedModel:
    """Take over a character network that PyTorch trained.

    Parameters
    ----------
    recurrent
        An ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` (tanh, one direction), or its ``state_dict()``.
    head
        The ``nn.Linear`` that gives the next symbol's logits from the top layer's state, or its ``state_dict()``.
    characters
        The network's symbols in the order of its codes, one character each; what stands at `boundary` is not read.
    embedding
        The ``nn.Embedding`` before the recurrent layers, or its weights ``(V, D)``; None if they read one-hot symbols.
        It is multiplied into the input's weights, so that single numbers change by a rounding.
    boundary
        The code that begins and ends a string, if there is one. Without one, strings are read from the zero state,
        and `dni_jax.generate` needs ``prime=``.

    Returns
    -------
    TrainedModel in float32: to record, verify, intervene and generate with.

    Raises
    ------
    ValueError
        For layers with two directions, projections or another activation, and for sizes that do not fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,)}
    >>> state = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> from_torch(state, {"weight": np.ones((3, 4)), "bias": np.zeros(3)}, ["b", "a", "c"])
    TrainedModel(lstm, 4 neurons, 4 symbols)
    """
    for name, wanted in (("bidirectional", False), ("proj_size", 0), ("nonlinearity", "tanh")):
        got = getattr(recurrent, name, wanted)
        if got != wanted:
            raise ValueError(
                f"expected a recurrent module with {name}={wanted!r}, got {got!r}: record its states instead"
            )
    state, linear = _state(recurrent), _state(head)
    if any(name.endswith(("_reverse", "_hr_l0")) for name in state):
        raise ValueError(f"expected one direction and no projection, got {', '.join(state)}: record its states instead")
    layers, number = [], 0
    while f"weight_hh_l{number}" in state:
        wx, wh = (_array(state[f"weight_{which}_l{number}"]).T for which in ("ih", "hh"))
        zero = np.zeros(wx.shape[1], np.float32)
        biases = [_array(state.get(f"bias_{which}_l{number}", zero)) for which in ("ih", "hh")]
        layers.append(_layer(wx, wh, *biases))
        number += 1
    if not layers:
        raise ValueError(f"expected weights named weight_ih_l0, weight_hh_l0, ..., got {', '.join(state) or 'none'}")
    weight = _array(linear["weight"]).T
    bias = _array(linear.get("bias", np.zeros(weight.shape[1])))
    table = None if embedding is None else _array(_state(embedding)["weight"] if _has_state(embedding) else embedding)
    return _taken_over(_Parts(layers, weight, bias, _cell_of(layers[0])), table, characters, boundary)


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
        The ``Dense`` layer behind the top one; a softmax in it is left to us.
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
    layers = [_keras_layer(layer) for layer in stack]
    if getattr(getattr(head, "activation", None), "__name__", "linear") not in ("linear", "softmax", "log_softmax"):
        raise ValueError(f"expected a Dense head with a linear or softmax activation, got {head.activation.__name__!r}")
    weight, *bias = (_array(array) for array in head.get_weights())
    table = None
    if embedding is not None:
        table = _array(embedding.get_weights()[0] if hasattr(embedding, "get_weights") else embedding)
    head_b = bias[0] if bias else np.zeros(weight.shape[1], np.float32)
    return _taken_over(_Parts(layers, weight, head_b, _cell_of(layers[0])), table, characters, boundary)


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
        The ``nnx.Linear`` behind the top one.
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
    names = [next((name for name, kind in _FLAX.items() if isinstance(cell, kind)), None) for cell in cells]
    if None in names or len(set(names)) != 1:
        wanted = ", ".join(kind.__name__ for kind in _FLAX.values())
        raise ValueError(f"expected cells of one kind among {wanted}, got {[type(cell).__name__ for cell in cells]}")
    layers = []
    for cell in cells:
        bias = cell.dense_h.bias if names[0] == "lstm" else cell.dense_i.bias
        wx, wh, b = (_array(array[...]) for array in (cell.dense_i.kernel, cell.dense_h.kernel, bias))
        layers.append(_layer(wx, wh, b, np.zeros_like(b)))
    head_b = np.zeros(head.out_features, np.float32) if head.bias is None else _array(head.bias[...])
    table = None if embedding is None else _array(getattr(embedding, "embedding", embedding)[...])
    return _taken_over(_Parts(layers, _array(head.kernel[...]), head_b, str(names[0])), table, characters, boundary)


def to_flax(model: TrainedModel) -> list[nnx.RNN]:
    """Give a network's recurrent layers as Flax's own, to be called on one-hot symbols ``(B, L, V)``.

    Raises
    ------
    ValueError
        For a GRU whose state has a bias, which Flax's cell has not.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> (layer,) = to_flax(dni.train(corpus, hidden=8, steps=2, progress=False))
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
        cell = _FLAX[weights.cell](layer.wx.shape[0], layer.hidden, rngs=nnx.Rngs(0))
        cell.dense_i.kernel[...], cell.dense_h.kernel[...] = layer.wx, layer.wh
        (cell.dense_h if weights.cell == "lstm" else cell.dense_i).bias[...] = layer.b
        made.append(nnx.RNN(cell))
    return made


def _has_state(module: Any) -> bool:
    return hasattr(module, "state_dict") or isinstance(module, Mapping)


def _state(module: Any) -> Mapping[str, Any]:
    state = module.state_dict() if hasattr(module, "state_dict") else module
    if not isinstance(state, Mapping):
        raise ValueError(f"expected a PyTorch module or its state_dict(), got {type(module).__name__}")
    return state


def _array(values: Any) -> np.ndarray:
    """Any framework's array as float32; half precision is widened, float64 rounded."""
    return np.asarray(as_numpy(values, "weights"), np.float32)


def _cell_of(layer: LayerWeights) -> str:
    blocks = layer.wh.shape[1] / layer.wh.shape[0]
    return {4.0: "lstm", 3.0: "gru", 1.0: "rnn"}.get(blocks, "")


def _layer(wx: np.ndarray, wh: np.ndarray, from_input: np.ndarray, from_state: np.ndarray) -> LayerWeights:
    """One layer in our order; both biases are added up where the cell does not tell them apart."""
    cell = _cell_of(LayerWeights(wx, wh, None))
    sizes = {wx.shape[-1], wh.shape[-1], from_input.shape[-1], from_state.shape[-1]}
    if not cell or len(sizes) != 1:
        raise ValueError(f"expected recurrent weights of 4, 3 or 1 blocks, got shapes {wx.shape} and {wh.shape}")
    if CELLS[cell].has_state_bias:
        return LayerWeights(wx, wh, from_input, from_state)
    return LayerWeights(wx, wh, from_input + from_state)


def _keras_layer(layer: Any) -> LayerWeights:
    config = layer.get_config()
    wanted = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True, "go_backwards": False}
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"expected a Keras layer with {name}={value!r}, got {config[name]!r}: record its states instead"
            )
    wx, wh, *bias = (_array(array) for array in layer.get_weights())
    both = np.zeros((2, wx.shape[1]), np.float32)
    if bias:
        both[: 1 if bias[0].ndim == 1 else 2] = bias[0]
    if wx.shape[1] == 3 * wh.shape[0]:  # Keras has update, reset, candidate
        n = wh.shape[0]
        order = np.r_[n : 2 * n, :n, 2 * n : 3 * n]
        wx, wh, both = wx[:, order], wh[:, order], both[:, order]
    return _layer(wx, wh, *both)


def _taken_over(
    parts: _Parts, table: np.ndarray | None, characters: Sequence[str], boundary: int | None
) -> TrainedModel:
    """Put a network's symbols into our order: the boundary first, then characters by code point."""
    codes = _codes(characters, boundary)
    lowest = parts.layers[0]
    wx = lowest.wx if table is None else _embedded(table, lowest.wx)
    if not len(wx) == parts.head.shape[1] == len(characters):
        raise ValueError(
            f"expected as many characters as the network has symbols, got {len(characters)} characters, "
            f"{len(wx)} input symbols and {parts.head.shape[1]} output symbols"
        )
    below = [layer.hidden for layer in parts.layers[:-1]]
    sizes = [(len(layer.wx), size) for layer, size in zip(parts.layers[1:], below, strict=True)]
    if any(a != b for a, b in sizes) or len(parts.head) != parts.layers[-1].hidden:
        raise ValueError("expected each layer, and the head, to read as many numbers as the layer below has neurons")
    none = np.zeros((1, wx.shape[1]), np.float32)
    first = none if boundary is None else wx[[boundary]]
    head_first = np.zeros((len(parts.head), 1), np.float32) if boundary is None else parts.head[:, [boundary]]
    bias_first = [_NEVER] if boundary is None else parts.head_b[[boundary]]
    weights = Weights(
        (LayerWeights(np.concatenate([first, wx[codes]]), lowest.wh, lowest.b, lowest.bh), *parts.layers[1:]),
        np.concatenate([head_first, parts.head[:, codes]], axis=1),
        np.concatenate([bias_first, parts.head_b[codes]]).astype(np.float32),
        parts.cell,
    )
    check_finite(weights, "the network to take over")
    vocabulary = Vocabulary(tuple(characters[code] for code in codes))
    return TrainedModel.from_weights(weights, vocabulary, boundary=boundary is not None)


def _codes(characters: Sequence[str], boundary: int | None) -> list[int]:
    """The network's codes in the order of their characters' code points, without the boundary's."""
    if boundary is not None and not 0 <= boundary < len(characters):
        raise ValueError(f"expected boundary to be a code from 0 to {len(characters) - 1}, got {boundary}")
    codes = [code for code in range(len(characters)) if code != boundary]
    long = [characters[code] for code in codes if len(characters[code]) != 1]
    if long or len({characters[code] for code in codes}) < len(codes):
        raise ValueError(
            f"expected different single characters, got {long or 'one twice'}: name the code of a string's "
            "beginning and end with boundary=, and record the states of networks that read longer tokens"
        )
    return sorted(codes, key=lambda code: characters[code])


def _embedded(table: np.ndarray, wx: np.ndarray) -> np.ndarray:
    if table.ndim != 2 or table.shape[1] != len(wx):
        raise ValueError(f"expected an embedding of shape (V, {len(wx)}), got {table.shape}")
    return (table.astype(np.float64) @ wx.astype(np.float64)).astype(np.float32)
