"""Values for overrides that come from recorded states: means, partners, lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dni_jax.states import as_activations


def read_reference(states: Any, neurons: Sequence[int], part: str = "h") -> Float[np.ndarray, "T k"]:
    """Return some neurons' values of a part, from recorded states or an array ``(T, N)`` of that part.

    Raises
    ------
    ValueError
        Where the part was not recorded, shapes do not fit, or a value is not finite.
    """
    activations = as_activations(states)
    n_neurons = activations.n_neurons
    if activations.n_models is not None or max(neurons) >= n_neurons:
        got = f"{n_neurons} neurons" if activations.n_models is None else f"a population of {activations.n_models}"
        raise ValueError(f"expected reference states of shape (T, N) with N > {max(neurons)}, got {got}")
    array = activations.part(part)
    # All neurons of a large recording are not copied.
    everything = list(neurons) == list(range(n_neurons))
    chosen = np.asarray(array if everything else array[:, list(neurons)], np.float32)
    if len(chosen) == 0:
        raise ValueError("expected reference states of at least one position, got none")
    if not np.isfinite(chosen).all():
        raise ValueError("expected finite numbers for reference, got NaN or infinity")
    return chosen


def count_neurons(states: Any) -> int:
    """Return how many neurons the states of a network have, ``Activations`` or an array ``(T, N)``."""
    return as_activations(states).n_neurons


def draw_partners(match: Any, groups: Any, n_positions: int, seed: int) -> tuple[Int[np.ndarray, " T"], int]:
    """Draw for each position another one that matches, from another group.

    Parameters
    ----------
    match
        ``(T,)``: what must be equal.
    groups
        ``(T,)``: what must differ.
    n_positions
        T.
    seed
        Draws.

    Returns
    -------
    For each position its partner, itself where there is none; and how many have none.

    Raises
    ------
    ValueError
        Where `match` or `groups` do not have T values.
    """
    match = np.asarray(match)
    if groups is None:
        raise ValueError("expected groups=(T,) with an array of reference states and match=, got none")
    groups = np.asarray(groups)
    if match.shape != (n_positions,) or groups.shape != (n_positions,):
        raise ValueError(
            f"expected match and groups of shape ({n_positions},), as many as reference states, "
            f"got {match.shape} and {groups.shape}"
        )
    rng = np.random.default_rng(seed)
    result = np.arange(n_positions)
    order = np.lexsort((groups, match))
    ends = np.append(np.flatnonzero(np.diff(np.unique(match[order], return_inverse=True)[1])) + 1, n_positions)
    start = 0
    for end in ends.tolist():
        members = order[start:end]  # of one stratum, group after group
        start = end
        own = groups[members]
        first, last = np.searchsorted(own, own, "left"), np.searchsorted(own, own, "right")
        others = len(members) - (last - first)
        drawn = (rng.random(len(members)) * others).astype(np.int64)
        drawn += np.where(drawn >= first, last - first, 0)  # skips the own group
        result[members] = np.where(others > 0, members[np.minimum(drawn, len(members) - 1)], members)
    alone = int((groups[result] == groups).sum())
    return result, alone


def fit_line(
    states: Float[np.ndarray, "T k"], signal: Float[np.ndarray, " T"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return values at signal 0 and 1 on the least squares line through each neuron's states.

    Raises
    ------
    ValueError
        Where the signal never varies.
    """
    centered = signal.astype(np.float64) - signal.mean(dtype=np.float64)
    if not centered.any():
        raise ValueError("expected a signal that varies with reference=, got a constant one: pass low= and high=")
    values = states.astype(np.float64)
    slope = centered @ (values - values.mean(0)) / (centered @ centered)
    low = values.mean(0) - slope * signal.mean(dtype=np.float64)
    return low.astype(np.float32), (low + slope).astype(np.float32)
