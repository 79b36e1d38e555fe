"""One recurrent layer over time, whose gradient is written out: the fast path of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dni_jax.models._weights import AnyLayerWeights, LayerWeights, LinearWeights, MatmulDtype
from dni_jax.models.cells import CELLS, Carry, Edit, LinearCell, SequentialCell, no_edit


class Lookup(NamedTuple):
    """Input of the lowest layer: a one-hot symbol picks a row of the table ``wx + b``."""

    table: Float[Array, "V G"]
    codes: Int[Array, "R B"]

    def rows(self) -> Array:
        """Return what a scan iterates over."""
        return self.codes

    def at(self, row: Array) -> Float[Array, "B G"]:
        """Return the input's pre-activations of one step."""
        return self.table[row]

    def gradient(self, d_input: Float[Array, "R B G"]) -> Lookup:
        """Return the table's gradient: a scatter-add, five times as fast as a one-hot product."""
        rows = d_input.reshape(-1, d_input.shape[-1])
        return Lookup(jnp.zeros_like(self.table).at[self.codes.reshape(-1)].add(rows), None)  # type: ignore[arg-type]


class Dense(NamedTuple):
    """Input of a higher layer: pre-activations of all steps, made in one product."""

    values: Float[Array, "R B G"]

    def rows(self) -> Array:
        """Return what a scan iterates over."""
        return self.values

    def at(self, row: Array) -> Float[Array, "B G"]:
        """Return the input's pre-activations of one step."""
        return row

    def gradient(self, d_input: Float[Array, "R B G"]) -> Dense:
        """Return the gradient, which is the input's own."""
        return Dense(d_input)


class ScanSettings(NamedTuple):
    """What is compiled into a scan: the cell's name and the type of its matrix products."""

    cell: str
    matmul_dtype: MatmulDtype

    @property
    def cell_type(self) -> SequentialCell:
        """The cell, one whose steps are taken one after the other."""
        cell = CELLS[self.cell]
        if not isinstance(cell, SequentialCell):
            raise ValueError(f"expected a cell that is not linear in its state, got {self.cell!r}: use linear_scan")
        return cell

    @property
    def linear_cell_type(self) -> LinearCell:
        """The cell, one that is linear in its state."""
        cell = CELLS[self.cell]
        if not isinstance(cell, LinearCell):
            raise ValueError(f"expected a cell that is linear in its state, got {self.cell!r}: use layer_scan")
        return cell


def product(a: Array, b: Array, matmul_dtype: MatmulDtype) -> Array:
    """Multiply matrices in float32, or with operands rounded to bfloat16; sums are float32."""
    if matmul_dtype == "bfloat16":
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return jnp.matmul(a, b, preferred_element_type=jnp.float32)
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def zero_carry(batch: int, hidden: int, cell: str) -> Carry:
    """Return the state before the first symbol."""
    zero = jnp.zeros((batch, hidden))
    kind = CELLS[cell]
    return Carry(kind.make_memory([zero] * len(kind.memory)), zero)


def reset_carry(carry: Carry, reset: Bool[Array, " B"]) -> Carry:
    """Return the state with the lanes that start a string at zero."""
    return jax.tree.map(lambda part: jnp.where(reset[:, None], jnp.zeros_like(part), part), carry)


def layer_step(
    settings: ScanSettings,
    from_input: Float[Array, "B G"],
    layer: AnyLayerWeights,
    carry: Carry,
    resets: Bool[Array, " B"],
    edit: Edit = no_edit,
) -> tuple[Carry, tuple[Array, ...]]:
    """Take one step, from zero in the lanes that `resets` names.

    Returns the new state, and what the cell keeps of the step (the activated gates first).
    """
    old = reset_carry(carry, resets)
    if isinstance(layer, LinearWeights):
        return settings.linear_cell_type.step(from_input, layer.decay, old, edit)
    # What a zero state adds is zero: reset after the product, this joins the gates' kernel.
    from_state = product(carry.h, layer.wh, settings.matmul_dtype)
    from_state = jnp.where(resets[:, None], 0.0, from_state)
    if layer.bh is not None:
        from_state = from_state + layer.bh
    return settings.cell_type.forward(from_input, from_state, old, edit)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def layer_scan(
    settings: ScanSettings, source: Lookup | Dense, layer: LayerWeights, resets: Bool[Array, "R B"], carry: Carry
) -> tuple[Float[Array, "R B N"], Carry]:
    """Return hidden states of R steps in B lanes, and the state after them.

    The gradient flows to the input and to the recurrent weights (``wh``, ``bh``) only: the incoming carry is a
    constant, as truncated backpropagation wants, and ``wx`` and ``b`` are in the input. It emits the pre-activations'
    gradient step by step and forms the recurrent kernel's in one product after the scan.
    """

    def body(state: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, Array]:
        row, reset = inputs
        new, _ = layer_step(settings, source.at(row), layer, state, reset)
        return new, new.h

    last, hidden = jax.lax.scan(body, carry, (source.rows(), resets))
    return hidden, last


# Steps of a scan in one trip of an accelerator's loop, which takes launches of its own.
UNROLL = 8


def _on_platform(run: Callable[..., Any], *arrays: Any) -> Any:
    """Run a function of ``(accelerated, *arrays)``, which is compiled differently for accelerators."""
    return jax.lax.platform_dependent(*arrays, cpu=partial(run, False), default=partial(run, True))


def _stack(parts: Sequence[Float[Array, "B N"]]) -> Float[Array, "P B N"]:
    """Stack arrays by selection: on an accelerator one kernel then computes all of them and writes them in place."""
    place = jax.lax.broadcasted_iota(jnp.int32, (len(parts), *parts[0].shape), 0)
    stacked = jnp.broadcast_to(parts[-1], place.shape)
    for number, part in enumerate(parts[:-1]):
        stacked = jnp.where(place == number, part, stacked)
    return stacked


def _forward(settings: ScanSettings, source: Any, layer: LayerWeights, resets: Array, carry: Carry) -> tuple[Any, Any]:
    def run(accelerated: bool, source: Any, layer: LayerWeights, resets: Array, carry: Carry) -> Any:
        structure = None

        def body(state: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, Any]:
            nonlocal structure
            row, reset = inputs
            new, kept = layer_step(settings, source.at(row), layer, state, reset)
            residuals = (new, kept, reset_carry(state, reset).c)
            leaves, structure = jax.tree.flatten(residuals)
            return new, _stack(leaves) if accelerated else residuals

        last, kept = jax.lax.scan(body, carry, (source.rows(), resets), unroll=UNROLL if accelerated else 1)
        if accelerated:
            kept = jax.tree.unflatten(structure, [kept[:, part] for part in range(kept.shape[1])])
        return last, kept

    last, (states, kept, old_c) = _on_platform(run, source, layer, resets, carry)
    return (states.h, last), (source, layer, resets, carry, states, kept, old_c)


def _backward(settings: ScanSettings, residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    source, layer, resets, carry, states, kept, old_c = residuals
    d_hidden, d_last = cotangents
    old_h = jnp.concatenate([carry.h[None], states.h[:-1]])
    old_h = jnp.where(resets[..., None], 0.0, old_h)

    def run(accelerated: bool, last: Carry, wh: Array, inputs: Any) -> Any:
        def body(flow: Carry, inputs: Any) -> tuple[Carry, tuple[Array, Array | None]]:
            d_h, kept, new, old, reset = inputs
            d_input, d_state, d_old = settings.cell_type.backward(kept, new, old, flow._replace(h=flow.h + d_h))
            d_old = d_old._replace(h=d_old.h + product(d_state, wh.T, settings.matmul_dtype))
            return reset_carry(d_old, reset), (d_input, d_state if settings.cell_type.has_state_bias else None)

        return jax.lax.scan(body, last, inputs, reverse=True, unroll=UNROLL if accelerated else 1)[1]

    inputs = (d_hidden, kept, states, Carry(old_c, old_h), resets)
    d_input, d_state = _on_platform(run, Carry(*d_last), layer.wh, inputs)
    d_state = d_input if d_state is None else d_state
    flat_old, flat_d = (array.reshape(-1, array.shape[-1]) for array in (old_h, d_state))
    d_layer = LayerWeights(
        wx=jnp.zeros_like(layer.wx),
        wh=product(flat_old.T, flat_d, settings.matmul_dtype),
        b=jnp.zeros_like(layer.b),
        bh=None if layer.bh is None else flat_d.sum(0),
    )
    return source.gradient(d_input), d_layer, None, jax.tree.map(jnp.zeros_like, carry)


layer_scan.defvjp(_forward, _backward)
