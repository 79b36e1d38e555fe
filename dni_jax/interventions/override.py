"""One override as a pytree of masks and values, applied to one time step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Where = Literal["recurrent", "readout"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Override:
    """``h[n] <- low[n] + (high[n] - low[n]) * drive`` for the neurons in the mask.

    `drive` is a number a step (a signal), an array ``(..., N)`` a step (states, with low 0 and high 1), or nothing,
    which leaves `low`. Leading axes of the three arrays are batches: hundreds of neuron sets go through one ``vmap``.

    Attributes
    ----------
    mask
        bool ``(N,)``: the neurons that are overridden.
    low, high
        float32 ``(N,)``.
    where
        ``"recurrent"``: the network goes on with the overridden state; ``"readout"``: only the prediction sees it.
    """

    mask: Bool[Array, "*sets N"]
    low: Float[Array, "*sets N"]
    high: Float[Array, "*sets N"]
    where: Where = field(default="recurrent", metadata={"static": True})

    def __call__(self, hidden: Float[Array, "*batch N"], drive: Float[Array, ...] | None) -> Float[Array, "*batch N"]:
        """Apply to one step's hidden state; `drive` must broadcast against it."""
        value = self.low if drive is None else self.low + (self.high - self.low) * drive
        return jnp.where(self.mask, value, hidden)


Drives = tuple[Array | None, ...]


def apply_overrides(
    overrides: Sequence[Override], drives: Drives, hidden: Float[Array, "*batch N"]
) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch N"]]:
    """Apply overrides in order.

    Returns
    -------
    The state that the network goes on with, and the state that the prediction is read from.
    """
    readout = hidden
    for override, drive in zip(overrides, drives, strict=True):
        readout = override(readout, drive)
        if override.where == "recurrent":
            hidden = override(hidden, drive)
    return hidden, readout
