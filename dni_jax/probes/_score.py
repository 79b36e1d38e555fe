"""The one call: every neuron x feature x fold, scored on held-out positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from dni_jax import devices, processes
from dni_jax.probes import _bits, _check
from dni_jax.probes._binned import fit_counts
from dni_jax.probes._column import run_column
from dni_jax.probes._counting import choose_levels, count, in_chunks, sample
from dni_jax.probes._engine import Plan
from dni_jax.probes._products import choose_grid, multiply, score_products
from dni_jax.probes._result import Scores

_LINES = ("weight", "bias")
_ERRORS = ("auc_error", "accuracy_error", "r2_error")
_ENGINES = ("auto", "exact", "binned")
_EXACT_POSITIONS = 500_000
# Neurons whose ranks are kept for one product with the labels.
_NEURON_BATCH = 16
# Bytes that one neuron's prefixes may take before features are split.
_PREFIX_BYTES = 512 * 2**20


def score_neurons(
    hidden: Any,
    labels: Any,
    folds: Any,
    *,
    probe: str = "svm",
    metrics: tuple[str, ...] | None = None,
    C: float = 1.0,
    alpha: float | Sequence[float] = 1.0,
    class_weight: str | None = None,
    engine: str = "auto",
    n_bins: int = 512,
    neuron_batch: int | None = None,
    feature_batch: int | None = None,
) -> Scores:
    """Fit one probe for every neuron, feature and fold, and score it on the fold it did not see.

    Parameters
    ----------
    hidden : float array (T, N)
        States, NumPy or JAX. float64 is kept; half precision is widened to float32, integers to float64, which
        changes no value.
    labels : bool, integer or float array (T, F)
        0 and 1 for classifying probes, any finite number for continuous ones.
    folds : integer array (T,) or (T, F)
        The fold that holds each position out; -1 leaves it out everywhere. A column a feature runs one call a
        distinct column, which is slower.
    probe : {"svm", "linear_svc", "logistic", "ridge", "ols"}
        scikit-learn's ``SVC(kernel="linear")``, ``LinearSVC``, ``LogisticRegression``, ``RidgeClassifier`` (``Ridge``
        for continuous labels) and ``LinearRegression``, each at its exact optimum.
    metrics : tuple of str, optional
        Of accuracy, balanced_accuracy, f1, mcc and auc for classifiers (default accuracy and auc), of r2 and
        pearson for continuous probes (default both). "ridge" classifies binary labels unless asked for r2 or pearson.
        auc is the decision value's; where the fitted weight is 0, as an SVM's often is on a rare class, the neuron's
        own, in the direction of the training classes' means.
    C : float
        Cost of errors for "svm", "linear_svc" and "logistic".
    alpha : float, or several
        Penalty of "ridge". Several alphas share one pass, and the scores get a leading axis for them.
    class_weight : {None, "balanced"}
        "balanced" weighs classes by ``n / (2 * n_class)`` in each training set, as scikit-learn does.
    engine : {"auto", "exact", "binned"}
        "exact" works on sorted positions, "binned" on neurons rounded to `n_bins` levels (continuous labels: 65,536),
        solved exactly on those (`score_stream` takes chunks instead of whole arrays). "auto" bins classifiers above
        500,000 positions, where the exact prefixes outgrow the caches; ``attrs`` says what was done, and the error
        that binning can cause.
    n_bins : int
        Levels a neuron of the binned engine, about equally full.
    neuron_batch, feature_batch : int, optional
        Neurons and features worked on at a time by each device; lower values need less memory.

    Returns
    -------
    Scores
        A dict of float64 arrays (N, F, K) by metric, and "baseline" (F, K): the held-out accuracy of the training
        set's majority class (class 0 in a tie), or the held-out R^2 of the training mean. ``attrs`` holds probe,
        engine and settings.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, labels that do not fit the probe, folds out of
        range, or unknown names.

    Notes
    -----
    Neurons are spread over the devices, and over the processes where there are several.
    A constant neuron, or a training set with one class, predicts the training set's majority (weight 0, AUC .5).
    A held-out fold with one class has AUC NaN: there is no pair to rank. F1 and MCC are 0 where their denominator is.
    Points exactly on the boundary are predicted to be in class 0. R^2 of constant held-out labels is 0, or 1 where
    training saw only that constant; their Pearson correlation is NaN, as is a constant prediction's.

    Memory beside the arguments: a copy of the states, and on each device one neuron's prefixes, about
    ``12 * T / 64 * K * feature_batch`` bytes ("linear_svc" and "ridge" 20), at most 512 MiB unless `feature_batch` says
    otherwise, and ``8 * T * neuron_batch`` bytes of ranks. 20,000 x 128 x 50 x 20 peaks at 0.85 GiB for the whole
    process, JAX and scikit-learn included (``python scripts/bench_probes.py``).

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, score_neurons
    >>> rng = np.random.default_rng(0)
    >>> hidden = rng.normal(size=(200, 3)).astype("float32")
    >>> labels = hidden[:, :1] > 0
    >>> scores = score_neurons(hidden, labels, make_folds(200, k=4, scheme="shuffled"))
    >>> bool(scores["accuracy"][0].mean() > 0.95 > scores["accuracy"][1].mean())
    True
    """
    asked = _Asked(probe, metrics, C, alpha, class_weight, engine, n_bins, neuron_batch, feature_batch)
    return _solve(hidden, labels, folds, asked, lambda key: key not in _LINES)


def fit_neurons(
    hidden: Any,
    labels: Any,
    folds: Any,
    *,
    probe: str = "svm",
    C: float = 1.0,
    alpha: float | Sequence[float] = 1.0,
    class_weight: str | None = None,
) -> Scores:
    """Return the fitted lines themselves: decision or prediction is ``weight * x + bias``.

    Parameters
    ----------
    hidden, labels, folds, probe, C, alpha, class_weight
        As in `score_neurons`.

    Returns
    -------
    Scores
        "weight" and "bias", float64 (N, F, K), of the training sets that leave each fold out. Where the weight is 0,
        the bias is +1 or -1: the constant prediction of a classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import fit_neurons
    >>> hidden = np.array([[-3.0], [-1.0], [1.0], [3.0]] * 2)
    >>> line = fit_neurons(hidden, hidden > 0, np.repeat([0, 1], 4))
    >>> line["weight"][0, 0].tolist(), line["bias"][0, 0].tolist()
    ([1.0, 1.0], [0.0, 0.0])
    """
    return _solve(hidden, labels, folds, _Asked(probe, None, C, alpha, class_weight), lambda key: key in _LINES)


@dataclass(frozen=True)
class _Asked:
    """What a caller asks for beside the arrays; see `score_neurons`."""

    probe: str
    metrics: tuple[str, ...] | None
    C: float
    alpha: Any
    class_weight: str | None
    engine: str = "auto"
    n_bins: int = 512
    neuron_batch: int | None = None
    feature_batch: int | None = None

    def settled(self, labels: Any) -> "_Settled":
        """Check everything but the arrays, and decide what was left open."""
        chosen, metrics, classifies = _check.check_probe(self.probe, self.metrics, labels)
        if self.engine not in _ENGINES:
            raise ValueError(f"expected engine to be one of {', '.join(_ENGINES)}, got {self.engine!r}")
        _check.check_class_weight(self.class_weight, classifies)
        for name in ("neuron_batch", "feature_batch"):
            _check.check_batch(name, getattr(self, name))
        return _Settled(self, metrics, classifies, _check.check_strength(chosen, self.C, self.alpha))


class _Settled(NamedTuple):
    """What was asked for, the metrics to compute, whether the probe classifies, and its strengths."""

    asked: _Asked
    metrics: tuple[str, ...]
    classifies: bool
    strengths: tuple[float, ...]


def _solve(hidden: Any, labels: Any, folds: Any, asked: _Asked, wanted: Callable[[str], bool]) -> Scores:
    """Check everything, then run one call a distinct fold column; gives those of the results that are wanted."""
    settled = asked.settled(labels)
    classifies = settled.classifies
    hidden = _check.check_hidden(hidden)
    labels = _check.check_labels(labels, hidden.shape[0], classifies, asked.probe)
    folds = _check.check_folds(folds, *labels.shape)
    binned = asked.engine == "binned" or (asked.engine == "auto" and classifies and len(hidden) > _EXACT_POSITIONS)
    solve = _binned_column if binned else _exact_column
    attrs: dict[str, Any] = {
        "probe": asked.probe,
        "engine": "binned" if binned else "exact",
        "C": float(asked.C),
        "alpha": float(asked.alpha) if np.ndim(asked.alpha) == 0 else tuple(map(float, asked.alpha)),
        "class_weight": str(asked.class_weight),
        "n_devices": devices.make_mesh("neurons").size * processes.count(),
    }
    own = hidden[:, processes.shard(hidden.shape[1])] if processes.count() > 1 else hidden
    result: dict[str, np.ndarray] = {}
    for column, features in _distinct_columns(folds, labels.shape[1]):
        part, more = solve(own, _take(labels, features), column, settled)
        attrs |= {key: max(attrs.get(key, 0), value) for key, value in more.items()}
        for key, value in part.items():
            if not wanted(key):
                continue
            shape = (*value.shape[:-2], labels.shape[1], value.shape[-1])
            result.setdefault(key, np.empty(shape))[..., features, :] = value
    result, attrs = _of_all(result, attrs, hidden.shape[1])
    if np.ndim(asked.alpha) == 0:
        result = {key: value if key == "baseline" else value[0] for key, value in result.items()}
    return Scores(result, attrs)


def _of_all(
    result: dict[str, np.ndarray], attrs: dict[str, Any], n_neurons: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Put together the neurons of all processes, and the largest of the errors that rounding can cause."""
    if processes.count() == 1:
        return result, attrs
    whole = {
        key: value if key == "baseline" else processes.all_gather(value, n_neurons, axis=1)
        for key, value in result.items()
    }
    names = [name for name in _ERRORS if name in attrs]
    largest = np.max(processes.gather_list(np.asarray([attrs[name] for name in names], np.float64)), axis=0)
    return whole, attrs | dict(zip(names, largest.tolist(), strict=True))


def _exact_column(
    hidden: Any, labels: np.ndarray, folds: np.ndarray, settled: _Settled
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Run one fold assignment on sorted positions, or on the moments of continuous labels."""
    asked, metrics, classifies, strengths = settled
    plan = Plan(
        probe=asked.probe,
        metrics=metrics,
        n_folds=int(folds.max()) + 1,
        feature_batch=_feature_batch(labels.shape[1], folds, asked.feature_batch),
        neuron_batch=_neuron_batch(hidden.shape[1], asked.neuron_batch),
        balanced=asked.class_weight == "balanced",
        classifies=classifies,
    )
    return run_column(hidden, labels, folds, strengths, plan), {}


def _binned_column(
    hidden: Any, labels: np.ndarray, folds: np.ndarray, settled: _Settled
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Run one fold assignment on counts, or on the products of continuous labels; also says what rounding can do."""
    asked, metrics, classifies, strengths = settled
    chunks, n_folds = in_chunks(hidden, labels, folds), int(folds.max()) + 1
    if classifies:
        levels = choose_levels(sample(hidden, folds), asked.n_bins)
        counts = count(chunks, levels, n_folds)
        scores = fit_counts(counts, asked.probe, metrics, asked.C, strengths, asked.class_weight)
    else:
        products = multiply(chunks, choose_grid(hidden, labels), n_folds)
        scores = score_products(products, probe=asked.probe, metrics=metrics, alpha=strengths)
    return dict(scores), {key: scores.attrs[key] for key in (*_ERRORS, "n_bins") if key in scores.attrs}


def _distinct_columns(folds: Int[np.ndarray, "..."], n_features: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each different assignment of folds, with the features that use it."""
    if folds.ndim == 1:
        return [(folds, np.arange(n_features))]
    features: dict[bytes, list[int]] = {}
    for feature in range(n_features):
        features.setdefault(folds[:, feature].tobytes(), []).append(feature)
    return [(np.ascontiguousarray(folds[:, members[0]]), np.array(members)) for members in features.values()]


def _take(labels: Shaped[np.ndarray, "T F"], features: np.ndarray) -> Shaped[np.ndarray, "T G"]:
    return labels if len(features) == labels.shape[1] else labels[:, features]


def _neuron_batch(n_neurons: int, wanted: int | None) -> int:
    per_device = -(-n_neurons // devices.make_mesh("neurons").size)
    return min(wanted or _NEURON_BATCH, per_device)


def _feature_batch(n_features: int, folds: Int[np.ndarray, " T"], wanted: int | None) -> int:
    n_words = -(-int(np.count_nonzero(folds >= 0)) // _bits.WORD)
    fitting = max(1, _PREFIX_BYTES // (12 * n_words * (int(folds.max()) + 1)))
    n_groups = -(-n_features // min(wanted or fitting, n_features))
    return -(-n_features // n_groups)
