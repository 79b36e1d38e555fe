"""How well a network predicts, overall and where a feature holds, with intervals over groups of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.models import Predictions
from dni_jax.text import Corpus

MEASURES = (
    "type_accuracy",
    "accuracy_on",
    "accuracy_off",
    "loss",
    "loss_on",
    "loss_off",
    "class_probability",
    "class_probability_on",
    "class_probability_off",
    "distance",
)
LOSSES = frozenset({"loss", "loss_on", "loss_off"})  # measures of which more is worse


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


def correct_types(predictions: Predictions, corpus: Corpus) -> Bool[np.ndarray, "M T"]:
    """Return whether the most probable character is of the class (digit, parenthesis, ...) of the one that came."""
    _, table = number_types(corpus)
    return table[predictions.best] == table[corpus.flat_codes]


def group_sums(
    values: Sequence[Float[np.ndarray, "M T"] | Bool[np.ndarray, "M T"]],
    predicted: Bool[np.ndarray, " T"],
    on: Bool[np.ndarray, " T"],
    groups: Int[np.ndarray, " T"],
) -> Sums:
    """Sum the measures by group.

    Parameters
    ----------
    values
        Whether the class was right, the loss, the probability of the feature's class, and the state's distance.
    predicted
        The positions that count.
    on
        The characters that the feature holds for.
    groups
        The group of each position.
    """
    right, loss, class_probability, distance = values
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    masks = (*(predicted, predicted & on, predicted & ~on) * 3, predicted)
    count = np.stack([np.add.reduceat(mask[order].astype(float), starts) for mask in masks])
    pairs = zip((*(right,) * 3, *(loss,) * 3, *(class_probability,) * 3, distance), masks, strict=True)
    total = [np.add.reduceat(np.where(mask, value, 0)[:, order].astype(float), starts, axis=1) for value, mask in pairs]
    return Sums(np.stack(total, axis=1), count)


def means_of(
    right: Float[np.ndarray, "M T"],
    loss: Float[np.ndarray, "M T"],
    class_probabilities: Sequence[Float[np.ndarray, "M T"]],
    distance: Float[np.ndarray, "M T"],
    predicted: Bool[np.ndarray, " T"],
    on: Bool[np.ndarray, "F T"],
    classes: Sequence[int],
) -> Float[np.ndarray, "F M X"]:
    """Return each of `MEASURES` for each feature: `Sums.means` of `group_sums`, by one matrix product per value.

    Parameters
    ----------
    right, loss, distance, predicted
        As for `group_sums`.
    class_probabilities, classes
        The probability of each class, and the class of each feature.
    on
        The characters that each feature holds for.
    """
    result = np.empty((len(on), len(loss), len(MEASURES)))
    result[..., 0:3], result[..., 3:6] = _split_means(right, predicted, on), _split_means(loss, predicted, on)
    for number, probability in enumerate(class_probabilities):
        own = np.flatnonzero(np.asarray(classes) == number)
        result[own, :, 6:9] = _split_means(probability, predicted, on[own])
    result[..., 9] = _ratio(distance @ predicted.astype(np.float64), predicted.sum(dtype=np.float64))
    return result


def _split_means(
    values: Float[np.ndarray, "M T"], predicted: Bool[np.ndarray, " T"], on: Bool[np.ndarray, "F T"]
) -> Float[np.ndarray, "F M 3"]:
    """Return the means over the predicted positions: all, those that each feature holds for, and the others."""
    masks = np.concatenate([predicted[None], predicted & on, predicted & ~on]).astype(np.float64)
    means = _ratio(values @ masks.T, masks.sum(axis=1)[None])
    n_features = len(on)
    overall = np.repeat(means[:, :1], n_features, axis=1)
    return np.stack([overall, means[:, 1 : n_features + 1], means[:, n_features + 1 :]], axis=-1).swapaxes(0, 1)
