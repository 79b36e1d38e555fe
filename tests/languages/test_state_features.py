from dataclasses import replace

import numpy as np
import pytest

from dni_jax.languages import Language, ParseError, get
from dni_jax.text import segment_corpus

SOURCES = ["def f(a):\n    if a:\n        return [a,\n 1]\n\n\nx = f('b')\n", "import a\n\nfor b in a:\n    b.c()\n"]
COLUMNS = ("stack_size", "reduced", "reductions", "top", "below", "expected")
LIST = 'start: "[" (item ("," item)*)? "]"\n?item: /[a-c]/ | start\n'


def expressions(n=200):
    return get("c_expressions").sample(n, seed=3, max_length=120)


def test_features_say_what_the_states_are():
    language, corpus = get("c_expressions"), expressions()
    states, labels = language.parser_states(corpus), language.state_features().label(corpus)
    np.testing.assert_array_equal(labels["stack size"], states.stack_size)
    np.testing.assert_array_equal(labels["reductions"], states.reductions)
    np.testing.assert_array_equal(labels["reductions>0"], states.reductions > 0)
    assert labels.kinds[labels.names.index("stack size")] == "continuous"
    rules = [{states.rules[row].symbol, states.rules[row].name} if row >= 0 else {} for row in states.reduced]
    tops, below = ([states.symbols[row] if row >= 0 else "" for row in column] for column in (states.top, states.below))
    wanted = [states.expected_sets[row] for row in states.expected]
    for name in labels.names:
        what, _, which = name.partition(":")
        if what == "reduced":
            np.testing.assert_array_equal(labels[name], [which in rule for rule in rules])
        elif what in ("top", "below"):
            np.testing.assert_array_equal(labels[name], [one == which for one in (tops if what == "top" else below)])
        elif what == "expected":
            np.testing.assert_array_equal(labels[name], [which in some for some in wanted])
        elif name.startswith("stack size="):
            np.testing.assert_array_equal(labels[name], states.stack_size == int(name.split("=")[1]))
    assert {"expected:$END", 'expected:"("', "top:PLUS", "below:sum", "reduced:multiply", "stack size=3"} <= {
        *labels.names
    }


@pytest.mark.slow
def test_every_feature_varies_and_nothing_is_missing():
    language = get("c_expressions")
    corpus = language.sample(8_000, seed=0, max_length=300)
    labels = language.state_features().label(corpus)
    assert labels.constant == ()
    states = language.parser_states(corpus)
    some = {states.rules[row].symbol for row in np.unique(states.reduced) if row >= 0}
    reduced = [name.removeprefix("reduced:") for name in labels.names if name.startswith("reduced:")]
    assert some == {name for name in reduced if "->" not in name}
    for column, what in ((states.top, "top"), (states.below, "below")):
        seen = {states.symbols[row] for row in np.unique(column) if row >= 0}
        assert seen == {name.removeprefix(f"{what}:") for name in labels.names if name.startswith(f"{what}:")}


def test_few_rules_are_features_of_their_own_many_are_not():
    names = Language.from_lark(LIST).state_features().names
    assert "reduced:start" not in names  # a list is always followed by another reduction, to item or to the helper
    assert "reduced:item -> start" in names
    many = get("python").state_features().names
    assert "reduced:arith_expr" in many
    assert not [name for name in many if name.startswith("reduced:") and "->" in name]


def test_records_survive_cutting_taking_and_shuffling():
    language, corpus = get("c_expressions"), expressions()
    whole = language.add_parser_states(corpus)
    states = language.parser_states(corpus)
    assert len(whole.records) == len(COLUMNS)
    segments = segment_corpus(whole, 7)
    assert not segments.begins.all()
    order = np.random.default_rng(0).permutation(len(segments))[:50]
    positions = np.concatenate([np.arange(segments.offsets[s], segments.offsets[s + 1]) for s in order])
    some = language.parser_states(segments.take(order))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(language.parser_states(segments), name), getattr(states, name))
        np.testing.assert_array_equal(getattr(some, name), getattr(states, name)[positions])
    library = language.state_features()
    np.testing.assert_array_equal(library.label(segments).matrix, library.label(corpus).matrix)


def test_records_are_not_taken_for_another_languages():
    one = Language.from_lark('start: "a" start | "b"')
    other = Language.from_lark('start: start "a" | "b"')
    corpus = one.add_parser_states(one.corpus(["b"]))
    assert len(other.add_parser_states(corpus).records) == 2 * len(COLUMNS)
    with pytest.raises(ParseError, match="string 0: "):
        other.state_features().label(one.add_parser_states(one.corpus(["aab"])))


def test_segments_that_follow_each_other_are_read_as_one_string_others_are_refused():
    python = get("python")
    corpus = python.corpus(SOURCES)
    whole, segments = python.parser_states(corpus), segment_corpus(corpus, 20)
    assert len(segments) > 3
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(python.parser_states(segments), name), getattr(whole, name))
    with pytest.raises(ValueError, match=r"whole strings.*segments.*language\.add_parser_states\(corpus\)"):
        python.parser_states(segments.take(np.arange(1, len(segments))))
    with pytest.raises(ValueError, match=r"parser_states=True"):
        python.state_features().label(segments.take(np.arange(2)))


def test_unparsed_strings_are_skipped():
    language = get("c_expressions")
    corpus = language.corpus(["a+b", "c", "d*e"])
    broken = replace(
        corpus.take(np.arange(3)), text=np.where(corpus.text == ord("c"), np.uint32(ord("?")), corpus.text), trees=None
    )
    with pytest.raises(ParseError, match="string 1: does not parse"):
        language.add_parser_states(broken)
    masked = replace(broken, parsed=broken.text != ord("?"))
    states, expected = language.parser_states(masked), language.parser_states(corpus)
    assert states.stack_size.tolist() == [1, 2, 3, 0, 1, 2, 3]
    keep = [0, 1, 2, 4, 5, 6]
    np.testing.assert_array_equal(states.expected[keep], expected.expected[keep])


def test_a_corpus_is_parsed_once_for_all_features(monkeypatch):
    language, corpus = get("c_expressions"), expressions(5)
    calls = []
    parse = type(language.shift_reduce).states_of_strings
    monkeypatch.setattr(
        type(language.shift_reduce), "states_of_strings", lambda self, *args: calls.append(1) or parse(self, *args)
    )
    language.state_features().label(corpus)
    assert len(calls) == 1
