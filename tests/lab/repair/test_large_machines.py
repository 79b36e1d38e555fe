"""Support vector machines on many states: the same optima as scikit-learn's."""

import numpy as np
import pytest
from sklearn.svm import SVC, LinearSVC

from dni_jax.lab.repair import _hybrids, _large_machines, fit_hybrid
from tests.support.slow import slow_after

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 400)
STATES = RNG.normal(size=(3, 6))[LABELS] + 1.2 * RNG.normal(size=(400, 6)) + 2


def objective(states, weights, bias, sign, C):
    slack = np.maximum(0, 1 - sign * (states @ weights + bias))
    return (weights @ weights + bias**2) / 2 + C * (slack**2).sum()


# With many neurons the states inside a margin are fewer than these, or not many more: another linear system.
@pytest.mark.parametrize("n_neurons", [6, 120, 300, 900])
def test_linear_machines_reach_liblinear_s_optimum(monkeypatch, n_neurons):
    monkeypatch.setattr(_hybrids, "_MANY", 100)
    noise = np.random.default_rng(1).normal(size=(400, n_neurons - 6))
    states = np.concatenate([STATES, np.maximum(noise, 0)], axis=1)
    ours = fit_hybrid(None, states, LABELS, C=0.5)
    for name, weights, bias in zip(ours.classes, ours.weights, ours.bias, strict=True):
        sign = np.where(name == LABELS, 1.0, -1.0)
        best = LinearSVC(C=0.5, tol=1e-8, max_iter=100_000, dual=False).fit(states, name == LABELS)
        least = objective(states, best.coef_[0], best.intercept_[0], sign, 0.5)
        assert objective(states, weights, bias, sign, 0.5) <= least * (1 + 1e-5)


def test_a_constant_state_changes_no_class(monkeypatch):
    monkeypatch.setattr(_hybrids, "_MANY", 100)
    ours = fit_hybrid(None, np.zeros((400, 3)), LABELS)
    assert not ours.weights.any()
    assert ours.classes[ours.bias.argmax()] == np.bincount(LABELS).argmax()


def test_rbf_machines_reach_libsvm_s_scores(monkeypatch):
    monkeypatch.setattr(_hybrids, "_MANY", 100)
    monkeypatch.setattr(_large_machines, "_FIRST_SET", 60)
    ours = fit_hybrid(None, STATES, LABELS, "rbf", C=2.0, gamma=0.1)
    for place, name in enumerate(ours.classes):
        theirs = SVC(C=2.0, gamma=0.1, tol=1e-4).fit(STATES, name == LABELS)
        np.testing.assert_allclose(
            np.asarray(ours.decision_function(STATES))[:, place], theirs.decision_function(STATES), atol=0.01
        )


@pytest.mark.parametrize("kernel", slow_after(1, ["linear", "rbf"]))
def test_two_classes_of_many_states(monkeypatch, kernel):
    few = fit_hybrid(None, STATES, LABELS == 1, kernel)
    monkeypatch.setattr(_hybrids, "_MANY", 100)
    many = fit_hybrid(None, STATES, LABELS == 1, kernel)
    np.testing.assert_allclose(many.decision_function(STATES), few.decision_function(STATES), atol=0.02)
