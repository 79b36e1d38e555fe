"""A neuron in a few hundred blocks of neighboring values, each summarized by its moments about its middle."""

from typing import NamedTuple

from jaxtyping import Array, Float


class ValueBlocks(NamedTuple):
    """Blocks of a neuron.

    Attributes
    ----------
    middle : float64 (J,)
    power : float64 (J, P, K, F), or (J, P, K, 1)
        The training positions' ``mass * (x - middle) ** p / p!``, summed.
    radius : float64 ()
        The largest distance of a position from its block's middle.
    words : tuple of arrays, or None
        Values, positives, folds and existing ranks of all positions, in words of 64; None for blocks without extent,
        which lose nothing.
    """

    middle: Float[Array, " J"]
    power: Float[Array, "J P K F1"]
    radius: Float[Array, ""]
    words: tuple[Array, Array, Array, Array] | None = None
