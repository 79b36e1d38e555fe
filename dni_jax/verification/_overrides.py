"""What is overridden: an intervention on all neurons, and the sets of neurons it is restricted to in turn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.interventions import Intervention, ablate, clamp, clamp_to_labels
from dni_jax.states import Activations

INTERVENTIONS = ("ablate", "mean", "resample", "clamp", "oracle", "fitted")
_STRATUM = 16  # neurons of similar variance
FEWEST_SETS = 19  # to compare with, for a p of .05


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
        int ``(F, K, R)``: rows of the random sets; -1 where there are fewer than R.
    """

    masks: Bool[np.ndarray, "M N"]
    top: Int[np.ndarray, "F K"]
    bottom: Int[np.ndarray, "F K"]
    random: Int[np.ndarray, "F K R"]

    @property
    def n_random(self) -> Int[np.ndarray, "F K"]:
        """The number of random sets."""
        return (self.random >= 0).sum(axis=-1)


def variance_strata(variances: Float[np.ndarray, " N"], size: int = _STRATUM) -> Int[np.ndarray, " N"]:
    """Return each neuron's stratum: about `size` neurons of similar variance, by rank."""
    n_neurons = len(variances)
    ranks = np.empty(n_neurons, np.int64)
    ranks[np.argsort(variances, kind="stable")] = np.arange(n_neurons)
    return ranks * max(n_neurons // size, 1) // n_neurons


def draw_variance_matched(
    chosen: Int[np.ndarray, " k"], strata: Int[np.ndarray, " N"], n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "R k"]:
    """Draw different sets with as many neurons of each stratum as the chosen set has, and none that is the chosen set.

    If only their variance distinguishes the chosen neurons, they are one more such set, and the share of sets that
    have at least their effect is an exact p-value. A drawn set may hold some of the chosen neurons: without those, a
    set of neurons that happens to hold an important one would pass for special.

    Returns
    -------
    `n_draws` sets, or all there are where there are fewer.
    """
    members = [np.flatnonzero(strata == stratum) for stratum in range(int(strata.max()) + 1)]
    counts = np.bincount(strata[chosen], minlength=len(members)).tolist()
    own, drawn = frozenset(chosen.tolist()), dict[frozenset[int], np.ndarray]()
    n_others = _count_others(chosen, strata)
    if n_others <= n_draws:
        each = [itertools.combinations(part.tolist(), n) for part, n in zip(members, counts, strict=True)]
        for parts in itertools.product(*each):
            row = np.asarray([neuron for part in parts for neuron in part], np.int64)
            drawn[frozenset(row.tolist())] = row
        drawn.pop(own)
    while len(drawn) < min(n_draws, n_others):
        row = np.concatenate([rng.permutation(part)[:n] for part, n in zip(members, counts, strict=True) if n])
        if (key := frozenset(row.tolist())) != own:
            drawn.setdefault(key, row)
    return np.asarray(list(drawn.values()), np.int64).reshape(-1, len(chosen))


def _count_others(chosen: Int[np.ndarray, " k"], strata: Int[np.ndarray, " N"]) -> int:
    """Return how many sets have as many neurons of each stratum, apart from the chosen one."""
    sizes, counts = np.bincount(strata), np.bincount(strata[chosen], minlength=int(strata.max()) + 1)
    return math.prod(map(math.comb, sizes.tolist(), counts.tolist())) - 1


def _draw_matched(
    chosen: Int[np.ndarray, " k"], variances: Float[np.ndarray, " N"], n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "R k"]:
    """Draw from strata of 16 neurons, or from wider ones where 5 % could not be reached with those."""
    size, wanted = _STRATUM, min(n_draws, FEWEST_SETS)
    while _count_others(chosen, variance_strata(variances, size)) < wanted and size < len(variances):
        size *= 2
    return draw_variance_matched(chosen, variance_strata(variances, size), n_draws, rng)


def _draw_shared(n_neurons: int, ks: Sequence[int], n_draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw different sets of each size among all neurons, an array ``(R, k)`` a size: nested, but for repetitions."""
    wanted = [min(n_draws, math.comb(n_neurons, k)) for k in ks]
    found: list[dict[frozenset[int], np.ndarray]] = [{} for _ in ks]
    while any(len(sets) < n for sets, n in zip(found, wanted, strict=True)):
        draw = rng.permutation(n_neurons)
        for k, sets, n in zip(ks, found, wanted, strict=True):
            if len(sets) < n:
                sets.setdefault(frozenset(draw[:k].tolist()), draw[:k])
    return [np.asarray(list(sets.values())) for sets in found]


def neuron_sets(
    orders: Int[np.ndarray, "F N"],
    ks: Sequence[int],
    n_draws: int,
    variances: Float[np.ndarray, " N"] | None,
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
        Random sets of each size: different ones, and none that is the best set itself. Where there are fewer, all.
    variances
        Of the neurons' states: each feature has its own draws, matched in variance to its best neurons (see
        `draw_variance_matched`). None: draws among all neurons, shared by the features but for a feature's own best
        set; the sets of one draw are nested, where none of them was drawn before.
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
    random = np.full((len(orders), len(ks), n_draws), -1)
    rng = np.random.default_rng(seed)
    if variances is None:
        # One more than asked for stands in where a draw is a feature's own best set.
        for column, draws in enumerate(_draw_shared(n_neurons, ks, n_draws + 1, rng)):
            shared = np.asarray([add(draw) for draw in draws])
            masks = np.asarray(rows)[shared]
            for place, best in enumerate(top[:, column].tolist()):
                own = (masks == rows[best]).all(axis=1)
                usable = np.where(own, shared[-1], shared)[: len(shared) - 1] if own.any() else shared[:n_draws]
                random[place, column, : len(usable)] = usable
    else:
        for place, order in enumerate(orders):
            for column, k in enumerate(ks):
                draws = _draw_matched(order[:k], variances, n_draws, rng)
                random[place, column, : len(draws)] = [add(draw) for draw in draws]
    return Sets(np.asarray(rows), top, bottom, random)
