"""Auxiliary targets: what the states of a network are asked to say while it learns to predict."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.features import FeatureLibrary, Labels
from dni_jax.text import Corpus, concatenate_ranges

Target = Labels | FeatureLibrary | Float[np.ndarray, "T A"]


class Auxiliary(NamedTuple):
    """Targets of the training text.

    Attributes
    ----------
    targets
        float32 ``(T, A)``: each column with mean 0 and variance 1.
    strength
        float32 ``(T,)``: the weight of each position in the loss; 0 where no target is known.
    """

    targets: Float[np.ndarray, "T A"]
    strength: Float[np.ndarray, " T"]


class Readout(NamedTuple):
    """A linear map from the top layer's states to the targets, which is trained and then thrown away."""

    w: Any  # (N, A)
    b: Any  # (A,)

    @classmethod
    def init(cls, n_neurons: int, n_targets: int) -> Readout:
        """Return a readout that says the mean of every target."""
        return cls(jnp.zeros((n_neurons, n_targets)), jnp.zeros(n_targets))


def make_auxiliary(auxiliary: Target | None, corpus: Corpus, weight: float) -> Auxiliary | None:
    """Return the targets of the strings that a training reads.

    Raises
    ------
    ValueError
        For a weight below 0, targets of other positions, that are not finite, or that never vary.
    """
    if auxiliary is None:
        return None
    if not 0 <= weight < np.inf:
        raise ValueError(f"expected a finite weight of at least 0 for auxiliary targets, got {weight}")
    labels = auxiliary.label(corpus) if isinstance(auxiliary, FeatureLibrary) else auxiliary
    if isinstance(labels, Labels):
        names, values, mask = labels.names, labels.values, labels.mask
    else:
        values = np.asarray(labels)
        names, mask = tuple(f"column {number}" for number in range(values.shape[-1])), np.ones(len(values), bool)
    if values.ndim != 2 or len(values) != corpus.n_positions or not values.shape[1]:
        raise ValueError(
            f"expected auxiliary targets of the corpus' {corpus.n_positions} positions, at least one column, got shape "
            f"{values.shape}: label, or record, the corpus that is trained on"
        )
    if isinstance(labels, Labels):
        labels.check_corpus(corpus)
    chosen = np.flatnonzero(corpus.split == 0)
    positions = concatenate_ranges(corpus.offsets[chosen], np.diff(corpus.offsets)[chosen])
    values, mask = np.asarray(values[positions], np.float32), mask[positions]
    if not np.isfinite(values[mask]).all():
        raise ValueError("expected finite auxiliary targets, got NaN or infinity")
    mean, spread = values[mask].mean(axis=0, dtype=np.float64), values[mask].std(axis=0, dtype=np.float64)
    flat = [name for name, sd in zip(names, spread, strict=True) if not sd > 1e-9]
    if flat or not mask.any():
        raise ValueError(
            f"expected auxiliary targets that vary on the training text, got constant ones: {flat[:5]}: leave them "
            "out, as labels.drop_redundant() does"
        )
    scaled = np.where(mask[:, None], (values - mean) / spread, 0.0)
    return Auxiliary(scaled.astype(np.float32), np.where(mask, weight, 0.0).astype(np.float32))


def auxiliary_loss(
    readout: Readout, hidden: Float[Array, "R B N"], targets: Float[Array, "R B A"], strength: Float[Array, "R B"]
) -> Float[Array, ""]:
    """Return half the weighted mean squared error of the readout, of all devices' lanes together."""
    error = jnp.matmul(hidden, readout.w, precision=jax.lax.Precision.HIGHEST) + readout.b - targets
    total = jax.lax.psum((strength > 0).sum().astype(jnp.float32), "lanes")
    return 0.5 * (strength * jnp.square(error).mean(axis=-1)).sum() / jnp.maximum(total, 1.0)
