"""What all frameworks share: layers in our order of gates, and symbols in our order of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights, Weights, check_finite_weights
from dni_jax.models.cells import GRU, LSTM, RNN
from dni_jax.states import as_numpy
from dni_jax.text import Vocabulary

_NEVER = -1e9  # logit of the boundary in a network that has none
_CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN)}  # those that other frameworks have


class ForeignNetwork(NamedTuple):
    """A network in our conventions, but with its own codes.

    Attributes
    ----------
    cell
        The name of its cells.
    layers
        The lowest first; its input is one-hot symbols, or what `embedding` turns them into.
    head, head_b
        float32 ``(N, V)`` and ``(V,)``: the readout.
    embedding
        float ``(V, D)``, or None.
    """

    cell: str
    layers: list[LayerWeights]
    head: Float[np.ndarray, "N V"]
    head_b: Float[np.ndarray, " V"]
    embedding: Float[np.ndarray, "V D"] | None = None


def float32(values: Any) -> np.ndarray:
    """Return any framework's array in float32; half precision is widened, float64 rounded."""
    return np.asarray(as_numpy(values, "weights"), np.float32)


def make_layer(
    cell: str, wx: np.ndarray, wh: np.ndarray, from_input: np.ndarray, from_state: np.ndarray
) -> LayerWeights:
    """Return a layer with gates in our order; its two biases are added up where the cell uses only their sum."""
    sizes = {wx.shape[-1], wh.shape[-1], from_input.shape[-1], from_state.shape[-1]}
    blocks = len(_CELLS[cell].gates)
    if sizes != {blocks * len(wh)}:
        raise ValueError(
            f"expected weights of {blocks} blocks of columns for a cell {cell!r}, got shapes {wx.shape} and {wh.shape}"
        )
    if _CELLS[cell].has_state_bias:
        return LayerWeights(wx, wh, from_input, from_state)
    return LayerWeights(wx, wh, from_input + from_state)


def name_cell(wh: np.ndarray) -> str:
    """Return the cell that has these recurrent weights, by their number of blocks.

    Raises
    ------
    ValueError
        If no cell has so many blocks.
    """
    for name, cell in _CELLS.items():
        if wh.shape[1] == len(cell.gates) * wh.shape[0]:
            return name
    blocks = ", ".join(f"{len(cell.gates)} ({name})" for name, cell in _CELLS.items())
    raise ValueError(f"expected recurrent weights with one of these numbers of blocks: {blocks}; got shape {wh.shape}")


def convert(network: ForeignNetwork, characters: Sequence[str], boundary: int | None) -> TrainedModel:
    """Return the network with its symbols in our order: the boundary first, then characters by code point.

    Parameters
    ----------
    network
        The network.
    characters
        Its symbols in the order of its codes; the one at `boundary` is not read.
    boundary
        The code that begins and ends a string, or None.
    """
    codes = _codes(characters, boundary)
    lowest, head, head_b = network.layers[0], network.head, network.head_b
    wx = lowest.wx if network.embedding is None else _embed(network.embedding, lowest.wx)
    if not len(wx) == head.shape[1] == len(characters):
        raise ValueError(
            f"expected as many characters as the network has symbols, got {len(characters)} characters, "
            f"{len(wx)} input symbols and {head.shape[1]} output symbols"
        )
    below = [layer.hidden for layer in network.layers[:-1]]
    sizes = [(len(layer.wx), size) for layer, size in zip(network.layers[1:], below, strict=True)]
    if any(a != b for a, b in sizes) or len(head) != network.layers[-1].hidden:
        raise ValueError("expected each layer, and the head, to read as many numbers as the layer below has neurons")
    # Our code 0 is the boundary. A network without one gets a symbol that adds nothing and is never predicted.
    first = np.zeros((1, wx.shape[1]), np.float32) if boundary is None else wx[[boundary]]
    head_first = np.zeros((len(head), 1), np.float32) if boundary is None else head[:, [boundary]]
    bias_first = [_NEVER] if boundary is None else head_b[[boundary]]
    weights = Weights(
        (LayerWeights(np.concatenate([first, wx[codes]]), lowest.wh, lowest.b, lowest.bh), *network.layers[1:]),
        np.concatenate([head_first, head[:, codes]], axis=1),
        np.concatenate([bias_first, head_b[codes]]).astype(np.float32),
        network.cell,
    )
    check_finite_weights(weights, "the network to take over")
    vocabulary = Vocabulary(tuple(characters[code] for code in codes))
    return TrainedModel.from_weights(weights, vocabulary, boundary=boundary is not None)


def _codes(characters: Sequence[str], boundary: int | None) -> list[int]:
    """Return the network's codes in the order of their characters' code points, without the boundary's."""
    if boundary is not None and not 0 <= boundary < len(characters):
        raise ValueError(f"expected boundary to be a code from 0 to {len(characters) - 1}, got {boundary}")
    codes = [code for code in range(len(characters)) if code != boundary]
    long = [characters[code] for code in codes if len(characters[code]) != 1]
    if long or len({characters[code] for code in codes}) < len(codes):
        raise ValueError(
            f"expected different single characters, got {long or 'the same one twice'}: name the code of a string's "
            "beginning and end with boundary=, and record the states of networks that read longer tokens"
        )
    return sorted(codes, key=lambda code: characters[code])


def _embed(embedding: np.ndarray, wx: np.ndarray) -> np.ndarray:
    """Multiply an embedding into the input's weights; in float64, so that only the result is rounded."""
    if embedding.ndim != 2 or embedding.shape[1] != len(wx):
        raise ValueError(f"expected an embedding of shape (V, {len(wx)}), got {embedding.shape}")
    return (embedding.astype(np.float64) @ wx.astype(np.float64)).astype(np.float32)
