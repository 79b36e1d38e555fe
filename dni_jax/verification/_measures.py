"""How well a network predicts, overall and where a feature holds, with intervals over groups of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dni_jax.text import Corpus

PARTS = ("", "_on", "_off", "_after")
# Of each value in `Values`, the names of its means over `PARTS`: all positions, those that the feature holds for, the
# others, and those after a character that it holds for. Two values have a mean over all positions only.
_NAMES = {
    "right": ("type_accuracy", "accuracy_on", "accuracy_off", "accuracy_after"),
    "right_by_symbol": ("type_accuracy_by_symbol",),
    "right_symbol": tuple(f"symbol_accuracy{part}" for part in PARTS),
    "loss": tuple(f"loss{part}" for part in PARTS),
    "class_probability": tuple(f"class_probability{part}" for part in PARTS),
    "distance": ("distance",),
}
MEASURES = tuple(name for names in _NAMES.values() for name in names)
LOSSES = frozenset(_NAMES["loss"])  # measures of which more is worse


class Values(NamedTuple):
    """What is measured at each position under M sets of overrides; see `dni_jax.models.Outcome`."""

    right: Shaped[np.ndarray, "M T"]
    right_by_symbol: Shaped[np.ndarray, "M T"]
    right_symbol: Shaped[np.ndarray, "M T"]
    loss: Shaped[np.ndarray, "M T"]
    class_probability: Shaped[np.ndarray, "M T"]
    distance: Shaped[np.ndarray, "M T"]


class Sums(NamedTuple):
    """Sums over the positions of each group of text, for M sets of neurons; the means follow by division.

    Attributes
    ----------
    total
        float64 ``(M, X, G)``: for each of `MEASURES`, the sum of its values.
    positions
        float64 ``(X, G)``: the number of positions it is taken over.
    """

    total: Float[np.ndarray, "M X G"]
    positions: Float[np.ndarray, "X G"]

    def means(self) -> Float[np.ndarray, "M X"]:
        """Return each measure over all groups; NaN where it has no position."""
        return _ratio(self.total.sum(-1), self.positions.sum(-1))

    def resampled(self, weights: Float[np.ndarray, "B G"]) -> Float[np.ndarray, "B M X"]:
        """Return each measure with groups resampled; `weights` says how often each is drawn."""
        return _ratio(np.einsum("bg,msg->bms", weights, self.total), (weights @ self.positions.T)[:, None, :])


def _ratio(total: np.ndarray, count: np.ndarray | np.float64) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=np.broadcast_to(count, total.shape) > 0)


def number_types(corpus: Corpus) -> tuple[tuple[str, ...], Int[np.ndarray, " V"]]:
    """Return the classes of symbols (digit, parenthesis, ...), and the class of each symbol."""
    names = tuple(dict.fromkeys(corpus.vocabulary.types))
    return names, np.asarray([names.index(name) for name in corpus.vocabulary.types], np.int32)


def holds_before(on: Bool[np.ndarray, "*F T"], offsets: Int[np.ndarray, " S1"]) -> Bool[np.ndarray, "*F T"]:
    """Return where a feature holds for the character before, in the same string.

    Examples
    --------
    >>> holds_before(np.asarray([True, False, True, True]), np.asarray([0, 3, 4])).tolist()
    [False, True, False, False]
    """
    before = np.zeros(on.shape, bool)
    before[..., 1:] = on[..., :-1]
    before[..., offsets[:-1]] = False
    return before


def group_sums(
    values: Values,
    predicted: Bool[np.ndarray, " T"],
    on: Bool[np.ndarray, " T"],
    after: Bool[np.ndarray, " T"],
    groups: Int[np.ndarray, " T"],
) -> Sums:
    """Sum the measures by group.

    Parameters
    ----------
    values
        What is measured at each position.
    predicted
        The positions that count.
    on, after
        The characters that the feature holds for, and those after one that it holds for.
    groups
        The group of each position.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    masks = (predicted, predicted & on, predicted & ~on, predicted & after)
    pairs = [(getattr(values, kind), mask) for kind, names in _NAMES.items() for mask in masks[: len(names)]]
    count = [np.add.reduceat(mask[order].astype(float), starts) for _, mask in pairs]
    total = [np.add.reduceat(np.where(mask, value, 0)[:, order].astype(float), starts, axis=1) for value, mask in pairs]
    return Sums(np.stack(total, axis=1), np.stack(count))


def means_of(
    values: Values,
    class_probabilities: Sequence[Float[np.ndarray, "M T"]],
    classes: Sequence[int],
    predicted: Bool[np.ndarray, " T"],
    on: Bool[np.ndarray, "F T"],
    after: Bool[np.ndarray, "F T"],
) -> Float[np.ndarray, "F M X"]:
    """Return each of `MEASURES` for each feature: `Sums.means` of `group_sums`, by one matrix product per value.

    Parameters
    ----------
    values, predicted
        As for `group_sums`; its class probability is not used.
    class_probabilities, classes
        The probability of each class, and the class of each feature.
    on, after
        As for `group_sums`, for each feature.
    """
    result = np.empty((len(on), len(values.loss), len(MEASURES)))
    counted = predicted[None]
    for kind, names in _NAMES.items():
        columns = [MEASURES.index(name) for name in names]
        if len(names) == 1:
            result[..., columns] = _means(getattr(values, kind), counted)[None]
        elif kind != "class_probability":
            result[..., columns] = _split_means(getattr(values, kind), counted, on, after)
        else:
            for number, probability in enumerate(class_probabilities):
                own = np.flatnonzero(np.asarray(classes) == number)
                result[own[:, None], :, columns] = _split_means(probability, counted, on[own], after[own]).swapaxes(
                    1, 2
                )
    return result


def _means(values: Shaped[np.ndarray, "M T"], masks: Bool[np.ndarray, "F T"]) -> Float[np.ndarray, "M F"]:
    weights = masks.astype(np.float64)
    return _ratio(values.astype(np.float64) @ weights.T, weights.sum(axis=1)[None])


def _split_means(
    values: Shaped[np.ndarray, "M T"],
    counted: Bool[np.ndarray, "1 T"],
    on: Bool[np.ndarray, "F T"],
    after: Bool[np.ndarray, "F T"],
) -> Float[np.ndarray, "F M 4"]:
    """Return the means over `PARTS` of the counted positions, for each feature."""
    n_features = len(on)
    means = _means(values, np.concatenate([counted, counted & on, counted & ~on, counted & after]))
    overall = np.repeat(means[:, :1], n_features, axis=1)
    parts = [overall, *np.split(means[:, 1:], [n_features, 2 * n_features], axis=1)]
    return np.stack(parts, axis=-1).swapaxes(0, 1)
