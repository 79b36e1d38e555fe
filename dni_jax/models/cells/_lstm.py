"""Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Carry, Edit, SequentialCell


def _activated(z: Array) -> Array:
    """All gates in one pass: sigmoid(z) is (1 + tanh(z / 2)) / 2, and one loop takes less time than four."""
    half = jnp.repeat(jnp.asarray([0.5, 0.5, 1.0, 0.5]), z.shape[-1] // 4)
    return half * jnp.tanh(half * z) + (1 - half)


def _forward(from_input: Array, from_state: Array, old: Carry, edit: Edit) -> tuple[Carry, tuple[Array, ...]]:
    i, f, g, o = jnp.split(_activated(from_input + from_state), 4, axis=-1)
    i, f, g, o = edit("i", i), edit("f", f), edit("g", g), edit("o", o)
    c = edit("c", f * old.c + i * g)
    return Carry(c, edit("h", o * jnp.tanh(c))), (i, f, g, o)


def _backward(kept: tuple[Array, ...], new: Carry, old: Carry, d_new: Carry) -> tuple[Array, Array, Carry]:
    i, f, g, o = kept
    squashed = jnp.tanh(new.c)
    d_c = d_new.c + d_new.h * o * (1 - squashed**2)
    d_z = jnp.concatenate(
        [d_c * g * i * (1 - i), d_c * old.c * f * (1 - f), d_c * i * (1 - g**2), d_new.h * squashed * o * (1 - o)],
        axis=-1,
    )
    return d_z, d_z, Carry(d_c * f, jnp.zeros_like(d_c))


# A forget gate that starts open lets gradients reach back through time (Jozefowicz et al. 2015).
LSTM = SequentialCell(
    name="lstm",
    title="an LSTM",
    gates=("i", "f", "g", "o"),
    memory=("c",),
    initial_bias=("f", jnp.ones),
    forward=_forward,
    backward=_backward,
)
