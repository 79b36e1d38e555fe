"""The fit of a classifier on one neuron, and how it decides."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Fit(NamedTuple):
    """One line ``weight * (x - threshold)`` per fold and feature; x is measured from the neuron's centre.

    Positions with a positive value are predicted to be in class 1. Where the weight is 0, `constant` is the
    prediction everywhere.
    """

    weight: Float[Array, "*fits"]
    threshold: Float[Array, "*fits"]
    constant: Bool[Array, "*fits"]

    def moved(self, centre: Float[Array, ""]) -> "Fit":
        """Return the fit in the neuron's original units."""
        return self._replace(threshold=self.threshold + centre)

    def line(self) -> dict[str, Float[Array, "*fits"]]:
        """Return "weight" and "bias"; the bias of a constant prediction is 1 or -1."""
        bias = jnp.where(self.constant, 1.0, -1.0)
        bias = jnp.where(self.weight == 0, bias, 0.0 - self.weight * self.threshold)
        return {"weight": self.weight, "bias": bias}


def from_line(weight: Float[Array, "*fits"], bias: Float[Array, "*fits"], size: Int[Array, "2 *fits"]) -> Fit:
    """Turn ``weight * x + bias`` into a `Fit`; a training set with one class predicts that class.

    `size` counts the training positives and negatives.
    """
    single = (size[0] == 0) | (size[1] == 0)
    flat = single | (weight == 0)
    threshold = jnp.where(flat, 0.0, -bias / jnp.where(flat, 1.0, weight))
    return Fit(jnp.where(flat, 0.0, weight), threshold, jnp.where(single, size[1] == 0, bias > 0))


def class_weights(size: Int[Array, "2 *fits"], balanced: bool) -> Float[Array, "2 *fits"]:
    """Weights of the positives and the negatives: 1, or ``n / (2 * n_class)`` where `balanced`."""
    if not balanced:
        return jnp.ones(size.shape, jnp.float64)
    counts = size.astype(jnp.float64)
    return jnp.sum(counts, axis=0) / (2.0 * jnp.maximum(counts, 1.0))
