"""What a repaired head must do: suppress violating symbols where texts went wrong, and preserve all other scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from dni_jax.features import Feature, Violation
from dni_jax.lab.repair._generated import initial_state, prefix_states, violating_symbols
from dni_jax.lab.repair._linear_program import solve_one_sided
from dni_jax.models import TrainedModel, record
from dni_jax.text import BOUNDARY, Corpus


class LabeledStates(NamedTuple):
    """States, and the symbols that would violate a rule there.

    Attributes
    ----------
    states
        float ``(K, N)``, of the top layer.
    violates
        bool ``(K, V)``: False also where it is unknown.
    """

    states: Float[np.ndarray, "K N"]
    violates: Bool[np.ndarray, "K V"]


@dataclass(frozen=True, eq=False)
class Requirements:
    """States, the corrections that their scores need, and the cost of missing them.

    Attributes
    ----------
    states
        float64 ``(T, N)``.
    corrections
        float64 ``(T, V)``: 0 where a score is to be preserved.
    cost_above, cost_below
        float64 ``(T, V)``: the cost of a unit of score above, and below, the corrected one.
    """

    states: Float[np.ndarray, "T N"]
    corrections: Float[np.ndarray, "T V"]
    cost_above: Float[np.ndarray, "T V"]
    cost_below: Float[np.ndarray, "T V"]

    def solve(self, neurons: Int[np.ndarray, " M"]) -> Float[np.ndarray, "V N"]:
        """Compute the smallest change of the head that meets them, by the weights of some neurons only.

        A symbol that needs no correction keeps its scores, at cost 0.
        """
        delta = np.zeros((self.corrections.shape[1], self.states.shape[1]))
        x = self.states[:, neurons]
        for symbol in np.flatnonzero(self.corrections.any(axis=0)):
            costs = self.cost_above[:, symbol], self.cost_below[:, symbol]
            delta[symbol, neurons] = solve_one_sided(x, self.corrections[:, symbol], *costs).change
        return delta


def make_requirements(
    probability: Float[np.ndarray, "K V"],
    violating: LabeledStates,
    preserved: LabeledStates,
    target_probability: float,
    cost: float,
    preserve_cost: float,
) -> Requirements:
    """Require that violating symbols have at most a probability of `target_probability` together.

    The score of a symbol may fall freely wherever it would violate the rule, since that does no harm. All other scores
    are to be preserved.

    Parameters
    ----------
    probability
        Of each symbol in the violating states.
    violating, preserved
        The states where texts went wrong, and states of correct text.
    target_probability
        See above.
    cost, preserve_cost
        The cost of a unit of score in violating states; and its multiple in preserved states.
    """
    n_violating, n_preserved = len(violating.states), len(preserved.states)
    corrections = np.zeros((n_violating + n_preserved, probability.shape[1]))
    corrections[:n_violating] = [
        cap_probability(*row, target_probability) for row in zip(probability, violating.violates, strict=True)
    ]
    cost_of_state = np.full(n_violating + n_preserved, cost)
    cost_of_state[n_violating:] *= preserve_cost
    above = np.repeat(cost_of_state[:, None], probability.shape[1], axis=1)
    below = np.where(np.concatenate([violating.violates, preserved.violates]), 0.0, above)
    states = np.concatenate([violating.states, preserved.states]).astype(np.float64)
    return Requirements(states, corrections, above, below)


def cap_probability(
    probability: Float[np.ndarray, " V"], violates: Bool[np.ndarray, " V"], target_probability: float
) -> Float[np.ndarray, " V"]:
    """Compute the corrections of scores that bring the violating symbols to a total probability of at most the target.

    The most likely of them are lowered to one level, and those below it stay. Of all corrections that reach the target,
    this one has the smallest sum.

    Examples
    --------
    >>> correction = cap_probability(np.array([0.7, 0.2, 0.1, 0.0]), np.array([False, True, True, True]), 0.1)
    >>> correction.round(3).tolist()
    [0.0, -1.638, -0.944, 0.0]
    >>> after = np.array([0.7, 0.2, 0.1, 0.0]) * np.exp(correction)
    >>> (after / after.sum()).round(3).tolist()
    [0.9, 0.05, 0.05, 0.0]
    """
    correction = np.zeros(len(probability))
    violating = probability[violates]
    # Unnormalized: with all other symbols as they are, this total is a share of target_probability.
    allowed = probability[~violates].sum() * target_probability / (1 - target_probability)
    if violating.sum() <= allowed:
        return correction
    # Water-filling: if the smallest k stay, the others share what is left of the allowed total equally. The level is
    # the first such share that does not exceed the next probability.
    ascending = np.sort(violating)
    total_below = np.cumsum(ascending) - ascending
    levels = (allowed - total_below) / np.arange(len(violating), 0, -1)
    level = levels[np.argmax(levels <= ascending)]
    lowered = violates & (probability > level)
    correction[lowered] = np.log(level) - np.log(probability[lowered])
    return correction


def head_probabilities(model: TrainedModel, states: Float[np.ndarray, "K N"]) -> Float[np.ndarray, "K V"]:
    """Compute the next-symbol probabilities of states of the top layer, in float64."""
    weights = model.weights
    return softmax(states @ np.asarray(weights.head, np.float64) + np.asarray(weights.head_b, np.float64), axis=1)


def violating_states(model: TrainedModel, violation: Feature, prefixes: list[str]) -> LabeledStates:
    """Compute the states in which violating symbols were sampled.

    Raises
    ------
    ValueError
        If every symbol would violate the rule.
    """
    violates = violating_symbols(violation, prefixes, model.vocabulary)
    possible = violates if model.boundary else violates[:, 1:]  # some networks know no boundary
    if possible.all(axis=1).any():
        prefix = prefixes[int(np.argmax(possible.all(axis=1)))]
        raise ValueError(
            f"expected a violation that some symbol avoids, got {violation.name!r}, which every symbol after "
            f"{prefix[-40:]!r} violates: let it hold at the last place where the text could still be completed"
        )
    return LabeledStates(prefix_states(model, prefixes), violates)


def preserved_states(model: TrainedModel, violation: Feature, corpus: Corpus, n: int, seed: int) -> LabeledStates:
    """Compute states at random places of correct text, the starts of strings included, whose scores a repair preserves.

    Parameters
    ----------
    model
        The network.
    violation
        A binary feature of violations; see `dni_jax.lab.repair.repair`.
    corpus
        Correct text.
    n
        The number of places.
    seed
        Draws them.

    Returns
    -------
    ``states`` ``(n, N)``, and ``violates`` ``(n, V)``: the symbols that would violate the rule there. False for
    segments that do not start with their string, and where the text itself violates the rule already.
    """
    rng = np.random.default_rng(seed)
    some = corpus.take(rng.permutation(len(corpus)))
    some = some.head(max(20 * n, int(some.offsets[1])))
    begins, some = some.begins, model.encode(some)
    starts = np.flatnonzero(some.begins)
    chosen = np.sort(rng.permutation(some.n_positions + len(starts))[:n])
    inside, first = chosen[chosen < some.n_positions], starts[chosen[chosen >= some.n_positions] - some.n_positions]
    states = record(model, some).hidden[inside, model.weights.layer_slices[-1]]
    if len(first):
        states = np.concatenate([states, np.repeat(initial_state(model)[None], len(first), axis=0)])
    string = some.string_ids[inside]
    place = inside - some.offsets[string] + 1
    prefixes = [some.strings[s][:p] for s, p in zip(string, place, strict=True)] + [""] * len(first)
    known = np.flatnonzero(np.concatenate([begins[string], np.ones(len(first), bool)]))
    violates = np.zeros((len(prefixes), len(model.vocabulary)), bool)
    if len(known):
        violates[known] = violating_symbols(violation, [prefixes[row] for row in known], model.vocabulary)
    return LabeledStates(states, violates & ~_violates_already(violation, violates, model.boundary)[:, None])


def _violates_already(violation: Feature, violates: Bool[np.ndarray, "K V"], boundary: bool) -> Bool[np.ndarray, " K"]:
    """Find the prefixes that violate the rule themselves, so that every continuation does.

    After a complete string only its end may be correct, so the boundary counts where the feature knows about ends.
    """
    knows_ends = boundary and isinstance(violation, Violation) and violation.unfinished is not None
    return np.asarray((violates if knows_ends else violates[:, BOUNDARY + 1 :]).all(axis=1))
