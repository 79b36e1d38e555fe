"""Probes, folds, permutation tests, bootstraps and direct measures, on arrays with ties, rare and constant columns."""

from __future__ import annotations

from functools import cache
from typing import Any

import names
import numpy as np
from registry import case
from shared import FOLDS, rng

import dni_jax as dni

CLASS_METRICS = ("accuracy", "balanced_accuracy", "f1", "mcc", "auc")
CLASSIFIERS = ("svm", "linear_svc", "logistic", "ridge")
ENGINES = ("exact", "binned")


@cache
def problem() -> dict[str, Any]:
    """States that are normal, tied, constant, two-valued, large; labels that are balanced, rare, absent, tied."""
    draw, n = rng(), 400
    hidden = draw.normal(size=(n, 5))
    hidden[:, 1] = hidden[:, 1].round(1)
    hidden[:, 2] = 0.25
    hidden[:, 3] = hidden[:, 3] > 0
    hidden[:, 4] = 1000 + 10 * hidden[:, 4]
    noisy = hidden[:, :1] + draw.normal(size=(n, 1))
    labels = np.concatenate([noisy > 0, noisy > 2, np.zeros((n, 1), bool), hidden[:, 1:2] >= 0.5], axis=1)
    values = np.concatenate([noisy, np.full((n, 1), 2.0), hidden[:, 1:2].round() + (hidden[:, 3:4] > 0)], axis=1)
    groups = np.arange(n) // 8
    folds = np.asarray(dni.make_folds(n, FOLDS, groups=groups, seed=1)).copy()
    folds[[0, 1, 2, 50]] = -1
    return {"hidden": hidden.astype(np.float32), "labels": labels, "values": values, "groups": groups, "folds": folds}


def arrays(*wanted: str) -> list[Any]:
    return [problem()[name] for name in wanted]


def scored(found: Any) -> dict[str, Any]:
    """Scores, and the settings and errors that go with them."""
    return {**found, "attrs": {name: value for name, value in found.attrs.items() if name != "n_devices"}}


@case("probes/exact", *CLASSIFIERS)
def exact(probe: str) -> Any:
    return classified(probe, "exact")


@case("probes/binned", *CLASSIFIERS)
def binned(probe: str) -> Any:
    return classified(probe, "binned")


def classified(probe: str, engine: str) -> Any:
    weaker: dict[str, Any] = {"alpha": (0.1, 1.0, 10.0)} if probe == "ridge" else {"C": 0.05}
    calls = {"plain": {}, "balanced": {"class_weight": "balanced"}, "other strengths": weaker}
    asked = {"probe": probe, "metrics": CLASS_METRICS, "engine": engine, "n_bins": 32}
    data = arrays("hidden", "labels", "folds")
    return {name: scored(dni.score_neurons(*data, **asked, **more)) for name, more in calls.items()}


@case("probes/regression", *ENGINES)
def regression(engine: str) -> Any:
    asked = {"metrics": ("r2", "pearson"), "engine": engine}
    data = arrays("hidden", "values", "folds")
    return {
        "ols": scored(dni.score_neurons(*data, probe="ols", **asked)),
        "ridge": scored(dni.score_neurons(*data, probe="ridge", alpha=(0.1, 10.0), **asked)),
    }


@case("probes/batches and dtypes")
def batches() -> Any:
    hidden, labels, folds = arrays("hidden", "labels", "folds")
    return {
        "batches": scored(dni.score_neurons(hidden, labels, folds, neuron_batch=2, feature_batch=2)),
        "half precision": scored(dni.score_neurons(hidden.astype(np.float16), labels, folds, metrics=CLASS_METRICS)),
        "integers": scored(dni.score_neurons(hidden.astype(int), labels.astype(int), folds)),
    }


@case("probes/folds that depend on the feature")
def folds_by_feature() -> Any:
    hidden, labels = arrays("hidden", "labels")
    folds = dni.make_folds(len(hidden), FOLDS, scheme="stratified_contiguous", labels=labels)
    return scored(dni.score_neurons(hidden, labels, folds, metrics=CLASS_METRICS))


@case("probes/reference", *CLASSIFIERS, "ols")
def reference(probe: str) -> Any:
    hidden, labels, values, folds = arrays("hidden", "labels", "values", "folds")
    columns, metrics = (values, ("r2", "pearson")) if probe == "ols" else (labels[:, :2], CLASS_METRICS)
    found = dni.reference.score_neurons(hidden[:, :2], columns, folds, probe=probe, metrics=metrics)
    return dict(found)


@case("probes/lines", *CLASSIFIERS, "ols")
def lines(probe: str) -> Any:
    hidden, labels, values, folds = arrays("hidden", "labels", "values", "folds")
    found = {"plain": names.fit_neurons(hidden, values if probe == "ols" else labels, folds, probe=probe)}
    if probe in ("svm", "logistic"):
        found["balanced"] = names.fit_neurons(hidden, labels, folds, probe=probe, class_weight="balanced")
    return found


@case("probes/chunks")
def chunks() -> Any:
    hidden, labels, values, folds = arrays("hidden", "labels", "values", "folds")

    def parts(columns: np.ndarray) -> Any:
        return [(hidden[at : at + 150], columns[at : at + 150], folds[at : at + 150]) for at in range(0, 400, 150)]

    asked = {"n_folds": FOLDS, "n_bins": 32, "metrics": CLASS_METRICS}
    return {
        "svm": scored(names.score_stream(parts(labels), **asked)),
        "logistic": scored(names.score_stream(parts(labels), probe="logistic", C=0.1, **asked)),
        "ols": scored(names.score_stream(parts(values), n_folds=FOLDS, probe="ols")),
    }


@case("probes/joint")
def joint() -> Any:
    hidden, labels, values, folds = arrays("hidden", "labels", "values", "folds")
    some = hidden[:, [0, 1, 3]]
    return {
        "ridge": names.score_jointly(some, labels, folds, metrics=CLASS_METRICS, alpha=(0.1, 10.0)),
        "logistic": names.score_jointly(some, labels[:, [0, 3]], folds, probe="logistic", metrics=CLASS_METRICS),
        "regression": names.score_jointly(some, values, folds, metrics=("r2",)),
        "some neurons": names.score_jointly(hidden, labels, folds, neurons=[0, 3]),
    }


@case("probes/sparse")
def sparse() -> Any:
    hidden, labels, values, folds = arrays("hidden", "labels", "values", "folds")
    return [names.select_neurons(hidden, labels, folds, 3), names.select_neurons(hidden, values, folds, 2)]


@case("folds")
def folds() -> Any:
    groups, labels = rng(3).integers(0, 40, 300), rng(4).random((300, 3)) < (0.5, 0.2, 0.9)
    left_out = np.where(groups == 7, -1, groups)
    return {
        "grouped": [dni.make_folds(300, k, groups=left_out, seed=seed) for k, seed in ((2, 0), (5, 0), (20, 1))],
        "shuffled": [dni.make_folds(300, k, scheme="shuffled", seed=seed) for k, seed in ((2, 0), (20, 1))],
        "stratified": dni.make_folds(300, 5, scheme="stratified_contiguous", labels=labels),
        "stratified, one feature": dni.make_folds(300, 20, scheme="stratified_contiguous", labels=labels[:, 0]),
    }


@case("permutation_test", "shift", "string_permutation", "iid", "fresh", "labels")
def permutations(null: str) -> Any:
    hidden, labels, values, groups = arrays("hidden", "labels", "values", "groups")
    draw = rng(5)
    lengths = draw.integers(6, 10, 60)
    groups = np.repeat(np.arange(60), lengths)[:400] if null in ("fresh", "string_permutation") else groups
    more: dict[str, Any] = {"n_null": 39, "seed": 2}
    if null == "fresh":
        more |= {"fresh_labels": draw.random((600, 4)) < 0.4, "fresh_groups": np.repeat(np.arange(80), 8)[:600]}
        more["length_tolerance"] = 0.3
    if null == "labels":
        more["null_labels"] = draw.random((39, 400, 4)) < 0.4
    found = {"auc": scored(dni.permutation_test(hidden, labels, groups, null, "auc", **more))}
    if null in ("shift", "iid", "string_permutation"):
        found["pearson"] = scored(dni.permutation_test(hidden, values, groups, null, "pearson", **more))
    if null == "shift":
        both = np.concatenate([labels[:, :1], values[:, :1]], axis=1)
        found["both kinds"] = scored(dni.permutation_test(hidden, both, groups, null, ("auc", "pearson"), **more))
        more |= {"folds": problem()["folds"], "probe": "ridge", "n_null": 9}
        found["held out"] = scored(dni.permutation_test(hidden, labels[:, :2], groups, null, "accuracy", **more))
        early = {"n_null": 99, "stop_above": 0.2}
        found["stopped early"] = scored(dni.permutation_test(hidden, labels, groups, null, "auc", **early))
    return found


@case("q values")
def q_values() -> Any:
    return names.benjamini_hochberg(np.append(rng(6).random((6, 5)) ** 3, np.full((1, 5), np.nan), axis=0))


@case("direct measures")
def direct() -> Any:
    hidden, labels, values, groups = arrays("hidden", "labels", "values", "groups")
    return {
        "auc": names.direct_scores(hidden, labels),
        "pearson": names.direct_scores(hidden, values, "pearson"),
        "auc within strata": names.direct_scores(hidden, labels, "auc", groups % 5),
        "pearson within strata": names.direct_scores(hidden, values, "pearson", groups % 5),
    }


@case("bootstrap")
def bootstrap() -> Any:
    hidden, labels, values, folds, groups = arrays("hidden", "labels", "values", "folds", "groups")
    weights = names.string_weights(50, 30, seed=1)
    return {
        "weights": weights,
        "auc": names.bootstrap_auc(hidden, labels, groups, 30, 1),
        "held out": names.bootstrap_held_out(hidden, labels, folds, groups, n_draws=30),
        "held out, regression": names.bootstrap_held_out(hidden, values, folds, groups, "ols", n_draws=30),
        "pearson": names.weighted_pearson(hidden, values, groups, weights),
    }
