"""What is overridden: an intervention on all neurons, and the sets of neurons it is restricted to in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.interventions import Intervention, ablate, clamp, clamp_to_labels
from dni_jax.states import Activations

INTERVENTIONS = ("ablate", "mean", "resample", "clamp", "oracle", "fitted")
_STRATUM = 16  # neurons of similar variance


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


class Sets(NamedTuple):
    """Different sets of neurons, of which row 0 is empty, and the rows of each feature.

    Attributes
    ----------
    masks
        bool ``(M, N)``.
    top, bottom
        int ``(F, K)``: rows of the K sets of best, and worst, neurons.
    random
        int ``(F, K, R)``: rows of the random sets.
    """

    masks: Bool[np.ndarray, "M N"]
    top: Int[np.ndarray, "F K"]
    bottom: Int[np.ndarray, "F K"]
    random: Int[np.ndarray, "F K R"]


def variance_strata(variances: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Return each neuron's stratum: about 16 neurons of similar variance, by rank."""
    n_neurons = len(variances)
    ranks = np.empty(n_neurons, np.int64)
    ranks[np.argsort(variances, kind="stable")] = np.arange(n_neurons)
    return ranks * max(n_neurons // _STRATUM, 1) // n_neurons


def draw_variance_matched(
    chosen: Int[np.ndarray, " k"], strata: Int[np.ndarray, " N"], n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "R k"]:
    """Draw sets with as many neurons of each stratum as the chosen set has.

    If only their variance distinguishes the chosen neurons, they are one more such draw, and the share of draws that
    have at least their effect is an exact p-value.
    """
    counts = np.bincount(strata[chosen], minlength=int(strata.max()) + 1)
    drawn = np.empty((n_draws, len(chosen)), np.int64)
    for row in drawn:
        parts = [rng.permutation(np.flatnonzero(strata == stratum))[:n] for stratum, n in enumerate(counts) if n]
        row[:] = np.concatenate(parts)
    return drawn


def neuron_sets(
    orders: Int[np.ndarray, "F N"],
    ks: Sequence[int],
    n_draws: int,
    strata: Int[np.ndarray, " N"] | None,
    seed: int,
) -> Sets:
    """Return all sets of neurons of some features.

    Parameters
    ----------
    orders
        For each feature all neurons, the best first.
    ks
        Sizes of the sets.
    n_draws
        Random sets of each size.
    strata
        From `variance_strata`: each feature has its own draws, matched in variance to its best neurons. None: draws
        among all neurons, shared by the features; the sets of one draw are nested.
    seed
        Of the draws; those of a feature do not depend on the other features.
    """
    n_neurons = orders.shape[1]
    rows: list[np.ndarray] = []
    known: dict[bytes, int] = {}  # sets of few neurons are drawn again and again, and every set costs a reading

    def add(members: np.ndarray) -> int:
        mask = np.zeros(n_neurons, bool)
        mask[members] = True
        row = known.setdefault(mask.tobytes(), len(rows))
        if row == len(rows):
            rows.append(mask)
        return row

    add(np.zeros(0, np.int64))

    top = np.asarray([[add(order[:k]) for k in ks] for order in orders])
    bottom = np.asarray([[add(order[n_neurons - k :]) for k in ks] for order in orders])
    rng = np.random.default_rng(seed)
    if strata is None:
        draws = [rng.permutation(n_neurons)[: max(ks)] for _ in range(n_draws)]
        shared = np.asarray([[add(draw[:k]) for draw in draws] for k in ks])
        random = np.broadcast_to(shared, (len(orders), *shared.shape))
    else:
        random = np.asarray(
            [
                [[add(draw) for draw in draw_variance_matched(order[:k], strata, n_draws, rng)] for k in ks]
                for order in orders
            ]
        )
    return Sets(np.asarray(rows), top, bottom, random)
