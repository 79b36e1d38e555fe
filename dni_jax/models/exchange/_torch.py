"""Networks that PyTorch trained. PyTorch itself is not imported: a ``state_dict()`` says everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import LayerWeights
from dni_jax.models.exchange._convert import ForeignNetwork, convert, float32, make_layer, name_cell


def from_torch(
    recurrent: Any, head: Any, characters: Sequence[str], *, embedding: Any = None, boundary: int | None = None
) -> TrainedModel:
    """Take over a character network that PyTorch trained.

    Parameters
    ----------
    recurrent
        An ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` (tanh, one direction), or its ``state_dict()``.
    head
        The ``nn.Linear`` that computes the next symbol's logits from the top layer's state, or its ``state_dict()``.
    characters
        The network's symbols in the order of its codes, one character each; the one at `boundary` is not read.
    embedding
        The ``nn.Embedding`` before the recurrent layers, or its weights ``(V, D)``; None if they read one-hot symbols.
        It is multiplied into the input's weights, which changes them by a rounding.
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
    linear = _state(head)
    weight = float32(linear["weight"]).T
    bias = float32(linear.get("bias", np.zeros(weight.shape[1])))
    table = None
    if embedding is not None:
        table = float32(_state(embedding)["weight"] if _has_state(embedding) else embedding)
    return convert(ForeignNetwork(*_recurrent_part(_state(recurrent)), weight, bias, table), characters, boundary)


def _recurrent_part(state: Mapping[str, Any]) -> tuple[str, list[LayerWeights]]:
    """Return the name of the cells, which only the shapes of a state dict tell, and the layers."""
    if any(name.endswith(("_reverse", "_hr_l0")) for name in state):
        raise ValueError(f"expected one direction and no projection, got {', '.join(state)}: record its states instead")
    cell, layers, number = "", [], 0
    while f"weight_hh_l{number}" in state:
        wx, wh = (float32(state[f"weight_{which}_l{number}"]).T for which in ("ih", "hh"))
        zero = np.zeros(wx.shape[1], np.float32)
        biases = [float32(state.get(f"bias_{which}_l{number}", zero)) for which in ("ih", "hh")]
        cell = cell or name_cell(wh)
        layers.append(make_layer(cell, wx, wh, *biases))
        number += 1
    if not layers:
        raise ValueError(f"expected weights named weight_ih_l0, weight_hh_l0, ..., got {', '.join(state) or 'none'}")
    return cell, layers


def _has_state(module: Any) -> bool:
    return hasattr(module, "state_dict") or isinstance(module, Mapping)


def _state(module: Any) -> Mapping[str, Any]:
    state = module.state_dict() if hasattr(module, "state_dict") else module
    if not isinstance(state, Mapping):
        raise ValueError(f"expected a PyTorch module or its state_dict(), got {type(module).__name__}")
    return state
