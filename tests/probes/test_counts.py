"""The binned engine: counts that merge to the bit, scores close to exact ones, and exact ones on few values."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from dni_jax.probes import ProbeSpec, Sample, accumulate, fit_neurons, score_neurons, score_stream
from dni_jax.probes._engine_counts import ENGINE, choose_levels
from dni_jax.probes._registry import PROBES
from tests.support.probe_problems import METRICS, problem

CLASSIFIERS = [name for name, probe in PROBES.items() if probe.classify]


def _large(n, seed=0):
    rng = np.random.default_rng(seed)
    hidden = np.tanh(rng.normal(size=(n, 3)) * [0.3, 1.0, 3.0]).astype(np.float32)
    labels = hidden @ rng.normal(size=(3, 3)) + rng.normal(size=(n, 3)) > [0.0, 1.0, 2.0]
    return hidden, labels, rng.integers(0, 4, n).astype(np.int32)


def _count(chunks, sample, n_folds=4, **settings):
    """Counts of some chunks, on levels of a sample; in the shapes of the other tests, which share their programs."""
    spec = ProbeSpec(**{"n_bins": 32, "metrics": METRICS} | settings).resolve(sample[1])
    return accumulate(ENGINE, ENGINE.init(spec, Sample(*sample, n_folds)), chunks)


def _pieces(arrays, bounds):
    return [tuple(array[i:j] for array in arrays) for i, j in itertools.pairwise(bounds)]


def test_halves_merge_to_the_bit():
    arrays = _large(3000)
    whole = _count([arrays], arrays)
    first, second = _pieces(arrays, [0, 1700, 3000])
    merged = _count([first], arrays) + _count([second], arrays)
    streamed = _count(_pieces(arrays, [0, 1700, 2000, 3000]), arrays)  # padded to the longest
    for other in (merged, streamed):
        assert other.n_positions == 3000
        np.testing.assert_array_equal(other.counts, whole.counts)
    assert whole.counts.dtype == np.int32
    assert whole.counts[..., -1].sum() == 3 * 3000
    np.testing.assert_array_equal(whole.counts[0, ..., :-1].sum((0, 1)), arrays[1].sum(0))
    for key, value in ENGINE.score(merged).items():
        np.testing.assert_array_equal(value, ENGINE.score(whole)[key])


@pytest.mark.parametrize(
    ("probe", "class_weight"),
    [("svm", None)] + [pytest.param(p, w, marks=pytest.mark.slow) for p in CLASSIFIERS for w in (None, "balanced")],
)
def test_few_values_are_scored_exactly(probe, class_weight):
    hidden, labels, folds = problem("tied", 4)
    hidden = hidden + np.float32(0.25)  # no boundary at a value
    options = {"probe": probe, "metrics": METRICS, "class_weight": class_weight}
    exact = score_neurons(hidden, labels, folds, engine="exact", **options)
    binned = score_neurons(hidden, labels, folds, engine="binned", n_bins=32, **options)
    assert (exact.attrs["engine"], binned.attrs["engine"]) == ("exact", "binned")
    for key in exact:
        np.testing.assert_allclose(binned[key], exact[key], atol=1e-9, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["svm", "logistic"])
def test_close_to_exact(probe):
    arrays = _large(100_000)
    exact = score_neurons(*arrays, probe=probe)
    binned = score_stream(_pieces(arrays, range(0, 100_001, 20_000)), n_folds=4, probe=probe)
    weight = fit_neurons(*arrays, probe=probe)["weight"]
    assert np.abs(exact["accuracy"] - binned["accuracy"]).max() < 0.002
    sloped = np.abs(weight) > 1e-2
    assert np.abs(exact["auc"] - binned["auc"])[sloped].max() < 0.001
    assert np.abs(exact["auc"] - binned["auc"])[sloped].max() <= binned.attrs["auc_error"]


def test_left_out_positions_and_several_alphas():
    hidden, labels, folds = _large(2000)
    keep = np.arange(2000) % 3 > 0
    sample = (hidden, labels, folds)
    masked = _count([(hidden, labels, np.where(keep, folds, -1))], sample, probe="ridge", alpha=(1.0, 100.0))
    cut = _count([(hidden[keep], labels[keep], folds[keep])], sample)
    np.testing.assert_array_equal(masked.counts, cut.counts)
    one = replace(masked, spec=replace(masked.spec, alpha=100.0))
    np.testing.assert_array_equal(ENGINE.score(masked)["accuracy"][1], ENGINE.score(one)["accuracy"])


def test_bad_input_is_named():
    hidden, labels, folds = _large(300)
    sample = (hidden, labels, folds)
    with pytest.raises(ValueError, match="n_bins >= 2"):
        choose_levels(hidden, 1)
    with pytest.raises(ValueError, match="at least one chunk"):
        score_stream([], n_folds=5)
    with pytest.raises(ValueError, match="chunk 1: expected finite hidden"):
        _count([sample, (hidden * np.float32(np.nan), labels, folds)], sample)
    with pytest.raises(ValueError, match="chunk 0: expected 3 neurons as in the sample, got 2"):
        _count([(hidden[:, :2], labels, folds)], sample)
    with pytest.raises(ValueError, match="chunk 0: expected folds from -1 to 2"):
        _count([sample], sample, n_folds=3)
    with pytest.raises(ValueError, match="chunk 1: expected 3 features as in the sample, got 1"):
        _count([sample, (hidden, labels[:, :1], folds)], sample)
    with pytest.raises(ValueError, match=r"got none in \[4\]"):
        ENGINE.score(_count([sample], sample, n_folds=5))
    with pytest.raises(ValueError, match="same levels"):
        _count([sample], sample) + _count([sample], (hidden + 1, labels, folds))
    with pytest.raises(ValueError, match="expected positions in use to choose levels from"):
        _count([sample], (hidden, labels, folds * 0 - 1))
