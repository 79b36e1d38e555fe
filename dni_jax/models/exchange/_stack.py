"""Recurrent networks of any make as a stack of layers: what each layer computes, and how the stack is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dni_jax.interventions import Bound, Driven, apply_overrides
from dni_jax.models._layers import product
from dni_jax.models.cells import CELLS, Carry, Edit
from dni_jax.models.exchange._functions import Activation, get_function

Merge = Literal["concat", "sum", "ave", "mul"]


_STATIC = {"static": True}  # compiled in


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recurrent:
    """A recurrent layer in one direction.

    Attributes
    ----------
    wx, wh, b
        float32 ``(I, G)``, ``(P, G)`` and ``(G,)``: blocks of columns, one per gate, in the order of our cells.
    bh
        float32 ``(G,)``: the state's own bias, where a GRU resets after its product; else None.
    projection
        float32 ``(H, P)``: what the hidden state of an LSTM is multiplied with; None: nothing, and P is H.
    cell
        ``"lstm"``, ``"gru"`` or ``"rnn"``.
    activation, gate
        The functions of the state and of the gates.
    reset_after
        Whether a GRU resets the product (True) or the state before the product (False).
    residual
        Whether the old state is added before the activation (Flax's ``SimpleCell(residual=True)``).
    reverse
        Whether it reads from the end of a string to its beginning; states stay in the string's order.
    """

    wx: Any
    wh: Any
    b: Any
    bh: Any = None
    projection: Any = None
    cell: str = field(default="lstm", metadata=_STATIC)
    activation: Activation = field(default="tanh", metadata=_STATIC)
    gate: Activation = field(default="sigmoid", metadata=_STATIC)
    reset_after: bool = field(default=True, metadata=_STATIC)
    residual: bool = field(default=False, metadata=_STATIC)
    reverse: bool = field(default=False, metadata=_STATIC)

    @property
    def size(self) -> int:
        """The number of neurons: hidden states."""
        return int(self.wh.shape[0])

    @property
    def has_memory(self) -> bool:
        """Whether it has a memory c."""
        return CELLS[self.cell].has_memory

    @property
    def is_plain(self) -> bool:
        """Whether one of our own cells computes the same."""
        return (
            self.activation == "tanh"
            and self.gate == "sigmoid"
            and self.reset_after
            and self.projection is None
            and not self.residual
            and not self.reverse
        )

    def zero(self, batch: int) -> Carry:
        """Return the zero state."""
        blocks = len(CELLS[self.cell].gates)
        memory = jnp.zeros((batch, self.wx.shape[1] // blocks)) if self.has_memory else None
        return Carry(memory, jnp.zeros((batch, self.size)))

    def step(self, from_input: Float[Array, "*batch G"], old: Carry, edit: Edit) -> Carry:
        """Take one step from the input's pre-activations; every part goes through ``edit(name, value)``."""
        act, gate = get_function(self.activation), get_function(self.gate)
        if self.cell == "gru" and not self.reset_after:
            return self._step_reset_before(from_input, old, edit)
        from_state = product(old.h, self.wh, "float32")
        if self.bh is not None:
            from_state = from_state + self.bh
        if self.cell == "rnn":
            total = from_input + from_state + (old.h if self.residual else 0.0)
            return Carry(None, edit("h", edit("a", act(total))))
        if self.cell == "gru":
            input_r, input_z, input_n = jnp.split(from_input, 3, axis=-1)
            state_r, state_z, state_n = jnp.split(from_state, 3, axis=-1)
            r, z = edit("r", gate(input_r + state_r)), edit("z", gate(input_z + state_z))
            n = edit("n", act(input_n + r * state_n))
            return Carry(None, edit("h", (1 - z) * n + z * old.h))
        i, f, g, o = jnp.split(from_input + from_state, 4, axis=-1)
        i, f, g, o = edit("i", gate(i)), edit("f", gate(f)), edit("g", act(g)), edit("o", gate(o))
        c = edit("c", f * old.c + i * g)
        h = o * act(c)
        return Carry(c, edit("h", h if self.projection is None else product(h, self.projection, "float32")))

    def _step_reset_before(self, from_input: Float[Array, "*batch G"], old: Carry, edit: Edit) -> Carry:
        act, gate, n_state = get_function(self.activation), get_function(self.gate), self.size
        input_r, input_z, input_n = jnp.split(from_input, 3, axis=-1)
        state_r, state_z = jnp.split(product(old.h, self.wh[:, : 2 * n_state], "float32"), 2, axis=-1)
        r, z = edit("r", gate(input_r + state_r)), edit("z", gate(input_z + state_z))
        n = edit("n", act(input_n + product(r * old.h, self.wh[:, 2 * n_state :], "float32")))
        return Carry(None, edit("h", (1 - z) * n + z * old.h))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bidirectional:
    """Two layers that read in opposite directions; what is above reads both.

    Attributes
    ----------
    forward, backward
        The layers; the second one has ``reverse=True``.
    merge
        How their states are joined: concatenated, added, averaged or multiplied.
    """

    forward: Recurrent
    backward: Recurrent
    merge: Merge = field(default="concat", metadata=_STATIC)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerNorm:
    """Layer normalization over the last axis: ``(x - mean) / sqrt(variance + epsilon) * scale + bias``."""

    scale: Any
    bias: Any
    epsilon: float = field(default=1e-5, metadata=_STATIC)

    def __call__(self, values: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Normalize."""
        off = values - values.mean(axis=-1, keepdims=True)
        return off * jax.lax.rsqrt(jnp.square(off).mean(axis=-1, keepdims=True) + self.epsilon) * self.scale + self.bias


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """A dense layer, applied to every position: ``activation(x @ kernel + bias)``."""

    kernel: Any
    bias: Any
    activation: Activation = field(default="linear", metadata=_STATIC)

    def __call__(self, values: Float[Array, "*batch D"]) -> Float[Array, "*batch E"]:
        """Apply it."""
        return get_function(self.activation)(product(values, self.kernel, "float32") + self.bias)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Elementwise:
    """An activation function by itself."""

    activation: Activation = field(default="linear", metadata=_STATIC)

    def __call__(self, values: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Apply it."""
        return get_function(self.activation)(values)


Pointwise = LayerNorm | Dense | Elementwise  # what is computed at every symbol by itself
Layer = Recurrent | Bidirectional | LayerNorm | Dense | Elementwise


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stack:
    """Layers on top of an embedding.

    Attributes
    ----------
    layers
        The lowest first.
    embedding
        float32 ``(V, D)``; None where the lowest layer reads one-hot symbols.
    """

    layers: tuple[Layer, ...]
    embedding: Any = None

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """All recurrent layers in the order of their neurons; of two directions the forward one first."""
        pairs = [(a.forward, a.backward) if isinstance(a, Bidirectional) else (a,) for a in self.layers]
        return tuple(one for pair in pairs for one in pair if isinstance(one, Recurrent))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of neurons of each of them."""
        return tuple(layer.size for layer in self.recurrent)

    @property
    def n_neurons(self) -> int:
        """The number of neurons."""
        return sum(self.sizes)

    @property
    def n_symbols(self) -> int:
        """The number of codes it reads."""
        return int((self.recurrent[0].wx if self.embedding is None else self.embedding).shape[0])

    @property
    def parts(self) -> tuple[str, ...]:
        """What an override can change in every layer."""
        wide = all(layer.projection is None for layer in self.recurrent)
        if wide and len({layer.cell for layer in self.recurrent}) == 1:
            return CELLS[self.recurrent[0].cell].parts
        return ("h",)

    @property
    def has_memory(self) -> bool:
        """Whether every neuron has a memory c of its own."""
        return "c" in self.parts

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates that every neuron has; empty where layers differ in their cells, or have a projection."""
        return CELLS[self.recurrent[0].cell].gates if len(self.parts) > 1 else ()

    @property
    def reads_forward(self) -> bool:
        """Whether no state depends on later symbols."""
        return not any(layer.reverse for layer in self.recurrent)


class Trace(NamedTuple):
    """What a network computes while it reads some strings: what a readout is computed from.

    Attributes
    ----------
    codes
        int32 ``(B, L)``: the symbols read.
    mask
        bool ``(B, L)``: False after the end of a string, where nothing is read.
    inputs
        float32 ``(B, L, D)``: the embedded symbols (one-hot symbols without an embedding).
    layers
        float32 ``(B, L, N_l)`` for each recurrent layer, the lowest first: what it passes on; of a bidirectional
        layer the merged states.
    top
        float32 ``(B, L, N)``: what comes out of the uppermost layer.
    hidden
        float32 ``(B, L, N)``: all neurons.
    """

    codes: Any
    mask: Any
    inputs: Any
    layers: tuple[Any, ...]
    top: Any
    hidden: Any


class Run(NamedTuple):
    """What a network computes.

    Attributes
    ----------
    trace
        Its states.
    cell
        float32 ``(B, L, N)``: the memories c of all neurons; None where they were not asked for.
    gates
        float32 ``(B, L, G, N)``: the gates of all neurons, in the order of `Stack.gate_names`; None likewise.
    """

    trace: Trace
    cell: Any = None
    gates: Any = None


def initial_carries(stack: Stack, batch: int, initial: Sequence[Carry] | None) -> tuple[Carry, ...]:
    """Return the state of every recurrent layer before the first symbol."""
    zeros = tuple(layer.zero(batch) for layer in stack.recurrent)
    if initial is None:
        return zeros
    return jax.tree.map(lambda zero, given: jnp.broadcast_to(given, zero.shape), zeros, tuple(initial))


@partial(jax.jit, static_argnames=("with_cell", "with_gates"))
def run_stack(
    stack: Stack,
    codes: Int[Array, "B L"],
    mask: Bool[Array, "B L"],
    initial: tuple[Carry, ...] | None = None,
    overrides: Bound = Bound(),  # noqa: B008
    with_cell: bool = False,
    with_gates: bool = False,
) -> Run:
    """Read some strings, each from its initial state.

    Parameters
    ----------
    stack
        The network.
    codes, mask
        The symbols, and which of them are read; a step that is not read leaves the state as it is.
    initial
        The states before the first symbol, arrays that broadcast against ``(B, N)``; None: zero.
    overrides
        From `Intervention.bind`; drives have the shape ``(L, B, 1)`` or ``(L, B, N)``.
    with_cell, with_gates
        Whether to return the memories, and the gates.

    Notes
    -----
    Layers are computed one after the other, each over all steps, so that directions may differ. What an override at
    the readout shows to the layers above and to the readout is computed from the states that flow on, at all
    steps at once.
    """
    inputs = jax.nn.one_hot(codes, stack.n_symbols) if stack.embedding is None else stack.embedding[codes]
    flowing = shown = jnp.swapaxes(inputs, 0, 1)
    edits = tuple(zip(overrides.overrides, overrides.drives, strict=True))
    two_ways = any(edit.where == "readout" for edit in overrides.overrides)
    carries = iter(initial_carries(stack, codes.shape[0], initial))
    names = stack.gate_names if with_gates else ()
    first, layers, hidden, cells, gates = 0, [], [], [], []
    for layer in stack.layers:
        if isinstance(layer, (LayerNorm, Dense, Elementwise)):
            flowing = layer(flowing)
            shown = layer(shown) if two_ways else flowing
            continue
        directions = (layer.forward, layer.backward) if isinstance(layer, Bidirectional) else (layer,)
        pairs = []
        for one in directions:
            span = slice(first, first + one.size)
            pairs.append(_run_layer(one, flowing, shown, mask.T, next(carries), edits, span, two_ways, names))
            first = span.stop
        hidden += [pair[1].h for pair in pairs]
        cells += [pair[1].c for pair in pairs]
        gates += [pair[2] for pair in pairs]
        merge: Merge = layer.merge if isinstance(layer, Bidirectional) else "concat"
        flowing = _merged([pair[0].h for pair in pairs], merge)
        shown = _merged([pair[1].h for pair in pairs], merge) if two_ways else flowing
        layers.append(shown)

    def by_string(values: Array) -> Array:
        return jnp.swapaxes(values, 0, 1)

    trace = Trace(
        codes,
        mask,
        inputs,
        tuple(map(by_string, layers)),
        by_string(shown),
        by_string(jnp.concatenate(hidden, axis=-1)),
    )
    return Run(
        trace,
        by_string(jnp.concatenate(cells, axis=-1)) if with_cell else None,
        by_string(jnp.concatenate(gates, axis=-1)) if names else None,
    )


def _merged(states: list[Array], merge: Merge) -> Array:
    if len(states) == 1:
        return states[0]
    forward, backward = states
    if merge == "concat":
        return jnp.concatenate(states, axis=-1)
    if merge == "mul":
        return forward * backward
    return (forward + backward) * (0.5 if merge == "ave" else 1.0)


def _run_layer(
    layer: Recurrent,
    flowing: Float[Array, "L B I"],
    shown: Float[Array, "L B I"],
    mask: Bool[Array, "L B"],
    carry: Carry,
    edits: tuple[Driven, ...],
    span: slice,
    two_ways: bool,
    gates: tuple[str, ...],
) -> tuple[Carry, Carry, Any]:
    """Return the states of all steps: those that flow on, and those that are shown above; and the gates shown."""
    lasting = tuple(pair for pair in edits if pair[0].where == "recurrent")
    drives = tuple(drive for _, drive in lasting)
    values = product(flowing, layer.wx, "float32") + layer.b

    def body(old: Carry, row: Any) -> tuple[Carry, tuple[Carry, Any]]:
        value, here, now = row
        edited = tuple((override, drive) for (override, _), drive in zip(lasting, now, strict=True))
        new, opened = _take_step(layer, value, old, edited, span, gates)
        kept = jax.tree.map(lambda a, b: jnp.where(here[:, None], a, b), new, old)
        return kept, (kept, opened)

    _, (states, opened) = jax.lax.scan(body, carry, (values, mask, drives), reverse=layer.reverse)
    if not two_ways:
        return states, states, opened
    # The state before each step: a shift against the direction of reading.
    if layer.reverse:
        before = jax.tree.map(lambda rows, end: jnp.concatenate([rows[1:], end[None]]), states, carry)
    else:
        before = jax.tree.map(lambda rows, start: jnp.concatenate([start[None], rows[:-1]]), states, carry)
    again = product(shown, layer.wx, "float32") + layer.b
    seen, opened = _take_step(layer, again, before, edits, span, gates)
    return states, jax.tree.map(lambda a, b: jnp.where(mask[..., None], a, b), seen, before), opened


def _take_step(
    layer: Recurrent, from_input: Array, old: Carry, edits: tuple[Driven, ...], span: slice, gates: tuple[str, ...]
) -> tuple[Carry, Any]:
    """Return the state after a step, and the gates ``(..., G, N)`` that it went through, None without names."""
    seen: dict[str, Array] = {}

    def edit(part: str, value: Array) -> Array:
        seen[part] = apply_overrides(edits, value, span, part)
        return seen[part]

    new = layer.step(from_input, old, edit)
    return new, jnp.stack([seen[name] for name in gates], axis=-2) if gates else None
