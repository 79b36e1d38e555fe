"""Logistic regression on one neuron, by Newton's method, coarse to fine.

The first steps see one point a class for every 64 neighbouring ranks, their mean; the last ones see every position.
Both minimise the same kind of objective, so the coarse answer is a start that Newton needs a step or two to finish.
"""

from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dni_jax.probes import _bits
from dni_jax.probes._binned import BinnedNeuron
from dni_jax.probes._fit import Fit, class_weights, from_line
from dni_jax.probes._neuron import Neuron, both_classes
from dni_jax.probes._newton import Surface, minimise
from dni_jax.probes._sorted import SortedNeuron


def _losses(z: Array, x: Array, positive: Array) -> tuple[Array, ...]:
    """Log loss at decision values z, and its derivatives in w and b."""
    decay = jnp.exp(-jnp.abs(z))
    chance = jnp.where(z >= 0, 1.0, decay) / (1.0 + decay)
    value = jnp.maximum(z, 0.0) + jnp.log1p(decay) - positive * z
    slope = chance - positive
    curve = chance * (1.0 - chance)
    return value, slope * x, slope, curve * x * x, curve * x, curve


def _penalised(sums: tuple[Array, ...], w: Array) -> Surface:
    value, dw, *rest = sums
    dww, *others = rest[1:]
    return Surface(value + w * w / 2.0, dw + w, rest[0], dww + 1.0, *others)


def _coarse(neuron: Neuron, cost: Float[Array, "2 K F"], w: Array, b: Array) -> Surface:
    """Objective with each class of each word at its mean."""
    n_positive = jnp.diff(neuron.train_positive, axis=0)
    n_negative = jnp.diff(neuron.train_all, axis=0)[:, :, None] - n_positive
    s_positive = jnp.diff(neuron.sum_positive, axis=0)
    s_negative = jnp.diff(neuron.sum_all, axis=0)[:, :, None] - s_positive

    def add(total: tuple, word: tuple) -> tuple[tuple, None]:
        for n, s, each, positive in zip(word[:2], word[2:], cost, (1.0, 0.0), strict=True):
            count = n.astype(jnp.float64)
            mean = s / jnp.maximum(count, 1.0)
            parts = _losses(w * mean + b, mean, jnp.asarray(positive, jnp.float64))
            total = tuple(t + each * count * p for t, p in zip(total, parts, strict=True))
        return total, None

    start = tuple(jnp.zeros(w.shape, jnp.float64) for _ in range(6))
    sums, _ = lax.scan(add, start, (n_positive, n_negative, s_positive, s_negative))
    return _penalised(sums, w)


def _fine(neuron: SortedNeuron, cost: Float[Array, "2 K F"], w: Array, b: Array) -> Surface:
    """Objective over every training position."""

    def add(total: tuple, word: tuple) -> tuple[tuple, None]:
        x, positive, out, valid = word
        y = _bits.expand(positive).T.astype(jnp.float64)[:, None, :]
        train = _bits.expand(valid & ~out).T.astype(jnp.float64)[:, :, None]
        x = x[:, None, None]
        mass = train * (cost[1] + (cost[0] - cost[1]) * y)
        parts = _losses(w * x + b, x, y)
        return tuple(t + jnp.sum(mass * p, axis=0) for t, p in zip(total, parts, strict=True)), None

    start = tuple(jnp.zeros(w.shape, jnp.float64) for _ in range(6))
    sums, _ = lax.scan(add, start, (neuron.x, neuron.positive, neuron.fold, neuron.valid))
    return _penalised(sums, w)


def fit(neuron: Neuron, cost: Float[Array, ""], balanced: bool) -> Fit:
    """Solve scikit-learn's ``LogisticRegression(C=cost)`` for every fold and feature on one neuron.

    Minimises ``w ** 2 / 2 + cost * sum(c_y * log(1 + exp(-y * (w * x + b))))``; the bias is free.
    """
    shape = neuron.train_positive.shape[1:]
    size = both_classes(neuron).sizes().reshape(2, *shape)
    # One class alone has no finite bias; without a cost its surface is flat, and the answer is not used.
    costs = jnp.where(jnp.min(size, axis=0) > 0, cost * class_weights(size, balanced), 0.0)
    odds = costs * size.astype(jnp.float64)
    start = jnp.where(costs[0] > 0, jnp.log(jnp.maximum(odds[0], 1e-300) / jnp.maximum(odds[1], 1e-300)), 0.0)
    exact = isinstance(neuron, BinnedNeuron)  # a level is its own mean
    w, b = minimise(partial(_coarse, neuron, costs), jnp.zeros_like(start), start, 1e-14 if exact else 1e-6)
    if isinstance(neuron, SortedNeuron):
        w, b = minimise(partial(_fine, neuron, costs), w, b, 1e-14)
    return from_line(w, b, size)
