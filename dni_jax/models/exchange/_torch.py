"""Networks that PyTorch trained. PyTorch itself is not imported: modules, or their state dicts, say what they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange._convert import Description, Parsed, build, float32, make_layer, name_cell
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._stack import (
    Bidirectional,
    Dense,
    Elementwise,
    Layer,
    LayerNorm,
    Pointwise,
    Recurrent,
)

_RECURRENT = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
_IDENTITY = ("Dropout", "Dropout1d", "AlphaDropout", "Identity")
_ACTIVATIONS = {
    "ReLU": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Hardsigmoid": "hard_sigmoid",
    "Hardtanh": "hard_tanh",
    "ReLU6": "relu6",
    "Mish": "mish",
    "SELU": "selu",
    "LogSigmoid": "log_sigmoid",
    "GELU": "gelu",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
}
# Settings of these activations under which they are ours.
_DEFAULTS = {
    "approximate": "none",
    "alpha": 1.0,
    "negative_slope": 0.01,
    "beta": 1.0,
    "threshold": 20.0,
    "min_val": -1.0,
    "max_val": 1.0,
}
_KEY = re.compile(r"(weight|bias)_(ih|hh|hr)(?:_l(\d+))?(_reverse)?")


def from_torch(
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
    nonlinearity: str | None = None,
) -> TrainedModel | ImportedModel:
    """Import a recurrent network that PyTorch trained.

    Parameters
    ----------
    recurrent
        An ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` (any number of layers, one or two directions, with or without a
        projection), one of their cells, or a ``state_dict()`` of one; or several, the lowest first, with
        ``nn.LayerNorm``, ``nn.Linear``, activations and dropout between them.
    head
        What computes the output from the top layer's state: an ``nn.Linear``, an ``nn.Sequential`` (or list) of linear
        layers, activations, layer norms and dropout, or the ``state_dict()`` of a single ``nn.Linear``. None: the
        network has no head, or one that `readout` computes.
    characters
        The network's symbols: in the order of its codes, with None for a code that stands for no character (padding);
        a dict ``{symbol: code}``; or a tokenizer (Hugging Face's, or a function ``string -> (codes, offsets)``).
    embedding
        The ``nn.Embedding`` before the recurrent layers, or its weights ``(V, D)``; None if they read one-hot symbols.
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
    nonlinearity
        ``"tanh"`` or ``"relu"``: what a plain RNN's ``state_dict()`` does not say; needed with one only.

    Returns
    -------
    `TrainedModel` in float32, to record, verify, intervene and generate with, where the network predicts the next of
    its symbols by a linear head and our own cells compute its states; otherwise `ImportedModel`, for the same, but
    generation only where it predicts the next symbol.

    Raises
    ------
    ValueError
        For modules that compute something else (named in the message), for sizes that do not fit, and for states that
        differ from the reference.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,)}
    >>> state = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    >>> from_torch(state, {"weight": np.ones((3, 4)), "bias": np.zeros(3)}, ["b", "a", "c"])
    TrainedModel(lstm, 4 neurons, 4 symbols)
    >>> from_torch(state, None, ["b", "a", "c"])
    ImportedModel(lstm 4, 3 symbols, no readout)
    """
    layers: list[Layer] = []
    for module in _flat(recurrent):
        layers += _layers(module, nonlinearity)
    table = None if embedding is None else _embedding(embedding)
    parsed = Parsed(tuple(layers), table, None if head is None else tuple(_head(head)), "PyTorch")
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


def _layers(module: Any, nonlinearity: str | None) -> list[Layer]:
    name = type(module).__name__
    if isinstance(module, Mapping):
        return _recurrent_part(module, nonlinearity)
    if _is_torch(module) and name in _RECURRENT:
        _check_parametrizations(module)
        said = getattr(module, "nonlinearity", None)
        return _recurrent_part(module.state_dict(), said if said is not None else "tanh")
    if _is_torch(module):
        return list(_between(module))
    if hasattr(module, "state_dict"):
        raise ValueError(
            f"expected one of PyTorch's own modules {', '.join(_RECURRENT)}, got {name}, which may compute something "
            "else: "
            "pass the recurrent modules inside it, the lowest first, or record its states instead"
        )
    raise ValueError(f"expected a PyTorch module or its state_dict(), got {name}")


def _is_torch(module: Any) -> bool:
    return type(module).__module__.split(".")[:2] == ["torch", "nn"]


def _check_parametrizations(module: Any) -> None:
    if getattr(module, "parametrizations", None) or getattr(module, "_forward_pre_hooks", None):
        raise ValueError(
            f"expected plain weights, got a {type(module).__name__} with parametrizations or forward hooks, which "
            "change "
            "them: remove them first (torch.nn.utils.parametrize.remove_parametrizations)"
        )
    if getattr(module, "_forward_hooks", None):
        raise ValueError(f"expected a module without forward hooks, got a {type(module).__name__} with some")


def _recurrent_part(state: Mapping[str, Any], nonlinearity: str | None) -> list[Layer]:
    """Return the layers of a state dict, whose cells are inferred from the shapes of the weights."""
    matches = {name: _KEY.fullmatch(name) for name in state}
    strange = [name for name, match in matches.items() if match is None]
    cell_like = bool(matches) and all(match is not None and match[3] is None for match in matches.values())
    suffix = "" if cell_like else "_l0"
    if f"weight_hh{suffix}" not in state:
        raise ValueError(
            f"expected weights named weight_ih_l0, weight_hh_l0, ..., got {', '.join(state) or 'none'}: pass the "
            "recurrent "
            "module itself, not the network around it"
        )
    if strange:
        raise ValueError(f"expected nothing but recurrent weights, got extra weights {', '.join(strange)}")
    used: set[str] = set()
    layers: list[Layer] = []
    cell = ""
    number = 0
    while f"weight_hh{suffix if cell_like else f'_l{number}'}" in state:
        place = suffix if cell_like else f"_l{number}"
        forward = _one(state, place, cell, nonlinearity, used, False)
        cell = forward.cell
        if any(name.endswith(f"{place}_reverse") for name in state):
            if f"weight_hh{place}_reverse" not in state or f"weight_ih{place}_reverse" not in state:
                raise ValueError(
                    f"expected one direction or the weights of both in {place[1:]!r}, got {', '.join(state)}"
                )
            layers.append(Bidirectional(forward, _one(state, f"{place}_reverse", cell, nonlinearity, used, True)))
        else:
            layers.append(forward)
        number += 1
        if cell_like:
            break
    left = sorted(set(state) - used)
    if left:
        raise ValueError(f"expected the weights of {number} layers, got extra weights {', '.join(left)}")
    return layers


def _one(
    state: Mapping[str, Any], place: str, cell: str, nonlinearity: str | None, used: set[str], reverse: bool
) -> Recurrent:
    names = [f"weight_ih{place}", f"weight_hh{place}", f"bias_ih{place}", f"bias_hh{place}", f"weight_hr{place}"]
    used.update(name for name in names if name in state)
    wx, wh = float32(state[names[0]]).T, float32(state[names[1]]).T
    zero = np.zeros(wx.shape[1], np.float32)
    biases = [float32(state.get(name, zero)) for name in names[2:4]]
    projection = float32(state[names[4]]).T if names[4] in state else None
    if projection is not None:
        return make_layer("lstm", wx, wh, *biases, projection=projection, reverse=reverse)
    cell = cell or name_cell(wh)
    activation = "tanh"
    if cell == "rnn":
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                "expected nonlinearity='tanh' or 'relu' with the state_dict() of a plain RNN, which does not say "
                "it, got "
                f"{nonlinearity!r}: pass nonlinearity=, or the nn.RNN itself"
            )
        activation = nonlinearity
    return make_layer(cell, wx, wh, *biases, activation=activation, reverse=reverse)


def _embedding(embedding: Any) -> np.ndarray:
    if hasattr(embedding, "state_dict"):
        if type(embedding).__name__ != "Embedding" or getattr(embedding, "max_norm", None) is not None:
            raise ValueError(
                f"expected an nn.Embedding without max_norm, got {type(embedding).__name__}: pass its weights (V, D)"
            )
        embedding = embedding.state_dict()
    if isinstance(embedding, Mapping):
        if set(embedding) != {"weight"}:
            raise ValueError(f"expected an embedding's 'weight' only, got {', '.join(embedding)}")
        embedding = embedding["weight"]
    return float32(embedding)


def _head(head: Any) -> list[Pointwise]:
    if isinstance(head, Mapping):
        return [_dense(_single_linear(head))]
    modules = _flat(head)
    while modules and _is_torch(modules[-1]) and type(modules[-1]).__name__ in ("Softmax", "LogSoftmax"):
        modules.pop()  # our losses compute it themselves
    return [layer for module in modules for layer in _between(module)]


def _flat(module: Any) -> list[Any]:
    """Return the modules of lists and ``nn.Sequential``, one after the other."""
    if isinstance(module, (list, tuple)) or (_is_torch(module) and type(module).__name__ == "Sequential"):
        _check_parametrizations(module)
        return [inner for each in module for inner in _flat(each)]
    return [module]


def _single_linear(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one linear layer of a state dict; what is between several of them it does not say."""
    ends = {name.rpartition(".")[0] for name in state}
    if len(ends) != 1 or not {name.rpartition(".")[2] for name in state} <= {"weight", "bias"}:
        raise ValueError(
            f"expected the state_dict() of one nn.Linear as head, got weights {', '.join(state)}: pass the modules, "
            "which "
            "say what is computed between the layers"
        )
    linear = {name.rpartition(".")[2]: values for name, values in state.items()}
    if getattr(linear.get("weight"), "ndim", 0) != 2:
        raise ValueError(f"expected the weight (V, N) of an nn.Linear as head, got weights {', '.join(state)}")
    return linear


def _dense(state: Mapping[str, Any]) -> Dense:
    kernel = float32(state["weight"]).T
    return Dense(kernel, float32(state.get("bias", np.zeros(kernel.shape[1]))))


def _between(module: Any) -> list[Pointwise]:
    """Return what a module other than a recurrent one computes at every symbol."""
    name = type(module).__name__
    if not _is_torch(module):
        raise ValueError(
            f"expected PyTorch's own modules as head or between layers, got {name}: pass head=None and readout=, a "
            "function "
            "of the states"
        )
    _check_parametrizations(module)
    if name in _IDENTITY:
        return []
    if name == "Linear":
        return [_dense(module.state_dict())]
    if name == "LayerNorm":
        if len(module.normalized_shape) != 1:
            raise ValueError(f"expected an nn.LayerNorm over one axis, got {tuple(module.normalized_shape)}")
        state, size = module.state_dict(), int(module.normalized_shape[0])
        scale, bias = float32(state.get("weight", np.ones(size))), float32(state.get("bias", np.zeros(size)))
        return [LayerNorm(scale, bias, float(module.eps))]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"expected Linear, LayerNorm, Dropout, Sequential or an activation among {', '.join(_ACTIVATIONS)}, got "
            f"{name}: "
            "pass head=None and readout=, a function of the states"
        )
    for setting, default in _DEFAULTS.items():
        if getattr(module, setting, default) != default:
            raise ValueError(f"expected {name} with {setting}={default!r}, got {getattr(module, setting)!r}")
    return [Elementwise(_ACTIVATIONS[name])]
