"""The public calls: every neuron, feature and fold, scored on positions held out; shared by processes and devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped

from dni_jax import devices, processes
from dni_jax.probes import _check, _engine_counts, _engine_grid, _engine_moments, _engine_sorted
from dni_jax.probes import _direct as direct
from dni_jax.probes._engine import Engine, Sample, Scores
from dni_jax.probes._spec import ProbeSpec, as_spec

_ERRORS = ("auc_error", "accuracy_error", "r2_error")
_EXACT_POSITIONS = 500_000  # above which the prefixes of sorted neurons outgrow the caches


def score_neurons(
    hidden: Any,
    labels: Any,
    folds: Any,
    *,
    probe: str | ProbeSpec = "svm",
    metrics: tuple[str, ...] | None = None,
    C: float = 1.0,
    alpha: Any = 1.0,
    class_weight: str | None = None,
    engine: str = "auto",
    n_bins: int = 512,
    neuron_batch: int | None = None,
    feature_batch: int | None = None,
    plan: str = "auto",
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
        The fold that holds each position out; -1 leaves it out everywhere. With a column per feature,
        each distinct column is one call, which is slower.
    probe : str or ProbeSpec
        "svm", "linear_svc", "logistic", "ridge" or "ols"; or a whole `ProbeSpec`, without further settings.
    metrics, C, alpha, class_weight, engine, n_bins, neuron_batch, feature_batch, plan
        See `ProbeSpec`. AUC is the decision value's; where the fitted weight is 0, as an SVM's often is on a rare
        class, it is the neuron's own, in the direction of the training classes' means.

    Returns
    -------
    Scores
        A dict of float64 arrays (N, F, K) by metric, and "baseline" (F, K): the held-out accuracy of the training
        set's majority class (class 0 in a tie), or the held-out R^2 of the training mean. ``attrs`` holds the probe,
        the engine, its settings, and what rounding to levels can change (see `ProbeSpec`).

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
    Points on the boundary (decision values within 1e-9 of 0) count half for each class, so that a feature and its
    negation have the same accuracy; libsvm leaves them to rounding. R^2 of constant held-out labels is 0, or 1 where
    training saw only that constant; their Pearson correlation is NaN, as is a constant prediction's.

    Memory in addition to the arguments: a copy of the states, and on each device one neuron's prefixes, about
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
    settings = {"metrics": metrics, "C": C, "alpha": alpha, "class_weight": class_weight, "engine": engine}
    settings |= {"n_bins": n_bins, "neuron_batch": neuron_batch, "feature_batch": feature_batch, "plan": plan}
    return _score(hidden, labels, folds, as_spec(probe, settings))


def fit_neurons(hidden: Any, labels: Any, folds: Any, *, probe: str | ProbeSpec = "svm", **settings: Any) -> Scores:
    """Fit one probe for every neuron, feature and fold, and return its weight and bias.

    Parameters
    ----------
    hidden, labels, folds, probe, settings
        As in `score_neurons`.

    Returns
    -------
    Scores
        "weight" and "bias", float64 (N, F, K), of the training sets that leave each fold out. Where the weight is 0,
        the bias of a classifier is +1 or -1: its constant prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import fit_neurons
    >>> hidden = np.array([[-3.0], [-1.0], [1.0], [3.0]] * 2)
    >>> line = fit_neurons(hidden, hidden > 0, np.repeat([0, 1], 4))
    >>> line["weight"][0, 0].tolist(), line["bias"][0, 0].tolist()
    ([1.0, 1.0], [0.0, 0.0])
    """
    scores = _score(hidden, labels, folds, as_spec(probe, settings))
    return Scores(scores.lines, scores.attrs)


def choose_engine(spec: ProbeSpec, n_positions: int | None) -> Engine:
    """Return the engine for a resolved spec.

    Parameters
    ----------
    spec : ProbeSpec
    n_positions : int, or None
        How many positions there are, all in memory; None for a stream.

    Returns
    -------
    Engine
        With engine="auto", streams and classifiers on more than 500,000 positions are binned.

    Examples
    --------
    >>> choose_engine(ProbeSpec(metrics=("auc",)), 1_000).name
    'exact'
    """
    binned = spec.engine == "binned"
    if spec.engine == "auto":
        binned = n_positions is None or (spec.classifies and n_positions > _EXACT_POSITIONS)
    if spec.classifies:
        return _engine_counts.ENGINE if binned else _engine_sorted.ENGINE
    return _engine_grid.ENGINE if binned else _engine_moments.ENGINE


def accumulate(engine: Engine, stats: Any, chunks: Iterable[_check.Chunk]) -> Any:
    """Update stats with chunk after chunk.

    Parameters
    ----------
    engine : Engine
    stats
        From ``engine.init``; must not be used afterwards.
    chunks : iterable of (hidden, labels, folds)
        Arrays (t, N), (t, F) and (t,) with -1 for positions not used. Chunks of one length compile once.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import ProbeSpec, Sample
    >>> x, folds = np.linspace(-1, 1, 100)[:, None], np.arange(100) % 2
    >>> spec = ProbeSpec("ridge", metrics=("pearson",))
    >>> engine = choose_engine(spec, n_positions=None)
    >>> stats = engine.init(spec, Sample(x, x**3, folds, n_folds=2))
    >>> engine.score(accumulate(engine, stats, [(x, x**3, folds)]))["pearson"].round(2).tolist()
    [[[0.92, 0.92]]]
    """
    for chunk in chunks:
        stats = engine.update(stats, *chunk)
    return stats


def score_stream(
    chunks: Iterable[_check.Chunk],
    *,
    n_folds: int,
    probe: str | ProbeSpec = "svm",
    sample: tuple[Any, Any] | None = None,
    **settings: Any,
) -> Scores:
    """Score an iterator of chunks in memory that does not depend on how many there are.

    Parameters
    ----------
    chunks : iterable of (hidden, labels, folds)
        Arrays (t, N), (t, F) and (t,) with -1 for positions not used. Chunks of one length compile once.
    n_folds : int
        Number of folds K.
    probe, settings
        As in `score_neurons`; "ridge" classifies if the first chunk's labels are 0 and 1. With engine="exact", all
        chunks are kept.
    sample : (hidden, labels), optional
        Arrays (t, N) and (t, F) that levels are chosen from, by default the first chunk, which should then be a fair
        sample.

    Returns
    -------
    Scores
        As from `score_neurons`. In ``attrs``, "auc_error" bounds the effect of rounding to levels on any AUC of a
        neuron, "accuracy_error" and "r2_error" estimate that on accuracy and R^2.

    Raises
    ------
    ValueError
        For a bad chunk, no chunk at all, a fold without a position, more than 2 ** 31 - 1 positions, or a value more
        than four ranges of the sample away from its middle (continuous labels).

    Notes
    -----
    Counts of classes take ``4 * N * n_bins * K * (F + 1)`` bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import score_stream
    >>> def chunks():
    ...     for seed in range(3):
    ...         x = np.random.default_rng(seed).normal(size=(500, 2))
    ...         yield x, x[:, :1] > 0, np.arange(500) % 4
    >>> score_stream(chunks(), n_folds=4)["accuracy"].shape
    (2, 1, 4)
    """
    if isinstance(n_folds, bool) or not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise ValueError(f"expected n_folds as a whole number of at least 2, got {n_folds!r}")
    devices.use_all_cores()
    first, chunks = _peek(iter(chunks))
    spec = as_spec(probe, settings).resolve(first[1])
    engine = choose_engine(spec, n_positions=None)
    hidden, labels = first[:2] if sample is None else sample
    hidden = _check.check_hidden(hidden)
    labels = _check.check_labels(labels, len(hidden), spec.classifies, "counting classes")
    known = Sample(hidden, labels, np.zeros(len(hidden), np.int32), int(n_folds))
    return engine.score(accumulate(engine, engine.init(spec, known), chunks))


def _peek(chunks: Iterator[_check.Chunk]) -> tuple[_check.Chunk, Iterator[_check.Chunk]]:
    first = next(chunks, None)
    if first is None:
        raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
    return first, itertools.chain([first], chunks)


def _score(hidden: Any, labels: Any, folds: Any, spec: ProbeSpec) -> Scores:
    """Check everything, then run one call for each distinct column of folds."""
    devices.use_all_cores()  # before the checks, which are the first computation of many a session
    spec = spec.resolve(labels)
    hidden = _check.check_hidden(hidden)
    labels = _check.check_labels(labels, hidden.shape[0], spec.classifies, spec.probe)
    folds = _check.check_folds(folds, *labels.shape)
    engine, shape = choose_engine(spec, len(hidden)), (hidden.shape[1], *labels.shape[1:], int(folds.max()) + 1)
    own = hidden[:, processes.shard(shape[0])] if processes.count() > 1 else hidden
    columns = _distinct_columns(folds, shape[1])
    each = [_score_at_once(engine, spec, own, _take(labels, features), column) for column, features in columns]
    parts = [(features, scores) for (_, features), scores in zip(columns, each, strict=True)]
    result, lines = _joined(parts, shape[1], lambda one: one), _joined(parts, shape[1], lambda one: one.lines)
    errors = {name: max(one.attrs[name] for one in each) for name in _ERRORS if name in each[0].attrs}
    n_devices = devices.make_mesh("neurons").size * processes.count()
    attrs = each[0].attrs | _largest(errors) | {"n_devices": n_devices}
    return Scores(_of_all(result, shape[0]), attrs, _of_all(lines, shape[0]))


def _score_at_once(
    engine: Engine, spec: ProbeSpec, hidden: Any, labels: np.ndarray, folds: Int[np.ndarray, " T"]
) -> Scores:
    """Score positions that are all in memory: one update."""
    sample = Sample(hidden, labels, folds, int(folds.max()) + 1)
    return engine.score(engine.update(engine.init(spec, sample), hidden, labels, folds))


def _distinct_columns(folds: Int[np.ndarray, ...], n_features: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each different assignment of folds, with the features that use it."""
    if folds.ndim == 1:
        return [(folds, np.arange(n_features))]
    features: dict[bytes, list[int]] = {}
    for feature in range(n_features):
        features.setdefault(folds[:, feature].tobytes(), []).append(feature)
    return [(np.ascontiguousarray(folds[:, members[0]]), np.array(members)) for members in features.values()]


def _take(labels: Shaped[np.ndarray, "T F"], features: np.ndarray) -> Shaped[np.ndarray, "T G"]:
    return labels if len(features) == labels.shape[1] else labels[:, features]


def _joined(
    parts: list[tuple[np.ndarray, Scores]], n_features: int, arrays: Callable[[Scores], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Put the features of all calls into one array, by name."""
    if len(parts) == 1:
        return dict(arrays(parts[0][1]))
    result: dict[str, np.ndarray] = {}
    for features, scores in parts:
        for name, array in arrays(scores).items():
            shape = (*array.shape[:-2], n_features, array.shape[-1])
            result.setdefault(name, np.empty(shape))[..., features, :] = array
    return result


def _of_all(arrays: dict[str, np.ndarray], n_neurons: int) -> dict[str, np.ndarray]:
    """Gather the neurons of all processes."""
    if processes.count() == 1:
        return arrays
    return {
        name: array if name == "baseline" else processes.all_gather(array, n_neurons, axis=array.ndim - 3)
        for name, array in arrays.items()
    }


def _largest(errors: dict[str, float]) -> dict[str, float]:
    """Return the largest error of all processes, by name."""
    if processes.count() == 1 or not errors:
        return errors
    largest = np.max(processes.gather_list(np.asarray(list(errors.values()), np.float64)), axis=0)
    return dict(zip(errors, largest.tolist(), strict=True))


def direct_scores(
    hidden: Any, labels: Any, metric: str = "auc", strata: Shaped[np.ndarray, " T"] | None = None
) -> Float[np.ndarray, "N F"]:
    """Score every neuron against every feature over all positions, without a fit and without folds.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F)
        0 and 1 for "auc", any finite number for "pearson".
    metric : {"auc", "pearson"}
        "auc": chance that the neuron is higher where the feature holds, ties counting half (Mann & Whitney 1947).
        "pearson": correlation.
    strata : array (T,), optional
        Compare only positions of the same stratum, such as the same current character. The AUC is then taken over all
        pairs within strata, ``sum_s U_s / sum_s n1_s n0_s`` (as van Elteren 1960, but each pair counts the same), the
        correlation is the partial one given the stratum: both sides less their stratum's mean.

    Returns
    -------
    float64 (N, F)
        NaN where there is nothing to compare: labels that are constant (within every stratum). A neuron that is
        constant has .5, or correlation 0: it does not distinguish anything.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, labels that do not fit the metric, an unknown metric.

    Examples
    --------
    >>> import numpy as np
    >>> hidden = np.array([[0.0], [1.0], [1.0], [2.0]])
    >>> direct_scores(hidden, np.array([[0], [0], [1], [1]])).tolist()
    [[0.875]]
    >>> direct_scores(hidden, np.array([[0], [0], [1], [1]]), strata=np.array([0, 1, 0, 1])).tolist()
    [[1.0]]
    """
    direct.check_metric(metric)
    hidden = _check.check_hidden(hidden)
    labels = direct.check_columns(labels, len(hidden), metric)
    if strata is None:
        codes = np.zeros(len(hidden), np.int32)
    else:
        strata = np.asarray(strata)
        if strata.shape != (len(hidden),):
            raise ValueError(f"expected strata of shape ({len(hidden)},), one for each position, got {strata.shape}")
        codes = np.unique(strata, return_inverse=True)[1].astype(np.int32)
    n_neurons = hidden.shape[1]
    own = hidden[:, processes.shard(n_neurons)] if processes.count() > 1 else hidden
    with jax.enable_x64(True):
        scores = np.asarray(direct.score_within(own, labels, metric, codes))
    return processes.all_gather(scores, n_neurons)
