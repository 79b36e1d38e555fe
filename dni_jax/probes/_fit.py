"""What every probe on one neuron returns, and how it decides."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float


class Fit(NamedTuple):
    """A line ``weight * (x - threshold)`` a fold and feature, x less the neuron's centre.

    Positions with a positive value are predicted to be in class 1. Where the weight is 0, `constant` is the
    prediction everywhere.
    """

    weight: Float[Array, "*fits"]
    threshold: Float[Array, "*fits"]
    constant: Bool[Array, "*fits"]
