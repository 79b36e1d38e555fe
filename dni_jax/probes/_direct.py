"""Scores without a fit: AUC and Pearson's correlation of all neurons with many columns, by one matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Shaped

from dni_jax import devices
from dni_jax.probes import _check
from dni_jax.probes._bits import word_of
from dni_jax.probes._ranks import sort_order, tied_ranges

METRICS = ("auc", "pearson")
CHANCE = {"auc": 0.5, "pearson": 0.0}


class Sides(NamedTuple):
    """The neurons' side of the product.

    Attributes
    ----------
    x : float64 (T, N)
        For "auc", twice each position's mid-rank less that of the middle (whole numbers, so that sums are exact and
        equal scores are equal to the bit); for "pearson", the values less their mean. With strata, both within each.
    spread : float64 (N,)
        Root of the sum of squares of x.
    """

    x: Float[Array, "T N"]
    spread: Float[Array, " N"]


def check_metric(metric: str) -> None:
    """Raise a ValueError for metrics that need a fit."""
    if metric not in METRICS:
        raise ValueError(
            f"expected metric to be one of {', '.join(METRICS)} without folds, got {metric!r}: "
            "pass folds for the held-out scores of a probe"
        )


def check_columns(labels: Any, n_positions: int, metric: str) -> np.ndarray:
    """Return labels (T, F): int8 for "auc", unchanged otherwise."""
    binary = metric == "auc"
    labels = _check.check_labels(labels, n_positions, binary, 'metric="auc"')
    return labels.astype(np.int8) if binary else labels


def prepare(hidden: Any, metric: str, strata: Int[np.ndarray, " T"] | None = None) -> Sides:
    """Rank the neurons, or center them; within strata 0, 1, ... where there are any. Needs 64-bit mode."""
    codes = np.zeros(len(hidden), np.int32) if strata is None else strata
    arrays, n_strata = jax.device_put((hidden, codes.astype(np.int32))), int(codes.max()) + 1
    return _ranked(*arrays, n_strata, devices.get_platform()) if metric == "auc" else _centered(*arrays, n_strata)


@partial(jax.jit, static_argnames=("n_strata", "platform"))
def _ranked(hidden: Float[Array, "T N"], strata: Int[Array, " T"], n_strata: int, platform: str) -> Sides:
    sizes = jnp.bincount(strata, length=n_strata).astype(jnp.int32)
    before = jnp.cumsum(sizes).astype(jnp.int32) - sizes

    word = word_of(platform)

    def one(x: Array) -> Array:
        order = sort_order(x, word)
        if n_strata > 1:
            order = order[jnp.argsort(strata[order], stable=True)]
        v, s = x[order], strata[order]
        changes = (v[1:] != v[:-1]) | (s[1:] != s[:-1])
        first, after = tied_ranges(changes)
        ranks = first + after - 2 * before[s] - sizes[s]
        return jnp.zeros(v.shape[0], jnp.float64).at[order].set(ranks.astype(jnp.float64))

    at_once = None if platform == "cpu" else max(1, devices.get_memory() // (128 * hidden.shape[0]))
    return _with_spread(lax.map(one, hidden.T, batch_size=at_once).T)


@partial(jax.jit, static_argnames="n_strata")
def _centered(hidden: Float[Array, "T N"], strata: Int[Array, " T"], n_strata: int) -> Sides:
    return _with_spread(_without_means(hidden.astype(jnp.float64), strata, n_strata))


def _with_spread(x: Float[Array, "T N"]) -> Sides:
    return Sides(x, jnp.sqrt(jnp.sum(x * x, axis=0)))


def _without_means(values: Float[Array, "T X"], strata: Int[Array, " T"], n_strata: int) -> Float[Array, "T X"]:
    """Subtract each stratum's mean; what is left of a constant column is exactly 0."""
    values = values - values[:1]
    count = jnp.maximum(jnp.bincount(strata, length=n_strata), 1).astype(jnp.float64)
    mean = jax.ops.segment_sum(values, strata, num_segments=n_strata) / count[:, None]
    left = values - mean[strata]
    return jnp.where(jnp.abs(left) > 1e-12 * jnp.max(jnp.abs(values), axis=0), left, 0.0)


def score_within(
    hidden: Any, labels: Shaped[np.ndarray, "T F"], metric: str, strata: Int[np.ndarray, " T"]
) -> Float[Array, "N F"]:
    """Score within strata 0, 1, ...; NaN where there is nothing to compare. Needs 64-bit mode."""
    sides = prepare(hidden, metric, strata)
    return _stratified(sides, *jax.device_put((labels, strata)), metric, int(strata.max()) + 1)


@partial(jax.jit, static_argnames="metric")
def score_batch(sides: Sides, columns: Shaped[Array, "R T F"], metric: str) -> Float[Array, "R N F"]:
    """Score the labels of R repetitions; a column without both classes, or constant, has the score of chance."""
    y = columns.astype(jnp.float64)
    if metric == "pearson":
        y = y - jnp.mean(y, axis=1, keepdims=True)
    product = jnp.einsum("tn,rtf->rnf", sides.x, y)
    if metric == "pearson":
        scale = sides.spread[None, :, None] * jnp.sqrt(jnp.sum(y * y, axis=1))[:, None, :]
        constant = jnp.max(columns, axis=1) == jnp.min(columns, axis=1)
        scale = jnp.where(constant[:, None, :], 0.0, scale)
    else:
        ones = jnp.sum(y, axis=1)
        scale = 2.0 * (ones * (y.shape[1] - ones))[:, None, :]
    return CHANCE[metric] + jnp.where(scale > 0, product / jnp.where(scale > 0, scale, 1.0), 0.0)


@partial(jax.jit, static_argnames=("metric", "n_strata"))
def _stratified(
    sides: Sides, labels: Shaped[Array, "T F"], strata: Int[Array, " T"], metric: str, n_strata: int
) -> Float[Array, "N F"]:
    y = labels.astype(jnp.float64)
    if metric == "pearson":
        y = _without_means(y, strata, n_strata)
        scale = sides.spread[:, None] * jnp.sqrt(jnp.sum(y * y, axis=0))[None, :]
        empty = ~(jnp.abs(y) > 0).any(axis=0)
    else:
        ones = jax.ops.segment_sum(y, strata, num_segments=n_strata)
        zeros = jax.ops.segment_sum(1.0 - y, strata, num_segments=n_strata)
        pairs = jnp.sum(ones * zeros, axis=0)
        scale = jnp.broadcast_to(2.0 * pairs[None, :], (sides.x.shape[1], y.shape[1]))
        empty = pairs == 0
    product = sides.x.T @ y
    score = CHANCE[metric] + jnp.where(scale > 0, product / jnp.where(scale > 0, scale, 1.0), 0.0)
    return jnp.where(empty[None, :], jnp.nan, score)
