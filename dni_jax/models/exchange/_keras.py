"""Networks that Keras trained. Keras itself is not imported: layers say what they are by ``get_config()``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange._convert import Description, Parsed, build, float32, make_layer, name_cell
from dni_jax.models.exchange._functions import FUNCTIONS, Activation, name_function
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._stack import Bidirectional, Dense, Elementwise, Layer, LayerNorm, Pointwise, Recurrent

_CELLS = {
    "LSTM": "lstm",
    "GRU": "gru",
    "SimpleRNN": "rnn",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleRNNCell": "rnn",
    "CuDNNLSTM": "lstm",
    "CuDNNGRU": "gru",
}
_IDENTITY = (
    "Dropout",
    "SpatialDropout1D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "ActivityRegularization",
    "InputLayer",
)
_PACKAGES = ("keras", "tf_keras", "tensorflow", "keras_core")
_KNOWN = "LSTM, GRU, SimpleRNN, RNN, Bidirectional, Sequential, Dense, LayerNormalization, Activation, Dropout"


def from_keras(
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
    """Import a recurrent network that Keras trained.

    Parameters
    ----------
    recurrent
        A ``keras.layers.LSTM``, ``GRU`` or ``SimpleRNN``, an ``RNN`` around a cell or several, a ``Bidirectional``
        around one of them, or several layers, the lowest first, in a list or a ``Sequential``, with
        ``LayerNormalization``, ``Dense``, ``Activation`` and dropout between them. A layer may also be a dict
        ``{"class_name": "GRU", "config": {...}, "weights": [...], "keras_version": "2.0.6"}``, as a file of weights
        holds it.
    head
        The ``Dense`` layer after the top one, or a list or ``Sequential`` of such layers; a softmax at its end is left
        out, as our losses compute it. None: the network has no head, or one that `readout` computes.
    characters
        The network's symbols: in the order of its codes, with None for a code that stands for no character (padding);
        a dict ``{symbol: code}``; or a tokenizer (Hugging Face's, or a function ``string -> (codes, offsets)``).
    embedding
        The ``Embedding`` before the recurrent layers, or its weights ``(V, D)``; None if they read one-hot symbols, or
        if a ``Sequential`` as `recurrent` begins with it. With ``mask_zero=True``, code 0 is padding that is not read.
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
        For layers that compute something else (named in the message), layers that are not built, and sizes that do not
        fit.

    Notes
    -----
    An activation is identified by its values at 13 points: ``hard_sigmoid`` is one function in Keras 2 and another in
    Keras 3.
    """
    views = [view for layer in _flat(recurrent) for view in [_View.of(layer)]]
    if views and views[0].class_name == "Embedding":
        if embedding is not None:
            raise ValueError("expected one embedding, got embedding= and a Sequential that begins with one")
        embedding, views = views[0], views[1:]
    layers = [made for view in views for made in _layers(view)]
    table, masked = (None, False) if embedding is None else _embedding(embedding)
    made = None if head is None else _head(head)
    parsed = Parsed(tuple(layers), table, made, "Keras", masked)
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


@dataclass(frozen=True)
class _View:
    """A layer of Keras, or what a file says about one.

    Attributes
    ----------
    class_name, config
        As Keras writes them.
    layer
        The layer itself, or the dict.
    """

    class_name: str
    config: Mapping[str, Any]
    layer: Any

    @classmethod
    def of(cls, layer: Any) -> _View:
        """Read a layer.

        Raises
        ------
        ValueError
            For anything that is not Keras' own.
        """
        if isinstance(layer, _View):
            return layer
        if isinstance(layer, Mapping):
            missing = {"class_name", "config", "weights"} - set(layer)
            if missing:
                raise ValueError(
                    f"expected a layer as a dict with class_name, config and weights, got none for {missing}"
                )
            return cls(str(layer["class_name"]), layer["config"], layer)
        name = type(layer).__name__
        if type(layer).__module__.split(".")[0] not in _PACKAGES or not hasattr(layer, "get_config"):
            raise ValueError(
                f"expected one of Keras' own layers, {_KNOWN}, got {name}, which may compute something else: record "
                "its "
                "states instead, or pass readout= for a head of your own"
            )
        return cls(name, layer.get_config(), layer)

    @property
    def weights(self) -> list[np.ndarray]:
        """The layer's weights; a ValueError where it is not built."""
        if isinstance(self.layer, Mapping):
            return [float32(array) for array in self.layer["weights"]]
        weights = [float32(array) for array in self.layer.get_weights()]
        if not weights and not getattr(self.layer, "built", True):
            raise ValueError(
                f"expected a built Keras layer, got {self.class_name} without weights: call the network once, or "
                "load its "
                "weights, before it is imported"
            )
        return weights

    def expect(self, n_least: int, n_most: int) -> list[np.ndarray]:
        """Return the weights, of which there must be so many."""
        weights = self.weights
        if not n_least <= len(weights) <= n_most:
            wanted = str(n_most) if n_least == n_most else f"{n_least} or {n_most}"
            raise ValueError(
                f"expected {wanted} arrays of weights in {self.class_name}, got {len(weights)} of shapes "
                f"{[array.shape for array in weights]}: extra weights compute something else"
            )
        return weights

    def activation(self, name: str, default: str) -> Activation | None:
        """Return which of our functions one of the layer's is; None for any other."""
        if not isinstance(self.layer, Mapping):
            function = getattr(self.layer, name, None)
            if function is None:
                return default if name not in self.config else None
            return name_function(function, _converter(self.layer))
        said = self.config.get(name, default)
        if said == "hard_sigmoid":
            version = str(self.layer.get("keras_version", ""))
            if version[:1] not in ("1", "2", "3"):
                raise ValueError(
                    "expected 'keras_version' with a hard_sigmoid, which is one function in Keras 2 and another in "
                    "Keras 3, "
                    f"got {version!r}"
                )
            return "hard_sigmoid" if version[0] == "3" else "hard_sigmoid_keras2"
        aliases = {"swish": "silu", "leaky_relu": "leaky_relu_0.2", "hard_swish": "hard_silu"}
        said = aliases.get(said, said) if isinstance(said, str) else None
        return said if said in FUNCTIONS and "_keras2" not in said else None

    def known_activation(self, name: str, default: str) -> Activation:
        """Return the same; a ValueError for a function that is none of ours."""
        found = self.activation(name, default)
        if found is None:
            said = self.config.get(name)
            said = (
                said if isinstance(said, str) else getattr(getattr(self.layer, name, None), "__name__", "another one")
            )
            raise ValueError(
                f"expected {self.class_name} with {name} among {', '.join(FUNCTIONS)}, got {said!r}: record its states "
                "instead"
            )
        return found

    def refuse(self, **wanted: Any) -> None:
        """Raise a ValueError for settings under which a layer computes something else."""
        for name, value in wanted.items():
            got = self.config.get(name, value)
            if got != value:
                raise ValueError(
                    f"expected a Keras {self.class_name} with {name}={value!r}, got {got!r}: record its states instead"
                )
        policy = self.config.get("dtype")
        if isinstance(policy, Mapping):
            policy = policy.get("config", {}).get("name")
        if policy not in (None, "float32", "float64"):
            raise ValueError(f"expected a Keras {self.class_name} that computes in float32, got dtype={policy!r}")


def _converter(layer: Any) -> Any:
    keras = sys.modules.get(type(layer).__module__.split(".")[0])
    operations = getattr(keras, "ops", None)
    return getattr(operations, "convert_to_tensor", lambda values: values)


def _flat(layers: Any) -> list[Any]:
    """Return the layers of lists and ``Sequential``, one after the other."""
    if isinstance(layers, (list, tuple)):
        return [inner for each in layers for inner in _flat(each)]
    name = type(layers).__name__
    own = type(layers).__module__.split(".")[0] in _PACKAGES
    if own and name == "Sequential":
        return [inner for each in layers.layers for inner in _flat(each)]
    if own and name in ("Functional", "Model"):
        raise ValueError(
            "expected recurrent layers, got a whole Model, whose layers may be connected in any way: pass its "
            "recurrent layers, "
            "the lowest first, as model.get_layer(name)"
        )
    return [layers]


def _layers(view: _View) -> list[Layer]:
    name = view.class_name
    if name == "Bidirectional":
        return [_bidirectional(view)]
    if name == "RNN":
        return list(_wrapped(view, view.layer.cell, reverse=False))
    if name == "StackedRNNCells":
        return [_cell(_View.of(cell), False) for cell in view.layer.cells]
    if name in _CELLS:
        view.refuse(go_backwards=False)
        return [_cell(view, False)]
    return list(_between(view))


def _wrapped(view: _View, cell: Any, reverse: bool) -> list[Recurrent]:
    """Return the layers of an ``RNN`` around a cell, or around several."""
    if isinstance(view.layer, Mapping):
        raise ValueError("expected LSTM, GRU or SimpleRNN as a dict, got RNN: pass the layer itself")
    view.refuse(go_backwards=reverse, stateful=False)
    cells = cell.cells if type(cell).__name__ == "StackedRNNCells" else [cell]
    return [_cell(_View.of(one), reverse) for one in cells]


def _bidirectional(view: _View) -> Bidirectional:
    merge = view.config.get("merge_mode", "concat")
    if merge not in ("concat", "sum", "ave", "mul"):
        raise ValueError(f"expected Bidirectional with merge_mode 'concat', 'sum', 'ave' or 'mul', got {merge!r}")
    if isinstance(view.layer, Mapping):
        inner, weights = view.config["layer"], view.layer["weights"]
        if "backward_layer" in view.config:
            raise ValueError(
                "expected Bidirectional without a backward_layer of its own as a dict, got one: pass the layer"
            )
        half = len(weights) // 2
        parts = [
            _View.of({**view.layer, "class_name": inner["class_name"], "config": inner["config"], "weights": some})
            for some in (weights[:half], weights[half:])
        ]
        return Bidirectional(_cell(parts[0], False), _cell(parts[1], True), merge)
    made = []
    for layer, reverse in ((view.layer.forward_layer, False), (view.layer.backward_layer, True)):
        one = _View.of(layer)
        if one.class_name == "RNN":
            found = _wrapped(one, layer.cell, reverse)
        else:
            one.refuse(go_backwards=reverse)
            found = [_cell(one, reverse)]
        if len(found) != 1:
            raise ValueError("expected Bidirectional around a layer of one cell, got several stacked cells")
        made += found
    return Bidirectional(made[0], made[1], merge)


def _cell(view: _View, reverse: bool) -> Recurrent:
    """Return a layer, or a cell, with gates in our order."""
    cell = _CELLS.get(view.class_name)
    if cell is None:
        wanted = ", ".join(_CELLS)
        raise ValueError(f"expected a Keras layer among {wanted}, got {view.class_name}: record its states")
    view.refuse(stateful=False)
    wx, wh, *bias = view.expect(2, 3)
    by_cudnn = bool(bias) and bias[0].shape == (2 * wx.shape[1],)
    if view.class_name.startswith("CuDNN") != by_cudnn and view.class_name.startswith("CuDNN"):
        raise ValueError(f"expected a {view.class_name} with two biases for each gate, got shape {bias[0].shape}")
    if by_cudnn:
        wx, wh, bias = _from_cudnn(wx, wh, bias[0], cell)
    if name_cell(wh) != cell:
        raise ValueError(f"expected the weights of {view.class_name}, got a recurrent kernel of shape {wh.shape}")
    activation = view.known_activation("activation", "tanh")
    settings: dict[str, Any] = {"activation": activation, "reverse": reverse}
    both = np.zeros((2, wx.shape[1]), np.float32)
    if bias:
        both[: 1 if bias[0].ndim == 1 else 2] = bias[0]
    if cell != "rnn":
        if isinstance(view.layer, Mapping) and "recurrent_activation" not in view.config and not by_cudnn:
            raise ValueError(f"expected 'recurrent_activation' in the config of {view.class_name}, got none")
        settings["gate"] = view.known_activation("recurrent_activation", "sigmoid")
    if cell == "gru":  # Keras has update, reset, candidate; ours reset, update, candidate
        n = wh.shape[0]
        order = np.r_[n : 2 * n, :n, 2 * n : 3 * n]
        wx, wh, both = wx[:, order], wh[:, order], both[:, order]
        after = view.config.get("reset_after", bool(bias) and bias[0].ndim == 2)
        if bias and after != (bias[0].ndim == 2):
            raise ValueError(f"expected a GRU's bias of reset_after={after}, got shape {bias[0].shape}")
        settings["reset_after"] = bool(after)
    return make_layer(cell, wx, wh, *both, **settings)


def _from_cudnn(
    wx: np.ndarray, wh: np.ndarray, bias: np.ndarray, cell: str
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return cuDNN's weights in the layout of LSTM and GRU; files hold them where a GPU trained the network.

    Keras converts them in this way when it loads a file: each gate's kernels are stored transposed, and each gate has a
    bias for the input and one for the state.
    """
    gates = {"lstm": 4, "gru": 3}[cell]
    wx = np.hstack([kernel.reshape(kernel.shape[::-1]).T for kernel in np.hsplit(wx, gates)])
    wh = np.hstack([kernel.T for kernel in np.hsplit(wh, gates)])
    both = bias.reshape(2, -1)
    return wx, wh, [both.sum(axis=0) if cell == "lstm" else both]


def _between(view: _View) -> list[Pointwise]:
    """Return what a layer other than a recurrent one computes at every symbol."""
    name = view.class_name
    if name in _IDENTITY:
        return []
    if name == "TimeDistributed":
        return _between(_View.of(view.layer.layer))
    if name == "Dense":
        kernel, *bias = view.expect(1, 2)
        activation = view.known_activation("activation", "linear")
        return [Dense(kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32), activation)]
    if name == "Activation":
        return [Elementwise(view.known_activation("activation", "linear"))]
    if name == "LayerNormalization":
        view.refuse(rms_scaling=False)
        axis = view.config.get("axis", -1)
        if axis not in (-1, [-1], (-1,), 2, [2]):
            raise ValueError(f"expected LayerNormalization over the last axis, got axis={axis}")
        weights = view.expect(0, 2)
        size = len(weights[0]) if weights else 0
        if not size:
            raise ValueError(
                "expected LayerNormalization with a scale or a center, got neither: record its states instead"
            )
        scale = weights.pop(0) if view.config.get("scale", True) else np.ones(size, np.float32)
        center = weights.pop(0) if view.config.get("center", True) else np.zeros(size, np.float32)
        return [LayerNorm(scale, center, float(view.config.get("epsilon", 1e-3)))]
    raise ValueError(f"expected a Keras layer among {_KNOWN}, got {name}: record its states instead")


def _head(head: Any) -> tuple[Pointwise, ...]:
    views = [_View.of(layer) for layer in _flat(head)]
    while views and views[-1].class_name in _IDENTITY:
        views.pop()
    if not views:
        raise ValueError(
            "expected a head of at least one Dense layer, got none: pass None for a network without a head"
        )
    last = views[-1]
    if _activation_name(last) in ("softmax", "log_softmax"):  # our losses compute it themselves
        before = [made for view in views[:-1] for made in _between(view)]
        if last.class_name == "Dense":
            kernel, *bias = last.expect(1, 2)
            before.append(Dense(kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32)))
        return tuple(before)
    return tuple(made for view in views for made in _between(view))


def _activation_name(view: _View) -> str:
    if view.class_name == "Softmax":
        return "softmax"
    said = view.config.get("activation")
    if not isinstance(view.layer, Mapping):
        function = getattr(view.layer, "activation", None)
        # A user's own function may bear the name too.
        own = getattr(function, "__module__", "").split(".")[0] in _PACKAGES
        return getattr(function, "__name__", "") if own else ""
    return said if isinstance(said, str) else ""


def _embedding(embedding: Any) -> tuple[np.ndarray, bool]:
    """Return an embedding's weights, and whether code 0 is left out."""
    if hasattr(embedding, "get_config") or isinstance(embedding, (Mapping, _View)):
        view = _View.of(embedding)
        if view.class_name != "Embedding":
            raise ValueError(f"expected a Keras Embedding, got {view.class_name}: pass its weights (V, D)")
        view.refuse()
        (table,) = view.expect(1, 1)
        return table, bool(view.config.get("mask_zero", False))
    return float32(embedding), False
