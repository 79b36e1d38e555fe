"""Scores without a fit: AUC and Pearson's correlation of all neurons with many columns, by one matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Shaped

from dni_jax import processes
from dni_jax.probes import _check
from dni_jax.probes._sorted_neuron import sort_order

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


def direct_scores(
    hidden: Any, labels: Any, metric: str = "auc", strata: Shaped[np.ndarray, " T"] | None = None
) -> Float[np.ndarray, "N F"]:
    """Score every neuron against every feature over all positions, without a fit and without folds.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F)
        0 and 1 for "auc", any finite number for "pearson".
    metric : {"auc", "pearson"}
        "auc": chance that the neuron is higher where the feature holds, ties counting half (Mann & Whitney 1947).
        "pearson": correlation.
    strata : array (T,), optional
        Compare only positions of the same stratum, such as the same current character. The AUC is then taken over all
        pairs within strata, ``sum_s U_s / sum_s n1_s n0_s`` (as van Elteren 1960, but each pair counts the same), the
        correlation is the partial one given the stratum: both sides less their stratum's mean.

    Returns
    -------
    float64 (N, F)
        NaN where there is nothing to compare: labels that are constant (within every stratum). A neuron that is
        constant has .5, or correlation 0: it tells nothing apart.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, labels that do not fit the metric, an unknown metric.

    Examples
    --------
    >>> import numpy as np
    >>> hidden = np.array([[0.0], [1.0], [1.0], [2.0]])
    >>> direct_scores(hidden, np.array([[0], [0], [1], [1]])).tolist()
    [[0.875]]
    >>> direct_scores(hidden, np.array([[0], [0], [1], [1]]), strata=np.array([0, 1, 0, 1])).tolist()
    [[1.0]]
    """
    check_metric(metric)
    hidden = _check.check_hidden(hidden)
    labels = check_columns(labels, len(hidden), metric)
    if strata is None:
        codes = np.zeros(len(hidden), np.int32)
    else:
        strata = np.asarray(strata)
        if strata.shape != (len(hidden),):
            raise ValueError(f"expected strata of shape ({len(hidden)},), one a position, got {strata.shape}")
        codes = np.unique(strata, return_inverse=True)[1].astype(np.int32)
    n_neurons = hidden.shape[1]
    own = hidden[:, processes.shard(n_neurons)] if processes.count() > 1 else hidden
    with jax.enable_x64(True):
        sides = prepare(own, metric, codes)
        scores = _stratified(sides, jnp.asarray(labels), jnp.asarray(codes), metric, int(codes.max()) + 1)
    return processes.all_gather(np.asarray(scores), n_neurons)


def check_metric(metric: str) -> None:
    """Refuse metrics that need a fit."""
    if metric not in METRICS:
        raise ValueError(
            f"expected metric to be one of {', '.join(METRICS)} without folds, got {metric!r}: "
            "pass folds for the held-out scores of a probe"
        )


def check_columns(labels: Any, n_positions: int, metric: str) -> np.ndarray:
    """Return labels (T, F): int8 for "auc", as they came otherwise."""
    binary = metric == "auc"
    labels = _check.check_labels(labels, n_positions, binary, 'metric="auc"')
    return labels.astype(np.int8) if binary else labels


def prepare(hidden: Any, metric: str, strata: Int[np.ndarray, " T"] | None = None) -> Sides:
    """Rank the neurons, or centre them; within strata 0, 1, ... where they are given. Needs 64-bit mode."""
    codes = np.zeros(len(hidden), np.int32) if strata is None else strata
    side = _ranked if metric == "auc" else _centred
    x = side(jnp.asarray(hidden), jnp.asarray(codes, jnp.int32), n_strata=int(codes.max()) + 1)
    return Sides(x, jnp.sqrt(jnp.sum(x * x, axis=0)))


@partial(jax.jit, static_argnames="n_strata")
def _ranked(hidden: Float[Array, "T N"], strata: Int[Array, " T"], n_strata: int) -> Float[Array, "T N"]:
    sizes = jnp.bincount(strata, length=n_strata).astype(jnp.int32)
    before = jnp.cumsum(sizes).astype(jnp.int32) - sizes

    def one(x: Array) -> Array:
        order = sort_order(x)
        if n_strata > 1:
            order = order[jnp.argsort(strata[order], stable=True)]
        v, s = x[order], strata[order]
        changes = (v[1:] != v[:-1]) | (s[1:] != s[:-1])
        yes = jnp.ones(1, bool)
        place = jnp.arange(v.shape[0], dtype=jnp.int32)
        first = lax.cummax(jnp.where(jnp.concatenate([yes, changes]), place, 0))
        last = lax.cummin(jnp.where(jnp.concatenate([changes, yes]), place, v.shape[0]), reverse=True)
        ranks = first + last + 1 - 2 * before[s] - sizes[s]
        return jnp.zeros(v.shape[0], jnp.float64).at[order].set(ranks.astype(jnp.float64))

    return lax.map(one, hidden.T).T


@partial(jax.jit, static_argnames="n_strata")
def _centred(hidden: Float[Array, "T N"], strata: Int[Array, " T"], n_strata: int) -> Float[Array, "T N"]:
    return _without_means(hidden.astype(jnp.float64), strata, n_strata)


def _without_means(values: Float[Array, "T X"], strata: Int[Array, " T"], n_strata: int) -> Float[Array, "T X"]:
    """Take off each stratum's mean; what is left of a constant column is exactly 0."""
    values = values - values[:1]
    count = jnp.maximum(jnp.bincount(strata, length=n_strata), 1).astype(jnp.float64)
    mean = jax.ops.segment_sum(values, strata, num_segments=n_strata) / count[:, None]
    left = values - mean[strata]
    return jnp.where(jnp.abs(left) > 1e-12 * jnp.max(jnp.abs(values), axis=0), left, 0.0)


@partial(jax.jit, static_argnames="metric")
def score_batch(sides: Sides, columns: Shaped[Array, "R T F"], metric: str) -> Float[Array, "R N F"]:
    """Scores of R repetitions' labels; a column without both classes, or constant, has the score of chance."""
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
