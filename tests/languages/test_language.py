import pickle

import numpy as np
import pytest

from dni_jax.languages import Language, ParseError, get
from dni_jax.languages._fingerprints import fingerprint


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_sampled_and_parsed_corpora_have_the_same_labels_where_the_tree_is_one(name):
    language = get(name)
    sampled = language.sample(12, seed=0, max_length=25)
    parsed = language.corpus(sampled.strings)
    assert parsed.strings == sampled.strings
    assert parsed.trees.kinds == sampled.trees.kinds
    a, b = language.features().label(sampled), language.features().label(parsed)
    same = [n for n in a.names if n.startswith(("depth", "symbol", "digit", "operator", "range:d", "impulse:d"))]
    assert len(same) >= 10
    for feature in same:
        np.testing.assert_array_equal(a[feature], b[feature], err_msg=feature)


def test_features_of_parentheses():
    names = get("parentheses").features().names
    assert names[:6] == ("depth", "depth=0", "depth=1", "depth=2", "depth=3", "depth=4")
    assert {"digit", "parenthesis", "symbol:(", "symbol:4"} <= set(names)
    for node in ["e0", "e4", "e1 -> e1 1", "e1 -> 1 e1", "e3 -> ( e4 )", "e4 -> epsilon"]:
        assert {f"range:{node}", f"impulse:{node}"} <= set(names)
    assert not any("brackets" in name for name in names)


def test_features_of_arithmetic():
    names = get("arithmetic").features().names
    wanted = {"depth", "digit", "operator", "parenthesis", "symbol:+", "symbol:-", "symbol:*", "symbol:/", "symbol:("}
    rules = {f"range:{rule}" for rule in ["e", "d", "e -> d", "e -> e + e", "e -> ( e )", "e -> e / e"]}
    assert wanted | rules <= set(names)


def test_no_depth_where_brackets_are_only_in_tokens():
    language = Language.from_lark('start: (WORD ";")+\nWORD: /[a-z()]+/')
    assert not [name for name in language.features().names if name.startswith("depth")]


def test_a_library_of_ones_own():
    from dni_jax import features

    own = features.FeatureLibrary((features.char_feature("a", lambda c: c == "a"),))
    language = Language.from_lark('start: "a" | "b"', library=lambda: own)
    assert language.features() is own


def test_vocabulary_is_the_languages_not_the_samples():
    corpus = get("parentheses").sample(1, seed=0)
    assert corpus.vocabulary.characters == ("(", ")", "0", "1", "2", "3", "4")
    assert get("parentheses").characters == corpus.vocabulary.characters


def test_a_missing_final_line_break_is_added_for_parsing_only():
    corpus = get("python").corpus(["x = 1", "y\n"])
    assert corpus.strings == ("x = 1", "y\n")
    assert corpus.trees.end[: corpus.trees.offsets[1]].max() == 5
    labels = get("python").features().label(corpus)
    assert labels["range:assignment"].tolist() == [1] * 5 + [0] * 2


def test_empty_corpora():
    with pytest.raises(ValueError, match="at least one string"):
        get("parentheses").corpus([])
    with pytest.raises(ValueError, match="string 0: the text ends too early"):
        get("parentheses").corpus([""])
    optional = Language.from_lark('start: "a" |')
    with pytest.raises(ValueError, match="empty one at index 1"):
        optional.corpus(["a", ""])


def test_strings_that_do_not_parse_can_be_masked():
    language = Language.from_lark('start: "a" start | "b"', name="ab")
    strings = ["aab", "aba", "b"]
    with pytest.raises(ParseError, match="string 1: does not parse"):
        language.corpus(strings)
    corpus = language.corpus(strings, skip_unparsable=True)
    assert corpus.strings == tuple(strings)
    assert corpus.parsed.tolist() == [True] * 3 + [False] * 3 + [True]
    assert np.diff(corpus.trees.offsets).tolist() == [3, 0, 1]
    coverage = dict(corpus.coverage)
    assert "does not parse" in coverage.pop("failed")["string 1"]
    assert coverage == {"strings": 3, "strings_parsed": 2, "characters": 7, "characters_parsed": 4}
    assert language.features().label(corpus).mask.tolist() == corpus.parsed.tolist()
    assert language.corpus(["b"], skip_unparsable=True).parsed is None


def test_a_language_that_only_parses_says_so():
    with pytest.raises(ValueError, match="which only a lexer makes: parse text instead"):
        get("python").sample(1)


@pytest.fixture(scope="module")
def traveled():
    return pickle.loads(pickle.dumps(get("python")))


@pytest.mark.slow
def test_a_language_travels_to_other_processes(traveled):
    language, copy = get("python"), traveled
    text = "def f(x):\n    return [x]\n"
    np.testing.assert_array_equal(copy.parse(text).start, language.parse(text).start)
    assert copy.fingerprint == language.fingerprint


def test_where_an_indenter_is_in_a_text_is_no_setting(traveled):
    language = traveled
    before = fingerprint(language.engine.lark, language.options)
    language.options["postlex"].indent_level = [0, 4]  # as a text leaves it that is given up inside a block
    assert fingerprint(language.engine.lark, language.options) == before
