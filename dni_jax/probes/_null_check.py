"""Input checks of permutation tests, and the null that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dni_jax.probes import _check
from dni_jax.probes import _nulls as nulls


def check_metrics(metric: str | Sequence[str], labels: np.ndarray) -> list[str]:
    if labels.ndim != 2:
        hint = "; try labels[:, None]" if labels.ndim == 1 else ""
        raise ValueError(f"expected labels of shape (T, F), got {labels.shape}{hint}")
    metrics = [metric] * labels.shape[1] if isinstance(metric, str) else list(metric)
    if len(metrics) != labels.shape[1]:
        raise ValueError(f"expected one metric, or one for each of {labels.shape[1]} features, got {len(metrics)}")
    return metrics


def check_kinds(labels: np.ndarray, n_positions: int, binary: Sequence[bool]) -> np.ndarray:
    """Labels of which the binary columns are 0 and 1; int8 if all are."""
    labels = _check.check_labels(labels, n_positions, False, "metric")
    columns = np.flatnonzero(binary)
    if len(columns):
        _check.check_labels(labels[:, columns], n_positions, True, "this metric")
    return labels.astype(np.int8) if len(columns) == labels.shape[1] else labels


def check_counts(n_null: int, stop_above: float | None, batch: int | None) -> None:
    if n_null < 1:
        raise ValueError(f"expected n_null of at least 1 repetition, got {n_null}")
    if stop_above is not None and not 0 < stop_above < 1:
        raise ValueError(f"expected stop_above between 0 and 1, got {stop_above}")
    _check.check_batch("batch", batch)


def choose_null(
    null: str,
    labels: np.ndarray,
    groups: Any,
    binary: Sequence[bool],
    seed: int,
    null_labels: Any,
    fresh_labels: Any,
    fresh_groups: Any,
    tolerance: float,
) -> nulls.Null:
    if null not in nulls.NULLS:
        raise ValueError(f"expected null to be one of {', '.join(nulls.NULLS)}, got {null!r}")
    n_positions = len(labels)
    if groups is None and null in ("labels", "iid"):
        groups = np.zeros(n_positions, np.int32)
    groups = _check_groups(groups, n_positions, null)
    if tolerance < 0:
        raise ValueError(f"expected length_tolerance of at least 0, got {tolerance}")
    if null == "labels":
        return nulls.Given(np.flatnonzero(groups >= 0), labels, _check_null_labels(null_labels, labels, binary))
    if null == "shift":
        return nulls.shift(labels, groups, seed)
    if null == "iid":
        return nulls.iid(labels, groups, seed)
    if null == "string_permutation":
        return nulls.strings(labels, groups, seed, tolerance=tolerance)
    if fresh_labels is None or fresh_groups is None:
        raise ValueError(
            'expected fresh_labels (P, F) and fresh_groups (P,) of other strings for null="fresh", got none: '
            'label a corpus of fresh strings, or try null="string_permutation"'
        )
    fresh_labels = np.asarray(fresh_labels)
    if fresh_labels.ndim != 2 or fresh_labels.shape[1] != labels.shape[1]:
        raise ValueError(f"expected fresh_labels of shape (P, {labels.shape[1]}), got {fresh_labels.shape}")
    fresh_labels = check_kinds(fresh_labels, len(fresh_labels), binary)
    fresh_groups = _check_groups(fresh_groups, len(fresh_labels), null)
    return nulls.strings(labels, groups, seed, fresh_labels, fresh_groups, tolerance)


def _check_groups(groups: Any, n_positions: int, null: str) -> np.ndarray:
    if groups is None:
        raise ValueError(f'expected groups (T,), the string of each position, for null="{null}", got none')
    groups = np.asarray(groups)
    if groups.shape != (n_positions,) or groups.dtype.kind not in "iu":
        raise ValueError(f"expected integer groups of shape ({n_positions},), got {groups.dtype} {groups.shape}")
    if groups.min() < -1:
        raise ValueError(f"expected groups >= -1, got {groups.min()}; only -1 marks positions to leave out")
    if groups.max() < 0:
        raise ValueError("expected groups of some positions, got -1 everywhere: nothing is left to test")
    return groups


def _check_null_labels(null_labels: Any, labels: np.ndarray, binary: Sequence[bool]) -> np.ndarray:
    if null_labels is None:
        raise ValueError('expected null_labels (R, T, F) for null="labels", got none')
    null_labels = np.asarray(null_labels)
    if null_labels.ndim != 3 or null_labels.shape[1:] != labels.shape or len(null_labels) == 0:
        raise ValueError(
            f"expected null_labels of shape (R, {labels.shape[0]}, {labels.shape[1]}), got {null_labels.shape}"
        )
    for one in null_labels:
        check_kinds(one, len(labels), binary)
    return null_labels
