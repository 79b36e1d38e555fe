"""The ridge classifier on one neuron: least squares on labels of -1 and +1, from each class's totals."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.probes._fit import Fit, class_weights, from_line
from dni_jax.probes._neuron import Neuron, both_classes

_ROUNDING = 1e-14


def classify(neuron: Neuron, alpha: Float[Array, ""], balanced: bool) -> Fit:
    """Solve scikit-learn's ``RidgeClassifier(alpha=alpha)`` for every fold and feature on one neuron.

    Minimises ``sum(c_y * (y - a - w * x) ** 2) + alpha * w ** 2`` for y in {-1, +1}; the intercept a is free.
    """
    classes = both_classes(neuron)
    size = classes.sizes()
    weights = class_weights(size, balanced)
    n, s, q = weights * classes.moments()
    total = jnp.sum(n, axis=0)
    x_mean, y_mean = jnp.sum(s, axis=0) / total, (n[0] - n[1]) / total
    squares = jnp.sum(q, axis=0)
    spread = squares - total * x_mean**2
    spread = jnp.where(spread <= _ROUNDING * squares, 0.0, spread)
    cross = s[0] - s[1] - total * x_mean * y_mean
    penalised = spread + alpha
    w = jnp.where(spread > 0, cross / jnp.where(penalised > 0, penalised, 1.0), 0.0)
    # Equal means leave a cross product of rounding only.
    w = jnp.where(jnp.abs(cross) <= _ROUNDING * jnp.sqrt(squares * total), 0.0, w)
    shape = neuron.train_positive.shape[1:]
    return from_line(w.reshape(shape), (y_mean - w * x_mean).reshape(shape), size.reshape(2, *shape))
