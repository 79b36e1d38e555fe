"""States of any source as one type: the door through which they enter what uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.models._activations import Activations
from dni_jax.models._arrays import as_numpy
from dni_jax.models._chunked import ChunkedActivations, Strings


class InMemoryActivations(ChunkedActivations):
    """States that are all in memory, read as if they were one string.

    The neurons of a population's M models follow each other, model after model: a population is more neurons.

    Attributes
    ----------
    hidden
        float ``(T, N)``, or ``(M, T, N)``.
    n_models
        M, or None for a single network.
    members
        As of `Activations`.
    """

    in_memory = True
    fingerprint = ""

    def __init__(
        self,
        hidden: Float[np.ndarray, "*M T N"],
        groups: Int[np.ndarray, " T"] | None = None,
        mask: Bool[np.ndarray, " T"] | None = None,
        members: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.n_models = len(hidden) if hidden.ndim == 3 else None
        self.hidden, self.position_groups, self.mask, self.members = hidden, groups, mask, members or {}
        self.chunk = hidden.shape[-2]
        self.offsets, self.string_groups = np.array([0, self.chunk]), np.zeros(1, np.int32)
        self.n_neurons = hidden.shape[-1] * (self.n_models or 1)
        self._matrix = hidden if self.n_models is None else None

    def read(self, strings: Strings, neurons: slice = slice(None)) -> Float[np.ndarray, "t n"]:
        """Return the states of some neurons at all positions."""
        if self._matrix is None:
            self._matrix = np.ascontiguousarray(np.moveaxis(self.hidden, 0, 1)).reshape(self.chunk, self.n_neurons)
        return self._matrix if neurons == slice(None) else self._matrix[:, neurons]

    def __repr__(self) -> str:
        return self._describe("InMemoryActivations") + ")"


def as_activations(states: Any) -> ChunkedActivations:
    """Return states as `ChunkedActivations`, wherever they come from.

    Parameters
    ----------
    states
        `Activations`; an array ``(T, N)``, or ``(M, T, N)`` of M networks, of NumPy, JAX or PyTorch; or
        `ChunkedActivations`, such as `StoredActivations`, which are returned as they are.

    Returns
    -------
    ChunkedActivations. ``in_memory`` tells whether reading them costs nothing.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> as_activations(np.zeros((2, 5, 3))).read([(0, 1)]).shape
    (5, 6)
    """
    if isinstance(states, ChunkedActivations):
        return states
    if isinstance(states, Activations):
        return InMemoryActivations(states.hidden, states.groups, states.mask, states.members)
    hidden = as_numpy(states, "states")
    if hidden.ndim not in (2, 3):
        raise ValueError(
            f"expected states of shape (T, N), or (M, T, N) of M networks, got shape {hidden.shape}: record and label "
            "the same corpus"
        )
    return InMemoryActivations(hidden)
