"""One override as a pytree of masks and values, applied to one time step at a time."""

from __future__ import annotations

from collections.abc import Iterable
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

    def of(self, neurons: slice) -> Override:
        """Give the override of some of the neurons."""
        return Override(self.mask[..., neurons], self.low[..., neurons], self.high[..., neurons], self.where)


Driven = tuple[Override, Array | None]


def apply_overrides(
    edits: Iterable[Driven], hidden: Float[Array, "*batch n"], neurons: slice
) -> Float[Array, "*batch n"]:
    """Apply overrides in order.

    Parameters
    ----------
    edits
        Each override of all N neurons, with its drive for this step: a number, an array that broadcasts against the
        batch with a last axis of 1 (a signal) or N (states), or None.
    hidden
        The states of some neurons, for example a layer's.
    neurons
        Which of the N these are.
    """
    for override, drive in edits:
        if drive is not None and drive.ndim and drive.shape[-1] == override.mask.shape[-1]:
            drive = drive[..., neurons]
        hidden = override.of(neurons)(hidden, drive)
    return hidden
