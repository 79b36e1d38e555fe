"""Least squares on one neuron, from moments: ordinary and ridge regression, and their held-out scores."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dni_jax.probes._moments import Moments, Range


class Line(NamedTuple):
    """Predictions ``y_mean + slope * (x - x_mean)``, one a training set, neuron and feature."""

    slope: Float[Array, "K N F"]
    x_mean: Float[Array, "K N 1"]
    y_mean: Float[Array, "K 1 F"]


def fit(train: Moments, alpha: Float[Array, ""]) -> Line:
    """Minimise ``sum((y - a - slope * x) ** 2) + alpha * slope ** 2``; the intercept a is free.

    A neuron that is constant in training gets slope 0: it predicts the mean.
    """
    centred = train.centred()
    spread = centred.xx + alpha
    slope = jnp.where(centred.xx > 0, centred.xy / jnp.where(spread > 0, spread, 1.0), 0.0)
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
    spread = jnp.where(constant, 1.0, held.centred().yy)
    score = jnp.where(constant, same.astype(jnp.float64), 1.0 - residual / spread)
    return jnp.where(held.n < 2, jnp.nan, score)


def pearson(held: Moments, line: Line, constant: Bool[Array, "K 1 F"]) -> Array:
    """Correlation of prediction and label on held-out positions; NaN where either is constant."""
    centred = held.centred()
    spread = jnp.sqrt(centred.xx) * jnp.sqrt(centred.yy)
    defined = ~constant & (spread > 0) & (line.slope != 0)
    correlation = jnp.sign(line.slope) * centred.xy / jnp.where(defined, spread, 1.0)
    return jnp.where(defined, jnp.clip(correlation, -1.0, 1.0), jnp.nan)


def mean_baseline(held: Moments, train: Moments, limits: Range) -> Float[Array, "K F"]:
    """R^2 of predicting the training mean."""
    constant, same = limits.constant()[:, None, :], limits.same()[:, None, :]
    flat = Line(jnp.zeros((1, 1, 1), jnp.float64), jnp.zeros_like(train.x[:, :1]), train.y / train.n)
    return r2(held._replace(x=held.x[:, :1], xx=held.xx[:, :1], xy=held.xy[:, :1]), flat, constant, same)[:, 0]
