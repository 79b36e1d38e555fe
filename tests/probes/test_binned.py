"""The binned engine: counts that merge to the bit, scores close to exact ones, and exact ones on few values."""

import itertools

import numpy as np
import pytest

from dni_jax.probes import choose_levels, count, fit_neurons, score_counts, score_neurons, score_stream
from dni_jax.probes._registry import PROBES
from tests.support.probe_problems import problem

CLASSIFIERS = [name for name, probe in PROBES.items() if probe.classify]


def _large(n, seed=0):
    rng = np.random.default_rng(seed)
    hidden = np.tanh(rng.normal(size=(n, 3)) * [0.3, 1.0, 3.0]).astype(np.float32)
    labels = hidden @ rng.normal(size=(3, 4)) + rng.normal(size=(n, 4)) > [0.0, 0.5, 1.0, 2.0]
    return hidden, labels, rng.integers(0, 5, n).astype(np.int32)


def _pieces(arrays, bounds):
    return [tuple(array[i:j] for array in arrays) for i, j in itertools.pairwise(bounds)]


def test_halves_merge_to_the_bit():
    arrays = _large(3000)
    levels = choose_levels(arrays[0], 64)
    whole = count([arrays], levels, 5)
    first, second = _pieces(arrays, [0, 1700, 3000])
    merged = count([first], levels, 5) + count([second], levels, 5)
    streamed = count(_pieces(arrays, [0, 1000, 2000, 3000]), levels, 5)
    for other in (merged, streamed):
        assert other.n_positions == 3000
        np.testing.assert_array_equal(np.asarray(other.counts), np.asarray(whole.counts))
    assert np.asarray(whole.counts).dtype == np.int32
    assert np.asarray(whole.counts)[..., -1].sum() == 3 * 3000
    np.testing.assert_array_equal(np.asarray(whole.counts)[0, ..., :-1].sum((0, 1)), arrays[1].sum(0))
    for key, value in score_counts(merged).items():
        np.testing.assert_array_equal(value, score_counts(whole)[key])


@pytest.mark.parametrize(
    ("probe", "class_weight"),
    [("svm", None)] + [pytest.param(p, w, marks=pytest.mark.slow) for p in CLASSIFIERS for w in (None, "balanced")],
)
def test_few_values_are_scored_exactly(probe, class_weight):
    hidden, labels, folds = problem("tied", 4)
    hidden = hidden + np.float32(0.25)  # no boundary at a value
    options = {"probe": probe, "class_weight": class_weight}
    exact = score_neurons(hidden, labels, folds, engine="exact", **options)
    binned = score_neurons(hidden, labels, folds, engine="binned", n_bins=200, **options)
    assert (exact.attrs["engine"], binned.attrs["engine"]) == ("exact", "binned")
    for key in exact:
        np.testing.assert_allclose(binned[key], exact[key], atol=1e-9, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["svm", "logistic"])
def test_close_to_exact(probe):
    arrays = _large(100_000)
    exact = score_neurons(*arrays, probe=probe)
    binned = score_stream(_pieces(arrays, range(0, 100_001, 20_000)), n_folds=5, probe=probe)
    weight = fit_neurons(*arrays, probe=probe)["weight"]
    assert np.abs(exact["accuracy"] - binned["accuracy"]).max() < 0.002
    sloped = np.abs(weight) > 1e-2
    assert np.abs(exact["auc"] - binned["auc"])[sloped].max() < 0.001
    assert np.abs(exact["auc"] - binned["auc"])[sloped].max() <= binned.attrs["auc_error"]


def test_left_out_positions_and_several_alphas():
    hidden, labels, folds = _large(2000)
    keep = np.arange(2000) % 3 > 0
    levels = choose_levels(hidden, 32)
    masked = count([(hidden, labels, np.where(keep, folds, -1))], levels, 5)
    cut = count([(hidden[keep], labels[keep], folds[keep])], levels, 5)
    np.testing.assert_array_equal(np.asarray(masked.counts), np.asarray(cut.counts))
    scores = score_counts(masked, probe="ridge", alpha=(1.0, 100.0))
    np.testing.assert_array_equal(scores["accuracy"][1], score_counts(masked, probe="ridge", alpha=100.0)["accuracy"])


def test_bad_input_is_named():
    hidden, labels, folds = _large(300)
    levels = choose_levels(hidden, 16)
    with pytest.raises(ValueError, match="n_bins >= 2"):
        choose_levels(hidden, 1)
    with pytest.raises(ValueError, match="at least one chunk"):
        count([], levels, 5)
    with pytest.raises(ValueError, match="at least one chunk"):
        score_stream([], n_folds=5)
    with pytest.raises(ValueError, match="chunk 1: expected finite hidden"):
        count([(hidden, labels, folds), (hidden * np.float32(np.nan), labels, folds)], levels, 5)
    with pytest.raises(ValueError, match="chunk 0: expected 3 neurons as in levels, got 2"):
        count([(hidden[:, :2], labels, folds)], levels, 5)
    with pytest.raises(ValueError, match="chunk 0: expected folds from -1 to 3"):
        count([(hidden, labels, folds)], levels, 4)
    with pytest.raises(ValueError, match="features in every chunk"):
        count([(hidden, labels, folds), (hidden, labels[:, :1], folds)], levels, 5)
    with pytest.raises(ValueError, match=r"got none in \[5\]"):
        score_counts(count([(hidden, labels, folds)], levels, 6))
    with pytest.raises(ValueError, match="same levels"):
        count([(hidden, labels, folds)], levels, 5) + count([(hidden, labels, folds)], levels + 1, 5)
    with pytest.raises(ValueError, match="classifying probe"):
        score_counts(count([(hidden, labels, folds)], levels, 5), probe="ols")
