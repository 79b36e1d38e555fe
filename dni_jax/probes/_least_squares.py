"""Least squares on one neuron: ordinary and ridge regression from moments, and the ridge classifier."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from dni_jax.probes._moments import ROUNDING, Moments, Range
from dni_jax.probes._neuron import Fit, Neuron, Solver, both_classes, class_weights, from_line


class Line(NamedTuple):
    """Predictions ``y_mean + slope * (x - x_mean)``, one per training set, neuron and feature."""

    slope: Float[Array, "K N F"]
    x_mean: Float[Array, "K N 1"]
    y_mean: Float[Array, "K 1 F"]


def fit(train: Moments, alpha: Float[Array, ""]) -> Line:
    """Minimize ``sum((y - a - slope * x) ** 2) + alpha * slope ** 2``; the intercept a is free.

    A neuron that is constant in training gets slope 0: it predicts the mean.
    """
    centered = train.centered()
    spread = centered.xx + alpha
    slope = jnp.where(centered.xx > 0, centered.xy / jnp.where(spread > 0, spread, 1.0), 0.0)
    return Line(slope, train.x / train.n, train.y / train.n)


def held_out_scores(held: Moments, line: Line, limits: Range, metrics: tuple[str, ...]) -> dict[str, Array]:
    """Score lines on the held-out sets, (K, N, F) by metric."""
    constant, same = limits.constant()[:, None, :], limits.same()[:, None, :]
    scores = {}
    if "r2" in metrics:
        scores["r2"] = r2(held, line, constant, same)
    if "pearson" in metrics:
        scores["pearson"] = pearson(held, line, constant)
    return scores


def r2(held: Moments, line: Line, constant: Bool[Array, "K 1 F"], same: Bool[Array, "K 1 F"]) -> Array:
    """Coefficient of determination on held-out positions, 1 - residual / spread about the held-out mean.

    As scikit-learn's `r2_score`: where the held-out labels are `constant` the score is 0, or 1 if training saw that
    `same` constant only, so that the prediction is perfect. NaN for fewer than two held-out positions.
    """
    moved = held.about(line.x_mean, line.y_mean)
    residual = moved.yy - 2.0 * line.slope * moved.xy + line.slope**2 * moved.xx
    spread = jnp.where(constant, 1.0, held.centered().yy)
    score = jnp.where(constant, same.astype(jnp.float64), 1.0 - residual / spread)
    return jnp.where(held.n < 2, jnp.nan, score)


def pearson(held: Moments, line: Line, constant: Bool[Array, "K 1 F"]) -> Array:
    """Correlation of prediction and label on held-out positions; NaN where either is constant."""
    centered = held.centered()
    spread = jnp.sqrt(centered.xx) * jnp.sqrt(centered.yy)
    defined = ~constant & (spread > 0) & (line.slope != 0)
    correlation = jnp.sign(line.slope) * centered.xy / jnp.where(defined, spread, 1.0)
    return jnp.where(defined, jnp.clip(correlation, -1.0, 1.0), jnp.nan)


def mean_baseline(held: Moments, train: Moments, limits: Range) -> Float[Array, "K F"]:
    """R^2 of predicting the training mean."""
    constant, same = limits.constant()[:, None, :], limits.same()[:, None, :]
    flat = Line(jnp.zeros((1, 1, 1), jnp.float64), jnp.zeros_like(train.x[:, :1]), train.y / train.n)
    return r2(held._replace(x=held.x[:, :1], xx=held.xx[:, :1], xy=held.xy[:, :1]), flat, constant, same)[:, 0]


@partial(jax.jit, static_argnames=("regress", "metrics"))
def _score(
    held: Moments, limits: Range, strengths: Float[Array, " A"], regress: Callable, metrics: tuple[str, ...]
) -> tuple[dict[str, Float[Array, "A K N F"]], Float[Array, "K F"]]:
    train = held.without_each()

    def one(strength: Array) -> dict[str, Array]:
        line = regress(train, strength)
        scores = {"weight": line.slope, "bias": line.y_mean - line.slope * line.x_mean}
        return scores | held_out_scores(held, line, limits, metrics)

    return lax.map(one, strengths), mean_baseline(held, train, limits)


def score_moments(
    held: Moments,
    limits: Range,
    origin: tuple[Float[np.ndarray, " N"], Float[np.ndarray, " F"]],
    regress: Callable,
    strengths: tuple[float, ...],
    metrics: tuple[str, ...],
) -> tuple[dict[str, Float[np.ndarray, "A N F K"]], Float[np.ndarray, "F K"]]:
    """Fit and score on the moments of each fold about an origin; needs 64-bit mode.

    Returns scores by metric with "weight" and "bias", and the baseline.
    """
    arrays = jax.device_put((held, limits, np.asarray(strengths, np.float64)))
    scores, baseline = _score(*arrays, regress, metrics)
    # (strength, fold, neuron, feature) -> (strength, neuron, feature, fold)
    result = {name: np.moveaxis(np.asarray(score), 1, 3) for name, score in scores.items()}
    x, y = origin
    result["bias"] = result["bias"] + y[:, None] - result["weight"] * x[:, None, None]
    return result, np.asarray(baseline).T


def classify(neuron: Neuron, alpha: Float[Array, ""], solver: Solver) -> Fit:
    """Solve scikit-learn's ``RidgeClassifier(alpha=alpha)`` for every fold and feature on one neuron.

    Minimizes ``sum(c_y * (y - a - w * x) ** 2) + alpha * w ** 2`` for y in {-1, +1}; the intercept a is free.
    """
    classes = both_classes(neuron)
    size = classes.sizes()
    weights = class_weights(size, solver.balanced)
    n, s, q = weights * classes.moments()
    total = jnp.sum(n, axis=0)
    x_mean, y_mean = jnp.sum(s, axis=0) / total, (n[0] - n[1]) / total
    squares = jnp.sum(q, axis=0)
    spread = squares - total * x_mean**2
    spread = jnp.where(spread <= ROUNDING * squares, 0.0, spread)
    cross = s[0] - s[1] - total * x_mean * y_mean
    penalized = spread + alpha
    w = jnp.where(spread > 0, cross / jnp.where(penalized > 0, penalized, 1.0), 0.0)
    # Equal means leave a cross product of rounding only.
    w = jnp.where(jnp.abs(cross) <= ROUNDING * jnp.sqrt(squares * total), 0.0, w)
    shape = neuron.train_positive.shape[1:]
    return from_line(w.reshape(shape), (y_mean - w * x_mean).reshape(shape), size.reshape(2, *shape))
