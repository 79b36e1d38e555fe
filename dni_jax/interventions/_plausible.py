"""The strongest value that leaves a network's states plausible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from dni_jax.interventions._references import read_reference
from dni_jax.states import as_activations

_STATES = 512  # visited states that an override is judged by
_STEPS = 64  # from the median to the most extreme value
_HALVINGS = 8


def plausible_values(
    neurons: Sequence[int], density: Any, states: Any, percentile: float = 5.0, sign: Any = None
) -> Float[np.ndarray, " k"]:
    """Return values at which neurons can be held together without leaving the states that a network visits.

    All neurons go together from their medians (strength 0) to the most extreme visited values on their sides (strength
    1). At each strength they are held at their values in up to 512 visited states, evenly spread over the
    positions; the override is plausible where the median of these states' percentiles is at least `percentile`. The
    result is the greatest plausible strength, found in 64 steps and refined by bisection to 1/16,384.

    Parameters
    ----------
    neurons
        Their numbers.
    density
        From `dni_jax.plausibility`; anything with ``percentile((T, N)) -> (T,)``, 0 to 100.
    states
        The visited states: ``Activations`` or an array ``(T, N)``.
    percentile
        0 to 100; of visited states themselves the median is 50.
    sign
        1 for the neurons' greatest values, -1 for their least; one for all or one each. None: for each the extreme that
        is farther from its median.

    Raises
    ------
    ValueError
        Without a density or states, for numbers out of range, or where not even the medians are plausible.
    """
    if density is None or states is None or not hasattr(density, "percentile"):
        raise ValueError("expected density=dni.plausibility(states) and states= with value 'plausible', got none")
    if not 0 <= percentile <= 100:
        raise ValueError(f"expected percentile between 0 and 100, got {percentile}")
    activations = as_activations(states)
    n_neurons, mask = activations.n_neurons, activations.mask
    rows = read_reference(activations, range(n_neurons))
    chosen = list(neurons)
    if max(chosen) >= n_neurons:
        raise ValueError(f"expected neurons 0 to {n_neurons - 1}, got {max(chosen)}")
    rows = rows if mask is None else rows[mask]
    start, end = _ends(rows[:, chosen], sign)
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, _STATES).astype(int))]

    def plausible(strengths: np.ndarray) -> np.ndarray:
        held = np.repeat(sample[None], len(strengths), axis=0)
        held[:, :, chosen] = (start + strengths[:, None] * (end - start))[:, None]
        found = density.percentile(held.reshape(-1, n_neurons)).reshape(len(strengths), -1)
        return np.median(found, axis=1) >= percentile

    strength = _strongest(plausible)
    if strength is None:
        raise ValueError(
            f"expected a value that keeps the median state at percentile {percentile:g}, found none for neurons "
            f"{chosen} from their medians to their extremes: try fewer neurons, the other sign, or a lower percentile"
        )
    return (start + strength * (end - start)).astype(np.float32)


def _ends(values: np.ndarray, sign: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's median, and its extreme on the chosen side."""
    middle, low, high = np.median(values, axis=0), values.min(axis=0), values.max(axis=0)
    if sign is None:
        return middle, np.where(high - middle >= middle - low, high, low)
    signs = np.asarray(sign)
    if signs.shape not in ((), middle.shape) or not np.isin(signs, (1, -1)).all():
        raise ValueError(f"expected sign 1 or -1, one for all or one for each of {len(middle)} neurons, got {sign!r}")
    return middle, np.where(signs > 0, high, low)


def _strongest(plausible: Any) -> float | None:
    """Return the greatest strength from 0 to 1 that is plausible; None where none is."""
    strengths = np.linspace(0, 1, _STEPS + 1)
    found = np.flatnonzero(plausible(strengths))
    if not len(found):
        return None
    low = float(strengths[found[-1]])
    if low == 1:
        return low
    high = low + 1 / _STEPS
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if plausible(np.asarray([middle]))[0] else (low, middle)
    return low
