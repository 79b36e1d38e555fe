"""States of any source as one type: the door through which they enter what uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int, Real

from dni_jax.states._activations import Activations
from dni_jax.states._chunked import ChunkedActivations, Strings, part_of


class InMemoryActivations(ChunkedActivations):
    """States that are all in memory, read as if they were one string.

    The neurons of a population's M models follow each other, model after model: a population is more neurons.

    Attributes
    ----------
    hidden
        ``(T, N)``, or ``(M, T, N)``.
    n_models
        M, or None for a single network.
    members
        As of `Activations`.
    """

    in_memory = True
    fingerprint = ""

    def __init__(self, hidden: Real[np.ndarray, "*M T N"], recorded: Activations | None = None) -> None:
        self.n_models = len(hidden) if hidden.ndim == 3 else None
        self.hidden, self._recorded, self.chunk = hidden, recorded, hidden.shape[-2]
        if recorded is not None:
            self.mask, self.symbols, self.members = recorded.mask, recorded.symbols, recorded.members
        self.offsets, self.string_groups = np.array([0, self.chunk]), np.zeros(1, np.int32)
        self.n_neurons = hidden.shape[-1] * (self.n_models or 1)
        self._matrix = hidden if self.n_models is None else None

    @property
    def position_groups(self) -> Int[np.ndarray, " T"] | None:
        """int32 ``(T,)``: the group of each position, or None for an array, which does not say."""
        return None if self._recorded is None else self._recorded.groups

    def read(self, strings: Strings, neurons: slice = slice(None)) -> Real[np.ndarray, "t n"]:
        """Return the states of some neurons at all positions."""
        if self._matrix is None:
            self._matrix = np.ascontiguousarray(np.moveaxis(self.hidden, 0, 1)).reshape(self.chunk, self.n_neurons)
        return self._matrix if neurons == slice(None) else self._matrix[:, neurons]

    def part(self, name: str) -> Any:
        """Return one part of the neurons; an array holds the part it is passed for, whichever that is."""
        return self.read_all() if self._recorded is None else part_of(self._recorded, name)

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
        return InMemoryActivations(states.hidden, states)
    if isinstance(states, (list, tuple)) and len({np.shape(one) for one in states}) > 1:
        raise ValueError(
            f"expected states as one array, got a {type(states).__name__} of {len(states)} arrays of different shapes: "
            "dni.from_arrays(states, corpus) joins the strings of a corpus"
        )
    hidden = as_numpy(states, "states")
    if hidden.ndim not in (2, 3):
        raise ValueError(
            f"expected states of shape (T, N), or (M, T, N) of M networks, got shape {hidden.shape}: record and label "
            "the same corpus"
        )
    return InMemoryActivations(hidden)


def read_hidden(states: Any) -> Real[np.ndarray, "T N"]:
    """Return the hidden states of one network as an array, wherever they come from.

    Parameters
    ----------
    states
        As for `as_activations`, of one network.

    Raises
    ------
    ValueError
        For the states of a population, or anything that is not states.

    Examples
    --------
    >>> read_hidden(Activations(np.zeros((2, 3), np.float32), np.zeros(2, np.int32))).shape
    (2, 3)
    """
    activations = as_activations(states)
    if activations.n_models is not None:
        raise ValueError(
            f"expected states of shape (T, N) of one network, got those of {activations.n_models}: "
            "pass states.of_model(0), or states[0] of an array"
        )
    return activations.read_all()


def as_numpy(array: Any, name: str) -> np.ndarray:
    """Return an array of any framework as NumPy's."""
    try:
        if hasattr(array, "detach"):  # PyTorch's, without importing it
            array = array.detach().cpu()
            if str(array.dtype) == "torch.bfloat16":  # NumPy has no such type
                array = array.float()
        return np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"expected {name} as an array, got {type(array).__name__}: {error}") from error
