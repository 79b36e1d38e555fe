"""Target scores for the repair of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def one_hot_targets(labels: Any, n_classes: int) -> Float[np.ndarray, "T C"]:
    """Return 1 for the correct class and 0 for all others.

    These ask every score of every state to move, so the weights of nearly every class change. Guidotti & Leofante
    (2019) ask for "the correct values of the decision function" and do not say which these are; for an adversarial
    input, `clean_targets` are the natural reading.

    Parameters
    ----------
    labels
        int ``(T,)``: the correct classes, 0 to ``n_classes - 1``.
    n_classes
        C.

    Raises
    ------
    ValueError
        For labels of another shape or type, or outside 0 to C - 1.

    Examples
    --------
    >>> one_hot_targets([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return np.eye(n_classes)[checked_labels(labels, n_classes)]


def margin_targets(scores: Any, labels: Any, margin: float = 1.0) -> Float[np.ndarray, "T C"]:
    """Return the current scores, with the correct class raised to lead the others by a margin.

    Where the correct class already leads by the margin, no score changes; elsewhere only the score of the correct class
    does. So only the weights of missed classes change, and by less than for `one_hot_targets`. States that are already
    correct hold the head in place: among many of them, no change at all may be cheapest.

    Parameters
    ----------
    scores
        float ``(T, C)``: the head's current scores.
    labels
        int ``(T,)``: the correct classes.
    margin
        The lead of the correct class, in the unit of the scores.

    Raises
    ------
    ValueError
        For a margin that is not above 0, scores of another shape or not finite, or labels that do not fit.

    Examples
    --------
    >>> margin_targets([[1.0, 3.0, 2.0], [9.0, 3.0, 2.0]], [0, 0], margin=0.5).tolist()
    [[3.5, 3.0, 2.0], [9.0, 3.0, 2.0]]
    """
    current = _checked_scores(scores)
    if not margin > 0 or not np.isfinite(margin):
        raise ValueError(f"expected a margin above 0, got {margin}: a tie is not a decision")
    correct = checked_labels(labels, current.shape[1], len(current))
    rows, targets = np.arange(len(current)), current.copy()
    targets[rows, correct] = -np.inf
    targets[rows, correct] = np.maximum(current[rows, correct], targets.max(axis=1) + margin)
    return targets


def clean_targets(scores: Any, labels: Any) -> Float[np.ndarray, "T C"]:
    """Return the scores of the inputs before they were attacked, as targets for the attacked ones.

    A head that meets them decides about an adversarial input as it did about the original: "the correct values of the
    decision function" of Guidotti & Leofante (2019), read naturally. All scores return to what they were, so these
    disturb a head less than `one_hot_targets`.

    Parameters
    ----------
    scores
        float ``(T, C)``: the head's scores of the originals.
    labels
        int ``(T,)``: the correct classes.

    Raises
    ------
    ValueError
        For scores of another shape or not finite, labels that do not fit, or originals that are not classified
        correctly: their scores are no correct ones.

    Examples
    --------
    >>> clean_targets([[3.0, 1.0], [0.5, 2.5]], [0, 1]).tolist()
    [[3.0, 1.0], [0.5, 2.5]]
    """
    current = _checked_scores(scores)
    correct = checked_labels(labels, current.shape[1], len(current))
    others = current.copy()
    others[np.arange(len(current)), correct] = -np.inf
    missed = int(np.sum(others.max(axis=1) >= current[np.arange(len(current)), correct]))
    if missed:
        raise ValueError(
            f"expected originals that are classified correctly, got {missed} of {len(current)} that are not: leave "
            "them out, or use margin_targets"
        )
    return current.copy()


def _checked_scores(scores: Any) -> Float[np.ndarray, "T C"]:
    current = np.asarray(scores, np.float64)
    if current.ndim != 2 or current.shape[1] < 2:
        raise ValueError(f"expected scores of shape (T, C) with C of at least 2, got {current.shape}")
    if not np.isfinite(current).all():
        raise ValueError("expected finite scores, got NaN or infinity")
    return current


def checked_labels(labels: Any, n_classes: int, length: int | None = None) -> np.ndarray:
    """Return labels as an int array ``(T,)``.

    Raises
    ------
    ValueError
        For another shape or type, or labels outside 0 to C - 1.
    """
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (length is not None and len(found) != length):
        shape = "(T,)" if length is None else f"({length},)"
        raise ValueError(f"expected integer labels of shape {shape}, got {found.dtype} {found.shape}")
    if len(found) and (found.min() < 0 or found.max() >= n_classes):
        raise ValueError(f"expected labels from 0 to {n_classes - 1}, got {found.min()} to {found.max()}")
    return found
