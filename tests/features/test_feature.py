import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.features import Feature, FeatureLibrary, char_feature, feature
from dni_jax.languages import get
from dni_jax.text import Corpus

STRINGS = st.lists(st.text("ab1(\u20ac", min_size=1, max_size=9), min_size=1, max_size=12)


def label(one, strings):
    return FeatureLibrary((one,)).label(Corpus.from_strings(strings))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(STRINGS)
def test_functions_of_strings_and_of_characters(strings):
    place = feature("place", lambda string: list(range(len(string))))
    np.testing.assert_array_equal(label(place, strings)["place"], [i for s in strings for i in range(len(s))])
    code = char_feature("code", ord)
    np.testing.assert_array_equal(label(code, strings)["code"], [ord(c) for s in strings for c in s])
    digit = label(char_feature("digit", str.isdigit), strings)
    assert digit.kinds == ("binary",)
    assert digit["digit"].dtype == np.int8
    np.testing.assert_array_equal(digit["digit"], [c.isdigit() for s in strings for c in s])


def test_a_function_of_a_character_is_called_once_for_each():
    seen = []
    char_feature("x", lambda c: seen.append(c) or 0).compute(get("arithmetic").sample(100))
    assert len(seen) == len(set(seen))


def test_kind_is_decided_by_the_labels_or_given():
    assert label(feature("x", lambda s: [0.0] * len(s)), ["ab"]).kinds == ("binary",)
    assert label(feature("x", lambda s: [0.5] * len(s)), ["ab"]).kinds == ("continuous",)
    given_ = label(feature("x", lambda s: [1] * len(s), "continuous"), ["ab"])
    assert given_.kinds == ("continuous",)
    assert given_["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda s: [1], r"an array of shape \(1,\)"),
        (lambda s: 1, r"one value, 1: return a list, or pass a function of one character to dni\.char_feature"),
        (str.isdigit, "one value, False: return a list"),
        (lambda s: None, "None: return a list"),
        (lambda s: [[1]] * 3, r"an array of shape \(3, 1\)"),
    ],
)
def test_wrong_number_of_labels(function, got):
    one = feature("odd", lambda s: function(s) if s == "abc" else [0] * len(s))
    with pytest.raises(ValueError, match=rf"'odd'.*the 3 characters of string 1 \('abc'\), got {got}"):
        label(one, ["a", "abc"])


def test_strings_are_no_labels():
    with pytest.raises(ValueError, match="'x': expected numbers or bools, got strings such as 'a'"):
        label(feature("x", list), ["ab"])


def test_wrong_number_of_labels_for_a_whole_corpus():
    with pytest.raises(ValueError, match=r"'whole'.*each of the 3 positions, got an array of shape \(2,\)"):
        label(Feature("whole", lambda corpus: np.zeros(2)), ["ab", "c"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_labels_that_are_not_finite_are_named_with_their_place(value):
    one = feature("odd", lambda s: [value if c == "x" else 0.0 for c in s])
    with pytest.raises(
        ValueError, match=rf"'odd'.*finite labels \(as float32\), got {value} at character 2 of string 1 \('abx'\)"
    ):
        label(one, ["ab", "abx", "x"])


@pytest.mark.parametrize("function", [lambda s: ["a"] * len(s), lambda s: [None] * len(s), lambda s: [1j] * len(s)])
def test_labels_that_are_no_numbers(function):
    with pytest.raises(ValueError, match="'odd': expected numbers or bools, got"):
        label(feature("odd", function), ["ab"])


@pytest.mark.parametrize("value", [2, -1, 0.5])
def test_binary_labels_must_be_0_or_1(value):
    with pytest.raises(ValueError, match=f"'odd': expected labels 0 and 1 for a binary feature, got {value}"):
        label(feature("odd", lambda s: [value] * len(s), "binary"), ["ab"])


def test_labels_too_large_for_float32():
    with pytest.raises(ValueError, match=r"'odd': expected finite labels \(as float32\), got 1e\+300"):
        label(feature("odd", lambda s: [1e300] * len(s)), ["ab"])


def test_bad_definitions():
    with pytest.raises(ValueError, match="a name for the feature"):
        feature("", len)
    with pytest.raises(ValueError, match="'binary', 'continuous' or None for feature 'x', got 'ordinal'"):
        feature("x", len, "ordinal")
