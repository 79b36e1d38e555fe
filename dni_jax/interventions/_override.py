"""One override as a pytree of masks and values, applied to one time step at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dni_jax.interventions._display import html_of_override

Where = Literal["recurrent", "readout"]


class Drive(NamedTuple):
    """What an override follows through time: arrays with one row per position (no such axis for one step), or None.

    Attributes
    ----------
    value
        float32: a number (a signal), or N numbers (states). None leaves the override's `low`.
    when
        bool: whether the override acts. None: always.
    """

    value: Any = None
    when: Any = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Override:
    """``h[n] <- low[n] + (high[n] - low[n]) * drive`` for the neurons in the mask.

    The drive's value is one number per step (a signal), an array ``(..., N)`` per step (states, with low 0 and high 1),
    or nothing, which leaves `low`. Leading axes of the three arrays are batches: hundreds of neuron sets go through one
    ``vmap``.

    Attributes
    ----------
    mask
        bool ``(N,)``: the neurons that are overridden.
    low, high
        float32 ``(N,)``. All three are NumPy arrays until a program takes them.
    where
        ``"recurrent"``: the network goes on with the overridden state; ``"readout"``: only the prediction sees it.
    part
        What of the neurons is overridden: ``"h"``, the memory ``"c"`` of an LSTM or sLSTM, or a gate by its letter.
    """

    mask: Bool[np.ndarray | Array, "*sets N"]
    low: Float[np.ndarray | Array, "*sets N"]
    high: Float[np.ndarray | Array, "*sets N"]
    where: Where = field(default="recurrent", metadata={"static": True})
    part: str = field(default="h", metadata={"static": True})

    def __call__(self, values: Float[Array, "*batch N"], drive: Drive = Drive()) -> Float[Array, "*batch N"]:  # noqa: B008
        """Apply to one step; the drive's arrays must broadcast against `values`."""
        new = self.low if drive.value is None else self.low + (self.high - self.low) * drive.value
        chosen = self.mask if drive.when is None else self.mask & drive.when
        return jnp.where(chosen, new, values)

    def _repr_html_(self) -> str:
        return html_of_override(self)

    def select(self, neurons: slice) -> Override:
        """Return the override of a range of neurons."""
        mask, low, high = (array[..., neurons] for array in (self.mask, self.low, self.high))
        return Override(mask, low, high, self.where, self.part)


Driven = tuple[Override, Drive]


class Bound(NamedTuple):
    """An intervention bound to a network and a text, by `Intervention.bind`.

    Attributes
    ----------
    overrides
        What is overridden, in order.
    drives
        What each of them follows through time.
    """

    overrides: tuple[Override, ...] = ()
    drives: tuple[Drive, ...] = ()


def apply_overrides(
    edits: Iterable[Driven], values: Float[Array, "*batch n"], neurons: slice, part: str = "h"
) -> Float[Array, "*batch n"]:
    """Apply the overrides of one part in order.

    Parameters
    ----------
    edits
        Each override of all N neurons, with its drive for this step: arrays that broadcast against the batch with a
        last axis of 1 (a signal) or N (states).
    values
        What some neurons, for example a layer's, have of the part.
    neurons
        Which of the N these are.
    part
        Overrides of other parts are skipped.
    """
    for override, drive in edits:
        if override.part != part:
            continue
        value = drive.value
        if value is not None and value.ndim and value.shape[-1] == override.mask.shape[-1]:
            value = value[..., neurons]
        values = override.select(neurons)(values, Drive(value, drive.when))
    return values
