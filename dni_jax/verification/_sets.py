"""Which neurons are overridden: the best, the worst, and random ones that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_STRATUM = 16  # neurons of about the same variance


class Sets(NamedTuple):
    """Sets of neurons, row 0 being none, and which rows belong to which feature.

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
    """Deal neurons into strata of about 16 by the rank of their activations' variance."""
    n_neurons = len(variances)
    ranks = np.empty(n_neurons, np.int64)
    ranks[np.argsort(variances, kind="stable")] = np.arange(n_neurons)
    return ranks * max(n_neurons // _STRATUM, 1) // n_neurons


def draw_variance_matched(
    chosen: Int[np.ndarray, " k"], strata: Int[np.ndarray, " N"], n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "R k"]:
    """Draw sets with as many neurons of each stratum as some chosen ones have.

    If nothing but the variance makes the chosen neurons special, they are one more such draw: the share of draws that
    do at least as much is then an exact p-value.
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
    """Lay out all sets of some features.

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
        Of the draws; a feature's do not depend on the others.
    """
    n_neurons = orders.shape[1]
    rows: list[np.ndarray] = [np.zeros(n_neurons, bool)]

    def add(members: np.ndarray) -> int:
        mask = np.zeros(n_neurons, bool)
        mask[members] = True
        rows.append(mask)
        return len(rows) - 1

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
