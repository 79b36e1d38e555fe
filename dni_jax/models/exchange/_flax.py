"""Networks made of Flax NNX cells, and ours as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights
from dni_jax.models.exchange._convert import Description, Parsed, build, float32, make_layer
from dni_jax.models.exchange._functions import Activation, name_function
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._stack import Bidirectional, Dense, Elementwise, Layer, LayerNorm, Pointwise, Recurrent


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
    recurrent: Any,
    head: Any,
    characters: Any,
    *,
    embedding: Any = None,
    boundary: int | None = None,
    readout: Any = None,
    reference: Any = None,
    unknown: int | None = None,
    split: Callable[[str], Sequence[str]] | None = None,
    per: str = "symbol",
    begin: int | None = None,
    end: int | None = None,
    prefix: str | Sequence[int] | None = None,
    window: int | None = None,
    padding: str | None = None,
    length: int | None = None,
    pad: int | None = None,
    initial_state: Any = None,
) -> TrainedModel | ImportedModel:
    """Import a recurrent network made of Flax NNX cells.

    Parameters
    ----------
    recurrent
        An ``nnx.OptimizedLSTMCell``, ``nnx.GRUCell`` or ``nnx.SimpleCell`` (any activations, residual or not), an
        ``nnx.RNN`` around one (reversed with ``keep_order=True``), an ``nnx.Bidirectional`` of two, or several, the
        lowest first, with ``nnx.LayerNorm``, ``nnx.Linear``, activation functions and ``nnx.Dropout`` between them.
    head
        An ``nnx.Linear``, or a list or ``nnx.Sequential`` of linear layers, activation functions, layer norms and
        dropout. None: the network has no head, or one that `readout` computes.
    characters
        The network's symbols: in the order of its codes, with None for a code that stands for no character (padding);
        a dict ``{symbol: code}``; or a tokenizer (Hugging Face's, or a function ``string -> (codes, offsets)``).
    embedding
        The ``nnx.Embed`` before the recurrent layers, or its weights ``(V, D)``; None if they read one-hot symbols.
    boundary
        The code that begins and ends a string, if it is the same one. Without one, and without
        `begin`, strings are read from the initial state, and `dni_jax.generate` needs ``prime=``.
    readout
        With ``head=None``: a function from a `dni_jax.models.Trace` to the output, or a `dni_jax.models.Readout` that
        says what the output means. It may use the states of all layers and of the whole string.
    reference
        ``(codes, states)``: a few strings of codes, and the original's states; see `dni_jax.models.check_reference`.
        States that differ by more than 0.001 are refused; the largest difference is kept in the result.
    unknown
        The code of all symbols that have none. None: they are refused.
    split
        For symbols of several characters: a function that cuts a string into them, such as ``str.split``. What lies
        between two of them is not read.
    per : {"symbol", "string"}
        Whether a head, or a function as `readout`, has an output for each symbol, or one for each string: a head then
        reads the last state only.
    begin, end
        The code read before each string, and the one read (and predicted) after it, if they are two.
    prefix
        What is read before each string, and before `begin`: a string, or codes.
    window
        How many symbols the network reads at a time: the state at a character is the one after the window that ends
        there, read from the initial state.
    padding : {"left", "right"}
        On which side strings are filled up to `length` symbols. What fills them is read, too.
    length
        How many symbols each string is filled up to.
    pad
        The code that fills windows and strings.
    initial_state
        The state before the first symbol: h as an array that broadcasts to ``(S, N)``, a dict ``{"h": ..., "c": ...}``,
        or a function of the corpus that returns one of these. None: zero.

    Returns
    -------
    `TrainedModel` or `ImportedModel`; see `from_torch`.

    Raises
    ------
    ValueError
        For other cells and modules, and sizes that do not fit.
    """
    layers = [layer for module in _flat(recurrent) for layer in _layer(module)]
    table = None if embedding is None else float32(getattr(embedding, "embedding", embedding)[...])
    made = None if head is None else tuple(layer for module in _flat(head) for layer in _between(module))
    parsed = Parsed(tuple(layers), table, made, "Flax")
    read = {
        "begin": begin,
        "end": end,
        "prefix": prefix,
        "window": window,
        "padding": padding,
        "length": length,
        "pad": pad,
        "initial_state": initial_state,
    }
    return build(parsed, Description(characters, boundary, readout, reference, unknown, split, per, read))


def _flat(module: Any) -> list[Any]:
    if type(module) is nnx.Sequential:
        return [inner for each in module.layers for inner in _flat(each)]
    return [inner for each in module for inner in _flat(each)] if isinstance(module, (list, tuple)) else [module]


def _layer(module: Any) -> list[Layer]:
    if type(module) is nnx.Bidirectional:
        forward, backward = (_direction(each) for each in (module.forward_rnn, module.backward_rnn))
        one, two = np.full((1, 1, 2), 2.0), np.full((1, 1, 2), 3.0)
        joined = np.asarray(module.merge_fn(jnp.asarray(one), jnp.asarray(two)))
        if not np.array_equal(joined, np.concatenate([one, two], axis=-1)):
            raise ValueError("expected nnx.Bidirectional to concatenate its states, got another merge_fn")
        return [Bidirectional(_cell(forward, False), _cell(backward, True))]
    if type(module) is nnx.RNN:
        if module.reverse and not module.keep_order:
            raise ValueError(
                "expected nnx.RNN(reverse=True) with keep_order=True, got one whose outputs come in reversed order: "
                "read "
                "the strings reversed instead, or record its states"
            )
        return [_cell(module.cell, module.reverse)]
    if isinstance(module, nnx.RNNCellBase):
        return [_cell(module, False)]
    if isinstance(module, (nnx.RNN, nnx.Bidirectional)):
        raise ValueError(f"expected nnx.RNN or nnx.Bidirectional itself, got the subclass {type(module).__name__}")
    return list(_between(module))


def _direction(rnn: Any) -> Any:
    if type(rnn) is not nnx.RNN:
        raise ValueError(f"expected nnx.Bidirectional around two nnx.RNN, got {type(rnn).__name__}")
    return rnn.cell


def _cell(cell: Any, reverse: bool) -> Recurrent:
    names = [name for name, (kind, _) in _CELLS.items() if type(cell) is kind]
    if not names:
        wanted = ", ".join(kind.__name__ for kind, _ in _CELLS.values())
        raise ValueError(f"expected a cell among {wanted}, got {type(cell).__name__}: record its states instead")
    (name,) = names
    if getattr(cell, "carry_init", None) is not None:
        raise ValueError(f"expected {type(cell).__name__} without carry_init, got one: pass initial_state=")
    if cell.dtype is not None and jnp.dtype(cell.dtype).itemsize < 4:
        raise ValueError(f"expected {type(cell).__name__} that computes in float32, got dtype={jnp.dtype(cell.dtype)}")
    bias = getattr(cell, _CELLS[name].biased).bias
    wx, wh = (float32(array[...]) for array in (cell.dense_i.kernel, cell.dense_h.kernel))
    b = np.zeros(wx.shape[1], np.float32) if bias is None else float32(bias[...])
    return make_layer(
        name,
        wx,
        wh,
        b,
        np.zeros_like(b),
        activation=_activation(cell.activation_fn),
        gate=_activation(getattr(cell, "gate_fn", nnx.sigmoid)),
        residual=bool(getattr(cell, "residual", False)),
        reverse=reverse,
    )


def _activation(function: Callable[..., Any]) -> Activation:
    """Return a function's name where it is one of ours; any other is used as it is, being JAX's."""
    return name_function(function, jnp.asarray) or function


def _between(module: Any) -> list[Pointwise]:
    """Return what a module other than a recurrent one computes at every symbol."""
    if type(module) is nnx.Dropout:
        return []
    if type(module) is nnx.Linear:
        bias = np.zeros(module.out_features, np.float32) if module.bias is None else float32(module.bias[...])
        return [Dense(float32(module.kernel[...]), bias)]
    if type(module) is nnx.LayerNorm:
        size = module.num_features
        scale = np.ones(size, np.float32) if module.scale is None else float32(module.scale[...])
        bias = np.zeros(size, np.float32) if module.bias is None else float32(module.bias[...])
        if (module.reduction_axes, module.feature_axes) not in ((-1, -1), ((-1,), (-1,))):
            raise ValueError(f"expected nnx.LayerNorm over the last axis, got reduction_axes={module.reduction_axes}")
        return [LayerNorm(scale, bias, float(module.epsilon))]
    if callable(module) and not isinstance(module, nnx.Module):
        return [Elementwise(_elementwise(module))]
    wanted = "OptimizedLSTMCell, GRUCell, SimpleCell, RNN, Bidirectional, Linear, LayerNorm, Dropout or a function"
    raise ValueError(
        f"expected Flax NNX modules among {wanted}, got {type(module).__name__}: record its states instead"
    )


def _elementwise(function: Callable[..., Any]) -> Activation:
    name = name_function(function, jnp.asarray)
    if name is None:
        raise ValueError(
            f"expected an activation function that is known, such as nnx.relu, got {function!r}: pass head=None and "
            "readout="
        )
    return name


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
