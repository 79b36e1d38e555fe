"""Texts that a network wrote, string by string, and where they first go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.features import Feature, Violation
from dni_jax.models import TrainedModel, generate, input_table, network_step, record, zero_carries
from dni_jax.text import BOUNDARY, Corpus, Vocabulary, exclusive_sum

_AT_ONCE = 1 << 22  # characters that are labelled together
_CUTS = 200  # strings that are cut off to see whether their labels stay


class NoViolationError(ValueError):
    """No text of the network went wrong."""


@dataclass(frozen=True, eq=False)
class Written:
    """Strings that a network wrote; it begins each in the same state, so that they do not depend on one another.

    Attributes
    ----------
    strings
        The S strings, empty ones included.
    text
        int ``(S,)``: which text each stands in.
    ended
        bool ``(S,)``: whether the network ended it; False where the text was cut off.
    given
        int ``(S,)``: how many of its first characters the network did not write.
    vocabulary
        The network's symbols.
    """

    strings: tuple[str, ...]
    text: Int[np.ndarray, " S"]
    ended: Bool[np.ndarray, " S"]
    given: Int[np.ndarray, " S"]
    vocabulary: Vocabulary

    def corpus(self, rows: Int[np.ndarray, " n"]) -> Corpus:
        """Give some of the strings, none empty, as a corpus."""
        corpus = Corpus.from_strings([self.strings[row] for row in rows], vocabulary=self.vocabulary)
        return replace(corpus, ends=self.ended[rows])


def write(model: TrainedModel, n: int, length: int, seed: int, prime: str = "") -> Written:
    """Let a network write n texts, and take them apart into strings."""
    parts = [text.split(model.vocabulary.boundary_text) for text in generate(model, n, length, seed, prime=prime)]
    sizes = [len(some) for some in parts]
    strings = tuple(string for some in parts for string in some)
    text = np.repeat(np.arange(n), sizes)
    place = np.arange(len(strings)) - np.repeat(exclusive_sum(sizes), sizes)
    ended = place < np.asarray(sizes)[text] - 1
    cut_off = np.asarray([bool(string) for string in strings], bool)
    keep = np.flatnonzero(ended | cut_off)  # behind a text's last boundary nothing may have been written yet
    given = np.where(place == 0, len(prime), 0)
    return Written(tuple(strings[row] for row in keep), text[keep], ended[keep], given[keep], model.vocabulary)


def first_wrong(violation: Feature, written: Written) -> Int[np.ndarray, " S"]:
    """Where each string first goes wrong: the place of a character, its length if its end is wrong, or -1.

    Raises
    ------
    ValueError
        For a feature that is not binary, or whose labels are not known everywhere.
    """
    lengths = np.asarray([len(string) for string in written.strings])
    found = np.full(len(lengths), -1)
    whole = np.flatnonzero(lengths)
    if len(whole):
        corpus = written.corpus(whole)
        place = corpus.position_in_string
        wrong = labels_of(violation, corpus) & (place >= written.given[whole][corpus.string_ids])
        at = np.flatnonzero(wrong)[::-1]
        found[whole[corpus.string_ids[at]]] = place[at]  # of several the last to be written is the first in the string
        if isinstance(violation, Violation) and violation.unfinished is not None:
            ends = np.asarray(violation.unfinished(corpus)) & corpus.ends & (found[whole] < 0)
            found[whole[ends]] = lengths[whole[ends]]
    if isinstance(violation, Violation) and violation.unfinished is not None:
        found[(lengths == 0) & written.ended] = 0
    return found


def labels_of(violation: Feature, corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Label a corpus with a feature that must be binary, and known everywhere."""
    labels = violation.label(corpus)
    if labels.kinds[0] != "binary":
        raise ValueError(
            f"expected a binary feature of what is wrong, got {violation.name!r}, which is continuous: compare its "
            "labels with a threshold in a feature of your own"
        )
    if not labels.mask.all():
        raise ValueError(
            f"expected a feature whose labels are known in every text, got {violation.name!r}, whose labels are masked "
            f"at {int((~labels.mask).sum())} of {len(labels.mask)} characters"
        )
    return labels.columns[0] > 0


def violating_symbols(violation: Feature, prefixes: Sequence[str], vocabulary: Vocabulary) -> Bool[np.ndarray, "K V"]:
    """Which symbols would be wrong behind each of some beginnings of strings."""
    wrong = np.zeros((len(prefixes), len(vocabulary)), bool)
    size = max(1, _AT_ONCE // (len(vocabulary) * (1 + max(map(len, prefixes), default=0))))
    for first in range(0, len(prefixes), size):
        some = prefixes[first : first + size]
        corpus = Corpus.from_strings(
            [prefix + character for prefix in some for character in vocabulary.characters], vocabulary=vocabulary
        )
        corpus = replace(corpus, ends=np.zeros(len(corpus), bool))
        last = labels_of(violation, corpus)[corpus.offsets[1:] - 1]
        wrong[first : first + size, BOUNDARY + 1 :] = last.reshape(len(some), -1)
    if isinstance(violation, Violation) and violation.unfinished is not None:
        begun = np.asarray([bool(prefix) for prefix in prefixes], bool)
        wrong[~begun, BOUNDARY] = True
        if begun.any():
            corpus = Corpus.from_strings([prefix for prefix in prefixes if prefix], vocabulary=vocabulary)
            wrong[begun, BOUNDARY] = violation.unfinished(corpus)
    return wrong


def check_causal(violation: Feature, written: Written, seed: int) -> None:
    """Cut strings off at random places, and see whether the labels of what is left stay.

    Raises
    ------
    ValueError
        Where they do not.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero([bool(string) for string in written.strings])
    rows = np.sort(rng.permutation(rows)[:_CUTS])
    _refuse_unless(violation.fit is None, violation, "the corpus as a whole")
    if not len(rows):
        return
    corpus = written.corpus(rows)
    lengths = np.diff(corpus.offsets)
    left = rng.integers(1, lengths + 1)
    cut = [string[:n] for string, n in zip(corpus.strings, left, strict=True)]
    short = replace(Corpus.from_strings(cut, vocabulary=corpus.vocabulary), ends=np.zeros(len(rows), bool))
    kept = corpus.position_in_string < left[corpus.string_ids]
    same = labels_of(violation, corpus)[kept] == labels_of(violation, short)
    if not same.all():
        string = int(corpus.string_ids[np.flatnonzero(kept)[np.argmin(same)]])
        _refuse_unless(False, violation, f"characters to come, as in {corpus.strings[string][:60]!r}")


def drawn_codes(written: Written, place: Int[np.ndarray, " S"], rows: Int[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
    """The codes of the first wrong symbols of some strings; the boundary's where the end was wrong."""
    codes = [
        BOUNDARY if at == len(written.strings[row]) else int(written.vocabulary.encode(written.strings[row][at])[0])
        for row, at in zip(rows, place[rows], strict=True)
    ]
    return np.asarray(codes, int)


def check_drawn(violation: Feature, wrong: Bool[np.ndarray, " K"], prefixes: Sequence[str]) -> None:
    """See that symbols which were wrong in whole strings are so with nothing behind them.

    Raises
    ------
    ValueError
        Where they are not.
    """
    if not wrong.all():
        _refuse_unless(False, violation, f"characters to come, as behind {prefixes[int(np.argmin(wrong))][-40:]!r}")


def _refuse_unless(fine: bool, violation: Feature, what: str) -> None:
    if not fine:
        raise ValueError(
            f"expected a feature that tells what is wrong from the characters up to the one in question, got "
            f"{violation.name!r}, whose labels depend on {what}: a network cannot know these when it writes"
        )


def prefix_states(model: TrainedModel, prefixes: Sequence[str]) -> Float[np.ndarray, "K N"]:
    """The top layer's states behind some beginnings of strings: what the next symbol is drawn from."""
    top = model.weights.layer_slices[-1]
    states = np.zeros((len(prefixes), top.stop - top.start), np.float32)
    some = np.asarray([bool(prefix) for prefix in prefixes], bool)
    if not some.all():
        states[~some] = start_state(model)
    if some.any():
        corpus = Corpus.from_strings([prefix for prefix in prefixes if prefix], vocabulary=model.vocabulary)
        states[some] = record(model, corpus).hidden[corpus.offsets[1:] - 1, top]
    return states


def start_state(model: TrainedModel) -> Float[np.ndarray, " N"]:
    """The top layer's state before the first character of a string, when the boundary has been read."""
    weights = model.weights
    boundary = jnp.full(1, BOUNDARY, jnp.int32)
    _, shown, _ = network_step(weights, input_table(weights), zero_carries(weights, 1), boundary, boundary == BOUNDARY)
    return np.asarray(shown[-1].h[0])
