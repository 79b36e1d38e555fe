"""What all frameworks share: layers in our order of gates, and the model that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from dni_jax.devices import use_all_cores
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights, Weights, check_finite_weights
from dni_jax.models.cells import GRU, LSTM, RNN
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._reading import Reading
from dni_jax.models.exchange._readout import Head, Readout, apply_head
from dni_jax.models.exchange._reference import check_reference
from dni_jax.models.exchange._stack import (
    Bidirectional,
    Dense,
    Elementwise,
    Layer,
    LayerNorm,
    Recurrent,
    Stack,
)
from dni_jax.models.exchange._symbols import make_symbols
from dni_jax.states import as_numpy
from dni_jax.text import Vocabulary

_NEVER = -1e9  # logit of the boundary in a network that has none
_CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN)}  # those that other frameworks have


class Parsed(NamedTuple):
    """A network as an adapter reads it.

    Attributes
    ----------
    layers
        The lowest first.
    embedding
        float32 ``(V, D)``, or None.
    head
        Dense layers on top of the uppermost one, or None.
    masked
        Whether code 0 is left out (Keras' ``mask_zero``).
    source
        The framework's name.
    """

    layers: tuple[Layer, ...]
    embedding: Float[np.ndarray, "V D"] | None
    head: Head | None
    source: str
    masked: bool = False


class Description(NamedTuple):
    """What a user says about a network: the arguments that all adapters share; see `from_torch`.

    Attributes
    ----------
    reading
        Fields of `Reading`; None where nothing is said.
    """

    characters: Any
    boundary: int | None = None
    readout: Any = None
    reference: Any = None
    unknown: int | None = None
    split: Any = None
    per: str = "symbol"
    reading: Mapping[str, Any] = {}


def float32(values: Any) -> np.ndarray:
    """Return any framework's array in float32; half precision is widened, float64 rounded."""
    return np.asarray(as_numpy(values, "weights"), np.float32)


def make_layer(
    cell: str, wx: np.ndarray, wh: np.ndarray, from_input: np.ndarray, from_state: np.ndarray, **settings: Any
) -> Recurrent:
    """Return a layer with gates in our order; its two biases are added up where the cell uses only their sum."""
    sizes = {wx.shape[-1], wh.shape[-1], from_input.shape[-1], from_state.shape[-1]}
    blocks = len(_CELLS[cell].gates)
    projection = settings.get("projection")
    size = len(wh) if projection is None else len(projection)
    if sizes != {blocks * size} or (projection is not None and projection.shape[1] != len(wh)):
        raise ValueError(
            f"expected weights of {blocks} blocks of columns for a cell {cell!r}, got shapes {wx.shape} and {wh.shape}"
        )
    if _CELLS[cell].has_state_bias and settings.get("reset_after", True):
        return Recurrent(wx, wh, from_input, from_state, cell=cell, **settings)
    return Recurrent(wx, wh, from_input + from_state, cell=cell, **settings)


def name_cell(wh: np.ndarray) -> str:
    """Return the cell that has these recurrent weights, by their number of blocks.

    Raises
    ------
    ValueError
        If no cell has so many blocks.
    """
    for name in ("lstm", "gru", "rnn"):
        if wh.shape[1] == len(_CELLS[name].gates) * wh.shape[0]:
            return name
    blocks = ", ".join(f"{len(_CELLS[name].gates)} ({name})" for name in ("lstm", "gru", "rnn"))
    raise ValueError(f"expected recurrent weights with one of these numbers of blocks: {blocks}; got shape {wh.shape}")


def build(parsed: Parsed, said: Description) -> TrainedModel | ImportedModel:
    """Return a model: a `TrainedModel` where our own cells, head and symbols describe it, else an `ImportedModel`.

    Raises
    ------
    ValueError
        Where sizes do not fit, or states differ from the reference.
    """
    use_all_cores()
    stack = Stack(parsed.layers, parsed.embedding)
    _check_sizes(stack, parsed.head)
    _check_finite(stack, parsed.head)
    options = {name: value for name, value in said.reading.items() if value is not None}
    if parsed.masked:
        options = {"pad": 0, **options}
    if parsed.head is not None and said.readout is not None:
        raise ValueError("expected a head or a readout, got both: pass head=None with readout=")
    if _is_ours(parsed, said, options):
        characters = list(said.characters)
        model = _convert(stack, parsed.head, characters, said.boundary)  # type: ignore[arg-type]
        if said.reference is None:
            return model
        names = [text if code != said.boundary else None for code, text in enumerate(characters)]
        # The embedding multiplied in, as the model has it: that rounds, too.
        lowest = stack.recurrent[0]
        wx = lowest.wx if stack.embedding is None else _embed(stack.embedding, lowest.wx)
        own = Stack((replace(lowest, wx=wx), *stack.recurrent[1:]))
        twin = ImportedModel(own, make_symbols(names, own.n_symbols, None, None), Reading(), None, parsed.source)
        return replace(model, reference_difference=check_reference(twin, said.reference))
    imported = _import(stack, parsed, said, options)
    if said.reference is None:
        return imported
    return replace(imported, reference_difference=check_reference(imported, said.reference))


def _is_ours(parsed: Parsed, said: Description, options: Mapping[str, Any]) -> bool:
    """Whether a `TrainedModel` computes, reads and predicts the same."""
    layers = parsed.layers
    plain = all(isinstance(layer, Recurrent) and layer.is_plain for layer in layers)
    same = len({layer.cell for layer in layers if isinstance(layer, Recurrent)}) == 1
    head = parsed.head
    linear = head is not None and len(head) == 1 and isinstance(head[0], Dense) and head[0].activation == "linear"
    listed = isinstance(said.characters, Sequence) and all(isinstance(text, str) for text in said.characters)
    if not (plain and same and linear and listed) or options or parsed.masked:
        return False
    if said.unknown is not None or said.split is not None or said.per != "symbol":
        return False
    n_outputs = head[0].kernel.shape[1]  # type: ignore[index,union-attr]
    return bool(n_outputs == Stack(layers, parsed.embedding).n_symbols)


def _import(stack: Stack, parsed: Parsed, said: Description, options: dict[str, Any]) -> ImportedModel:
    characters = said.characters
    if said.boundary is not None:
        if not 0 <= said.boundary < stack.n_symbols:
            raise ValueError(f"expected boundary to be a code from 0 to {stack.n_symbols - 1}, got {said.boundary}")
        options = {"begin": said.boundary, "end": said.boundary, **options}
        if isinstance(characters, Sequence) and not isinstance(characters, str):
            characters = [None if code == said.boundary else text for code, text in enumerate(characters)]
    symbols = make_symbols(characters, stack.n_symbols, said.unknown, said.split)
    if isinstance(options.get("prefix"), str):
        options["prefix"] = tuple(symbols.read(options["prefix"], 0).codes.tolist())
    elif "prefix" in options:
        options["prefix"] = tuple(int(code) for code in np.atleast_1d(options["prefix"]))
    reading = Reading(**options, masked=parsed.masked).check(stack.n_symbols)
    return ImportedModel(stack, symbols, reading, _readout(parsed.head, said), parsed.source)


def _readout(head: Head | None, said: Description) -> Readout | None:
    per: Any = said.per
    if head is not None:
        layers = jax.device_put(head, may_alias=False)
        return Readout(lambda trace: apply_head(layers, trace, per), per)
    readout = said.readout
    if readout is not None and not isinstance(readout, Readout):
        return Readout(readout, per)
    if per != "symbol":
        raise ValueError("expected per= with a head or a function as readout=, got neither: Readout(..., per=) says it")
    return None if readout is None else readout


def _check_sizes(stack: Stack, head: Head | None) -> None:
    """Raise a ValueError for consecutive layers whose sizes do not match."""
    if not stack.recurrent:
        raise ValueError("expected at least one recurrent layer, got none")
    lowest = stack.layers[0]
    if isinstance(lowest, Elementwise) or (stack.embedding is None and isinstance(lowest, (Dense, LayerNorm))):
        raise ValueError(f"expected a recurrent layer to read the symbols, got {type(lowest).__name__}")
    table = stack.embedding
    if table is not None and (table.ndim != 2 or table.shape[1] != _reads(lowest)):
        raise ValueError(f"expected an embedding of shape (V, {_reads(lowest)}), got {table.shape}")
    width = _reads(lowest) if table is None else int(table.shape[1])
    for layer in (*stack.layers, *(head or ())):
        if isinstance(layer, Elementwise):
            continue
        if _reads(layer) != width:
            raise ValueError(
                "expected each layer, and the head, to read as many numbers as the layer below has neurons, got "
                f"{_reads(layer)} and {width}"
            )
        width = _width(layer)


def _reads(layer: Recurrent | Bidirectional | LayerNorm | Dense) -> int:
    if isinstance(layer, Bidirectional):
        return len(layer.forward.wx)
    if isinstance(layer, Recurrent):
        return len(layer.wx)
    return len(layer.scale if isinstance(layer, LayerNorm) else layer.kernel)


def _width(layer: Recurrent | Bidirectional | LayerNorm | Dense) -> int:
    if isinstance(layer, Bidirectional):
        forward, backward = layer.forward.size, layer.backward.size
        return forward + backward if layer.merge == "concat" else forward
    if isinstance(layer, Recurrent):
        return layer.size
    return len(layer.scale) if isinstance(layer, LayerNorm) else int(layer.kernel.shape[1])


def _check_finite(stack: Stack, head: Head | None) -> None:
    for path, array in jax.tree_util.tree_leaves_with_path((stack, head)):
        bad = int((~np.isfinite(np.asarray(array))).sum())
        if bad:
            raise ValueError(
                f"expected finite weights in the network to import, got {bad} of {np.size(array)} numbers NaN or "
                f"infinite in {jax.tree_util.keystr(path)}: use a checkpoint from before the training diverged"
            )


def _convert(stack: Stack, head: Head, characters: Sequence[str], boundary: int | None) -> TrainedModel:
    """Return the network with its symbols in our order: the boundary first, then characters by code point."""
    codes = _codes(characters, boundary)
    if len(characters) != stack.n_symbols:
        raise ValueError(
            f"expected as many characters as the network has symbols, got {len(characters)} characters, "
            f"{stack.n_symbols} input symbols and {head[0].kernel.shape[1]} output symbols"  # type: ignore[union-attr]
        )
    layers = [LayerWeights(layer.wx, layer.wh, layer.b, layer.bh) for layer in stack.recurrent]
    lowest, kernel, bias = layers[0], head[0].kernel, head[0].bias  # type: ignore[union-attr]
    wx = lowest.wx if stack.embedding is None else _embed(stack.embedding, lowest.wx)
    # Our code 0 is the boundary. A network without one gets a symbol that adds nothing and is never predicted.
    first = np.zeros((1, wx.shape[1]), np.float32) if boundary is None else wx[[boundary]]
    head_first = np.zeros((len(kernel), 1), np.float32) if boundary is None else kernel[:, [boundary]]
    bias_first = [_NEVER] if boundary is None else bias[[boundary]]
    weights = Weights(
        (LayerWeights(np.concatenate([first, wx[codes]]), lowest.wh, lowest.b, lowest.bh), *layers[1:]),
        np.concatenate([head_first, kernel[:, codes]], axis=1),
        np.concatenate([bias_first, bias[codes]]).astype(np.float32),
        stack.recurrent[0].cell,
    )
    check_finite_weights(weights, "the network to import")
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
            "beginning and end with boundary=, write None for codes that stand for no character, and pass split= (or a "
            "tokenizer) for a network that reads longer tokens"
        )
    return sorted(codes, key=lambda code: characters[code])


def _embed(embedding: np.ndarray, wx: np.ndarray) -> np.ndarray:
    """Multiply an embedding into the input's weights; in float64, so that only the result is rounded."""
    return (embedding.astype(np.float64) @ wx.astype(np.float64)).astype(np.float32)
