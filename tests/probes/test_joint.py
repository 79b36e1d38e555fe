"""Probes on all neurons together against scikit-learn, and a selection with a known answer."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from dni_jax.probes import score_jointly, select_neurons


def _data():
    rng = np.random.default_rng(0)
    hidden = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 5).astype(np.float32)
    values = hidden @ rng.normal(size=(6, 3)) + 3 * rng.normal(size=(400, 3))
    return hidden, values, rng.permutation(np.arange(400) % 4)


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_classifiers_match_scikit_learn(probe):
    hidden, values, folds = _data()
    labels = values > np.median(values, axis=0) + 1
    strength = {"ridge": {"alpha": 3.0}, "logistic": {"C": 0.7}}[probe]
    ours = score_jointly(hidden, labels, folds, probe=probe, **strength)
    for f, k in np.ndindex(3, 4):
        train, test = folds != k, folds == k
        model = RidgeClassifier(alpha=3.0) if probe == "ridge" else LogisticRegression(C=0.7, tol=1e-10, max_iter=5000)
        model.fit(hidden[train].astype(np.float64), labels[train, f])
        decision = model.decision_function(hidden[test].astype(np.float64))
        assert ours["accuracy"][f, k] == pytest.approx(accuracy_score(labels[test, f], decision > 0))
        assert ours["auc"][f, k] == pytest.approx(roc_auc_score(labels[test, f], decision), abs=1e-4)


def test_ridge_values_of_several_alphas_and_a_group():
    hidden, values, folds = _data()
    alphas, group = (0.1, 10.0, 1000.0), [4, 0, 2]
    ours = score_jointly(hidden, values, folds, alpha=alphas, neurons=group)["r2"]
    for (a, alpha), f, k in ((pair, f, k) for pair in enumerate(alphas) for f in range(3) for k in range(4)):
        train, test = folds != k, folds == k
        model = Ridge(alpha=alpha).fit(hidden[train][:, group].astype(np.float64), values[train, f])
        assert ours[a, f, k] == pytest.approx(
            r2_score(values[test, f], model.predict(hidden[test][:, group])), abs=1e-6
        )


@pytest.mark.slow
def test_constant_and_repeated_neurons_do_no_harm():
    hidden, values, folds = _data()
    plain = score_jointly(hidden, values, folds, alpha=0.0)["r2"]
    padded = np.concatenate([hidden, np.ones((400, 1), np.float32), hidden[:, :1]], axis=1)
    np.testing.assert_allclose(score_jointly(padded, values, folds, alpha=0.0)["r2"], plain, atol=1e-6)
    chosen = select_neurons(padded, values, folds, 5)["neurons"]
    assert all(len(set(c) - {6}) == 5 and not {0, 7} <= set(c) for c in chosen.reshape(-1, 5))


def test_selection_finds_the_neurons_in_order():
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(600, 8))
    values = hidden @ np.array([[0, 4], [0, 0], [3, 0], [0, 0], [0, 2], [2, 0], [0, 1], [1, 0]], float)
    found = select_neurons(hidden, values, np.arange(600) % 3, 3)
    np.testing.assert_array_equal(found["neurons"], [[[2, 5, 7]] * 3, [[0, 4, 6]] * 3])
    np.testing.assert_allclose(found["r2"][2], 1.0, atol=1e-6)
    assert (np.diff(found["r2"], axis=0) > 0).all()


def test_bad_input_is_named():
    hidden, values, folds = _data()
    with pytest.raises(ValueError, match="ridge, logistic"):
        score_jointly(hidden, values, folds, probe="svm")
    with pytest.raises(ValueError, match="indices below 6"):
        score_jointly(hidden, values, folds, neurons=[7])
    with pytest.raises(ValueError, match=r"folds of shape \(400,\)"):
        score_jointly(hidden, values, np.stack([folds] * 3, axis=1))
    with pytest.raises(ValueError, match="k from 1 to 6"):
        select_neurons(hidden, values, folds, 7)
    with pytest.raises(ValueError, match="all neurons together"):
        score_jointly(hidden, values, folds, metrics=("pearson",))


def test_logistic_fits_that_were_stopped_are_told():
    hidden, values, folds = _data()
    labels = np.concatenate([hidden[:, :1] > 5, values[:, :1] > 0], axis=1)
    assert score_jointly(hidden, labels, folds, probe="logistic", C=0.1).attrs["unfinished"] == 0
    with pytest.warns(ConvergenceWarning, match=r"of 8 joint logistic fits still moved .* a smaller C"):
        assert 0 < score_jointly(hidden, labels, folds, probe="logistic", C=1e9).attrs["unfinished"] <= 8
