"""Logistic regression on one neuron, by Newton's method on a few hundred blocks of neighboring values.

A step over all positions would cost T exponentials for every fold and feature. Within a block of neighboring values
``log(1 + exp(w * x + b))`` is nearly a polynomial in x, so its sum over the block is a Taylor series in the block's
moments. These do not depend on w and b, and a step costs one exponential per block. The terms linear in the labels are
known exactly. Where a weight is too large for the series to hold, the neuron is fitted again over every position.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dni_jax.probes import _bits
from dni_jax.probes._neuron import Fit, Neuron, Solver, both_classes, class_weights, from_line
from dni_jax.probes._newton import Surface, minimize
from dni_jax.probes._value_blocks import ValueBlocks

# Powers of a block's moments, and the largest weight times radius: the series' error stays below 1e-8 per position.
_POWERS, _REACH = 8, 0.5

_Sums = tuple[Array, ...]


def _derivatives(z: Array, count: int) -> list[Array]:
    """``log(1 + exp(z))`` and its first derivatives; from the second on, polynomials in the logistic function."""
    decay = jnp.exp(-jnp.abs(z))
    chance = jnp.where(z >= 0, 1.0, decay) / (1.0 + decay)
    curve = decay / ((1.0 + decay) * (1.0 + decay))
    derivatives = [jnp.maximum(z, 0.0) + jnp.log1p(decay), chance]
    factor = [1.0]  # the next derivative is curve * factor(chance), coefficients from the constant up
    while len(derivatives) < count:
        value = jnp.full_like(z, factor[-1])
        for coefficient in factor[-2::-1]:
            value = value * chance + coefficient
        derivatives.append(curve * value)
        factor = _derived(factor)
    return derivatives


def _derived(factor: Sequence[float]) -> list[float]:
    """Coefficients of ``(1 - 2 s) p + (s - s ** 2) p'``: the factor of the derivative of ``(s - s ** 2) p(s)``."""
    raised = [0.0] * (len(factor) + 1)
    for power, coefficient in enumerate(factor):
        raised[power] += (1 + power) * coefficient
        raised[power + 1] -= (2 + power) * coefficient
    return raised


def _dot(left: Sequence[Array], right: Sequence[Array]) -> Array:
    """Sum of products, as far as both go."""
    pairs = list(zip(left, right, strict=False))
    total = pairs[0][0] * pairs[0][1]
    for a, b in pairs[1:]:
        total = total + a * b
    return total


def _block_sums(blocks: ValueBlocks, w: Array, b: Array, parallel: bool = False) -> _Sums:
    """Log losses of all positions as if each were a negative, and their derivatives, from the blocks' moments.

    With ``x = middle + r`` the loss is the sum over p of ``f^(p)(z) * w ** p * power[p]`` at ``z = w * middle + b``.
    The Hessian only guides the steps, so its series may do without the last term.
    """
    n_powers = blocks.power.shape[1]

    def of_block(middle: Array, power: Array) -> _Sums:
        f = _derivatives(w * middle + b, max(n_powers + 1, 3))
        powers_of_w = [jnp.ones_like(w)]
        for _ in range(1, n_powers):
            powers_of_w.append(powers_of_w[-1] * w)
        term = [powers_of_w[p] * power[p] for p in range(n_powers)]
        value, db, dbb = _dot(f, term), _dot(f[1:], term), _dot(f[2:], term)
        dw, dwb, dww = middle * db, middle * dbb, middle * middle * dbb
        if n_powers > 2:
            once = [p * powers_of_w[p - 1] * power[p] for p in range(1, n_powers)]
            twice = [p * (p - 1) * powers_of_w[p - 2] * power[p] for p in range(2, n_powers)]
            inner = _dot(f[2:], once)
            dw = dw + _dot(f[1:], once)
            dww = dww + 2.0 * middle * inner + _dot(f[2:], twice)
            dwb = dwb + inner
        return value, dw, db, dww, dwb, dbb

    if parallel:
        return tuple(jnp.sum(part, axis=0) for part in jax.vmap(of_block)(blocks.middle, blocks.power))

    def add(total: _Sums, block: tuple[Array, Array]) -> tuple[_Sums, None]:
        return tuple(t + p for t, p in zip(total, of_block(*block), strict=True)), None

    return lax.scan(add, _zeros(w), (blocks.middle, blocks.power))[0]


def _position_sums(words: tuple[Array, ...], cost: Float[Array, "2 K F"] | None, w: Array, b: Array) -> _Sums:
    """Compute the same sums over every position of the training sets."""

    def add(total: _Sums, word: tuple[Array, ...]) -> tuple[_Sums, None]:
        x, positive, out, valid = word
        mass = _bits.expand(valid & ~out).T[:, :, None].astype(jnp.float64)
        if cost is not None:
            mass = mass * jnp.where(_bits.expand(positive).T[:, None, :], cost[0], cost[1])
        x = x[:, None, None]
        value, slope, curve = _derivatives(w * x + b, 3)
        parts = (value, slope * x, slope, curve * x * x, curve * x, curve)
        return tuple(t + jnp.sum(mass * p, axis=0) for t, p in zip(total, parts, strict=True)), None

    return lax.scan(add, _zeros(w), words)[0]


def _zeros(w: Array) -> _Sums:
    return tuple(jnp.zeros(w.shape, jnp.float64) for _ in range(6))


def _surface(sums: _Sums, linear: tuple[Array, Array], w: Array, b: Array) -> Surface:
    """Objective: the negatives' losses, less what is linear in the positives' decision values, and the penalty."""
    value, dw, db, dww, dwb, dbb = sums
    of_w, of_b = linear
    return Surface(value - w * of_w - b * of_b + w * w / 2.0, dw - of_w + w, db - of_b, dww + 1.0, dwb, dbb)


def fit(neuron: Neuron, cost: Float[Array, ""], solver: Solver) -> Fit:
    """Solve scikit-learn's ``LogisticRegression(C=cost)`` for every fold and feature on one neuron.

    Minimizes ``w ** 2 / 2 + cost * sum(c_y * log(1 + exp(-y * (w * x + b))))``; the bias is free.
    """
    shape = neuron.train_positive.shape[1:]
    size = both_classes(neuron).sizes().reshape(2, *shape)
    # One class alone has no finite bias; without a cost its surface is flat, and the answer is not used.
    costs = jnp.where(jnp.min(size, axis=0) > 0, cost * class_weights(size, solver.balanced), 0.0)
    odds = costs * size.astype(jnp.float64)
    start = jnp.where(costs[0] > 0, jnp.log(jnp.maximum(odds[0], 1e-300) / jnp.maximum(odds[1], 1e-300)), 0.0)
    linear = (costs[0] * neuron.sum_positive[-1], odds[0])
    each, common = (costs, jnp.ones(())) if solver.balanced else (None, costs[0])

    def objective(sums: Callable[[Array, Array], _Sums]) -> Callable[[Array, Array], Surface]:
        return lambda w, b: _surface(tuple(common * part for part in sums(w, b)), linear, w, b)

    blocks = neuron.blocks(each, _POWERS)
    words, parallel = blocks.words, solver.parallel
    if words is None:
        exact = objective(lambda w, b: _block_sums(blocks, w, b, parallel))
        w, b, done = minimize(exact, 0 * start, start, 1e-14, parallel)
        return from_line(w, b, size, done)

    def quick(w: Array, b: Array) -> _Sums:
        # Beyond twice the reach the series may fall without bound: an infinite value makes Newton's method turn back.
        value, *rest = _block_sums(blocks, w, b, parallel)
        return jnp.where(jnp.abs(w) * blocks.radius <= 2.0 * _REACH, value, jnp.inf), *rest

    def again(line: tuple[Array, Array]) -> tuple[Array, Array]:
        return minimize(objective(lambda w, b: _position_sums(words, each, w, b)), *line, 1e-14)[:2]

    w, b, done = minimize(objective(quick), 0 * start, start, 1e-14, parallel)
    reached = jnp.abs(w) * blocks.radius <= _REACH
    if parallel:
        return from_line(w, b, size, done & reached)
    w, b = lax.cond(jnp.all(reached), lambda line: line, again, (w, b))
    return from_line(w, b, size)
