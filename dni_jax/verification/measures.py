"""How well a network predicts, over everything and where a feature holds, with intervals over groups of text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.corpora import Corpus
from dni_jax.models.evaluation import Predictions

MEASURES = ("type_accuracy", "accuracy_on", "accuracy_off", "loss", "loss_on", "loss_off")
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
        """Each measure over all groups; NaN where it has no position."""
        return _ratio(self.total.sum(-1), self.positions.sum(-1))

    def resampled(self, weights: Float[np.ndarray, "B G"]) -> Float[np.ndarray, "B M X"]:
        """Each measure with groups drawn anew, `weights` saying how often each."""
        return _ratio(np.einsum("bg,msg->bms", weights, self.total), (weights @ self.positions.T)[:, None, :])


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=np.broadcast_to(count, total.shape) > 0)


def correct_types(predictions: Predictions, corpus: Corpus) -> Bool[np.ndarray, "M T"]:
    """Whether the most probable character is of the same class (digit, parenthesis, ...) as the one that came."""
    names = list(dict.fromkeys(corpus.vocabulary.types))
    table = np.asarray([names.index(name) for name in corpus.vocabulary.types], np.int32)
    return table[predictions.best] == table[corpus.flat_codes]


def group_sums(
    correct: Bool[np.ndarray, "M T"],
    loss: Float[np.ndarray, "M T"],
    predicted: Bool[np.ndarray, " T"],
    on: Bool[np.ndarray, " T"],
    groups: Int[np.ndarray, " T"],
) -> Sums:
    """Sum the measures by group. `on` marks the characters that the feature holds for."""
    _, index = np.unique(groups, return_inverse=True)
    size = int(index.max()) + 1
    masks = (predicted, predicted & on, predicted & ~on) * 2
    count = np.stack([np.bincount(index[mask], minlength=size) for mask in masks]).astype(float)
    values = (correct,) * 3 + (loss,) * 3
    total = np.stack(
        [
            np.stack([np.bincount(index[mask], weights=row[mask], minlength=size) for row in value])
            for value, mask in zip(values, masks, strict=True)
        ],
        axis=1,
    )
    return Sums(total, count)


def bootstrap_weights(n_groups: int, n_draws: int, seed: int) -> Float[np.ndarray, "B G"]:
    """How often each group is drawn when as many as there are are drawn with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_draws).astype(float)
