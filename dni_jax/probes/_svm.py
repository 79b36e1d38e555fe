"""The linear SVM on one neuron, exactly: scikit-learn's ``SVC(kernel="linear")`` in closed form on sorted data.

With one weight w > 0 only low positives and high negatives violate the margin. Optimality in the free bias gives
both classes the same violating mass mu; optimality in w gives w = W(mu), the integral of D(u) = a(u) - b(u) up to
mu, where a(u) is the value at mass u of the class that should lie high, counted from the bottom, and b(u) that of
the other class, counted from the top. The margin's two edges are a(mu) and b(mu), 2 / w apart: W(mu) D(mu) = 2.
D never falls, so the crossing is found by bisection. w < 0 is the same with the classes swapped.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dni_jax.probes._neuron import Fit, Neuron, Solver


class _Problem(NamedTuple):
    """One SVM a (fold, feature), flat; row 0 is the "upper" class, which should lie high, row 1 the lower one.

    Masses are integers, `mass` a member in multiples of `unit`, so that equal masses of both classes are
    recognized exactly. `limit` is the smaller class's.
    """

    negate: Bool[Array, "2 KF"]
    size: Int[Array, "2 KF"]
    total: Float[Array, "2 KF"]
    mass: Int[Array, "2 KF"]
    unit: Float[Array, " KF"]
    limit: Int[Array, " KF"]


def _pose(neuron: Neuron, cost: Float[Array, ""], balanced: bool) -> _Problem:
    """Set up the problems, with the class of the higher mean on top (the other sign has no solution but 0)."""
    n_features = neuron.train_positive.shape[2]
    positive = neuron.train_positive[-1].reshape(-1).astype(jnp.int64)
    n_all = jnp.repeat(neuron.train_all[-1], n_features).astype(jnp.int64)
    count = jnp.stack([positive, n_all - positive])
    sum_positive = neuron.sum_positive[-1].reshape(-1)
    total = jnp.stack([sum_positive, jnp.repeat(neuron.sum_all[-1], n_features) - sum_positive])
    flip = total[0] * count[1].astype(jnp.float64) < total[1] * count[0].astype(jnp.float64)
    count, total = jnp.where(flip, count[::-1], count), jnp.where(flip, total[::-1], total)
    mass, unit = jnp.ones_like(count), jnp.full(n_all.shape, cost)
    if balanced:
        mass = jnp.maximum(count[::-1], 1)
        unit = cost * n_all.astype(jnp.float64) / (2.0 * (mass[0] * mass[1]).astype(jnp.float64))
    return _Problem(jnp.stack([flip, ~flip]), count, total, mass, unit, jnp.min(count * mass, axis=0))


def _ceil(a: Int[Array, "*shape"], b: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    return -((-a) // b)


def _nth(neuron: Neuron, problem: _Problem, n: Int[Array, "R 2 KF"]) -> tuple[Array, Array]:
    """Return the upper class's n-th values from the bottom, the lower's from the top, and sums of the values passed."""
    upper, lower = n[:, 0], problem.size[1] - 1 - n[:, 1]
    flat = jnp.stack([upper, lower], axis=1).reshape(-1, n.shape[-1]).astype(jnp.int32)
    value, before = neuron.classes(jnp.tile(problem.negate, (n.shape[0], 1))).nth(flat)
    value, before = value.reshape(n.shape), before.reshape(n.shape)
    above = problem.total[1] - before[:, 1] - value[:, 1]
    return value, jnp.stack([before[:, 0], above], axis=1)


def _weight_at(
    neuron: Neuron, problem: _Problem, mass: Int[Array, " KF"]
) -> tuple[Float[Array, " KF"], Float[Array, "2 KF"]]:
    """Return W(mass), and the values a and b just below the mass; needs 0 < mass <= limit."""
    mass = jnp.maximum(mass, 1)
    passed = _ceil(jnp.stack([mass, mass]), problem.mass) - 1
    value, sums = (part[0] for part in _nth(neuron, problem, passed[None]))
    whole = problem.mass.astype(jnp.float64) * sums
    rest = (mass - passed * problem.mass).astype(jnp.float64) * value
    upper, lower = whole + rest
    return problem.unit * (upper - lower), value


def _first(
    neuron: Neuron,
    problem: _Problem,
    ends: "_Ends",
    low: Int[Array, " KF"],
    high: Int[Array, " KF"],
    most: int | None,
) -> Int[Array, " KF"]:
    """Return the smallest step in [low, high) at whose end the crossing is reached; `high` where there is none.

    With `most`, the largest number of steps, the loop is as long as it would have to be for these.
    """

    def unfinished(state: tuple[Array, Array]) -> Array:
        return jnp.any(state[0] < state[1])

    def halve(state: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = state
        middle = (low + high) // 2
        weight, (a, b) = _weight_at(neuron, problem, ends.of(middle))
        crossed = (a > b) & (weight > 0) & (weight * (a - b) >= 2.0)
        active = low < high
        return jnp.where(active & ~crossed, middle + 1, low), jnp.where(active & crossed, middle, high)

    if most is not None:
        return lax.fori_loop(0, most.bit_length(), lambda _, state: halve(state), (low, high))[1]
    return lax.while_loop(unfinished, halve, (low, high))[1]


class _Ends(NamedTuple):
    """Steps of equal mass, the last one cut at a limit."""

    each: Int[Array, " KF"]
    limit: Int[Array, " KF"]

    def of(self, step: Int[Array, " KF"]) -> Int[Array, " KF"]:
        """Mass at the end of a step."""
        return jnp.minimum((step + 1) * self.each, self.limit)


def _threshold(
    neuron: Neuron, problem: _Problem, mass: Int[Array, " KF"], weight: Float[Array, " KF"]
) -> Float[Array, " KF"]:
    """Return the middle of the interval of thresholds that leaves each class's violating mass as it is."""
    both = jnp.stack([mass, mass])
    left, right = _ceil(both, problem.mass) - 1, both // problem.mass
    (inner, outer), _ = _nth(neuron, problem, jnp.stack([left, right]))
    a_right, b_right = jnp.where(right < problem.size, outer, jnp.array([[jnp.inf], [-jnp.inf]]))
    reach = 1.0 / weight
    lowest = jnp.maximum(inner[0] - reach, b_right + reach)
    highest = jnp.minimum(a_right - reach, inner[1] + reach)
    return (lowest + highest) / 2.0


def fit(neuron: Neuron, cost: Float[Array, ""], solver: Solver) -> Fit:
    """Solve the SVM of every fold and feature on one neuron.

    Minimizes ``w ** 2 / 2 + cost * sum(c_y * max(0, 1 - y * (w * x + b)))`` over w and b for y in {-1, +1}, with
    class weights c of 1, or ``n / (2 * n_class)`` where `balanced`. Where a whole interval of biases is optimal,
    the middle is taken, as libsvm does. w = 0 predicts the majority of the training set, class 0 in a tie.
    """
    balanced, most = solver.balanced, neuron.most_positions if solver.parallel else None
    problem = _pose(neuron, cost, balanced)
    upper = _Ends(problem.mass[0], problem.limit)
    n_steps = _ceil(problem.limit, upper.each)
    p = _first(neuron, problem, upper, jnp.zeros_like(n_steps), n_steps, most)
    crossed = p < n_steps
    start, end = p * upper.each, upper.of(p)
    if balanced:
        # Masses differ between the classes: while one member of the upper class passes, D may still jump at several of
        # the lower one. A second search among these finds the step in which D is constant.
        lower = _Ends(problem.mass[1], end)
        low, high = start // lower.each, _ceil(end, lower.each) - 1
        q = _first(neuron, problem, lower, jnp.where(crossed, low, 0), jnp.where(crossed, high, 0), most)
        start, end = jnp.maximum(start, q * lower.each), lower.of(q)
    # W is linear within the step, so its value at the start follows from that at the end. If W * D < 2 at the start and
    # >= 2 at the end, the crossing lies inside, where D = a - b is known, and W = 2 / D without solving for the mass.
    # Otherwise D itself jumps over the crossing at the start, and W is its value there.
    weight_end, (a, b) = _weight_at(neuron, problem, jnp.where(crossed, end, problem.limit))
    weight_start = weight_end - problem.unit * (end - start).astype(jnp.float64) * (a - b)
    inside = crossed & ~((weight_start > 0) & (weight_start * (a - b) >= 2.0))

    weight = jnp.where(inside, 2.0 / jnp.where(inside, a - b, 1.0), jnp.where(crossed, weight_start, weight_end))
    zero = (problem.limit == 0) | ~(weight > 0)
    weight = jnp.where(zero, 1.0, weight)
    at_jump = _threshold(neuron, problem, jnp.where(crossed, start, problem.limit), weight)
    threshold = jnp.where(zero, 0.0, jnp.where(inside, (a + b) / 2.0, at_jump))
    signed = jnp.where(zero, 0.0, jnp.where(problem.negate[0], -weight, weight))
    shape = neuron.train_positive.shape[1:]
    constant = _constant(neuron.train_positive[-1], neuron.train_all[-1][:, None], balanced)
    return Fit(signed.reshape(shape), threshold.reshape(shape), constant)


def _constant(n_positive: Int[Array, "K F"], n_all: Int[Array, "K 1"], balanced: bool) -> Bool[Array, "K F"]:
    """Return the prediction of a probe without a slope: the heavier class; balanced classes are equally heavy."""
    if balanced:
        return n_positive == n_all
    return 2 * n_positive > n_all
