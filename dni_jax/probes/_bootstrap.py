"""How much scores would differ with other strings: the bootstrap over groups of positions (Efron 1979).

Whole strings are drawn with replacement, so that what neighboring positions share stays together. The positions are
read once: an AUC follows from weighted counts on blocks of ranks, a held-out score from one sum per string.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped
from scipy.sparse import csr_matrix

from dni_jax.devices import get_platform
from dni_jax.probes import _check
from dni_jax.probes._bits import word_of
from dni_jax.probes._neuron import ON_THRESHOLD
from dni_jax.probes._plan import map_some
from dni_jax.probes._ranks import sort_order
from dni_jax.probes._score import fit_neurons
from dni_jax.probes._spec import ProbeSpec, as_spec

_BLOCKS = 128  # of ranks; pairs within one count half


def string_weights(n_groups: int, n_draws: int, seed: int) -> Float[np.ndarray, "B S"]:
    """Draw as many strings as there are, with replacement, and return how often each was drawn.

    Examples
    --------
    >>> string_weights(5, 3, seed=0).sum(1).tolist()
    [5.0, 5.0, 5.0]
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_draws).astype(np.float32)


def bootstrap_auc(
    hidden: Any, labels: Any, groups: Int[np.ndarray, " T"], n_draws: int = 200, seed: int = 0
) -> Float[np.ndarray, "B N F"]:
    """Compute the AUC of every neuron and feature over all positions, on strings drawn with replacement.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F) of 0 and 1
    groups : integer array (T,)
        The string of each position.
    n_draws : int
        B.
    seed : int
        Draws the strings, and breaks ties between equal states.

    Returns
    -------
    float64 (B, N, F)
        Exact but for pairs within one of 128 blocks of ranks, which count half, as ties do; so take differences from
        the mean over draws, as `dni_jax.inspection._intervals` does. .5 for a constant neuron, NaN where a draw lacks a
        class. Memory: ``4 * T * (B + F)`` bytes, one neuron at a time, and the result.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, labels other than 0 and 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.random((2000, 1)) < 0.5
    >>> auc = bootstrap_auc(labels + rng.normal(size=(2000, 1)), labels, np.repeat(np.arange(100), 20))
    >>> auc.shape, bool(0.7 < auc.min() < auc.max() < 0.82)
    ((200, 1, 1), True)
    """
    return weighted_auc(hidden, labels, groups, string_weights(len(np.unique(groups)), n_draws, seed), seed)


def weighted_auc(
    hidden: Any, labels: Any, groups: Int[np.ndarray, " T"], weights: Float[np.ndarray, "B S"], seed: int = 0
) -> Float[np.ndarray, "B N F"]:
    """Compute the AUC of every neuron and feature, each string weighted; as `bootstrap_auc`.

    Examples
    --------
    >>> half = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    >>> hidden, labels = np.array([[0.0], [1.0], [1.0], [0.0]]), np.array([[0], [1], [0], [1]])
    >>> weighted_auc(hidden, labels, np.array([0, 0, 1, 1]), half).ravel().tolist()
    [1.0, 0.0]
    """
    hidden = _check.check_hidden(hidden)
    labels = _check.check_labels(labels, len(hidden), True, "the bootstrap of AUC")
    names, index = np.unique(groups, return_inverse=True)
    if weights.shape[1] != len(names):
        raise ValueError(f"expected weights of shape (B, {len(names)}), one for each string, got {weights.shape}")
    # Positions in random order: a stable sort then breaks ties at random.
    order = np.random.default_rng([seed, 1]).permutation(len(hidden))
    with jax.enable_x64(True):
        arrays = (
            np.asarray(hidden)[order],
            labels[order].astype(np.float32),
            index[order].astype(np.int32),
            np.asarray(weights, np.float32),
        )
        return np.asarray(_draws(*jax.device_put(arrays), get_platform()))


def weighted_pearson(
    hidden: Any, labels: Any, groups: Int[np.ndarray, " T"], weights: Float[np.ndarray, "B S"]
) -> Float[np.ndarray, "B N F"]:
    """Compute the correlation of every neuron and feature, each string weighted.

    NaN where either side is constant. Memory: ``8 * (S + B) * N * F`` bytes.

    Examples
    --------
    >>> half = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    >>> hidden, labels = np.array([[0.0], [1.0], [1.0], [0.0]]), np.array([[0.5], [0.7], [0.0], [1.0]])
    >>> weighted_pearson(hidden, labels, np.array([0, 0, 1, 1]), half).ravel().round(6).tolist()
    [1.0, -1.0]
    """
    x, y = np.asarray(_check.check_hidden(hidden)).astype(np.float64), np.asarray(labels).astype(np.float64)
    x, y = x - x.mean(0), y - y.mean(0)
    names, index = np.unique(groups, return_inverse=True)
    member = csr_matrix((np.ones(len(index)), (index, np.arange(len(index)))), shape=(len(names), len(index)))
    w = weights.astype(np.float64)
    n = w @ np.bincount(index).astype(np.float64)[:, None]
    mx, my = (w @ (member @ part) / n for part in (x, y))
    vx, vy = (w @ (member @ part**2) / n - mean**2 for part, mean in ((x, mx), (y, my)))
    cross = np.stack([w @ (member @ (x * column[:, None])) / n for column in y.T], axis=2)
    cross = cross - mx[:, :, None] * my[:, None, :]
    scale = np.sqrt(np.maximum(vx, 0))[:, :, None] * np.sqrt(np.maximum(vy, 0))[:, None, :]
    flat = scale <= 1e-12 * (x.std(0)[:, None] * y.std(0)[None, :] + 1e-300)
    return np.where(flat, np.nan, cross / np.where(flat, 1.0, scale))


@partial(jax.jit, static_argnames="platform")
def _draws(
    hidden: Float[Array, "T N"],
    labels: Float[Array, "T F"],
    groups: Int[Array, " T"],
    weights: Float[Array, "B S"],
    platform: str,
) -> Float[Array, "B N F"]:
    n = hidden.shape[0]
    blocks = min(_BLOCKS, n)
    size = -(-n // blocks)
    pad = blocks * size - n
    by_string = weights.T
    # A sum of earlier blocks and half of each itself; a product is many times faster than a running sum here.
    earlier = jnp.tri(blocks, k=-1, dtype=jnp.float32) + 0.5 * jnp.eye(blocks, dtype=jnp.float32)

    def one(x: Array) -> Array:
        order = sort_order(x, word_of(platform))
        y = jnp.pad(labels[order], ((0, pad), (0, 0))).reshape(blocks, size, -1)
        w = jnp.pad(by_string[groups[order]], ((0, pad), (0, 0))).reshape(blocks, size, -1)
        positive = jnp.einsum("kmb,kmf->kbf", w, y)
        negative = jnp.sum(w, axis=1)[:, :, None] - positive
        below = jnp.tensordot(earlier, negative, axes=1).astype(jnp.float64)
        positive, negative = positive.astype(jnp.float64), negative.astype(jnp.float64)
        pairs = jnp.sum(positive, axis=0) * jnp.sum(negative, axis=0)
        auc = jnp.sum(positive * below, axis=0) / jnp.where(pairs > 0, pairs, 1.0)
        auc = jnp.where(jnp.max(x) > jnp.min(x), auc, 0.5)
        return jnp.where(pairs > 0, auc, jnp.nan)

    bytes_each = 8 * n * (weights.shape[0] + labels.shape[1])
    return jnp.moveaxis(map_some(one, hidden.T, platform != "cpu", bytes_each), 0, 1)


def bootstrap_held_out(
    hidden: Any,
    labels: Any,
    folds: Int[np.ndarray, " T"],
    groups: Int[np.ndarray, " T"],
    probe: str | ProbeSpec = "svm",
    n_draws: int = 200,
    seed: int = 0,
    **settings: Any,
) -> Float[np.ndarray, "B N F"]:
    """Compute held-out accuracies (for "ols" and continuous "ridge", R^2) on strings drawn with replacement.

    The probes are not fitted again: the intervals are about the strings that probes are tested on, not about those that
    they are trained on.

    Parameters
    ----------
    hidden, labels, folds, probe, settings
        As in `dni_jax.probes.fit_neurons`; folds (T,).
    groups : integer array (T,)
        The string of each position.
    n_draws, seed : int
        As in `bootstrap_auc`.

    Returns
    -------
    float64 (B, N, F)
        Over all held-out positions together, R^2 about their folds' means. NaN for R^2 of labels that are constant in
        every fold. Memory: ``8 * T * N`` bytes, and ``8 * S * N * F`` of sums over strings.

    Raises
    ------
    ValueError
        As `score_neurons`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels, groups = rng.random((400, 1)) < 0.5, np.repeat(np.arange(40), 10)
    >>> accuracy = bootstrap_held_out(labels + rng.normal(size=(400, 1)), labels, groups % 4, groups, "ridge")
    >>> bool(0.55 < accuracy.min() < accuracy.max() < 0.82)
    True
    """
    spec = as_spec(probe, settings).resolve(labels)
    lines = fit_neurons(hidden, labels, folds, probe=spec)
    hidden, labels, used = np.asarray(_check.check_hidden(hidden)), np.asarray(labels), np.flatnonzero(folds >= 0)
    _, index = np.unique(groups[used], return_inverse=True)
    classifies = spec.classifies
    y, fold = labels[used].astype(np.float64), folds[used]
    n_groups = int(index.max()) + 1
    with jax.enable_x64(True):
        by_feature = (np.moveaxis(lines[name], 1, 0) for name in ("weight", "bias"))  # (F, N, K)
        arrays = jax.device_put((hidden[used], y.T, fold, index.astype(np.int32), *by_feature))
        sums = np.asarray(_group_sums(*arrays, n_groups, classifies, get_platform()))  # (F, S, N)
    if classifies:
        total = np.broadcast_to(np.bincount(index).astype(np.float64)[:, None], (n_groups, y.shape[1]))
    else:
        means = np.stack([y[fold == k].mean(0) for k in range(int(fold.max()) + 1)])
        off = (y - means[fold]) ** 2
        total = np.stack([np.bincount(index, weights=column, minlength=n_groups) for column in off.T], axis=1)
    draws = string_weights(n_groups, n_draws, seed).astype(np.float64)
    above, below = np.moveaxis(draws @ sums, 0, 2), (draws @ total)[:, None, :]  # (B, N, F), (B, 1, F)
    share = np.divide(above, below, out=np.full(above.shape, np.nan), where=np.broadcast_to(below > 0, above.shape))
    return share if classifies else 1 - share


@partial(jax.jit, static_argnames=("n_groups", "classifies", "platform"))
def _group_sums(
    hidden: Float[Array, "T N"],
    labels: Float[Array, "F T"],
    folds: Int[Array, " T"],
    groups: Int[Array, " T"],
    weight: Float[Array, "F N K"],
    bias: Float[Array, "F N K"],
    n_groups: int,
    classifies: bool,
    platform: str,
) -> Shaped[Array, "F S N"]:
    """Compute the number of right predictions, or the sum of squared errors, of each string."""

    def one(feature: tuple) -> Array:
        y, w, b = feature
        line = hidden.astype(jnp.float64) * w.T[folds] + b.T[folds]
        if classifies:
            right = ((line > 0) == (y[:, None] > 0)).astype(jnp.float64)
            value = jnp.where(jnp.abs(line) <= ON_THRESHOLD, 0.5, right)  # on the boundary
        else:
            value = (line - y[:, None]) ** 2
        return jax.ops.segment_sum(value, groups, num_segments=n_groups)

    return map_some(one, (labels, weight, bias), platform != "cpu", 32 * hidden.size)
