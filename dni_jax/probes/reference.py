"""The oracle: the same scores from scikit-learn, one estimator for each neuron, feature and fold. For checks; slow."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.svm import SVC, LinearSVC

from dni_jax.probes import _check
from dni_jax.probes._engine import Scores
from dni_jax.probes._spec import ProbeSpec, as_spec

# libsvm's slope where none exists is rounding of either sign; the neuron is then read by the classes' training means.
_FLAT = 1e-4


def score_neurons(
    hidden: Any,
    labels: Any,
    folds: Any,
    *,
    probe: str | ProbeSpec = "svm",
    **settings: Any,
) -> Scores:
    """Score as `dni_jax.probes.score_neurons` does, with scikit-learn's estimators and metrics.

    Parameters
    ----------
    hidden, labels, folds, probe, settings
        As in `dni_jax.probes.score_neurons`. The engine and its batches are accepted, so that both functions can be
        called alike, but have no effect.

    Returns
    -------
    Scores
        As in `dni_jax.probes.score_neurons`.

    Raises
    ------
    ValueError
        As in `dni_jax.probes.score_neurons`.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, reference
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> folds = make_folds(40, k=2, scheme="shuffled")
    >>> float(reference.score_neurons(x, x > 0, folds)["auc"].min())
    1.0
    """
    spec = as_spec(probe, settings).resolve(labels)
    hidden = np.asarray(_check.check_hidden(hidden)).astype(np.float64)
    labels = _check.check_labels(labels, hidden.shape[0], spec.classifies, spec.probe)
    labels = labels if spec.classifies else labels.astype(np.float64)
    folds = _check.check_folds(folds, *labels.shape)
    alphas = spec.alpha if isinstance(spec.alpha, tuple) else (spec.alpha,)
    parts = [_score_all(_estimator(replace(spec, alpha=one)), hidden, labels, folds, spec.names) for one in alphas]
    result = {name: np.stack([part[name] for part in parts]) for name in spec.names} if spec.several else parts[0]
    result["baseline"] = parts[0]["baseline"]
    return Scores(result, {**spec.describe(), "engine": "scikit-learn"})


def _score_all(
    make: Callable[[], Any], hidden: np.ndarray, labels: np.ndarray, folds: np.ndarray, metrics: tuple[str, ...]
) -> dict[str, np.ndarray]:
    (n_neurons, n_features), k = (hidden.shape[1], labels.shape[1]), int(folds.max()) + 1
    result = {metric: np.empty((n_neurons, n_features, k)) for metric in metrics}
    result["baseline"] = np.empty((n_features, k))
    for feature, y in enumerate(labels.T):
        column = folds if folds.ndim == 1 else folds[:, feature]
        for fold in range(k):
            train, test = (column >= 0) & (column != fold), column == fold
            result["baseline"][feature, fold] = _baseline(y[train], y[test])
            for neuron, x in enumerate(hidden.T):
                scores = _score_one(make, x, y, train, test)
                for metric in metrics:
                    result[metric][neuron, feature, fold] = scores[metric]
    return result


def _estimator(spec: ProbeSpec) -> Callable[[], Any]:
    """Return what makes scikit-learn's estimator, with tolerances that let it converge."""
    shared = {"C": spec.C, "class_weight": spec.class_weight}
    if spec.probe == "ridge" and spec.classifies:
        return lambda: RidgeClassifier(alpha=spec.alpha, class_weight=spec.class_weight)
    estimators: dict[str, Callable[[], Any]] = {
        "svm": lambda: SVC(kernel="linear", tol=1e-6, cache_size=500, **shared),
        "linear_svc": lambda: LinearSVC(tol=1e-10, dual=False, max_iter=100_000, **shared),
        "logistic": lambda: LogisticRegression(tol=1e-10, solver="newton-cholesky", **shared),
        "ridge": lambda: Ridge(alpha=spec.alpha),
        "ols": LinearRegression,
    }
    if spec.probe not in estimators:
        raise ValueError(f"expected a probe among {', '.join(estimators)}, got {spec.probe!r}: name its estimator here")
    return estimators[spec.probe]


def _score_one(
    make: Callable[[], Any], x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    """Fit one estimator; a training set with one class predicts that class, which scikit-learn refuses to do."""
    if y.dtype != bool:
        prediction = make().fit(x[train, None], y[train]).predict(x[test, None])
        return _regression_scores(y[test], prediction)
    if y[train].min() == y[train].max():
        decision = np.zeros(np.count_nonzero(test))
        return _class_scores(y[test], np.full(len(decision), y[train][0]), decision)
    model = make().fit(x[train, None], y[train])
    decision = model.decision_function(x[test, None])
    if abs(float(model.coef_.squeeze())) * np.ptp(x[train]) < _FLAT:
        decision = x[test] * (x[train & y].mean() - x[train & ~y].mean())
    return _class_scores(y[test], model.predict(x[test, None]), decision)


def _class_scores(
    truth: Bool[np.ndarray, " T"], predicted: Bool[np.ndarray, " T"], decision: Float[np.ndarray, " T"]
) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # folds without a class: defined below and in the docstring
        return {
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
            "f1": sk.f1_score(truth, predicted, zero_division=0),
            "mcc": sk.matthews_corrcoef(truth, predicted),
            "auc": sk.roc_auc_score(truth, decision) if 0 < truth.sum() < len(truth) else np.nan,
        }


def _regression_scores(truth: Float[np.ndarray, " T"], predicted: Float[np.ndarray, " T"]) -> dict[str, float]:
    constant = len(truth) < 2 or truth.min() == truth.max() or np.ptp(predicted) <= 1e-12 * np.abs(predicted).max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer than two positions: NaN, as documented
        r2 = sk.r2_score(truth, predicted)
    return {"r2": r2, "pearson": np.nan if constant else np.corrcoef(truth, predicted)[0, 1]}


def _baseline(train: np.ndarray, test: np.ndarray) -> float:
    if train.dtype == bool:
        return float(np.mean(test == (2 * train.sum() > len(train))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sk.r2_score(test, np.full(len(test), train.mean())))
