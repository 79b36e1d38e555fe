"""The strings that a network generates, where they first violate a rule, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from dni_jax.features import Feature, Violation
from dni_jax.models import TrainedModel, cross_entropy, generate, input_table, network_step, record, zero_carries
from dni_jax.probes import string_weights
from dni_jax.text import BOUNDARY, Corpus, Vocabulary

_CHARACTERS_AT_ONCE = 1 << 22  # labeled together
_CHECKED_STRINGS = 200  # truncated to check that the labels of the rest stay
_BOOTSTRAP_DRAWS = 1_000
_INTERVAL = (0.025, 0.975)
_LOSS_CHARACTERS = 50_000


class NoViolationError(ValueError):
    """No text of the network violates the rule."""


@dataclass(frozen=True, eq=False)
class GeneratedStrings:
    """Strings that a network generated; it starts each in the same state, so that they are independent.

    Attributes
    ----------
    strings
        The S strings, empty ones included.
    text
        int ``(S,)``: the text that each is in.
    ended
        bool ``(S,)``: whether the network ended it; False where the text stops.
    n_given
        int ``(S,)``: how many of its first characters were given, not generated.
    vocabulary
        The network's symbols.
    """

    strings: tuple[str, ...]
    text: Int[np.ndarray, " S"]
    ended: Bool[np.ndarray, " S"]
    n_given: Int[np.ndarray, " S"]
    vocabulary: Vocabulary

    def as_corpus(self, rows: Int[np.ndarray, " n"]) -> Corpus:
        """Return some of the strings, none of them empty, as a corpus."""
        corpus = Corpus.from_strings([self.strings[row] for row in rows], vocabulary=self.vocabulary)
        return replace(corpus, ends=self.ended[rows])


def generate_strings(model: TrainedModel, n: int, length: int, seed: int, prime: str = "") -> GeneratedStrings:
    """Generate n texts, and split them into strings."""
    texts = [text.split(model.vocabulary.boundary_text) for text in generate(model, n, length, seed, prime=prime)]
    sizes = [len(strings) for strings in texts]
    strings = tuple(string for strings in texts for string in strings)
    text = np.repeat(np.arange(n), sizes)
    place = np.arange(len(strings)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ended = place < np.asarray(sizes)[text] - 1
    nonempty = np.asarray([bool(string) for string in strings], bool)
    keep = np.flatnonzero(ended | nonempty)  # a text that stops right after a boundary has not begun another string
    n_given = np.where(place == 0, len(prime), 0)
    return GeneratedStrings(
        tuple(strings[row] for row in keep), text[keep], ended[keep], n_given[keep], model.vocabulary
    )


def first_violations(violation: Feature, generated: GeneratedStrings) -> Int[np.ndarray, " S"]:
    """Find where each string first violates the rule: the place of a character, its length for its end, or -1.

    Raises
    ------
    ValueError
        For a feature that is not binary, or whose labels are not known everywhere.
    """
    lengths = np.asarray([len(string) for string in generated.strings])
    first = np.full(len(lengths), -1)
    nonempty = np.flatnonzero(lengths)
    if len(nonempty):
        corpus = generated.as_corpus(nonempty)
        place = corpus.position_in_string
        violates = violation_labels(violation, corpus) & (place >= generated.n_given[nonempty][corpus.string_ids])
        at = np.flatnonzero(violates)[::-1]
        first[nonempty[corpus.string_ids[at]]] = place[at]  # in reverse, so that the first place is written last
        if _knows_ends(violation):
            ends = np.asarray(violation.unfinished(corpus)) & corpus.ends & (first[nonempty] < 0)  # type: ignore[attr-defined]
            first[nonempty[ends]] = lengths[nonempty[ends]]
    if _knows_ends(violation):
        first[(lengths == 0) & generated.ended] = 0
    return first


def _knows_ends(violation: Feature) -> bool:
    return isinstance(violation, Violation) and violation.unfinished is not None


def violation_labels(violation: Feature, corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Label a corpus with a feature that must be binary, and known everywhere."""
    labels = violation.label(corpus)
    if labels.kinds[0] != "binary":
        raise ValueError(
            f"expected a binary feature of violations, got {violation.name!r}, which is continuous: compare its "
            "labels with a threshold in a feature of your own"
        )
    if not labels.mask.all():
        raise ValueError(
            f"expected a feature whose labels are known in every text, got {violation.name!r}, whose labels are masked "
            f"at {int((~labels.mask).sum())} of {len(labels.mask)} characters"
        )
    return labels.columns[0] > 0


def violating_symbols(violation: Feature, prefixes: Sequence[str], vocabulary: Vocabulary) -> Bool[np.ndarray, "K V"]:
    """Find the symbols that would violate a rule right after each of some prefixes of strings.

    Parameters
    ----------
    violation
        A binary feature of violations, such as ``language.violations()``. Its labels must follow from the characters up
        to the one in question.
    prefixes
        K beginnings of strings; ``""`` is the start of a string.
    vocabulary
        V symbols. The boundary violates only a `dni_jax.features.Violation` that knows where strings must not end.

    Returns
    -------
    bool ``(K, V)``.

    Examples
    --------
    >>> import dni_jax as dni
    >>> language = dni.languages.get("parentheses")
    >>> vocabulary = language.sample(20, seed=0).vocabulary
    >>> wrong = violating_symbols(language.violations(), ["(1"], vocabulary)
    >>> [symbol for symbol, violates in zip(vocabulary.symbols, wrong[0]) if not violates]
    ['(', '1']
    """
    violates = np.zeros((len(prefixes), len(vocabulary)), bool)
    size = max(1, _CHARACTERS_AT_ONCE // (len(vocabulary) * (1 + max(map(len, prefixes), default=0))))
    for first in range(0, len(prefixes), size):
        some = prefixes[first : first + size]
        corpus = Corpus.from_strings(
            [prefix + character for prefix in some for character in vocabulary.characters], vocabulary=vocabulary
        )
        corpus = replace(corpus, ends=np.zeros(len(corpus), bool))
        last = violation_labels(violation, corpus)[corpus.offsets[1:] - 1]
        violates[first : first + size, BOUNDARY + 1 :] = last.reshape(len(some), -1)
    if _knows_ends(violation):
        nonempty = np.asarray([bool(prefix) for prefix in prefixes], bool)
        violates[~nonempty, BOUNDARY] = True
        if nonempty.any():
            corpus = Corpus.from_strings([prefix for prefix in prefixes if prefix], vocabulary=vocabulary)
            violates[nonempty, BOUNDARY] = violation.unfinished(corpus)  # type: ignore[attr-defined]
    return violates


def sampled_codes(
    generated: GeneratedStrings, place: Int[np.ndarray, " S"], rows: Int[np.ndarray, " K"]
) -> Int[np.ndarray, " K"]:
    """Return the codes of the first violating symbols of some strings; the boundary's if the end violates."""
    codes = [
        BOUNDARY
        if at == len(generated.strings[row])
        else int(generated.vocabulary.encode(generated.strings[row][at])[0])
        for row, at in zip(rows, place[rows], strict=True)
    ]
    return np.asarray(codes, int)


def check_causal(violation: Feature, generated: GeneratedStrings, seed: int) -> None:
    """Check that labels depend only on the characters so far: truncate strings, and compare the labels that are left.

    Raises
    ------
    ValueError
        If they differ.
    """
    if violation.fit is not None:
        raise _not_causal(violation, "the corpus as a whole")
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero([bool(string) for string in generated.strings])
    rows = np.sort(rng.permutation(rows)[:_CHECKED_STRINGS])
    if not len(rows):
        return
    corpus = generated.as_corpus(rows)
    left = rng.integers(1, np.diff(corpus.offsets) + 1)
    prefixes = [string[:n] for string, n in zip(corpus.strings, left, strict=True)]
    short = replace(Corpus.from_strings(prefixes, vocabulary=corpus.vocabulary), ends=np.zeros(len(rows), bool))
    kept = corpus.position_in_string < left[corpus.string_ids]
    same = violation_labels(violation, corpus)[kept] == violation_labels(violation, short)
    if not same.all():
        string = int(corpus.string_ids[np.flatnonzero(kept)[np.argmin(same)]])
        raise _not_causal(violation, f"characters to come, as in {corpus.strings[string][:60]!r}")


def check_sampled(violation: Feature, violates: Bool[np.ndarray, " K"], prefixes: Sequence[str]) -> None:
    """Check that symbols that violate the rule in whole strings also do so as the last symbol.

    Raises
    ------
    ValueError
        If one does not.
    """
    if not violates.all():
        raise _not_causal(violation, f"characters to come, as after {prefixes[int(np.argmin(violates))][-40:]!r}")


def _not_causal(violation: Feature, what: str) -> ValueError:
    return ValueError(
        f"expected a feature that depends only on earlier characters and the current one, got {violation.name!r}, "
        f"which depends on {what}: a network cannot know these while it generates"
    )


def prefix_states(model: TrainedModel, prefixes: Sequence[str]) -> Float[np.ndarray, "K N"]:
    """Compute the top layer's states after some prefixes of strings: what the next symbol is sampled from."""
    top = model.weights.layer_slices[-1]
    states = np.zeros((len(prefixes), top.stop - top.start), np.float32)
    nonempty = np.asarray([bool(prefix) for prefix in prefixes], bool)
    if not nonempty.all():
        states[~nonempty] = initial_state(model)
    if nonempty.any():
        corpus = Corpus.from_strings([prefix for prefix in prefixes if prefix], vocabulary=model.vocabulary)
        states[nonempty] = record(model, corpus).hidden[corpus.offsets[1:] - 1, top]
    return states


def initial_state(model: TrainedModel) -> Float[np.ndarray, " N"]:
    """Compute the top layer's state before the first character of a string, after the boundary."""
    weights = model.weights
    boundary = jnp.full(1, BOUNDARY, jnp.int32)
    _, shown, _ = network_step(weights, input_table(weights), zero_carries(weights, 1), boundary, boundary == BOUNDARY)
    return np.asarray(shown[-1].h[0])


@dataclass(frozen=True, eq=False)
class ViolationCounts:
    """What was counted in each of n texts.

    Attributes
    ----------
    wrong
        int ``(n,)``: the strings with a violation.
    symbols
        int ``(n,)``: the generated symbols, boundaries included, each string up to its first violation.
    strings
        int ``(n,)``: all strings.
    loss
        Nats a symbol on correct text.
    """

    wrong: Int[np.ndarray, " n"]
    symbols: Int[np.ndarray, " n"]
    strings: Int[np.ndarray, " n"]
    loss: float

    def rates(self, weights: Float[np.ndarray, "B n"]) -> Float[np.ndarray, "B 2"]:
        """Compute violations in 1,000 symbols, and the share of strings, for each weighting of the texts."""
        wrong = weights @ self.wrong
        return np.stack([1_000 * wrong / (weights @ self.symbols), wrong / (weights @ self.strings)], axis=1)


def count_by_text(
    generated: GeneratedStrings, place: Int[np.ndarray, " S"], n: int, loss: float = float("nan")
) -> ViolationCounts:
    """Count by text; `place` is where each string first violates the rule (see `first_violations`)."""
    lengths = np.asarray([len(string) for string in generated.strings])
    symbols = np.where(place >= 0, place + 1, lengths + generated.ended) - generated.n_given
    counts = (np.bincount(generated.text, weights, n) for weights in (place >= 0, symbols, None))
    wrong, symbols, strings = (count.astype(np.int64) for count in counts)
    return ViolationCounts(wrong, symbols, strings, loss)


def count_violations(
    model: TrainedModel, violation: Feature, corpus: Corpus, n: int, length: int, seed: int, prime: str = ""
) -> ViolationCounts:
    """Count the violations in texts that a network generates, and measure its loss on correct text.

    Parameters
    ----------
    model
        The network.
    violation
        A binary feature of violations; see `dni_jax.lab.repair.repair`.
    corpus
        The correct text, of which the first 50,000 characters are used.
    n, length
        How many texts to generate, and the symbols of each.
    seed
        Draws the texts.
    prime
        The beginning of every text.
    """
    generated = generate_strings(model, n, length, seed, prime)
    loss = cross_entropy(model.weights, model.encode(corpus), _LOSS_CHARACTERS)
    return count_by_text(generated, first_violations(violation, generated), n, loss)


def outcome_table(before: ViolationCounts, after: ViolationCounts, seed: int) -> pd.DataFrame:
    """Tabulate rates with their 95 % intervals (bootstrap over texts) before, after, and their change."""
    n = len(before.wrong)
    weights = np.concatenate([np.ones((1, n)), string_weights(n, _BOOTSTRAP_DRAWS, seed)]).astype(np.float64)
    first, second = before.rates(weights), after.rates(weights)
    rows = []
    for rates, counts in ((first, before), (second, after), (second - first, None)):
        low, high = np.quantile(rates[1:], _INTERVAL, axis=0)
        row: dict[str, float] = {}
        for place, name in enumerate(("per_1000", "strings")):
            row |= {name: rates[0, place], f"{name}_low": low[place], f"{name}_high": high[place]}
        row["loss"] = after.loss - before.loss if counts is None else counts.loss
        row["violations"] = int((after.wrong - before.wrong).sum() if counts is None else counts.wrong.sum())
        row["symbols"] = int((after.symbols - before.symbols).sum() if counts is None else counts.symbols.sum())
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(["before", "after", "change"], name="network"))
