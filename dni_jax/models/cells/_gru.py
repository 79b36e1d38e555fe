"""Gated recurrent unit (Cho et al. 2014), with the reset after the product, as in Flax, PyTorch and cuDNN."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Carry, Edit, SequentialCell


def _forward(from_input: Array, from_state: Array, old: Carry, edit: Edit) -> tuple[Carry, tuple[Array, ...]]:
    input_r, input_z, input_n = jnp.split(from_input, 3, axis=-1)
    state_r, state_z, state_n = jnp.split(from_state, 3, axis=-1)
    r = edit("r", jax.nn.sigmoid(input_r + state_r))
    z = edit("z", jax.nn.sigmoid(input_z + state_z))
    n = edit("n", jnp.tanh(input_n + r * state_n))
    return Carry(None, edit("h", (1 - z) * n + z * old.h)), (r, z, n, state_n)


def _backward(kept: tuple[Array, ...], new: Carry, old: Carry, d_new: Carry) -> tuple[Array, Array, Carry]:
    r, z, n, state_n = kept
    d_n = d_new.h * (1 - z) * (1 - n**2)
    d_z = d_new.h * (old.h - n) * z * (1 - z)
    d_r = d_n * state_n * r * (1 - r)
    from_input = jnp.concatenate([d_r, d_z, d_n], axis=-1)
    from_state = jnp.concatenate([d_r, d_z, d_n * r], axis=-1)
    return from_input, from_state, Carry(None, d_new.h * z)


GRU = SequentialCell(
    name="gru",
    title="a GRU",
    gates=("r", "z", "n"),
    has_state_bias=True,
    forward=_forward,
    backward=_backward,
)
