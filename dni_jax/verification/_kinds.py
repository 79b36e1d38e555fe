"""The kinds of intervention that can be verified, each on all neurons; sets of neurons are chosen when it is bound."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from dni_jax.interventions import Intervention, ablate, clamp, clamp_to_labels
from dni_jax.models import Activations

INTERVENTIONS = ("ablate", "mean", "resample", "clamp", "oracle", "fitted")


def intervene(
    kind: str, states: Activations, signal: Float[np.ndarray, " T"], *, value: float, where: str, seed: int
) -> Intervention:
    """Return the intervention of a kind, on all neurons.

    Parameters
    ----------
    kind
        One of `INTERVENTIONS`; see `dni_jax.verify`.
    states
        The intact network's, on the text that will be read.
    signal
        The feature's labels; only oracle and fitted follow them.
    value
        For clamp.
    where
        ``"recurrent"`` or ``"readout"``.
    seed
        For resample.
    """
    everything = range(states.n_neurons)
    if kind == "clamp":
        return clamp(everything, value, where=where)
    if kind in ("oracle", "fitted"):
        scaled = (signal - signal.min()) / max(float(np.ptp(signal)), 1e-9)
        varies = np.ptp(signal) > 0  # a line needs two points
        reference = states if kind == "fitted" and varies else None
        return clamp_to_labels(everything, scaled.astype(np.float32), reference=reference, where=where)
    mode = {"ablate": "zero"}.get(kind, kind)
    return ablate(everything, mode, reference=None if mode == "zero" else states, seed=seed, where=where)
