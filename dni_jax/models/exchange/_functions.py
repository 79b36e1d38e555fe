"""Activation functions by name, and the name of another framework's function, by its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dni_jax.states import as_numpy

Activation = str | Callable[[Array], Array]

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "linear": lambda x: x,
    "hard_sigmoid": jax.nn.hard_sigmoid,  # relu6(x + 3) / 6: Keras 3, PyTorch, JAX
    "hard_sigmoid_keras2": lambda x: jnp.clip(0.2 * x + 0.5, 0.0, 1.0),
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "relu6": jax.nn.relu6,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.01),
    "leaky_relu_0.2": lambda x: jax.nn.leaky_relu(x, 0.2),
    "exponential": jnp.exp,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_silu": jax.nn.hard_silu,
    "mish": jax.nn.mish,
    "log_sigmoid": jax.nn.log_sigmoid,
}

# Between and beyond every bend of the functions above.
_PROBED = np.asarray([-8.0, -3.2, -2.7, -1.3, -0.6, -0.1, 0.0, 0.2, 0.7, 1.4, 2.6, 3.3, 7.0], np.float32)
_AGREES = 1e-5


def get_function(activation: Activation) -> Callable[[Array], Array]:
    """Return a function by its name; a function of JAX arrays is returned as it is."""
    return FUNCTIONS[activation] if isinstance(activation, str) else activation


def describe_function(activation: Activation) -> str:
    """Return a function's name, or, of one without, its values at 13 numbers."""
    if isinstance(activation, str):
        return activation
    return repr(np.asarray(activation(jnp.asarray(_PROBED))).tolist())


def name_function(function: Any, convert: Callable[[np.ndarray], Any] = lambda values: values) -> str | None:
    """Return which of `FUNCTIONS` another framework's elementwise function is, by its values; None for any other.

    Names do not tell: ``hard_sigmoid`` is one function in Keras 2 and another in Keras 3.

    Parameters
    ----------
    function
        Called once with 13 numbers.
    convert
        Makes the framework's array of them.

    Examples
    --------
    >>> name_function(np.tanh), name_function(np.sin)
    ('tanh', None)
    """
    try:
        values = np.asarray(as_numpy(function(convert(_PROBED)), "an activation's values"), np.float64)
    except Exception:  # another framework's function may fail in any way
        return None
    if values.shape != _PROBED.shape:
        return None
    for name, ours in FUNCTIONS.items():
        expected = np.asarray(ours(jnp.asarray(_PROBED)), np.float64)
        if np.all(np.abs(values - expected) <= _AGREES * np.maximum(1.0, np.abs(expected))):
            return name
    return None
