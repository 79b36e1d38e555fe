"""The call itself: inputs it takes and refuses, batching, compilation, shapes."""

import inspect
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dni_jax.probes import (
    ProbeSpec,
    Sample,
    _engine_sorted,
    accumulate,
    choose_engine,
    make_folds,
    reference,
    score_neurons,
)
from dni_jax.probes._registry import PROBES
from tests.support.probe_problems import METRICS, problem
from tests.support.slow import slow_after

QUICK = ["ols", "ridge"]
MEMBERS = [*QUICK, *(name for name in PROBES if name not in QUICK)]


def _arguments(name):
    """Inputs where every neuron has a slope: libsvm's slope of a neuron that knows nothing is rounding."""
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(240, 3)).astype(np.float32)
    labels = hidden @ np.array([[2.0, 1, -1], [1, -2, 1], [-2, 1, 2]]) + rng.normal(size=(240, 3))
    folds = rng.permutation(np.arange(240) % 4).astype(np.int32)
    options = {"probe": name, "metrics": ("r2", "pearson")}
    if PROBES[name].classify is not None:
        labels = labels > 0.5
        options["metrics"] = METRICS
    return hidden, labels, folds, options


@pytest.mark.parametrize("name", slow_after(3, list(dict.fromkeys(("svm", "ridge", "ols", *PROBES)))))
def test_every_probe_matches_its_reference(name):
    hidden, labels, folds, options = _arguments(name)
    ours = score_neurons(hidden, labels, folds, **options)
    theirs = reference.score_neurons(hidden, labels, folds, **options)
    assert set(ours) == set(theirs) == {*options["metrics"], "baseline"}
    for key in ours:
        assert ours[key].shape == ((3, 4) if key == "baseline" else (3, 3, 4))
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-6, err_msg=key)
    assert ours.attrs["probe"] == name
    assert ours.attrs["engine"] == "exact"


@pytest.mark.parametrize("name", slow_after(1, MEMBERS))
def test_batched_equals_one_by_one(name):
    hidden, labels, folds, options = _arguments(name)
    folds = folds.copy()
    folds[::5] = -1  # the positions of the test below, so that its program is compiled once
    whole = score_neurons(hidden, labels, folds, **options)
    small = score_neurons(hidden, labels, folds, neuron_batch=1, feature_batch=2, **options)
    for n, f in np.ndindex(3, 3):
        one = score_neurons(hidden[:, n : n + 1], labels[:, f : f + 1], folds, **options)
        for metric in options["metrics"]:
            np.testing.assert_allclose(one[metric][0, 0], whole[metric][n, f], atol=1e-12)
            np.testing.assert_allclose(small[metric][n, f], whole[metric][n, f], atol=1e-12)


@pytest.mark.parametrize("name", slow_after(2, MEMBERS))
def test_positions_left_out_do_not_count(name):
    hidden, labels, folds, options = _arguments(name)
    keep = np.arange(len(folds)) % 5 != 0
    masked = score_neurons(hidden, labels, np.where(keep, folds, -1), **options)
    cut = score_neurons(hidden[keep], labels[keep], folds[keep], **options)
    for key in masked:
        np.testing.assert_allclose(masked[key], cut[key], atol=1e-12)


def test_folds_of_each_feature():
    hidden, labels, _ = problem("random", 3)
    folds = make_folds(len(hidden), k=4, scheme="stratified_contiguous", labels=labels)
    together = score_neurons(hidden, labels, folds, probe="ridge", metrics=METRICS)
    for feature in range(3):
        alone = score_neurons(hidden, labels[:, [feature]], folds[:, feature], probe="ridge", metrics=METRICS)
        for metric in ("accuracy", "auc"):
            np.testing.assert_array_equal(together[metric][:, [feature]], alone[metric])
        np.testing.assert_array_equal(together["baseline"][[feature]], alone["baseline"])


@pytest.mark.parametrize("kind", slow_after(1, [np.int8, np.bool_, np.int64, np.float32, np.float64]))
def test_label_and_array_types(kind):
    hidden, labels, folds = problem("random", 3)
    spec = ProbeSpec("ridge", METRICS)
    expected = score_neurons(hidden, labels, folds, probe=spec)["accuracy"]
    for array in (np.asarray, jnp.asarray):
        with jax.enable_x64(True):
            given = array(hidden), array(labels.astype(kind)), array(folds)
        np.testing.assert_array_equal(score_neurons(*given, probe=spec)["accuracy"], expected)
    double = score_neurons(hidden.astype(np.float64), labels, folds.astype(np.int64), probe=spec)["accuracy"]
    np.testing.assert_array_equal(double, expected)


def test_second_call_compiles_nothing():
    hidden, labels, folds = problem("random", 3)
    score_neurons(hidden, labels, folds, metrics=METRICS)
    compiled = _engine_sorted._score_sharded._cache_size()
    score_neurons(hidden + 1, ~labels, np.roll(folds, 1), metrics=METRICS)
    score_neurons(hidden, labels, folds, metrics=METRICS, C=3.0)
    assert _engine_sorted._score_sharded._cache_size() == compiled


def test_a_spec_says_the_same_as_keywords():
    hidden, labels, folds = problem("random", 3)
    spec = ProbeSpec("ridge", metrics=METRICS, alpha=9.0, class_weight="balanced")
    ours = score_neurons(hidden, labels, folds, probe=spec)
    settings = {"metrics": METRICS, "alpha": 9.0, "class_weight": "balanced"}
    theirs = score_neurons(hidden, labels, folds, probe="ridge", **settings)
    np.testing.assert_array_equal(ours["auc"], theirs["auc"])
    keywords = [one for one in inspect.signature(score_neurons).parameters.values() if one.kind is one.KEYWORD_ONLY]
    assert [(one.name, one.default) for one in keywords] == [(one.name, one.default) for one in fields(ProbeSpec)]
    with pytest.raises(ValueError, match="in the ProbeSpec or as keywords, got both: C"):
        score_neurons(hidden, labels, folds, probe=spec, C=2.0)
    with pytest.raises(ValueError, match=r"expected settings among metrics, C, .*got wrong"):
        reference.score_neurons(hidden, labels, folds, wrong=1)


@pytest.mark.parametrize(
    ("probe", "engine"), slow_after(2, [("svm", "exact"), ("ols", "binned"), ("svm", "binned"), ("ols", "exact")], 2)
)
def test_one_update_and_many_lead_to_the_same_scores(probe, engine):
    hidden, labels, folds = problem("random", 3)
    labels = labels.astype(np.float32) if probe == "ols" else labels
    metrics = None if probe == "ols" else METRICS
    spec = ProbeSpec(probe, metrics, engine=engine, n_bins=32).resolve(labels)
    chosen, sample = choose_engine(spec, len(hidden)), Sample(hidden, labels, folds, 4)
    pieces = [(hidden[part], labels[part], folds[part]) for part in (slice(100), slice(100, 240))]
    whole, halves = (accumulate(chosen, chosen.init(spec, sample), chunks) for chunks in ([sample[:3]], pieces))
    merged = chosen.update(chosen.init(spec, sample), *pieces[0]) + chosen.update(chosen.init(spec, sample), *pieces[1])
    expected = chosen.score(whole)
    for stats in (halves, merged):
        for name, scores in chosen.score(stats).items():
            np.testing.assert_allclose(scores, expected[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", slow_after(1, [np.float16, np.int32]))
def test_other_state_types_are_widened(dtype):
    hidden, labels, folds = problem("tied", 3)
    expected = score_neurons(hidden, labels, folds, metrics=METRICS)["accuracy"]
    widened = score_neurons(hidden.astype(dtype), labels, folds, metrics=METRICS)
    np.testing.assert_array_equal(widened["accuracy"], expected)


def _spoil(array, value, where=(2, 1)):
    array = np.array(array, float)
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, y, k: {"hidden": h[:, 0]}, r"hidden of shape \(T, N\)"),
        (lambda h, y, k: {"hidden": _spoil(h, np.nan)}, "finite hidden, got nan at position 2, neuron 1"),
        (lambda h, y, k: {"hidden": jnp.asarray(_spoil(h, np.inf))}, "finite hidden, got inf at position 2"),
        (lambda h, y, k: {"hidden": h.astype(complex)}, "real floating type"),
        (lambda h, y, k: {"labels": y[:, 0]}, r"try labels\[:, None\]"),
        (lambda h, y, k: {"labels": y[1:]}, "to match hidden"),
        (lambda h, y, k: {"labels": _spoil(y, np.nan)}, "got nan at position 2, feature 1"),
        (lambda h, y, k: {"labels": _spoil(y, 2)}, "got 2.0 in feature column 1"),
        (lambda h, y, k: {"labels": y.astype(str)}, "boolean, integer or floating"),
        (lambda h, y, k: {"folds": k[1:]}, "folds of shape"),
        (lambda h, y, k: {"folds": k.astype(float)}, "integer folds"),
        (lambda h, y, k: {"folds": k - 2}, "folds >= -1, got -2"),
        (lambda h, y, k: {"folds": k * 0}, "at least 2 folds"),
        (lambda h, y, k: {"folds": k * 2}, r"every fold from 0 to 6 to hold a position, got none in \[1, 3, 5\]"),
        (lambda h, y, k: {"probe": "tree"}, "expected probe to be one of svm"),
        (lambda h, y, k: {"metrics": ("r2",)}, "got 'r2'"),
        (lambda h, y, k: {"metrics": ()}, "at least one metric"),
        (lambda h, y, k: {"probe": "ridge", "metrics": ("r2", "auc")}, "metrics of one kind"),
        (lambda h, y, k: {"alpha": -1.0}, "expected alpha >= 0"),
        (lambda h, y, k: {"alpha": ()}, "expected alpha >= 0"),
        (lambda h, y, k: {"alpha": (1.0, 2.0)}, 'expected no alpha for probe="svm", which has C instead'),
        (lambda h, y, k: {"probe": "ridge", "C": 3.0}, 'expected no C for probe="ridge", which has alpha instead'),
        (lambda h, y, k: {"probe": "ols", "C": 3.0}, 'expected no C for probe="ols", which has no penalty'),
        (lambda h, y, k: {"probe": "ols", "alpha": (1.0, 2.0)}, 'expected no alpha for probe="ols"'),
        (lambda h, y, k: {"C": 0.0}, "expected C > 0, got 0.0"),
        (lambda h, y, k: {"C": np.nan}, "expected C > 0"),
        (lambda h, y, k: {"class_weight": "even"}, "class_weight"),
        (lambda h, y, k: {"probe": "ols", "class_weight": "balanced"}, "class_weight=None"),
        (lambda h, y, k: {"engine": "quick"}, "engine"),
        (lambda h, y, k: {"neuron_batch": 0}, "neuron_batch"),
        (lambda h, y, k: {"feature_batch": -3}, "feature_batch"),
    ],
)
def test_bad_input_is_named(change, message):
    hidden, labels, folds = problem("random", 3)
    arguments = {"hidden": hidden, "labels": labels, "folds": folds}
    arguments.update(change(hidden, labels, folds))
    with pytest.raises(ValueError, match=message):
        score_neurons(**arguments)
