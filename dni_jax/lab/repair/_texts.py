"""Repair a network's head so that the texts it writes go wrong less often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from dni_jax.features import Feature
from dni_jax.lab.repair._head import neuron_numbers
from dni_jax.lab.repair._outcomes import ViolationCounts, count_violations, outcome_table, tallied
from dni_jax.lab.repair._text_repair import TextRepair
from dni_jax.lab.repair._wishes import Wishes, broken_states, preserved_states, probabilities, wishes_of
from dni_jax.lab.repair._written import (
    NoViolationError,
    Written,
    check_causal,
    check_drawn,
    drawn_codes,
    first_wrong,
    write,
)
from dni_jax.models import TrainedModel, cross_entropy
from dni_jax.text import Corpus
from dni_jax.verification import draw_variance_matched, variance_strata

_NEAR = 1e-9  # a change below this is the solver's rounding
_LIMIT = 50_000  # characters of validation text
_KEEPS = (0.2, 1.0, 5.0, 25.0, 125.0)


def repair(
    model: TrainedModel,
    corpus: Corpus,
    violation: Feature,
    n: int = 500,
    length: int = 100,
    *,
    target_probability: float = 1e-4,
    neurons: Any = None,
    n_examples: int | None = 200,
    n_clean: int = 500,
    preserve_cost: float | None = None,
    cost: float = 5.0,
    n_random: int = 0,
    seed: int = 0,
    prime: str = "",
) -> TextRepair:
    """Change a network's head as little as possible, so that the texts it writes go wrong less often.

    The network writes n texts. Each string that goes wrong is an example up to there; what follows is no more
    informative, as the string is broken already. The state from which the first wrong symbol was drawn is known, and
    the feature tells which symbols would have been wrong there. The head then changes by the smallest sum of magnitudes
    under which wrong symbols together get at most a probability of `target_probability` in these states, while at random places of
    right text all scores stay; a wrong symbol's score may fall anywhere. What does not fit together costs (`cost`,
    `preserve_cost`). Only weights of symbols that were likely and wrong change, and no bias. See `dni_jax.repair_head` for the
    program without sides, after Guidotti & Leofante (2019).

    Parameters
    ----------
    model
        The network. Its head reads the top layer only.
    corpus
        The text that it was trained on. States to keep are of the training strings, and the loss is measured on the
        test strings (the first 50,000 characters).
    violation
        A binary feature of what is wrong: ``language.violations()``, or one of your own. Labels must follow from the
        characters up to the one in question. A plain feature says nothing of a string's end; see
        `dni_jax.features.Violation`.
    n, length
        How many texts to write, and the symbols in each; as many again are written to measure what the repair does.
    target_probability
        The wanted probability of all wrong symbols together.
    neurons
        The neurons whose outgoing weights may change: numbers, or a table from `dni_jax.top`. None: all of the top
        layer.
    n_examples
        How many of the strings that go wrong to learn from at most, the first to be written; None: all. The linear
        programs grow with them.
    n_clean
        How many states of right text to keep.
    preserve_cost
        The price of a unit of score in a state of right text, as a multiple of `cost`: a low one trades loss for fewer
        violations. None: the lowest of .2, 1, 5, 25 and 125 with which the loss on validation strings (the first
        50,000 characters) is no greater than before; where none is low enough, the one of least loss. So repairs by
        different neurons can be compared by the violations they leave.
    cost
        The price of a unit of score in an example, in units of weight. States of magnitude below ``1 / cost`` change
        nothing.
    n_random
        How many random sets of as many neurons, alike in variance, to repair with as well.
    seed
        Draws the texts (those that measure are other ones), the clean states, random sets, and the bootstrap.
    prime
        What every text begins with; see `dni_jax.generate`.

    Returns
    -------
    TextRepair, with ``model``, ``outcomes``, ``weights``, ``by_neuron``, ``examples``, ``random``.

    Raises
    ------
    ValueError
        Where no text goes wrong (a `NoViolationError`); for a feature that looks ahead, is not binary or depends on
        the whole corpus, or one that no symbol avoids; for neurons that the head does not read, and settings out of
        range.

    Examples
    --------
    >>> import dni_jax as dni
    >>> language = dni.languages.get("parentheses")
    >>> corpus = language.sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> fix = dni.lab.repair.repair(model, corpus, language.violations(), n=8, length=30, n_clean=50, preserve_cost=0.2)
    >>> fix.outcomes.index.tolist(), bool(fix.outcomes["per_1000"]["change"] < 0)
    (['before', 'after', 'change'], True)
    """
    _check(
        model,
        corpus,
        violation,
        {"n": n, "length": length, "n_clean": n_clean},
        target_probability,
        preserve_cost,
        cost,
        n_random,
    )
    free = _free_neurons(model, neurons)
    if n_random and len(free) == model.weights.sizes[-1]:
        raise ValueError("expected n_random only where some neurons are chosen, got all of them: pass neurons=")
    written = write(model, n, length, seed, prime)
    check_causal(violation, written, seed)
    place = first_wrong(violation, written)
    rows = _examples(violation, written, place, n, length, n_examples)
    prefixes = [written.strings[row][: place[row]] for row in rows]
    broken = broken_states(model, violation, prefixes)
    drawn = drawn_codes(written, place, rows)
    check_drawn(violation, broken.wrong[np.arange(len(rows)), drawn], prefixes)
    clean = preserved_states(model, violation, corpus.train, n_clean, seed)
    chance = probabilities(model, broken.states)
    wishes = {
        one: wishes_of(chance, broken, clean, target_probability, cost, one)
        for one in (_KEEPS if preserve_cost is None else (preserve_cost,))
    }
    validation = model.encode(corpus.validation)
    most_loss = cross_entropy(model.weights, validation, _LIMIT)
    trial = _Trial(model, violation, corpus, n, length, seed + 1, prime, validation, most_loss)
    repaired, delta, kept = trial.best(wishes, free)
    strata = variance_strata(clean.states.var(axis=0))
    chances = [_wrong_mass(broken.wrong, probabilities(one, broken.states)) for one in (model, repaired)]
    symbols = model.vocabulary.symbols
    examples = {"prefix": prefixes, "symbol": [symbols[code] for code in drawn]}
    return TextRepair(
        model=repaired,
        violation=violation.name,
        neurons=free + model.weights.layer_slices[-1].start,
        outcomes=outcome_table(trial.of(model), trial.of(repaired), seed),
        weights=_weights_table(model, repaired, delta),
        examples=pd.DataFrame({**examples, "wrong_before": chances[0], "wrong_after": chances[1]}),
        random=_random_sets(trial, wishes, draw_variance_matched(free, strata, n_random, np.random.default_rng(seed))),
        settings={"n": n, "length": length, "target_probability": target_probability, "n_clean": len(clean.states), "preserve_cost": kept, "cost": cost,
                  "seed": seed},
    )  # fmt: skip


class _Trial(NamedTuple):
    """What every network is put to: the same random numbers, the same right text, and no greater a loss on some."""

    model: TrainedModel
    violation: Feature
    corpus: Corpus
    n: int
    length: int
    seed: int
    prime: str
    validation: Corpus
    most_loss: float

    def of(self, model: TrainedModel) -> ViolationCounts:
        """Let a network write, and read."""
        return count_violations(model, self.violation, self.corpus.test, self.n, self.length, self.seed, self.prime)

    def best(
        self, wishes: Mapping[float, Wishes], free: Int[np.ndarray, " M"]
    ) -> tuple[TrainedModel, Float[np.ndarray, "V N"], float]:
        """Repair with each price of right text until validation text is predicted no worse; see `repair`."""
        model = self.model
        tried = []
        for preserve_cost, some in wishes.items():
            delta = some.change(free)
            weights = _with_head(model, delta)
            loss = cross_entropy(weights, self.validation, _LIMIT)
            tried.append((loss, preserve_cost, delta, weights))
            if loss <= self.most_loss:
                break
        loss, preserve_cost, delta, weights = (
            tried[-1] if loss <= self.most_loss else min(tried, key=lambda one: one[0])
        )
        # The look at the validation text is the repaired network's own.
        history = ({**model.history[-1], "validation_loss": loss},) if model.history else ()
        return TrainedModel.from_weights(weights, model.vocabulary, model.config, history, model.boundary), delta, preserve_cost


def _check(
    model: Any,
    corpus: Any,
    violation: Any,
    sizes: dict[str, int],
    target_probability: float,
    preserve_cost: float | None,
    cost: float,
    n_random: int,
) -> None:
    if not isinstance(model, TrainedModel):
        raise ValueError(
            f"expected a TrainedModel, whose head and texts are known, got {type(model).__name__}: for the head of "
            "another network, call dni.repair_head on its states"
        )
    if not isinstance(corpus, Corpus):
        raise ValueError(
            f"expected the corpus that the network was trained on, got {type(corpus).__name__}: see language.corpus"
        )
    if not isinstance(violation, Feature):
        raise ValueError(f"expected a feature of what is wrong, got {type(violation).__name__}: see dni.feature")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"expected {name} of at least 1, got {size}")
    if not 0 < target_probability < 1:
        raise ValueError(f"expected target_probability between 0 and 1, a probability, got {target_probability}")
    if not (0 <= (preserve_cost or 0.0) < np.inf and 0 < cost < np.inf):
        raise ValueError(
            f"expected preserve_cost of at least 0 and a cost above 0, got preserve_cost={preserve_cost}, cost={cost}"
        )
    if n_random < 0:
        raise ValueError(f"expected n_random of at least 0, got {n_random}")


def _free_neurons(model: TrainedModel, neurons: Any) -> Int[np.ndarray, " M"]:
    """Give the numbers, within the top layer, of the neurons whose weights may change."""
    top = model.weights.layer_slices[-1]
    if neurons is None:
        return np.arange(top.stop - top.start)
    found = neuron_numbers(neurons)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu" or len(np.unique(found)) < len(found):
        raise ValueError(f"expected neurons as distinct whole numbers, got {found.dtype} of shape {found.shape}")
    if found.min() < top.start or found.max() >= top.stop:
        raise ValueError(
            f"expected neurons {top.start} to {top.stop - 1}, which the head reads, got {found.min()} to {found.max()}"
        )
    return np.sort(found).astype(np.int64) - top.start


def _examples(
    violation: Feature, written: Written, place: Int[np.ndarray, " S"], n: int, length: int, n_examples: int | None
) -> Int[np.ndarray, " K"]:
    """Choose the strings to repair from.

    Raises
    ------
    ValueError
        Where none goes wrong.
    """
    rows = np.flatnonzero(place >= 0)
    symbols = int(tallied(written, place, n).symbols.sum())
    if not len(rows):
        raise NoViolationError(
            f"expected texts with a violation to learn from, got none in {n} texts of {length} symbols: "
            f"{violation.name!r} happens in fewer than {3_000 / symbols:.2g} of 1,000 symbols (95 % sure), so there is "
            "little to repair; raise n or length to find what there is"
        )
    if n_examples is not None and n_examples < 1:
        raise ValueError(f"expected n_examples of at least 1, or None for all, got {n_examples}")
    return rows[:n_examples]


def _with_head(model: TrainedModel, delta: Float[np.ndarray, "V N"]) -> Any:
    head = np.asarray(model.weights.head)
    moved = np.abs(delta.T) > _NEAR
    new = np.where(moved, (head.astype(np.float64) + delta.T).astype(np.float32), head)
    return replace(model.weights, head=jnp.asarray(new))


def _wrong_mass(wrong: np.ndarray, probability: Float[np.ndarray, "K V"]) -> Float[np.ndarray, " K"]:
    return np.where(wrong, probability, 0.0).sum(axis=1)


def _weights_table(model: TrainedModel, repaired: TrainedModel, delta: Float[np.ndarray, "V N"]) -> pd.DataFrame:
    symbol, neuron = np.nonzero(np.abs(delta) > _NEAR)
    before, after = (np.asarray(one.weights.head, np.float64)[neuron, symbol] for one in (model, repaired))
    names = np.asarray(model.vocabulary.symbols, object)[symbol]
    columns = {
        "neuron": neuron + model.weights.layer_slices[-1].start,
        "symbol": names,
        "before": before,
        "after": after,
    }
    rows = pd.DataFrame(columns).assign(change=after - before)
    return rows.sort_values("change", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


def _random_sets(trial: _Trial, wishes: Mapping[float, Wishes], sets: Int[np.ndarray, "R M"]) -> pd.DataFrame:
    """Repair with each of some sets of neurons, and measure."""
    start = trial.model.weights.layer_slices[-1].start
    rows = []
    for chosen in np.sort(sets, axis=1):
        repaired, delta, preserve_cost = trial.best(wishes, chosen)
        counts = trial.of(repaired)
        rate, share = counts.rates(np.ones((1, trial.n)))[0]
        size, changed = float(np.abs(delta).sum()), int((np.abs(delta) > _NEAR).sum())
        rows.append((tuple((chosen + start).tolist()), rate, share, counts.loss, changed, size, preserve_cost))
    return pd.DataFrame(rows, columns=["neurons", "per_1000", "strings", "loss", "changed", "size", "preserve_cost"])
