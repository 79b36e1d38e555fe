"""Repair a network's head so that the texts it generates violate a rule less often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from dni_jax.features import Feature
from dni_jax.lab.repair._generated import (
    GeneratedStrings,
    NoViolationError,
    ViolationCounts,
    check_causal,
    check_sampled,
    count_by_text,
    count_violations,
    first_violations,
    generate_strings,
    outcome_table,
    sampled_codes,
)
from dni_jax.lab.repair._head import neuron_numbers
from dni_jax.lab.repair._requirements import (
    Requirements,
    head_probabilities,
    make_requirements,
    preserved_states,
    violating_states,
)
from dni_jax.lab.repair._text_result import TextRepair
from dni_jax.models import TrainedModel, Weights, cross_entropy
from dni_jax.text import Corpus
from dni_jax.verification import draw_variance_matched, variance_strata

_ROUNDING = 1e-9  # smaller changes are rounding errors of the solver
_VALIDATION_CHARACTERS = 50_000
_PRESERVE_COSTS = (0.2, 1.0, 5.0, 25.0, 125.0)


@dataclass(frozen=True)
class RepairSettings:
    """How a head is repaired from texts.

    Attributes
    ----------
    n, length
        How many texts to generate, and the symbols of each; as many again are generated to evaluate the repair.
    prime
        The beginning of every text; see `dni_jax.generate`.
    n_examples
        The largest number of examples, the first generated ones; None: all. The linear programs grow with it.
    n_clean
        The number of states of correct text to preserve.
    target_probability
        The largest total probability of violating symbols.
    cost
        The cost of a unit of score in an example, in units of weight. States of magnitude below ``1 / cost`` change
        nothing.
    preserve_cost
        The cost of a unit of score in a state of correct text, as a multiple of `cost`: a low one trades loss for fewer
        violations. None: the smallest of .2, 1, 5, 25 and 125 with which the loss on validation strings (the first
        50,000 characters) is no larger than before; if there is none, the one of smallest loss. So repairs by different
        neurons can be compared by the violations that remain.

    Raises
    ------
    ValueError
        For settings out of range.
    """

    n: int = 500
    length: int = 100
    prime: str = ""
    n_examples: int | None = 200
    n_clean: int = 500
    target_probability: float = 1e-4
    cost: float = 5.0
    preserve_cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("n", "length", "n_clean"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if not 0 < self.target_probability < 1:
            raise ValueError(f"expected target_probability between 0 and 1, got {self.target_probability}")
        if not (0 <= (self.preserve_cost or 0.0) < np.inf and 0 < self.cost < np.inf):
            raise ValueError(
                "expected preserve_cost of at least 0 and a cost above 0, "
                f"got preserve_cost={self.preserve_cost}, cost={self.cost}"
            )
        if self.n_examples is not None and self.n_examples < 1:
            raise ValueError(f"expected n_examples of at least 1, or None for all, got {self.n_examples}")


def repair(
    model: TrainedModel,
    corpus: Corpus,
    violation: Feature,
    n: int = 500,
    length: int = 100,
    *,
    neurons: Any = None,
    n_random: int = 0,
    seed: int = 0,
    **settings: Any,
) -> TextRepair:
    """Change a network's head as little as possible, so that the texts it generates violate a rule less often.

    The network generates n texts. Each string with a violation is an example, up to its first violation; what follows
    adds nothing, as the string is already broken. The state from which the violating symbol was sampled is known, and
    the feature says which symbols would violate the rule there. The head then changes by the smallest 1-norm such that
    violating symbols together get at most a probability of `target_probability` in these states, while all scores are
    preserved at random places of correct text; a violating symbol's score may fall anywhere. Requirements that conflict
    are traded off by `cost` and `preserve_cost`. Only weights of symbols that were likely and violating change, and no
    bias. See `dni_jax.repair_head` for the two-sided program, after Guidotti & Leofante (2019).

    Parameters
    ----------
    model
        The network. Its head reads the top layer only.
    corpus
        The text that it was trained on. States to preserve come from its training strings, and the loss is measured on
        its test strings (the first 50,000 characters).
    violation
        A binary feature of violations: ``language.violations()``, or one of your own. Labels must follow from the
        characters up to the one in question. A plain feature says nothing about the end of a string; see
        `dni_jax.features.Violation`.
    n, length
        How many texts to generate, and the symbols of each; as many again are generated to evaluate the repair.
    neurons
        The neurons whose outgoing weights may change: numbers, or a table from `dni_jax.top`. None: all of the top
        layer.
    n_random
        How many random sets of as many neurons, matched in variance, to repair with as well.
    seed
        Draws the texts (other ones for the evaluation), the states to preserve, random sets, and the bootstrap.
    settings
        Further fields of `dni_jax.lab.repair.RepairSettings`, such as ``n_clean`` and ``preserve_cost``.

    Returns
    -------
    TextRepair, with ``model``, ``outcomes``, ``weights``, ``by_neuron``, ``examples``, ``random``.

    Raises
    ------
    ValueError
        If no text has a violation (a `NoViolationError`); for a feature that depends on later characters or on the
        whole corpus, is not binary, or that no symbol avoids; for neurons that the head does not read, and settings out
        of range.

    Examples
    --------
    >>> import dni_jax as dni
    >>> language = dni.languages.get("parentheses")
    >>> corpus = language.sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> settings = {"n": 8, "length": 30, "n_clean": 50, "preserve_cost": 0.2}
    >>> fix = dni.lab.repair.repair(model, corpus, language.violations(), **settings)
    >>> fix.outcomes.index.tolist(), bool(fix.outcomes["per_1000"]["change"] < 0)
    (['before', 'after', 'change'], True)
    """
    chosen = RepairSettings(n, length, **settings)
    if n_random < 0:
        raise ValueError(f"expected n_random of at least 0, got {n_random}")
    _check_types(model, corpus, violation)
    free = _free_neurons(model, neurons)
    if n_random and len(free) == model.weights.sizes[-1]:
        raise ValueError("expected n_random only with chosen neurons, got all of them: pass neurons=")
    generated = generate_strings(model, n, length, seed, chosen.prime)
    check_causal(violation, generated, seed)
    place = first_violations(violation, generated)
    rows = _choose_examples(violation, generated, place, chosen)
    prefixes = [generated.strings[row][: place[row]] for row in rows]
    violating = violating_states(model, violation, prefixes)
    codes = sampled_codes(generated, place, rows)
    check_sampled(violation, violating.violates[np.arange(len(rows)), codes], prefixes)
    preserved = preserved_states(model, violation, corpus.train, chosen.n_clean, seed)
    probability = head_probabilities(model, violating.states)
    requirements = {
        factor: make_requirements(probability, violating, preserved, chosen.target_probability, chosen.cost, factor)
        for factor in (_PRESERVE_COSTS if chosen.preserve_cost is None else (chosen.preserve_cost,))
    }
    validation = model.encode(corpus.validation)
    max_loss = cross_entropy(model.weights, validation, _VALIDATION_CHARACTERS)
    evaluator = _Evaluator(model, violation, corpus.test, chosen, seed, validation, max_loss)
    repaired, delta, used_cost = evaluator.best_repair(requirements, free)
    matched = draw_variance_matched(
        free, variance_strata(preserved.states.var(axis=0)), n_random, np.random.default_rng(seed)
    )
    wrong = [_total(violating.violates, head_probabilities(one, violating.states)) for one in (model, repaired)]
    symbols = [model.vocabulary.symbols[code] for code in codes]
    about = {"n": n, "length": length, "target_probability": chosen.target_probability}
    return TextRepair(
        model=repaired,
        violation=violation.name,
        neurons=free + model.weights.layer_slices[-1].start,
        outcomes=outcome_table(evaluator.count_violations(model), evaluator.count_violations(repaired), seed),
        weights=_weights_table(model, repaired, delta),
        examples=pd.DataFrame(
            {"prefix": prefixes, "symbol": symbols, "wrong_before": wrong[0], "wrong_after": wrong[1]}
        ),
        random=_repair_random_sets(evaluator, requirements, matched),
        settings={
            **about,
            "n_clean": len(preserved.states),
            "preserve_cost": used_cost,
            "cost": chosen.cost,
            "seed": seed,
        },
    )


def repair_table(
    model: TrainedModel,
    corpus: Corpus,
    violation: Feature,
    sets: Mapping[str, Any],
    *,
    n_random: int = 20,
    **settings: Any,
) -> pd.DataFrame:
    """Repair by the weights of several sets of neurons, each from the same texts, and compare the outcomes.

    Parameters
    ----------
    model, corpus, violation, settings
        See `dni_jax.lab.repair.repair`.
    sets
        The neurons of each set by name: numbers, a table from `dni_jax.top`, or None for all.
    n_random
        Random sets of as many neurons, for each set that is not the whole top layer.

    Returns
    -------
    One row per set: ``free`` (its name), ``violation``, ``neurons`` (how many), ``examples``, ``preserve_cost``,
    ``changed`` (weights), ``size`` (the 1-norm of their change); ``per_1000_before``, ``per_1000`` with ``_low`` and
    ``_high`` (violations in 1,000 symbols of fresh text), ``random_per_1000`` (the median of the random sets);
    ``loss_before``, ``loss``, ``random_loss`` (nats per symbol on test strings); ``p_per_1000`` and ``p_loss`` (the
    share of sets, random ones and this one, that do at least as well). NaN without random sets.

    Raises
    ------
    ValueError
        As `dni_jax.lab.repair.repair`; a `NoViolationError` if no text has a violation.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> four = dni.char_feature("4", "4".__eq__)
    >>> table = repair_table(model, corpus, four, {"all": None, "two": [1, 5]}, n_random=2, n=8, length=30, n_clean=50)
    >>> table[["free", "neurons"]].values.tolist()
    [['all', 8], ['two', 2]]
    """
    rows = []
    for name, neurons in sets.items():
        partial = neurons is not None and len(neurons) < model.weights.sizes[-1]
        fix = repair(model, corpus, violation, neurons=neurons, n_random=n_random if partial else 0, **settings)
        rows.append({"free": name, **fix.row()})
    return pd.DataFrame(rows)


class _Evaluator(NamedTuple):
    """Evaluates networks on the same random numbers and the same correct text, and holds repairs to the same loss."""

    model: TrainedModel
    violation: Feature
    test: Corpus
    settings: RepairSettings
    seed: int
    validation: Corpus
    max_loss: float

    def count_violations(self, model: TrainedModel) -> ViolationCounts:
        """Count the violations of a network, in texts that no repair was made from."""
        settings = self.settings
        return count_violations(
            model, self.violation, self.test, settings.n, settings.length, self.seed + 1, settings.prime
        )

    def best_repair(
        self, requirements: Mapping[float, Requirements], neurons: Int[np.ndarray, " M"]
    ) -> tuple[TrainedModel, Float[np.ndarray, "V N"], float]:
        """Repair with each cost of correct text until validation text is predicted no worse; see `repair`."""
        model = self.model
        tried = []
        for preserve_cost, required in requirements.items():
            delta = required.solve(neurons)
            weights = _change_head(model, delta)
            loss = cross_entropy(weights, self.validation, _VALIDATION_CHARACTERS)
            tried.append((loss, preserve_cost, delta, weights))
            if loss <= self.max_loss:
                break
        best = tried[-1] if loss <= self.max_loss else min(tried, key=lambda one: one[0])
        loss, preserve_cost, delta, weights = best
        # The validation loss in the history is that of the repaired network.
        history = ({**model.history[-1], "validation_loss": loss},) if model.history else ()
        repaired = TrainedModel.from_weights(weights, model.vocabulary, model.config, history, model.boundary)
        return repaired, delta, preserve_cost


def _check_types(model: Any, corpus: Any, violation: Any) -> None:
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
        raise ValueError(f"expected a feature of violations, got {type(violation).__name__}: see dni.feature")


def _free_neurons(model: TrainedModel, neurons: Any) -> Int[np.ndarray, " M"]:
    """Return the numbers, within the top layer, of the neurons whose weights may change."""
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


def _choose_examples(
    violation: Feature, generated: GeneratedStrings, place: Int[np.ndarray, " S"], settings: RepairSettings
) -> Int[np.ndarray, " K"]:
    """Choose the strings to repair from."""
    rows = np.flatnonzero(place >= 0)
    if not len(rows):
        symbols = int(count_by_text(generated, place, settings.n).symbols.sum())
        # The rule of three: zero events in n trials bound the rate by 3 / n at 95 % confidence.
        raise NoViolationError(
            f"expected texts with a violation to learn from, got none in {settings.n} texts of {settings.length} "
            f"symbols: {violation.name!r} occurs in fewer than {3_000 / symbols:.2g} of 1,000 symbols (95 % "
            "confidence), so there is little to repair; increase n or length to find violations"
        )
    return rows[: settings.n_examples]


def _change_head(model: TrainedModel, delta: Float[np.ndarray, "V N"]) -> Weights:
    head = np.asarray(model.weights.head)
    changed = np.abs(delta.T) > _ROUNDING
    new = np.where(changed, (head.astype(np.float64) + delta.T).astype(np.float32), head)
    return replace(model.weights, head=jnp.asarray(new))


def _total(violates: Bool[np.ndarray, "K V"], probability: Float[np.ndarray, "K V"]) -> Float[np.ndarray, " K"]:
    return np.where(violates, probability, 0.0).sum(axis=1)


def _weights_table(model: TrainedModel, repaired: TrainedModel, delta: Float[np.ndarray, "V N"]) -> pd.DataFrame:
    symbol, neuron = np.nonzero(np.abs(delta) > _ROUNDING)
    before, after = (np.asarray(one.weights.head, np.float64)[neuron, symbol] for one in (model, repaired))
    columns = {
        "neuron": neuron + model.weights.layer_slices[-1].start,
        "symbol": np.asarray(model.vocabulary.symbols, object)[symbol],
        "before": before,
        "after": after,
        "change": after - before,
    }
    rows = pd.DataFrame(columns)
    return rows.sort_values("change", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


def _repair_random_sets(
    evaluator: _Evaluator, requirements: Mapping[float, Requirements], sets: Int[np.ndarray, "R M"]
) -> pd.DataFrame:
    """Repair with each of several sets of neurons, and evaluate."""
    start = evaluator.model.weights.layer_slices[-1].start
    rows = []
    for neurons in np.sort(sets, axis=1):
        repaired, delta, preserve_cost = evaluator.best_repair(requirements, neurons)
        counts = evaluator.count_violations(repaired)
        rate, share = counts.rates(np.ones((1, evaluator.settings.n)))[0]
        size, changed = float(np.abs(delta).sum()), int((np.abs(delta) > _ROUNDING).sum())
        rows.append((tuple((neurons + start).tolist()), rate, share, counts.loss, changed, size, preserve_cost))
    return pd.DataFrame(rows, columns=["neurons", "per_1000", "strings", "loss", "changed", "size", "preserve_cost"])
