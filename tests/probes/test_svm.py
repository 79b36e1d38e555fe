"""The exact SVM against scikit-learn's SVC, and against answers known beforehand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from dni_jax.probes import fit_neurons, reference, score_neurons
from tests.support.probe_problems import KINDS, METRICS, hinge_objective, problem
from tests.support.slow import slow_after


def _compare(hidden, labels, folds, C=1.0, class_weight=None):
    """Objective never worse than SVC's, and decisions equal but for points on the boundary."""
    balanced = class_weight == "balanced"
    settings = {"metrics": METRICS, "C": C, "class_weight": class_weight}
    lines = fit_neurons(hidden, labels, folds, **settings)
    accuracy = score_neurons(hidden, labels, folds, **settings)["accuracy"]
    for n, f, k in np.ndindex(lines["weight"].shape):
        x, y = hidden[:, n].astype(np.float64), labels[:, f]
        train, test = folds != k, folds == k
        weight, bias = lines["weight"][n, f, k], lines["bias"][n, f, k]
        if y[train].min() == y[train].max():
            assert weight == 0
            assert accuracy[n, f, k] == np.mean(y[test] == y[train][0])
            continue
        svc = SVC(kernel="linear", C=C, tol=1e-7, class_weight=class_weight, max_iter=100_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svc.fit(x[train, None], y[train])
        ours = hinge_objective(x[train], y[train], weight, bias, C, balanced)
        theirs = hinge_objective(x[train], y[train], svc.coef_[0, 0], svc.intercept_[0], C, balanced)
        assert ours <= theirs * (1 + 1e-6) + 1e-12, (n, f, k, ours, theirs)
        decision = svc.decision_function(x[test, None])
        own = weight * x[test] + bias
        clear = (np.abs(decision) > 1e-3) & (np.abs(own) > 1e-9)
        if balanced and abs(bias - svc.intercept_[0]) > 1e-3:
            continue  # classes of equal mass leave a whole interval of optimal biases
        disagree = np.count_nonzero((decision > 0)[clear] != (own > 0)[clear])
        if theirs - ours <= 1e-9 * theirs:  # SVC has converged
            assert disagree == 0, (n, f, k)
        assert abs(accuracy[n, f, k] - np.mean((own > 0) == y[test])) <= np.mean(np.abs(own) < 1e-9) + 1e-12


QUICK = [(None, "random", 0), (None, "tied", 0), (None, "constant", 0), (None, "large_offset", 0)]
QUICK += [("balanced", "random", 0)]
EVERY = [
    (class_weight, kind, seed)
    for class_weight in (None, "balanced")
    for kind in KINDS
    for seed in range(2)
    if kind != "outliers"  # libsvm does not converge; see test_not_beaten_nearby
]


@pytest.mark.parametrize(
    ("class_weight", "kind", "seed"),
    slow_after(len(QUICK), [*QUICK, *(case for case in EVERY if case not in QUICK)], n_arguments=3),
)
def test_matches_svc(kind, seed, class_weight):
    _compare(*problem(kind, seed), class_weight=class_weight)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), C=st.sampled_from([0.01, 1.0, 30.0]), balanced=st.booleans(), double=st.booleans())
@settings(max_examples=30, deadline=None)
def test_not_beaten_nearby(kind, seed, C, balanced, double):
    """The problem is convex: no better point close by means no better point at all."""
    hidden, labels, folds = problem(kind, seed, np.float64 if double else np.float32)
    lines = fit_neurons(hidden, labels, folds, C=C, class_weight="balanced" if balanced else None)
    rng = np.random.default_rng(seed)
    for n, f, k in np.ndindex(lines["weight"].shape):
        train = folds != k
        x, y = hidden[train, n].astype(np.float64), labels[train, f]
        if y.min() == y.max():
            continue
        shift = np.median(x)
        weight = lines["weight"][n, f, k]
        bias = lines["bias"][n, f, k] + weight * shift
        best = hinge_objective(x - shift, y, weight, bias, C, balanced)
        for size in 10.0 ** np.arange(-7, 1):
            step = size * rng.normal(size=2) * np.array([max(abs(weight), 1 / (np.std(x) + 1e-9)), 1 + abs(bias)])
            other = hinge_objective(x - shift, y, weight + step[0], bias + step[1], C, balanced)
            assert best <= other * (1 + 1e-9) + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("n_fits", [500])
def test_random_fits_of_a_grid(n_fits):
    rng = np.random.default_rng(0)
    hidden = np.tanh(rng.normal(size=(1500, 10))).astype(np.float32)
    labels = hidden[:, rng.integers(0, 10, 10)] * rng.uniform(0, 2, 10) + rng.normal(size=(1500, 10)) > 0.5
    folds = (np.arange(1500) * 20 // 1500).astype(np.int32)
    lines = fit_neurons(hidden, labels, folds)
    for number in rng.choice(10 * 10 * 20, n_fits, replace=False):
        n, f, k = np.unravel_index(number, (10, 10, 20))
        train = folds != k
        x, y = hidden[train, n].astype(np.float64), labels[train, f]
        svc = SVC(kernel="linear", tol=1e-5).fit(x[:, None], y)
        theirs = hinge_objective(x, y, svc.coef_[0, 0], svc.intercept_[0])
        assert hinge_objective(x, y, lines["weight"][n, f, k], lines["bias"][n, f, k]) <= theirs * (1 + 1e-6)


def test_separable_margin_is_known():
    """Two points at distance d have w = 2 / d, halfway, once C is large enough."""
    high = np.arange(240) % 2 == 1
    hidden = np.where(high[:, None], [4.0, 1.0, -2.0], [0.0, -1.0, 8.0]).astype(np.float32)
    labels = np.repeat(high[:, None], 3, axis=1)
    lines = fit_neurons(hidden, labels, (np.arange(240) // 60).astype(np.int32), metrics=METRICS, C=10.0)
    for neuron, (weight, bias) in enumerate([(0.5, -1.0), (1.0, 0.0), (-0.2, 0.6)]):
        np.testing.assert_allclose(lines["weight"][neuron], weight)
        np.testing.assert_allclose(lines["bias"][neuron], bias, atol=1e-12)


def test_negated_neuron_and_swapped_classes():
    hidden, labels, folds = problem("random", 5)
    plain = score_neurons(hidden, labels, folds, metrics=METRICS)
    for other in (
        score_neurons(-hidden, labels, folds, metrics=METRICS),
        score_neurons(hidden, ~labels, folds, metrics=METRICS),
    ):
        for metric in ("accuracy", "auc", "mcc", "balanced_accuracy"):
            np.testing.assert_allclose(other[metric], plain[metric], atol=1e-12)


@pytest.mark.parametrize("kind", slow_after(2, ["random", "constant", "imbalanced", "one_positive"]))
def test_all_metrics_match_scikit_learn(kind):
    hidden, labels, folds = problem(kind, 11)
    ours = score_neurons(hidden, labels, folds, metrics=METRICS)
    theirs = reference.score_neurons(hidden, labels, folds, metrics=METRICS)
    np.testing.assert_allclose(ours["baseline"], theirs["baseline"])
    for metric in METRICS:
        np.testing.assert_allclose(ours[metric], theirs[metric], atol=1e-12, err_msg=metric)


def test_a_flat_fit_on_a_rare_class_does_not_make_the_neuron_blind():
    rng = np.random.default_rng(0)
    labels = np.arange(240)[:, None] % 20 == [0, 7, 13]
    # Neuron n knows feature n. Ten times the range would keep the lines flat, but libsvm busy for minutes.
    hidden = 0.1 * (rng.normal(size=(240, 3)) - 1.25 * labels).astype(np.float32)
    folds = rng.permutation(np.arange(240) % 4).astype(np.int32)
    scores = score_neurons(hidden, labels, folds, metrics=METRICS)
    assert (scores.lines["weight"] == 0).all()
    np.testing.assert_array_equal(scores["accuracy"], np.broadcast_to(scores["baseline"], (3, 3, 4)))
    auc, knows = scores["auc"].mean(axis=2), np.eye(3, dtype=bool)
    assert auc[knows].min() > 0.8
    assert abs(auc[~knows].mean() - 0.5) < 0.06
    theirs = reference.score_neurons(hidden, labels, folds)["auc"]
    np.testing.assert_allclose(scores["auc"], theirs, atol=1e-12)


def test_constant_inputs_have_defined_scores():
    rng = np.random.default_rng(0)
    hidden = np.stack([np.ones(240), rng.normal(size=240), np.zeros(240)], axis=1).astype(np.float32)
    folds = (np.arange(240) // 60).astype(np.int32)
    sometimes = (np.arange(240) % 3 == 0) & (folds != 3)
    labels = np.stack([np.ones(240), np.zeros(240), sometimes], axis=1)
    scores = score_neurons(hidden, labels, folds, metrics=METRICS)
    np.testing.assert_array_equal(scores["accuracy"][:, :2], 1.0)
    np.testing.assert_array_equal(scores["f1"][:, 1], 0.0)
    np.testing.assert_array_equal(scores["mcc"][:, :2], 0.0)
    assert np.isnan(scores["auc"][:, :2]).all()
    assert np.isnan(scores["auc"][:, 2, 3]).all()
    np.testing.assert_array_equal(scores["auc"][::2, 2, :3], 0.5)
    np.testing.assert_array_equal(scores["accuracy"][::2, 2], scores["baseline"][[2, 2]])
    finite = [value for key, value in scores.items() if key != "auc"]
    assert all(np.isfinite(value).all() for value in finite)


@pytest.mark.slow
def test_digits_survive_a_million_positions():
    """Sums over 10^6 values near 1000 need more than float32's digits: a shift must change nothing."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    hidden = (rng.integers(-512, 512, (n, 1)) / 256).astype(np.float32)  # exact after adding 1000, too
    labels = hidden + rng.normal(size=(n, 1)) > 2.0
    folds = rng.integers(0, 2, n).astype(np.int32)
    near = fit_neurons(hidden, labels, folds)
    far = fit_neurons(hidden + np.float32(1000), labels, folds)
    np.testing.assert_allclose(far["weight"], near["weight"], rtol=1e-12)
    np.testing.assert_allclose(far["bias"] + 1000 * far["weight"], near["bias"], rtol=1e-9)
    k, train = 0, folds != 0
    x, y = hidden[train, 0].astype(np.float64), labels[train, 0]
    best = hinge_objective(x, y, near["weight"][0, 0, k], near["bias"][0, 0, k])
    for dw, db in 1e-4 * rng.normal(size=(20, 2)):
        assert best <= hinge_objective(x, y, near["weight"][0, 0, k] + dw, near["bias"][0, 0, k] + db)


@pytest.mark.parametrize("engine", ["exact", "binned"])
def test_positions_on_the_boundary_count_half_for_each_class(engine):
    """Counters, signs and rectified units have many: a feature and its negation must have one accuracy."""
    rng = np.random.default_rng(0)
    n = 240
    signal = rng.normal(size=n)
    hidden = np.stack([np.round(2 * signal), np.sign(signal), np.maximum(np.round(signal), 0)], axis=1)
    hidden = hidden.astype(np.float32)
    labels = signal[:, None] + rng.normal(size=(n, 3)) > [0, 0.7, -0.7]
    folds = (np.arange(n) % 4).astype(np.int32)
    scores = score_neurons(hidden, labels, folds, metrics=METRICS, engine=engine, n_bins=32)
    negated = score_neurons(hidden, ~labels, folds, metrics=METRICS, engine=engine, n_bins=32)
    weights = np.isclose(scores.lines["weight"], 0)  # flat in a tie of the classes: class 0 by definition
    np.testing.assert_allclose(np.where(weights, 0, scores["accuracy"]), np.where(weights, 0, negated["accuracy"]))
    on_boundary = 0
    for neuron, feature, fold in np.ndindex(3, 3, 4):
        held = folds == fold
        x = hidden[:, [neuron]]
        other = SVC(kernel="linear", C=1.0, tol=1e-6).fit(x[~held], labels[~held, feature])
        decision = other.decision_function(x[held])
        sure = np.abs(decision) > 1e-3
        right = np.count_nonzero((decision > 0)[sure] == labels[held, feature][sure]) + np.count_nonzero(~sure) / 2
        on_boundary += np.count_nonzero(~sure)
        if not weights[neuron, feature, fold]:
            np.testing.assert_allclose(scores["accuracy"][neuron, feature, fold], right / np.count_nonzero(held))
    assert on_boundary > 20
