"""The character network: a Flax module of recurrent layers and a readout, and its pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from dni_jax.interventions import Drive, Driven, Override, apply_overrides
from dni_jax.models._layers import Dense, Lookup, ScanSettings, layer_scan, layer_step, product, zero_carry
from dni_jax.models._linear import linear_scan
from dni_jax.models._weights import AnyLayerWeights, LayerWeights, LinearWeights, MatmulDtype, Weights
from dni_jax.models.cells import CELLS, Carry, LinearCell, SequentialCell, no_edit

Carries = tuple[Carry, ...]


class RecurrentLayer(nnx.Module):
    """One recurrent layer.

    The weights of an LSTM, a GRU and a plain network are those of Flax's ``OptimizedLSTMCell``, ``GRUCell`` and
    ``SimpleCell``.

    Parameters
    ----------
    n_inputs
        The input's size I.
    hidden
        The number of neurons N.
    cell
        One of `CELLS`, by name.
    rngs
        Flax's random streams; ``params`` is used.
    """

    def __init__(self, n_inputs: int, hidden: int, cell: str = "lstm", *, rngs: nnx.Rngs) -> None:
        weights = _draw_layer(get_cell(cell), n_inputs, hidden, rngs)
        self.cell = cell
        for name in weights.names:
            array = getattr(weights, name)
            setattr(self, name, nnx.data(None) if array is None else nnx.Param(array))

    @property
    def weights(self) -> AnyLayerWeights:
        """The parameters as arrays."""
        kind = get_cell(self.cell)
        if isinstance(kind, LinearCell):
            return LinearWeights(**self._arrays(LinearWeights.names), n_blocks=len(kind.gates))
        return LayerWeights(**self._arrays(LayerWeights.names))

    def _arrays(self, names: Sequence[str]) -> dict[str, Array | None]:
        params = {name: getattr(self, name) for name in names}
        return {name: None if param is None else param[...] for name, param in params.items()}

    def set_weights(self, weights: AnyLayerWeights) -> None:
        """Replace the parameters."""
        for name in weights.names:
            param = getattr(self, name)
            if param is not None:
                param.set_value(getattr(weights, name))

    def __call__(self, inputs: Float[Array, "B L I"]) -> Float[Array, "B L N"]:
        """Return hidden states after each step, from the zero state."""
        layer, settings = self.weights, ScanSettings(self.cell, "float32")
        values = product(inputs.swapaxes(0, 1), layer.wx, settings.matmul_dtype) + layer.b
        zero = zero_carry(inputs.shape[0], layer.hidden, self.cell)
        hidden, _ = scan_layer(settings, Dense(values), layer, jnp.zeros(values.shape[:2], bool), zero)
        return hidden.swapaxes(0, 1)


def _draw_layer(kind: SequentialCell | LinearCell, n_inputs: int, hidden: int, rngs: nnx.Rngs) -> AnyLayerWeights:
    """Draw initial weights."""
    wide, n_blocks = nnx.initializers.lecun_normal(), len(kind.gates)
    b = jnp.zeros((n_blocks, hidden))
    if kind.initial_bias is not None:
        gate, draw_bias = kind.initial_bias
        b = b.at[kind.gates.index(gate)].set(draw_bias(hidden))
    if isinstance(kind, LinearCell):
        wx = wide(rngs.params(), (n_inputs, n_blocks * hidden))
        decay = None if kind.initial_decay is None else kind.initial_decay(rngs.params(), hidden)
        return LinearWeights(wx, b.reshape(-1), decay, n_blocks)
    blocks = [kind.initial_recurrence(rngs.params(), (hidden, hidden)) for _ in kind.gates]
    wx = wide(rngs.params(), (n_inputs, n_blocks * hidden))
    bh = jnp.zeros(b.size) if kind.has_state_bias else None
    return LayerWeights(wx, jnp.concatenate(blocks, axis=1), b.reshape(-1), bh)


class CharNetwork(nnx.Module):
    """Recurrent layers over one-hot characters, and a linear readout of the next character.

    Parameters
    ----------
    n_symbols
        Size V of the vocabulary.
    sizes
        The number of neurons of each layer, the lowest first.
    cell
        One of `CELLS`, by name.
    matmul_dtype
        ``"float32"``, or ``"bfloat16"``: the operands of matrix products are rounded to it; sums stay float32.
    rngs
        Flax's random streams; ``params`` is used.

    Raises
    ------
    ValueError
        For an unknown cell.

    Examples
    --------
    >>> module = CharNetwork(8, (16, 16), "gru", rngs=nnx.Rngs(0))
    >>> module(jnp.zeros((2, 5), jnp.int32)).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        n_symbols: int,
        sizes: Sequence[int],
        cell: str = "lstm",
        matmul_dtype: MatmulDtype = "float32",
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.sizes, self.cell, self.matmul_dtype = tuple(sizes), cell, matmul_dtype
        pairs = itertools.pairwise((n_symbols, *sizes))
        self.layers = nnx.List([RecurrentLayer(below, size, cell, rngs=rngs) for below, size in pairs])
        self.head = nnx.Linear(sizes[-1], n_symbols, rngs=rngs)

    @property
    def weights(self) -> Weights:
        """The parameters as arrays."""
        head_b = cast("nnx.Param[Array]", self.head.bias)
        layers = tuple(layer.weights for layer in self.layers)
        return Weights(layers, self.head.kernel[...], head_b[...], self.cell, self.matmul_dtype)

    @classmethod
    def init(
        cls,
        n_symbols: int,
        sizes: Sequence[int],
        cell: str = "lstm",
        matmul_dtype: MatmulDtype = "float32",
        seed: int = 0,
    ) -> CharNetwork:
        """Return the network of ``rngs=nnx.Rngs(seed)``, made by one compiled program: op by op it takes seconds."""
        return cls.from_weights(_initial_weights(jax.random.key(seed), n_symbols, tuple(sizes), cell, matmul_dtype))

    @classmethod
    def from_weights(cls, weights: Weights) -> CharNetwork:
        """Return a network with these parameters, without drawing initial ones."""
        settings = (weights.head.shape[-1], weights.sizes, weights.cell, weights.matmul_dtype)
        module = nnx.clone(_abstract_network(*settings))
        module.set_weights(weights)
        return module

    def set_weights(self, weights: Weights) -> None:
        """Replace the parameters, for example by another framework's."""
        for layer, given in zip(self.layers, weights.layers, strict=True):
            layer.set_weights(given)
        self.head.kernel.set_value(weights.head)
        cast("nnx.Param[Array]", self.head.bias).set_value(weights.head_b)

    def __call__(self, codes: Int[Array, "B L"]) -> Float[Array, "B L V"]:
        """Return logits of the next symbol after each symbol, from the zero state."""
        weights = self.weights
        zero = zero_carries(weights, codes.shape[0])
        hidden, _ = network_scan(weights, codes.T, jnp.zeros(codes.T.shape, bool), zero)
        return compute_logits(weights, hidden).swapaxes(0, 1)


@lru_cache(maxsize=64)
def _abstract_network(n_symbols: int, sizes: tuple[int, ...], cell: str, matmul_dtype: MatmulDtype) -> CharNetwork:
    """Return a network of shapes instead of arrays. It is cached, because making one takes a tenth of a second."""
    return nnx.eval_shape(lambda: CharNetwork(n_symbols, sizes, cell, matmul_dtype, rngs=nnx.Rngs(0)))


@partial(jax.jit, static_argnames=("n_symbols", "sizes", "cell", "matmul_dtype"))
def _initial_weights(
    key: Array, n_symbols: int, sizes: tuple[int, ...], cell: str, matmul_dtype: MatmulDtype
) -> Weights:
    return CharNetwork(n_symbols, sizes, cell, matmul_dtype, rngs=nnx.Rngs(key)).weights


def get_cell(name: str) -> SequentialCell | LinearCell:
    """Return the cell of a name.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in CELLS:
        raise ValueError(f"expected a cell among {', '.join(CELLS)}, got {name!r}")
    return CELLS[name]


def zero_carries(weights: Weights, batch: int) -> Carries:
    """Return the state of all layers before the first symbol."""
    return tuple(zero_carry(batch, size, weights.cell) for size in weights.sizes)


def compute_logits(weights: Weights, hidden: Float[Array, "*batch N"]) -> Float[Array, "*batch V"]:
    """Return logits of the next symbol, from the top layer's state."""
    return product(hidden, weights.head, weights.matmul_dtype) + weights.head_b


def compute_losses(logits: Float[Array, "*batch V"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Return minus the log-probability of each target, in nats."""
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def input_table(weights: Weights) -> Float[Array, "V G"]:
    """Return the lowest layer's input as a table: a one-hot symbol picks a row."""
    return weights.layers[0].wx + weights.layers[0].b


def scan_layer(
    settings: ScanSettings, source: Lookup | Dense, layer: AnyLayerWeights, resets: Bool[Array, "R B"], carry: Carry
) -> tuple[Float[Array, "R B N"], Carry]:
    """Return hidden states of one layer over R steps, and the state after them: in parallel where the cell allows it.

    See `layer_scan` and `linear_scan`.
    """
    if isinstance(layer, LinearWeights):
        return linear_scan(settings, source, layer, resets, carry)
    return layer_scan(settings, source, layer, resets, carry)


def network_scan(
    weights: Weights, codes: Int[Array, "R B"], resets: Bool[Array, "R B"], carries: Carries
) -> tuple[Float[Array, "R B N"], Carries]:
    """Return hidden states of the top layer over R steps in B lanes, and the state of all layers after them.

    The gradient flows to all weights but the head's; the incoming carries are constants (see `scan_layer`).
    """
    settings = ScanSettings(weights.cell, weights.matmul_dtype)
    source: Lookup | Dense = Lookup(input_table(weights), codes)
    last: list[Carry] = []
    hidden = jnp.zeros((0, 0, 0))
    for number, (layer, carry) in enumerate(zip(weights.layers, carries, strict=True)):
        if number:
            source = Dense(product(hidden, layer.wx, weights.matmul_dtype) + layer.b)
        hidden, after = scan_layer(settings, source, layer, resets, carry)
        last.append(after)
    return hidden, tuple(last)


def network_step(
    weights: Weights,
    table: Float[Array, "V G"],
    carries: Carries,
    codes: Int[Array, " B"],
    resets: Bool[Array, " B"],
    overrides: tuple[Override, ...] = (),
    drives: tuple[Drive, ...] = (),
) -> tuple[Carries, Carries, list[tuple[Array, ...]]]:
    """Read one symbol under overrides of the neurons of any layer.

    Parameters
    ----------
    weights, table
        The network, and its `input_table`.
    carries
        The state so far.
    codes
        The symbols, one per lane.
    resets
        Lanes that start from the zero state.
    overrides, drives
        See `apply_overrides`; neurons are numbered through all layers. An override at the readout only is of h.

    Returns
    -------
    The state that the network continues from; the state that this step's prediction and higher layers are computed
    from; and the activated gates of each layer that lead to the latter.
    """
    flowing = tuple(zip(overrides, drives, strict=True))
    lasting = tuple(pair for pair in flowing if pair[0].where == "recurrent")
    new, gates = _step_layers(weights, table[codes], carries, resets, lasting)
    if len(lasting) == len(flowing):
        return new, new, gates
    shown, gates = _step_layers(weights, table[codes], carries, resets, flowing)
    return new, shown, gates


def _step_layers(
    weights: Weights, from_input: Array, carries: Carries, resets: Array, edits: tuple[Driven, ...]
) -> tuple[Carries, list[tuple[Array, ...]]]:
    """Compute the layers of one step, each from the edited state of the one below."""
    settings = ScanSettings(weights.cell, weights.matmul_dtype)
    new: list[Carry] = []
    gates = []
    for number, (layer, carry, span) in enumerate(zip(weights.layers, carries, weights.layer_slices, strict=True)):
        if number:
            from_input = product(new[-1].h, layer.wx, weights.matmul_dtype) + layer.b
        edit = partial(_edited, edits, span) if edits else no_edit
        after, kept = layer_step(settings, from_input, layer, carry, resets, edit)
        new.append(after)
        gates.append(kept[: len(weights.cell_type.gates)])
    return tuple(new), gates


def _edited(edits: tuple[Driven, ...], span: slice, part: str, value: Array) -> Array:
    return apply_overrides(edits, value, span, part)


def all_hidden(carries: Carries) -> Float[Array, "B N"]:
    """Return the hidden states of all layers, concatenated."""
    parts = [carry.h for carry in carries]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
