"""What a repaired head shall do: hold down wrong symbols where a text went wrong, and leave the rest as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from dni_jax.features import Feature, Violation
from dni_jax.lab.repair._one_sided import least_change
from dni_jax.lab.repair._written import prefix_states, start_state, violating_symbols
from dni_jax.models import TrainedModel, record
from dni_jax.text import BOUNDARY, Corpus


class Seen(NamedTuple):
    """States, and which symbols are wrong there.

    Attributes
    ----------
    states
        float ``(K, N)``, of the top layer.
    wrong
        bool ``(K, V)``: False also where it cannot be told.
    """

    states: Float[np.ndarray, "K N"]
    wrong: Bool[np.ndarray, "K V"]


@dataclass(frozen=True, eq=False)
class Wishes:
    """States, what their scores shall change by, and what missing it costs.

    Attributes
    ----------
    states
        float64 ``(T, N)``.
    lacking
        float64 ``(T, V)``: 0 where a score shall stay.
    above, below
        float64 ``(T, V)``: the prices of a unit of score above, and below, that.
    """

    states: Float[np.ndarray, "T N"]
    lacking: Float[np.ndarray, "T V"]
    above: Float[np.ndarray, "T V"]
    below: Float[np.ndarray, "T V"]

    @property
    def classes(self) -> Int[np.ndarray, " c"]:
        """The symbols of which some score shall change."""
        return np.flatnonzero(self.lacking.any(axis=0))

    def change(self, free: Int[np.ndarray, " M"]) -> Float[np.ndarray, "V N"]:
        """Give the least change of a head that fulfils them, by the weights of some neurons only."""
        delta = np.zeros((self.lacking.shape[1], self.states.shape[1]))
        inside = self.states[:, free]
        for symbol in self.classes:
            prices = self.above[:, symbol], self.below[:, symbol]
            delta[symbol, free] = least_change(inside, self.lacking[:, symbol], *prices).change
        return delta


def wishes_of(
    probability: Float[np.ndarray, "K V"],
    broken: Seen,
    clean: Seen,
    target_probability: float,
    cost: float,
    preserve_cost: float,
) -> Wishes:
    """Ask for wrong symbols that have at most a probability of `target_probability` together, where texts went wrong.

    Any score may fall where its symbol is wrong, as that does no harm; all others shall stay.
    """
    n_broken, n_clean = len(broken.states), len(clean.states)
    lacking = np.zeros((n_broken + n_clean, probability.shape[1]))
    lacking[:n_broken] = [capped(*row, target_probability) for row in zip(probability, broken.wrong, strict=True)]
    each = np.full(n_broken + n_clean, cost)
    each[n_broken:] *= preserve_cost
    above = np.repeat(each[:, None], probability.shape[1], axis=1)
    below = np.where(np.concatenate([broken.wrong, clean.wrong]), 0.0, above)
    states = np.concatenate([broken.states, clean.states]).astype(np.float64)
    return Wishes(states, lacking, above, below)


def capped(
    probability: Float[np.ndarray, " V"], wrong: Bool[np.ndarray, " V"], target_probability: float
) -> Float[np.ndarray, " V"]:
    """By how much scores must fall so that wrong symbols have a probability of at most `target_probability` together.

    The likeliest of them are brought to one level, and those below it stay: of all ways to get there, it takes the
    smallest sum of changes.

    Examples
    --------
    >>> fall = capped(np.array([0.7, 0.2, 0.1, 0.0]), np.array([False, True, True, True]), 0.1)
    >>> fall.round(3).tolist()
    [0.0, -1.638, -0.944, 0.0]
    >>> after = np.array([0.7, 0.2, 0.1, 0.0]) * np.exp(fall)
    >>> (after / after.sum()).round(3).tolist()
    [0.9, 0.05, 0.05, 0.0]
    """
    fall = np.zeros(len(probability))
    share = probability[wrong]
    may_stay = probability[~wrong].sum() * target_probability / (1 - target_probability)
    if share.sum() <= may_stay:
        return fall
    ascending = np.sort(share)
    before = np.cumsum(ascending) - ascending
    levels = (may_stay - before) / np.arange(len(share), 0, -1)
    level = levels[np.argmax(levels <= ascending)]
    high = wrong & (probability > level)
    fall[high] = np.log(level) - np.log(probability[high])
    return fall


def probabilities(model: TrainedModel, states: Float[np.ndarray, "K N"]) -> Float[np.ndarray, "K V"]:
    """What a network's head makes of states of its top layer, in float64."""
    weights = model.weights
    return softmax(states @ np.asarray(weights.head, np.float64) + np.asarray(weights.head_b, np.float64), axis=1)


def broken_states(model: TrainedModel, violation: Feature, prefixes: list[str]) -> Seen:
    """The states in which wrong symbols were drawn.

    Raises
    ------
    ValueError
        Where any symbol would be wrong.
    """
    wrong = violating_symbols(violation, prefixes, model.vocabulary)
    possible = wrong if model.boundary else wrong[:, 1:]  # the boundary is no choice of a network that knows none
    if possible.all(axis=1).any():
        prefix = prefixes[int(np.argmax(possible.all(axis=1)))]
        raise ValueError(
            f"expected a violation that some symbol avoids, got {violation.name!r}, which any symbol behind "
            f"{prefix[-40:]!r} violates: let it hold at the last place where the text could still go right"
        )
    return Seen(prefix_states(model, prefixes), wrong)


def preserved_states(model: TrainedModel, violation: Feature, corpus: Corpus, n: int, seed: int) -> Seen:
    """States at random places of a corpus, the starts of strings included, where nothing shall change.

    Which symbols are wrong is told in strings that begin in the corpus, and where the text itself is not wrong yet.
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
        states = np.concatenate([states, np.repeat(start_state(model)[None], len(first), axis=0)])
    string = some.string_ids[inside]
    place = inside - some.offsets[string] + 1
    prefixes = [some.strings[s][:p] for s, p in zip(string, place, strict=True)] + [""] * len(first)
    whole = np.concatenate([begins[string], np.ones(len(first), bool)])
    wrong = np.zeros((len(prefixes), len(model.vocabulary)), bool)
    told = np.flatnonzero(whole)
    if len(told):
        wrong[told] = violating_symbols(violation, [prefixes[row] for row in told], model.vocabulary)
    return Seen(states, wrong & ~_wrong_already(violation, wrong, model.boundary)[:, None])


def _wrong_already(violation: Feature, wrong: Bool[np.ndarray, "K V"], boundary: bool) -> Bool[np.ndarray, " K"]:
    """Where the text is wrong itself, so that whatever follows is. Behind a whole string only its end may be right."""
    knows_ends = boundary and isinstance(violation, Violation) and violation.unfinished is not None
    return np.asarray((wrong if knows_ends else wrong[:, BOUNDARY + 1 :]).all(axis=1))
