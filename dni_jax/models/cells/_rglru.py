"""The real-gated linear recurrent unit of Griffin (De et al. 2024, section 2.4, equations 1 to 4).

With a recurrence gate r, an input gate i and an input branch x, all from the layer's input ``u_t``, and a decay
parameter Lambda per neuron::

    r_t = sigmoid(W_r u_t + b_r)
    i_t = sigmoid(W_i u_t + b_i)
    x_t = W_x u_t + b_x
    log a_t = -c * r_t * softplus(-Lambda)          which is a_t = sigmoid(Lambda)^(c r_t), with c = 8
    h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * (i_t * x_t)

Of Griffin's recurrent block, the linear projection into the unit is here (it is the branch x; the gates read the
block's input where Griffin's read x, which can express the same). Left out are the temporal convolution (width 4)
before the unit, the GeLU branch that multiplies its output, the output projection, the normalization and residual
stream around the block, the feed-forward block, and local attention: a layer is the unit, and the readout reads its
state.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Edit, LinearCell

C = 8.0  # the paper's c: the exponent of the decay where the recurrence gate is open
DECAY_RANGE = (0.9, 0.999)  # of sigmoid(Lambda)^c in the beginning


def _coefficients(from_input: Array, decay: Any, edit: Edit) -> tuple[Array, Array, tuple[Array, ...]]:
    input_r, input_i, input_x = jnp.split(from_input, 3, axis=-1)
    r, i = edit("r", jax.nn.sigmoid(input_r)), edit("i", jax.nn.sigmoid(input_i))
    x = edit("x", input_x)
    log_a = -C * r * jax.nn.softplus(-decay)
    # 1 - a^2 without the cancellation near a = 1. The tiny number only matters where a gate has underflowed to 0: it
    # keeps the root's gradient finite there.
    rest = jnp.sqrt(-jnp.expm1(2 * log_a) + jnp.finfo(log_a.dtype).tiny)
    return jnp.exp(log_a), rest * i * x, (r, i, x)


def _initial_decay(key: Array, n_neurons: int) -> Array:
    """Draw Lambda so that ``sigmoid(Lambda)^c`` is uniform in `DECAY_RANGE`."""
    low, high = DECAY_RANGE
    log_a = jnp.log(jax.random.uniform(key, (n_neurons,), minval=low, maxval=high)) / C
    return log_a - jnp.log(-jnp.expm1(log_a))  # the logit of a


RGLRU = LinearCell(
    name="rglru", title="an RG-LRU", gates=("r", "i", "x"), coefficients=_coefficients, initial_decay=_initial_decay
)
