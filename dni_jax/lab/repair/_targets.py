"""Scores to ask a repaired head for."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def one_hot_targets(labels: Any, n_classes: int) -> Float[np.ndarray, "T C"]:
    """Ask for 1 for the right class and 0 for all others, as Guidotti & Leofante (2019) do.

    Every score of every state is asked to move, so nearly every class's weights change.

    Parameters
    ----------
    labels
        int ``(T,)``: the right classes, 0 to ``n_classes - 1``.
    n_classes
        C.

    Raises
    ------
    ValueError
        For labels of another shape or type, or that are no class.

    Examples
    --------
    >>> one_hot_targets([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return np.eye(n_classes)[checked_labels(labels, n_classes)]


def margin_targets(scores: Any, labels: Any, margin: float = 1.0) -> Float[np.ndarray, "T C"]:
    """Ask for the scores there are, with the right class just above the rest.

    Where the right class already leads by the margin, nothing is asked to move; elsewhere its score alone is. So only
    the weights of classes that were missed change, and less than for `one_hot_targets`. States that are right already
    hold the head where it is: among many of them, leaving everything as it is may be cheapest.

    Parameters
    ----------
    scores
        float ``(T, C)``: what the head says now.
    labels
        int ``(T,)``: the right classes.
    margin
        By how much the right class shall lead, in the scores' unit.

    Raises
    ------
    ValueError
        For a margin that is not above 0, scores of another shape or not finite, or labels that do not fit.

    Examples
    --------
    >>> margin_targets([[1.0, 3.0, 2.0], [9.0, 3.0, 2.0]], [0, 0], margin=0.5).tolist()
    [[3.5, 3.0, 2.0], [9.0, 3.0, 2.0]]
    """
    given = np.asarray(scores, np.float64)
    if given.ndim != 2 or given.shape[1] < 2:
        raise ValueError(f"expected scores of shape (T, C) with C of at least 2, got {given.shape}")
    if not np.isfinite(given).all():
        raise ValueError("expected finite scores, got NaN or infinity")
    if not margin > 0 or not np.isfinite(margin):
        raise ValueError(f"expected a margin above 0, got {margin}: a tie is no decision")
    right = checked_labels(labels, given.shape[1], len(given))
    rows, targets = np.arange(len(given)), given.copy()
    targets[rows, right] = -np.inf
    targets[rows, right] = np.maximum(given[rows, right], targets.max(axis=1) + margin)
    return targets


def checked_labels(labels: Any, n_classes: int, length: int | None = None) -> np.ndarray:
    """Give labels as an int array ``(T,)``.

    Raises
    ------
    ValueError
        For another shape or type, or a label that is no class.
    """
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (length is not None and len(found) != length):
        wanted = "(T,)" if length is None else f"({length},)"
        raise ValueError(f"expected integer labels of shape {wanted}, got {found.dtype} {found.shape}")
    if len(found) and (found.min() < 0 or found.max() >= n_classes):
        raise ValueError(f"expected labels from 0 to {n_classes - 1}, got {found.min()} to {found.max()}")
    return found
