"""Beginnings of strings: against the sets of all beginnings, built up from the productions."""

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck

import dni_jax as dni
from dni_jax.languages import Language, get
from dni_jax.languages._prefixes import DEAD
from dni_jax.text import segment_corpus
from tests.support.drawn import few_of_many
from tests.support.grammar_texts import JSON, as_lark, enumerate_strings, reachable, small_weighted_grammars

LONGEST = 4


def beginnings(grammar):
    """The first characters of every string, at most `LONGEST`, by going round the definition until nothing is new."""
    found = {name: set() for name in grammar}
    while True:
        new = {}
        for name, productions in grammar.items():
            new[name] = set()
            for _, right in productions:
                strings = {""}
                for part in right:
                    options = found[part] if part in grammar else {part}
                    strings = {(a + b)[:LONGEST] for a in strings for b in options}
                new[name] |= strings
        if new == found:
            return found
        found = new


@few_of_many(8, 30, small_weighted_grammars(), derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_text_against_all_beginnings(grammar):
    grammar = reachable(grammar)
    text, weights = as_lark(grammar)
    prefixes = Language.from_lark(text, weights=weights, start="n0", parser="earley").prefixes
    begin = {string[:n] for string in beginnings(grammar)["n0"] for n in range(LONGEST + 1)}
    whole = {string for string, mass in enumerate_strings(grammar, LONGEST)["n0"].items() if mass > 0}
    for string in ("".join(s) for n in range(LONGEST + 1) for s in product("xyz", repeat=n)):
        state = prefixes.advance(prefixes.start, string)
        assert (state != DEAD) == (string in begin), string
        assert prefixes.is_accepting(state) == (string in whole), string
        if len(string) < LONGEST:
            assert set(prefixes.next_characters(state)) == {c for c in "xyz" if string + c in begin}


def test_productions_without_an_end_lead_nowhere():
    prefixes = Language.from_lark('start: "a" start | "a" dead | "b"\ndead: "c" dead', parser="earley").prefixes
    assert prefixes.next_characters(prefixes.advance(prefixes.start, "a")) == ("a", "b")
    assert prefixes.advance(prefixes.start, "ac") == DEAD


@pytest.mark.parametrize("name", ["parentheses", "arithmetic", "json"])
def test_samples_are_prefixes_and_changed_ones_are_found(name):
    language = Language.from_lark(JSON, start="value") if name == "json" else get(name)
    corpus = language.sample(60, seed=0, max_length=40)
    wrong = language.violations()
    assert not wrong.label(corpus).columns[0].any()
    assert not wrong.unfinished(corpus).any()
    rng = np.random.default_rng(0)
    changed = []
    for string in corpus.strings:
        place = rng.integers(len(string))
        changed.append(string[:place] + rng.choice(language.characters) + string[place + 1 :])
    changed = dni.Corpus.from_strings([*changed, *(string[:-1] for string in corpus.strings if len(string) > 1)])
    labels = wrong.label(changed).columns[0]
    told = wrong.unfinished(changed)
    assert 0 < told.sum() < len(told)
    assert (told == np.isneginf(language.log_probability(changed.strings))).all()
    assert (told >= labels[changed.offsets[1:] - 1]).all()
    steps = np.diff(labels)
    assert (np.delete(steps, changed.offsets[1:-1] - 1) >= 0).all()  # once wrong, always wrong


def test_texts_with_the_same_future_share_a_state():
    prefixes = get("parentheses").prefixes
    states = {prefixes.advance(prefixes.start, text) for text in ("(1", "(111", "00(1", "(" + "1" * 300)}
    assert len(states) == 1
    prefixes = get("arithmetic").prefixes
    assert prefixes.advance(prefixes.start, "(1+2)*(") == prefixes.advance(prefixes.start, "1, ((1))/(")
    assert prefixes.advance(prefixes.start, "((1") != prefixes.advance(prefixes.start, "(1")


def test_segments_without_their_beginning_are_masked():
    language = get("arithmetic")
    corpus = language.sample(3, seed=1)
    segments = segment_corpus(corpus, 4)
    labels = language.violations().label(segments)
    assert (labels.mask == segments.begins[segments.string_ids]).all()
    assert not labels.mask.all()
    assert not labels.columns[0][labels.mask].any()


def test_a_language_that_only_parses_has_none():
    with pytest.raises(ValueError, match="only parses"):
        get("c").violations()
    with pytest.raises(ValueError, match="parse text instead"):
        Language.from_lark('start: A\nA: /a(?=b)/ | "b"').violations()
