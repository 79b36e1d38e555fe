"""Probes on many small sets against scikit-learn, on random, tied, constant and tiny data."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from dni_jax.probes import score_jointly, score_sets
from tests.support.slow import slow_after

SETS, LAGS = np.asarray([[0, 0, 1], [2, 2, 2], [1, 3, 0]]), np.asarray([[0, 1, 0], [0, 1, 2], [2, 0, 1]])


def _hidden(kind, n_positions):
    rng = np.random.default_rng(5)
    hidden = rng.normal(size=(n_positions, 4)).astype(np.float32)
    if kind == "tied":
        hidden = np.round(hidden)
    if kind == "constant":
        hidden[:, 0] = 3.0
    return hidden


def _rows(hidden, g):
    return np.stack([np.roll(hidden[:, n], lag) for n, lag in zip(SETS[g], LAGS[g], strict=True)], axis=1)


def _folds(n_positions):
    folds = np.arange(n_positions) % 3
    folds[:2] = -1  # without a state two positions before
    return folds


SHAPE = [("random", 200), ("tied", 200), ("constant", 200)]  # programs are compiled for each number of positions
FEW = [(probe, "random", 14) for probe in ("ridge", "logistic")]


@pytest.mark.parametrize(
    ("probe", "kind", "n_positions"),
    slow_after(6, [*((p, *case) for p in ("ridge", "logistic") for case in SHAPE), *FEW], n_arguments=3),
)
def test_classifiers_of_every_set_match_scikit_learn(kind, n_positions, probe):
    hidden, folds = _hidden(kind, n_positions), _folds(n_positions)
    drive = hidden[:, 2] - np.roll(hidden[:, 2], 1) + hidden[:, 0]
    labels = np.stack([drive > 0, np.arange(n_positions) % 4 == 0], axis=1)
    ours = score_sets(
        hidden, labels, folds, SETS, LAGS, probe=probe, **{"ridge": {"alpha": 2.0}, "logistic": {"C": 0.7}}[probe]
    )
    for g, f, k in np.ndindex(3, 2, 3):
        x = _rows(hidden, g).astype(np.float64)
        train, test = (folds != k) & (folds >= 0), folds == k
        model = RidgeClassifier(alpha=2.0) if probe == "ridge" else LogisticRegression(C=0.7, tol=1e-10, max_iter=9000)
        decision = model.fit(x[train], labels[train, f]).decision_function(x[test])
        assert ours["accuracy"][g, f, k] == pytest.approx(accuracy_score(labels[test, f], decision > 0))
        if len(set(labels[test, f])) == 2:
            # Decisions that tie exactly here may differ in their last bit there.
            assert ours["auc"][g, f, k] == pytest.approx(roc_auc_score(labels[test, f], decision.round(7)), abs=1e-9)
        else:
            assert np.isnan(ours["auc"][g, f, k])
    assert ours.attrs["unfinished"] == 0


def test_values_of_every_set_match_scikit_learn():
    hidden, folds = _hidden("random", 90), _folds(90)
    labels = np.stack([hidden[:, 2] - 3 * np.roll(hidden[:, 2], 2), np.arange(90.0)], axis=1)
    ours = score_sets(hidden, labels, folds, SETS, LAGS, alpha=0.5)["r2"]
    for g, f, k in np.ndindex(3, 2, 3):
        x, train, test = _rows(hidden, g).astype(np.float64), (folds != k) & (folds >= 0), folds == k
        predicted = Ridge(alpha=0.5).fit(x[train], labels[train, f]).predict(x[test])
        assert ours[g, f, k] == pytest.approx(r2_score(labels[test, f], predicted), abs=1e-8)


@pytest.mark.slow
def test_wide_sets_take_the_other_solver_to_the_same_optimum():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(150, 30))
    labels, folds = hidden[:, :1] + rng.normal(size=(150, 1)) > 0, np.arange(150) % 2
    wide = score_sets(hidden, labels, folds, [range(30)], probe="logistic")
    np.testing.assert_allclose(wide["auc"][0], score_jointly(hidden, labels, folds, probe="logistic")["auc"])


def test_one_class_in_training_is_predicted_and_not_followed_to_infinity():
    hidden, folds = _hidden("random", 200), _folds(200)
    labels = np.stack([folds == 1] * 2, axis=1)  # folds 0 and 2 are trained without fold 1's class at times
    found = score_sets(hidden, labels, folds, SETS, LAGS, probe="logistic")
    assert found.attrs["unfinished"] == 0
    assert (found["accuracy"][:, :, 1] == 0).all()


def test_bad_input_is_named():
    hidden, folds = _hidden("random", 30), _folds(30)
    labels = hidden[:, :1] > 0
    for sets, lags, probe, message in [
        ([[4]], 0, "ridge", "neurons from 0 to 3"),
        ([0, 1], 0, "ridge", r"sets \(G, D\)"),
        ([[0]], 3, "ridge", "stay within the 30 positions"),
        ([[0]], -1, "ridge", "stay within the 30 positions"),
        ([[0]], 0.5, "ridge", "whole positions"),
        ([[0]], 0, "svm", "ridge or logistic"),
    ]:
        with pytest.raises(ValueError, match=message):
            score_sets(hidden, labels, folds, sets, lags, probe=probe)
