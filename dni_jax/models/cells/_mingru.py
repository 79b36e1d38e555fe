"""The minimal gated recurrent unit (Feng et al. 2024, "Were RNNs all we needed?", section 3.1).

From the layer's input ``x_t`` alone, with one update gate and one candidate per neuron::

    z_t = sigmoid(W_z x_t + b_z)
    n_t = W_n x_t + b_n
    h_t = (1 - z_t) * h_{t-1} + z_t * n_t

This is the paper's plain form: the candidate is linear, states may have either sign, and none is bounded. Its log-space
form, which passes candidates through a positive function so that products can be summed as logarithms, is not needed:
``1 - z_t`` lies between 0 and 1, and `linear_scan` multiplies such numbers without leaving the range of float32. As in
the paper, ``z_t = 1`` takes the candidate, where the GRU of this package keeps the old state.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dni_jax.models.cells._cell import Edit, LinearCell


def _coefficients(from_input: Array, decay: Any, edit: Edit) -> tuple[Array, Array, tuple[Array, ...]]:
    input_z, input_n = jnp.split(from_input, 2, axis=-1)
    z, n = edit("z", jax.nn.sigmoid(input_z)), edit("n", input_n)
    return 1 - z, z * n, (z, n)


MINGRU = LinearCell(name="mingru", title="a minGRU", gates=("z", "n"), coefficients=_coefficients)
