"""Hybrids of states, functions and networks, compared with scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, LinearSVC

import dni_jax as dni
from dni_jax.lab.repair import fgsm, fit_hybrid, one_hot_targets, repair_head
from tests.support.slow import slow_after


def drawn(n_classes, n_states=150, n_neurons=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n_states)
    states = rng.normal(size=(n_classes, n_neurons))[labels] + 0.8 * rng.normal(size=(n_states, n_neurons))
    return states + 5, labels  # far from 0, where squares are large


@pytest.mark.parametrize(
    ("kernel", "n_classes"), slow_after(2, [("rbf", 4), ("linear", 2), ("rbf", 2), ("linear", 4)], 2)
)
def test_scores_are_those_of_scikit_learn(kernel, n_classes):
    states, labels = drawn(n_classes)
    names = np.array([-3, 1, 7, 8])[labels]
    kind = LinearSVC(C=2.0, random_state=0) if kernel == "linear" else SVC(C=2.0, gamma="scale")
    theirs = OneVsRestClassifier(kind).fit(states, names)
    ours = fit_hybrid(None, states, names, kernel, C=2.0)
    expected = theirs.decision_function(states)
    if n_classes == 2:
        expected = np.stack([-expected, expected], axis=1)
    np.testing.assert_allclose(ours.decision_function(states), expected, atol=2e-4)
    assert ours.classes.tolist() == theirs.classes_.tolist()
    np.testing.assert_array_equal(ours.predict(states), theirs.predict(states))
    assert ours.accuracy(states, names) == np.mean(theirs.predict(states) == names) > 0.9
    assert (ours.weights is None) == (kernel == "rbf") == (ours.support is not None)


@pytest.mark.parametrize("kernel", slow_after(1, ["rbf", "linear"]))
def test_gradients_of_the_decision_function(kernel):
    states, labels = drawn(3)
    ours = fit_hybrid(lambda x: jnp.tanh(x), np.tanh(states), labels, kernel)
    at = states[:2].astype(np.float32)
    found = np.asarray(jax.jit(jax.jacobian(ours.scores))(at))
    step = 1e-3
    for row, column in [(0, 1), (1, 4)]:
        moved = [np.array(at, float) for _ in range(2)]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        up, down = (exact(ours, np.tanh(one)) for one in moved)
        np.testing.assert_allclose(found[:, :, row, column], (up - down) / (2 * step), atol=2e-4)


def exact(ours, states):
    """Compute scores in float64."""
    if ours.weights is not None:
        return states @ ours.weights.T + ours.bias
    squares = ((states[:, None] - ours.support) ** 2).sum(axis=2)
    return np.exp(-ours.gamma * squares) @ ours.coefficients.T + ours.bias


def test_the_hybrid_of_a_function_is_attacked_and_repaired():
    pictures, labels = drawn(3, 300, 8)
    pictures = (pictures - pictures.min()) / np.ptp(pictures)
    mix = np.random.default_rng(1).normal(size=(8, 20)).astype(np.float32)

    def body(x):
        return jax.nn.relu(jnp.asarray(x, jnp.float32) @ mix)

    states = np.asarray(body(pictures))
    svm = fit_hybrid(body, states, labels)
    assert svm.accuracy(pictures, labels) > 0.9
    other = fgsm(svm.scores, pictures, labels, 0.1)
    fooled = svm.predict(other) != labels
    assert fooled.mean() > 0.2
    seen = np.asarray(body(other[fooled]))
    fix = repair_head(svm.weights, svm.bias, seen[:4], one_hot_targets(labels[fooled][:4], 3), hard=True)
    mended = svm.with_repair(fix)
    np.testing.assert_array_equal(mended.predict(other[fooled][:4]), labels[fooled][:4])
    np.testing.assert_allclose(mended.decision_function(seen), fix.scores(seen), atol=1e-4)
    with pytest.raises(ValueError, match="expected a linear hybrid"):
        fit_hybrid(body, states, labels, "rbf").with_repair(fix)
    with pytest.raises(ValueError, match=r"repair of weights \(2, 20\)"):
        fit_hybrid(body, states, labels % 2).with_repair(fix)


def test_the_hybrid_of_a_network_reads_a_corpus(model, held_out, states, labels):
    text = held_out.head(1_500)
    rows = dni.record(model, text)
    digit = dni.FeatureLibrary((dni.char_feature("digit", str.isdigit),)).label(text)
    svm = dni.lab.repair.fit_hybrid(model, rows, digit)
    assert svm.accuracy(text, digit) > 0.95
    np.testing.assert_array_equal(svm.predict(text), fit_hybrid(None, rows.hidden, digit.columns[0]).predict(rows))
    with pytest.raises(ValueError, match="expected a corpus"):
        svm.predict(rows.hidden)
    with pytest.raises(ValueError, match="one binary feature"):
        dni.lab.repair.fit_hybrid(model, states, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "poly"}, "expected a kernel among"),
        ({"model": "lstm"}, "TrainedModel, a function or None"),
        ({"labels": np.zeros(10, int)}, r"two classes, got only \[0\]"),
        ({"labels": np.zeros(9, int)}, r"labels of shape \(10,\)"),
        ({"labels": np.zeros(10)}, "integer labels"),
        ({"states": np.full((10, 2), np.inf)}, "finite states"),
        ({"states": np.zeros(10)}, r"states of shape \(T, N\)"),
        ({"C": 0.0}, "above 0"),
        ({"gamma": -1.0}, "above 0"),
        ({"kernel": "rbf"}, "states that differ"),
    ],
)
def test_invalid_arguments(change, message):
    given = {"model": None, "states": np.ones((10, 2)), "labels": np.arange(10) % 2}
    with pytest.raises(ValueError, match=message):
        fit_hybrid(**(given | change))


@pytest.mark.parametrize("kernel", slow_after(1, ["linear", "rbf"]))
def test_invalid_inputs(kernel):
    states, labels = drawn(3, n_states=40)
    ours = fit_hybrid(None, states, labels, kernel)
    for given, message in (
        (states[:0], "at least one input"),
        (states[0], r"states of shape \(T, 6\)"),
        (states[:, :5], r"states of shape \(T, 6\)"),
        (np.where(np.arange(6) == 2, np.nan, states), "finite scores"),
    ):
        with pytest.raises(ValueError, match=message):
            ours.predict(given)
