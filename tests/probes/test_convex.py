"""LinearSVC, logistic regression and the ridge classifier: never above scikit-learn's objective."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import LinearSVC

from dni_jax.probes import fit_neurons, reference, score_neurons
from dni_jax.probes._registry import PROBES
from tests.support.probe_problems import KINDS, METRICS, problem
from tests.support.slow import slow_after

_PROBES = ("linear_svc", "logistic", "ridge")


def _objective(probe, x, y, weight, bias, strength, balanced):
    sign = np.where(y, 1.0, -1.0)
    cost = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum())) if balanced else np.ones(len(x))
    margin = sign * (weight * x + bias)
    if probe == "linear_svc":
        return (weight**2 + bias**2) / 2 + strength * np.sum(cost * np.maximum(0, 1 - margin) ** 2)
    if probe == "logistic":
        return weight**2 / 2 + strength * np.sum(cost * np.logaddexp(0, -margin))
    return strength * weight**2 + np.sum(cost * (1 - margin) ** 2)


def _estimator(probe, strength, class_weight):
    return {
        "linear_svc": lambda: LinearSVC(C=strength, tol=1e-9, max_iter=10_000, dual=False, class_weight=class_weight),
        "logistic": lambda: LogisticRegression(C=strength, tol=1e-9, class_weight=class_weight),
        "ridge": lambda: RidgeClassifier(alpha=strength, class_weight=class_weight),
    }[probe]()


QUICK = [(None, probe, kind) for probe in _PROBES for kind in ("random", "constant")]
QUICK += [("balanced", "ridge", "random")]
EVERY = [(class_weight, probe, kind) for class_weight in (None, "balanced") for probe in _PROBES for kind in KINDS]


@pytest.mark.parametrize(
    ("class_weight", "probe", "kind"),
    slow_after(len(QUICK), [*QUICK, *(case for case in EVERY if case not in QUICK)], n_arguments=3),
)
def test_objective_is_never_above_scikit_learns(kind, probe, class_weight):
    hidden, labels, folds = problem(kind, 7)
    strength = 2.0
    settings = {"metrics": METRICS, PROBES[probe].strength: strength, "class_weight": class_weight}
    lines = fit_neurons(hidden, labels, folds, probe=probe, **settings)
    for n, f, k in np.ndindex(lines["weight"].shape):
        train = folds != k
        x, y = hidden[train, n].astype(np.float64), labels[train, f]
        if y.min() == y.max():
            assert lines["weight"][n, f, k] == 0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn may not converge; then it is only easier to beat
            model = _estimator(probe, strength, class_weight).fit(x[:, None], y)
        arguments = (strength, class_weight == "balanced")
        ours = _objective(probe, x, y, lines["weight"][n, f, k], lines["bias"][n, f, k], *arguments)
        theirs = _objective(probe, x, y, model.coef_.item(), model.intercept_.item(), *arguments)
        flat = lines["weight"][n, f, k] == 0  # a flat line reports its decision, not its bias
        assert flat or ours <= theirs * (1 + 1e-8) + 1e-12, (n, f, k)


@pytest.mark.parametrize("class_weight", [None, pytest.param("balanced", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", slow_after(1, ["random", "rounded"]))
def test_several_alphas_at_once(kind, class_weight):
    hidden, labels, folds = problem(kind, 2)
    alphas = (0.0, 1.0, 1e4)
    options = {"probe": "ridge", "metrics": METRICS, "class_weight": class_weight}
    together = score_neurons(hidden, labels, folds, alpha=alphas, **options)
    theirs = reference.score_neurons(hidden, labels, folds, alpha=alphas[1:], **options)
    for number, alpha in enumerate(alphas):
        alone = score_neurons(hidden, labels, folds, alpha=alpha, **options)
        for metric in ("accuracy", "auc"):
            np.testing.assert_array_equal(together[metric][number], alone[metric])
    np.testing.assert_allclose(together["accuracy"][1:], theirs["accuracy"], atol=1e-12)
    np.testing.assert_allclose(together["auc"][1:], theirs["auc"], atol=1e-12)
    assert together.attrs["alpha"] == alphas


def test_continuous_ridge_is_scikit_learns():
    hidden, labels, folds = problem("random", 2)
    values = labels + np.random.default_rng(0).normal(size=labels.shape)
    options = {"probe": "ridge", "alpha": (0.5, 50.0)}
    ours = score_neurons(hidden, values, folds, **options)
    theirs = reference.score_neurons(hidden, values, folds, **options)
    for key in ("r2", "pearson", "baseline"):
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-9)
