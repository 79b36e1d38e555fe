"""How plausible the states under an override are, on a bounded number of positions."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.interventions import Intervention
from dni_jax.models import ImportedModel, TrainedModel, record, states_under
from dni_jax.text import Corpus
from dni_jax.verification._overrides import Sets

_READ = 4_000  # characters, from the corpus' beginning
_SCORED = 256  # of their states, evenly spread
_DRAWS = 8  # random sets of each feature and k

STATISTICS = ("log_density", "percentile")


@runtime_checkable
class Density(Protocol):
    """A density of states, as `dni_jax.plausibility` fits one, or anything with these members."""

    @property
    def n_neurons(self) -> int:
        """The number of neurons N."""

    def log_prob(self, states: Any) -> Float[np.ndarray, " T"]:
        """Return the log-density of each state ``(T, N)``, in nats."""

    def percentile_of(self, log_prob: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the percentile of each log-density among those of visited states, 0 to 100."""


def check_density(density: Density | None, n_neurons: int) -> None:
    """Raise for a density of other neurons."""
    if density is not None and density.n_neurons != n_neurons:
        raise ValueError(
            f"expected a density of this model's {n_neurons} neurons, got one of {density.n_neurons}: "
            "pass dni.plausibility(dni.record(model, text))"
        )


def plausibility_variables(
    density: Density, model: TrainedModel | ImportedModel, corpus: Corpus, change: Intervention, sets: Sets
) -> dict[str, Any]:
    """Score the states of the intact network, the best and the worst sets, and the first 8 random sets of each size.

    For each set the network reads the first strings of the corpus, at most 4,000 characters (one string at least), and
    256 of its states, evenly spaced, are scored: the cost of a set does not depend on the length of the corpus.

    Returns
    -------
    For each of `STATISTICS` four variables, medians over the scored states: ``*_intact``, ``*_top``, ``*_bottom`` and
    ``*_random``, the last one the mean over the random sets.
    """
    text = corpus.head(_READ)
    places = np.unique(np.linspace(0, text.n_positions - 1, _SCORED).astype(int))
    random = sets.random[..., :_DRAWS]
    wanted = np.unique(np.concatenate([[0], *(rows.ravel() for rows in (sets.top, sets.bottom, random[random >= 0]))]))
    hidden = _states(model, text, change, sets.masks[wanted], places)
    scores = density.log_prob(hidden.reshape(-1, model.n_neurons)).reshape(hidden.shape[:2])
    found = np.full((len(sets.masks), len(STATISTICS)), np.nan)
    found[wanted] = np.stack([np.median(scores, axis=1), np.median(density.percentile_of(scores), axis=1)], axis=1)
    result: dict[str, Any] = {}
    for column, name in enumerate(STATISTICS):
        values = found[:, column]
        result[f"{name}_intact"] = values[0]
        for kind, rows in (("top", sets.top), ("bottom", sets.bottom)):
            result[f"{name}_{kind}"] = (("feature", "k"), values[rows])
        drawn = np.where(random >= 0, values[random], 0.0).sum(-1)
        n_drawn = (random >= 0).sum(-1)
        result[f"{name}_random"] = (("feature", "k"), np.where(n_drawn, drawn / np.maximum(n_drawn, 1), np.nan))
    return result


def _states(
    model: TrainedModel | ImportedModel,
    text: Corpus,
    change: Intervention,
    masks: Bool[np.ndarray, "M N"],
    places: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "M n N"]:
    """Return the states at some places, with the neurons of each set changed."""
    if isinstance(model, ImportedModel):
        each = [change.select(np.flatnonzero(mask), text.n_positions) for mask in masks]
        return np.stack([record(model, text, intervention=one).hidden[places] for one in each])
    start = change.select(range(model.n_neurons), text.n_positions)
    assert start is not None  # it changes all neurons
    overrides = start.bind(model.n_neurons, text.n_positions, model.parts, sets=masks)
    return states_under(model.weights, text, overrides, places)
