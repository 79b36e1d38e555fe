from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import dni_jax as dni
from dni_jax.features import _predictors as predictors
from dni_jax.languages import get
from dni_jax.text import Corpus, Vocabulary, segment_corpus


def window_by_hand(corpus, length):
    rows = np.zeros((corpus.n_positions, length, len(corpus.vocabulary)))
    t = 0
    for string in corpus.strings:
        for place in range(len(string)):
            for back in range(length):
                code = corpus.vocabulary.characters.index(string[place - back]) + 1 if place >= back else 0
                rows[t, back, code] = 1
            t += 1
    return rows.reshape(len(rows), -1)


@pytest.fixture(scope="module")
def corpus():
    return get("arithmetic").sample(100, seed=0, max_length=30)


@pytest.mark.parametrize("length", [1, 3, 8])
def test_window(corpus, length):
    window = dni.features.CharacterWindow(corpus.vocabulary, length)
    inputs = window(corpus)
    assert inputs.dtype == np.float32
    assert inputs.shape == (corpus.n_positions, window.n_columns)
    np.testing.assert_array_equal(inputs, window_by_hand(corpus, length))
    pieces = segment_corpus(corpus, 5)
    np.testing.assert_array_equal(window(pieces), inputs)


@pytest.mark.parametrize("batch", [1, 300, 2**26])
def test_estimators(corpus, batch, monkeypatch):
    monkeypatch.setattr(predictors, "_BYTES", batch * 4)
    window = dni.features.CharacterWindow(corpus.vocabulary, 2)
    few = corpus.take(np.arange(20 if batch == 1 else 100))
    inputs, wanted = window(few), dni.regex_feature("x", r"(?<=\()\d").compute(few)
    model = LogisticRegression().fit(inputs, wanted)
    binary = dni.features.predictor_feature("x", model, window=2).label(few)
    assert binary.kinds == ("binary",)
    np.testing.assert_array_equal(binary.columns[0], model.predict(inputs))
    for method, column in (("predict_proba", 1), ("decision_function", None)):
        labels = dni.features.predictor_feature("x", model, window, method=method, column=column).label(few)
        expected = getattr(model, method)(inputs)
        assert labels.kinds == ("continuous",)
        np.testing.assert_allclose(labels.columns[0], expected[:, 1] if column else expected, rtol=1e-5, atol=1e-6)


def test_functions_and_other_inputs(corpus):
    def position(corpus):
        return np.arange(corpus.n_positions, dtype=np.float32)[:, None]

    twice = dni.features.predictor_feature("x", lambda rows: 2 * rows[:, 0], position)
    np.testing.assert_array_equal(twice.compute(corpus), 2 * np.arange(corpus.n_positions))
    ridge = Ridge().fit(position(corpus), np.arange(corpus.n_positions))
    labels = dni.features.predictor_feature("x", ridge, position).label(corpus)
    assert labels.mask.all()
    assert labels.kinds == ("continuous",)


def test_windows_that_a_piece_hides_are_masked(corpus):
    pieces = replace(segment_corpus(Corpus.from_strings(["abcdef"]), 3), records={})
    one = dni.features.predictor_feature("x", lambda rows: rows[:, 1], window=3)
    assert one.label(pieces).mask.tolist() == [True, True, True, False, False, True]


def label(predictor, *args, **options):
    corpus = Corpus.from_strings(["ab", "b"])
    return dni.features.predictor_feature("odd", predictor, *args, **options).label(corpus)


def test_bad_input():
    three = LogisticRegression().fit(np.eye(3), ["x", "y", "z"])
    with pytest.raises(ValueError, match=r"'odd': expected numbers from the predictor, got <U1 such as"):
        label(three)
    with pytest.raises(ValueError, match=r"'odd': expected one label .*choose column=.*classes \['x', 'y', 'z'\]"):
        label(three, method="predict_proba")
    with pytest.raises(ValueError, match=r"'odd'.*column=3.*shape \(3, 3\)"):
        label(three, method="predict_proba", column=3)
    with pytest.raises(ValueError, match=r"'odd': expected 3 input columns, .*got 6 \(2 characters of 3 symbols\)"):
        label(three, window=2)
    with pytest.raises(ValueError, match=r"'odd': expected a predictor with predict_proba\(\).*got Ridge"):
        label(Ridge(), method="predict_proba")
    with pytest.raises(ValueError, match=r"'odd': its predictor fails on inputs of shape \(3, 3\) with NotFittedError"):
        label(Ridge())
    with pytest.raises(ValueError, match=r"'odd': expected method= one of \['predict', .*got 'score'"):
        label(three, method="score")
    with pytest.raises(ValueError, match="'odd': expected inputs 'one_hot' or a function of a corpus, got 'bags'"):
        label(three, "bags")
    with pytest.raises(ValueError, match=r"'odd': expected inputs of shape \(3, D\) .*got shape \(2, 2\)"):
        label(np.sum, lambda corpus: np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"'odd': expected one label for each of 3 rows .*got an array of shape \(\)"):
        label(np.sum)
    with pytest.raises(ValueError, match=r"'odd': expected finite labels .*got nan at character 0 of string 0"):
        label(lambda rows: rows[:, 0] * np.nan)
    with pytest.raises(ValueError, match="'odd': expected a window of at least 1 character, got 0"):
        label(three, window=0)
    with pytest.raises(ValueError, match="a window of at least 1 character, got 0"):
        dni.features.CharacterWindow(Vocabulary.from_text("ab"), 0)
    with pytest.raises(ValueError, match="expected symbols of the vocabulary 'xy', got 'a' at position 0"):
        label(three, dni.features.CharacterWindow(Vocabulary.from_text("xy")))
