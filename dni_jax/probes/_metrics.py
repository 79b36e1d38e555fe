"""Scores from counts, rank sums and moments. Undefined scores have one documented value each."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

PerFit = Float[Array, "*fits"]


class Confusion(NamedTuple):
    """Held-out positions by truth and prediction; those on the threshold are half in each class."""

    true_positive: Float[Array, "*fits"]
    false_positive: Float[Array, "*fits"]
    false_negative: Float[Array, "*fits"]
    true_negative: Float[Array, "*fits"]


def _ratio(numerator: Array, denominator: Array, otherwise: float) -> Array:
    empty = denominator == 0
    return jnp.where(empty, otherwise, numerator / jnp.where(empty, 1.0, denominator))


def accuracy(counts: Confusion) -> PerFit:
    """Share of held-out positions predicted right."""
    tp, fp, fn, tn = counts
    return (tp + tn) / (tp + fp + fn + tn)


def balanced_accuracy(counts: Confusion) -> PerFit:
    """Mean recall of the classes that the held-out fold contains."""
    tp, fp, fn, tn = counts
    present = (tp + fn > 0).astype(jnp.float64) + (tn + fp > 0).astype(jnp.float64)
    return (_ratio(tp, tp + fn, 0.0) + _ratio(tn, tn + fp, 0.0)) / present


def f1(counts: Confusion) -> PerFit:
    """Harmonic mean of precision and recall of class 1; 0 where there is neither a positive nor a prediction of one."""
    tp, fp, fn, _ = counts
    return _ratio(2.0 * tp, 2.0 * tp + fp + fn, 0.0)


def mcc(counts: Confusion) -> PerFit:
    """Matthews correlation coefficient; 0 where truth or prediction is constant."""
    tp, fp, fn, tn = counts
    spread = jnp.sqrt((tp + fp) * (tp + fn)) * jnp.sqrt((tn + fp) * (tn + fn))
    return _ratio(tp * tn - fp * fn, spread, 0.0)


def auc(rank_sum: PerFit, counts: Confusion, direction: PerFit) -> PerFit:
    """Area under the ROC curve of the decision value, from the rank sum of the held-out positives.

    ``(R - n1 (n1 + 1) / 2) / (n1 n0)`` for the neuron itself (Mann-Whitney); one minus that for a falling line.
    Without a direction .5. NaN where the fold lacks a class: no pair is left to rank.
    """
    tp, fp, fn, tn = counts
    positives, negatives = tp + fn, tn + fp
    rising = _ratio(rank_sum - positives * (positives + 1.0) / 2.0, positives * negatives, jnp.nan)
    directed = jnp.where(direction > 0, rising, 1.0 - rising)
    return jnp.where((direction == 0) & ~jnp.isnan(rising), 0.5, directed)


def tie_bound(tied: PerFit, counts: Confusion) -> PerFit:
    """Most that breaking ties could change an AUC by: half the share of pairs that tie; NaN without both classes."""
    tp, fp, fn, tn = counts
    return _ratio(tied / 2.0, (tp + fn) * (tn + fp), jnp.nan)


def majority_baseline(positives: Int[np.ndarray, "K F"], n: Int[np.ndarray, " K"]) -> Float[np.ndarray, "F K"]:
    """Held-out accuracy of the training set's majority class, class 0 in a tie, from the counts of each fold."""
    n = n[:, None]
    majority = 2 * (positives.sum(0) - positives) > n.sum() - n
    return (np.where(majority, positives, n - positives) / n).T


FROM_COUNTS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "f1": f1, "mcc": mcc}
CLASSIFICATION = (*FROM_COUNTS, "auc")
REGRESSION = ("r2", "pearson")
