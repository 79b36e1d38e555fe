"""The scalar LSTM with exponential gates of xLSTM (Beck et al. 2024, section 2.2, stabilised form, equations 8 to 17).

The pre-activations i~, f~, z~, o~ are those of an LSTM: from the input and, by recurrent weights, from ``h_{t-1}``::

    m_t = max(log sigmoid(f~_t) + m_{t-1}, i~_t)
    i_t = exp(i~_t - m_t)
    f_t = exp(log sigmoid(f~_t) + m_{t-1} - m_t)
    z_t = tanh(z~_t),  o_t = sigmoid(o~_t)
    c_t = f_t * c_{t-1} + i_t * z_t
    n_t = f_t * n_{t-1} + i_t
    h_t = o_t * c_t / n_t

i and f are the paper's stabilised gates (its i' and f'), between 0 and 1; c and n are in units of ``exp(m)``, which
cancels in h. Of the two forget gates that the paper offers, sigmoid and exponential, this is the sigmoid, as in the
authors' code. An empty memory (``n = 0``) holds nothing to be kept, so ``m_t = i~_t`` there, and the first step of a
string has i = 1 and f = 0; from then on n is at least 1. There is one head: the recurrent weights are not
block-diagonal. The block around the cell (convolution, group norm, projections) is left out.

In the beginning the recurrent weights are 0, and the bias of the forget gate falls from 5 (slow to forget) to -7 over
the neurons, by the power law that the authors' code uses in its first block.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Carry, Edit, NormalizedMemory, SequentialCell


def _forward(from_input: Array, from_state: Array, old: Carry, edit: Edit) -> tuple[Carry, tuple[Array, ...]]:
    log_i, before_f, before_z, before_o = jnp.split(from_input + from_state, 4, axis=-1)
    log_kept = jnp.where(old.c.n == 0, -jnp.inf, jax.nn.log_sigmoid(before_f) + old.c.m)
    m = jnp.maximum(log_kept, log_i)
    i, f = edit("i", jnp.exp(log_i - m)), edit("f", jnp.exp(log_kept - m))
    z, o = edit("z", jnp.tanh(before_z)), edit("o", jax.nn.sigmoid(before_o))
    c, n = edit("c", f * old.c.c + i * z), f * old.c.n + i
    # Only an override of i can leave the memory empty after a step.
    h = edit("h", o * c / jnp.where(n == 0, 1.0, n))
    return Carry(NormalizedMemory(c, n, m), h), (i, f, z, o, jax.nn.sigmoid(-before_f))


def _backward(kept: tuple[Array, ...], new: Carry, old: Carry, d_new: Carry) -> tuple[Array, Array, Carry]:
    i, f, z, o, closing = kept
    ratio, share = new.c.c / new.c.n, d_new.h * o / new.c.n
    d_c, d_n = d_new.c.c + share, d_new.c.n - share * ratio
    flow_i, flow_f = (d_c * z + d_n) * i, (d_c * old.c.c + d_n * old.c.n) * f
    # m is whichever of the two is larger, so a gate that sets m stays at 1, and the other one moves.
    keeps = f == 1
    d_log_i = jnp.where(keeps, flow_i, d_new.c.m - flow_f)
    d_log_kept = jnp.where(keeps, d_new.c.m - flow_i, flow_f)
    d_z = jnp.concatenate([d_log_i, d_log_kept * closing, d_c * i * (1 - z**2), d_new.h * ratio * o * (1 - o)], axis=-1)
    return d_z, d_z, Carry(NormalizedMemory(d_c * f, d_n * f, d_log_kept), jnp.zeros_like(d_c))


def _initial_forget_bias(n_neurons: int) -> Array:
    return 5 - 12 * jnp.linspace(0.0, 1.0, n_neurons) ** 0.3


SLSTM = SequentialCell(
    name="slstm",
    title="an sLSTM",
    gates=("i", "f", "z", "o"),
    memory=("c", "n", "m"),
    initial_bias=("f", _initial_forget_bias),
    initial_recurrence=jax.nn.initializers.zeros,
    forward=_forward,
    backward=_backward,
)
