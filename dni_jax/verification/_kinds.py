"""The kinds of override that a verdict can be asked for, each for all neurons; the sets' masks choose among them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from dni_jax.interventions import Drive, Edit, Intervention, Override, fit_line
from dni_jax.models import Activations

INTERVENTIONS = ("ablate", "mean", "resample", "clamp", "oracle", "fitted")


def plan_of(
    kind: str,
    masks: Bool[np.ndarray, "M N"],
    states: Activations,
    signal: Float[np.ndarray, " T"],
    value: float,
    where: str,
    seed: int,
) -> tuple[Override, Drive | None]:
    """Give the override of all sets, and what they follow through time.

    Parameters
    ----------
    kind
        One of `INTERVENTIONS`; see `dni_jax.verify`.
    masks
        The sets of neurons.
    states
        The intact network's, on the text that will be read.
    signal
        The feature's labels; only oracle and fitted follow them.
    value
        For clamp.
    where
        See `Override`.
    seed
        For resample.
    """
    n_positions, n_neurons = states.hidden.shape
    low, high, drive = np.zeros(n_neurons), np.ones(n_neurons), None
    always = np.ones(n_positions, bool)
    if kind == "mean":
        low = states.hidden.mean(axis=0)
    elif kind == "clamp":
        low = np.full(n_neurons, value)
    elif kind == "resample":
        drawn = np.random.default_rng(seed).permutation(n_positions)
        drive = Drive(states.hidden[drawn], always)
    elif kind in ("oracle", "fitted"):
        scaled = (signal - signal.min()) / max(float(np.ptp(signal)), 1e-9)
        drive = Drive(scaled.astype(np.float32), always)
        low = np.full(n_neurons, -1.0)
        if kind == "fitted" and np.ptp(signal) > 0:
            low, high = fit_line(states.hidden, drive.value)
    lows, highs = (jnp.asarray(np.broadcast_to(row, masks.shape), jnp.float32) for row in (low, high))
    return Override(jnp.asarray(masks), lows, highs, where), drive  # type: ignore[arg-type]


def intervention_of(override: Override, drive: Drive | None, row: int, n_positions: int) -> Intervention | None:
    """Give one set's override as an intervention on a text's first positions; None where it overrides nothing.

    Parameters
    ----------
    override, drive
        From `plan_of`.
    row
        Which set.
    n_positions
        How many positions will be read.
    """
    mask, low, high = (np.asarray(array[row]) for array in (override.mask, override.low, override.high))
    neurons = np.flatnonzero(mask)
    if not len(neurons):
        return None
    value, when = (None, None) if drive is None else (drive.value[:n_positions], drive.when[:n_positions])
    if value is not None and value.ndim == 2:
        value = value[:, neurons]
    edit = Edit(
        tuple(neurons.tolist()), low[neurons], high[neurons], value, when, override.where, override.part, f"set {row}"
    )
    return Intervention((edit,))
