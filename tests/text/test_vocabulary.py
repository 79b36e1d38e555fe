import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.text import Vocabulary, character_type
from dni_jax.text._vocabulary import to_code_points, to_string

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS)
def test_codes_and_back(text):
    vocabulary = Vocabulary.from_text(text)
    codes = vocabulary.encode(text)
    assert vocabulary.decode(codes) == text
    assert codes.min() >= 1
    assert list(vocabulary.characters) == sorted(set(text))
    assert to_string(to_code_points(text)) == text
    np.testing.assert_array_equal(vocabulary.encode(to_code_points(text)), codes)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS, st.integers(1, 10))
def test_limited_vocabulary_keeps_the_most_frequent(text, most):
    text = text.replace("\ufffd", "x")
    vocabulary = Vocabulary.from_text(text, most)
    counts = {c: text.count(c) for c in set(text)}
    kept = set(vocabulary.characters) - {"\ufffd"}
    if len(counts) <= most:
        assert kept == set(counts)
        assert "\ufffd" not in vocabulary.characters
        return
    assert len(vocabulary.characters) == most
    left_out = set(counts) - kept
    assert "\ufffd" in vocabulary.characters
    assert min((counts[c] for c in kept), default=99) >= max(counts[c] for c in left_out)
    assert vocabulary.decode(vocabulary.encode(text)) == "".join(c if c in kept else "\ufffd" for c in text)


def test_replacement_is_the_last_code_only_where_nothing_is_beyond_it():
    vocabulary = Vocabulary.from_text("a\U0001f600a\U0001f600bc", 3)
    assert vocabulary.characters == ("a", "\ufffd", "\U0001f600")
    assert vocabulary.encode("b\U0001f600").tolist() == [2, 3]


@pytest.mark.parametrize(
    ("text", "symbol", "place"), [("0(2)", "2", 2), ("!0", "!", 0), ("01\U0001f600", "\U0001f600", 2)]
)
def test_unknown_symbol_is_named_with_its_place(text, symbol, place):
    with pytest.raises(ValueError, match=rf"got '{symbol}' at position {place}: train on a corpus that contains it"):
        Vocabulary.from_text("()01").encode(text)


def test_empty_text():
    with pytest.raises(ValueError, match="at least one character"):
        Vocabulary.from_text("")
    assert Vocabulary.from_text("ab").encode("").shape == (0,)


def test_boundary():
    assert Vocabulary.from_text("ab").symbols == ("\n", "a", "b")
    assert Vocabulary.from_text("a\n").symbols == ("\u2404", "\n", "a")
    assert Vocabulary.from_text("ab").decode(np.array([1, 0, 2])) == "a\nb"
    assert Vocabulary.from_text("1+\n").types == ("boundary", "newline", "operator", "digit")


def test_every_character_has_one_type():
    expected = {
        "digit": "0957",
        "letter": "azZ_é",
        "parenthesis": "()[]{}",
        "operator": "+-*/%<>=!&|^~@",
        "quote": "\"'`",
        "newline": "\n\r",
        "space": " \t",
        "punctuation": ".,;:?\\#$",
    }
    for name, characters in expected.items():
        assert {character_type(c) for c in characters} == {name}
