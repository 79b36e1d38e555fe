"""LinearSVC on one neuron, exactly: the squared hinge with a penalized bias, by Newton's method on sorted data.

At any line the margin violators of each class are the ranks on one side of a threshold, so their number, sum and
sum of squares, and with them the objective, its gradient and its Hessian, are prefixes: a step reads no positions.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.probes._binned_neuron import BinnedClass
from dni_jax.probes._neuron import Fit, Neuron, Solver, both_classes, class_weights, from_line
from dni_jax.probes._newton import Surface, minimize
from dni_jax.probes._sorted_neuron import TrainingClass


def _surface(
    neuron: Neuron, classes: TrainingClass | BinnedClass, cost: Array, w: Float[Array, " KF"], b: Float[Array, " KF"]
) -> Surface:
    sign = jnp.array([[1.0], [-1.0]])
    gap = 1.0 - sign * b
    rising = w > 0
    # Violators have sign * (w x + b) < 1: on the margin itself the loss is 0, so either side may have it.
    slope = jnp.where(w == 0, 1.0, w)
    edge = jnp.where(w == 0, jnp.where(sign * gap > 0, jnp.inf, -jnp.inf), (sign - b) / slope)
    below = classes.moments_below(edge)
    low = jnp.stack([rising | (w == 0), ~(rising | (w == 0))])
    n, s, q = jnp.where(low, below, classes.moments() - below)
    value = gap * gap * n - 2.0 * gap * sign * w * s + w * w * q
    dw = 2.0 * (w * q - sign * gap * s)
    db = 2.0 * (w * s - sign * gap * n)
    bias = b - w * neuron.center  # the bias about 0 is penalized, not the one about the neuron's center
    loss = Surface(*(jnp.sum(cost * part, axis=0) for part in (value, dw, db, 2.0 * q, 2.0 * s, 2.0 * n)))
    return Surface(
        loss.value + (w * w + bias * bias) / 2.0,
        loss.dw + w - neuron.center * bias,
        loss.db + bias,
        loss.dww + 1.0 + neuron.center**2,
        loss.dwb - neuron.center,
        loss.dbb + 1.0,
    )


def fit(neuron: Neuron, cost: Float[Array, ""], solver: Solver) -> Fit:
    """Solve scikit-learn's ``LinearSVC(C=cost)`` for every fold and feature on one neuron.

    Minimizes ``(w ** 2 + b ** 2) / 2 + cost * sum(c_y * max(0, 1 - y * (w * x + b)) ** 2)``.
    """
    classes = both_classes(neuron)
    size = classes.sizes()
    costs = cost * class_weights(size, solver.balanced)
    zero = jnp.zeros(size.shape[1], jnp.float64)
    w, b, done = minimize(lambda w, b: _surface(neuron, classes, costs, w, b), zero, zero, 1e-18, solver.parallel)
    shape = neuron.train_positive.shape[1:]
    return from_line(w.reshape(shape), b.reshape(shape), size.reshape(2, *shape), done.reshape(shape))
