"""The plain recurrent network (Elman 1990)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Carry, Edit, SequentialCell


def _forward(from_input: Array, from_state: Array, old: Carry, edit: Edit) -> tuple[Carry, tuple[Array, ...]]:
    a = edit("a", jnp.tanh(from_input + from_state))
    return Carry(None, edit("h", a)), (a,)


def _backward(kept: tuple[Array, ...], new: Carry, old: Carry, d_new: Carry) -> tuple[Array, Array, Carry]:
    d_z = d_new.h * (1 - new.h**2)
    return d_z, d_z, Carry(None, jnp.zeros_like(d_new.h))


RNN = SequentialCell(
    name="rnn",
    title="an RNN",
    gates=("a",),
    forward=_forward,
    backward=_backward,
)
