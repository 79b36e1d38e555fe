"""Least squares: scikit-learn's numbers, known lines, degenerate inputs."""

import numpy as np
import pytest

from dni_jax.probes import fit_neurons, reference, score_neurons
from tests.support.probe_problems import KINDS, problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ols_matches_scikit_learn(kind, dtype):
    hidden, binary, folds = problem(kind, 1, dtype)
    noise = np.random.default_rng(0).normal(size=binary.shape)
    labels = np.where([True, True, False], 3 * binary + noise, binary)
    ours = score_neurons(hidden, labels, folds, probe="ols")
    theirs = reference.score_neurons(hidden, labels, folds, probe="ols")
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-8, err_msg=key)


def test_a_line_is_found_exactly():
    hidden = np.random.default_rng(0).normal(size=(300, 2)) + 1000
    labels = hidden @ np.array([[2.0], [0.0]]) - 7
    folds = np.arange(300) % 3
    line = fit_neurons(hidden, labels, folds, probe="ols")
    np.testing.assert_allclose(line["weight"][0], 2.0)
    np.testing.assert_allclose(line["bias"][0], -7.0, atol=1e-6)
    scores = score_neurons(hidden, labels, folds, probe="ols")
    np.testing.assert_allclose(scores["r2"][0], 1.0)
    np.testing.assert_allclose(scores["pearson"][0], 1.0)


def test_constant_inputs_have_defined_scores():
    rng = np.random.default_rng(0)
    hidden = np.stack([np.full(60, 0.1), rng.normal(size=60)], axis=1)
    labels = np.stack([np.full(60, 0.3), rng.normal(size=60)], axis=1)
    folds = np.arange(60) % 3
    scores = score_neurons(hidden, labels, folds, probe="ols")
    np.testing.assert_array_equal(scores["r2"][:, 0], 1.0)
    np.testing.assert_allclose(scores["r2"][0, 1], scores["baseline"][1])
    assert np.isnan(scores["pearson"][:, 0]).all()
    assert np.isnan(scores["pearson"][0]).all()
    assert np.isfinite(scores["pearson"][1, 1]).all()


def test_constant_held_out_labels():
    hidden = np.random.default_rng(0).normal(size=(40, 1))
    labels = np.where(np.arange(40) < 20, 1.0, hidden[:, 0])[:, None]
    scores = score_neurons(hidden, labels, (np.arange(40) >= 20).astype(int), probe="ols")
    assert scores["r2"][0, 0, 0] == 0.0
    assert scores["baseline"][0, 0] == 0.0
    assert np.isfinite(scores["r2"][0, 0, 1])


def test_one_held_out_position_has_no_r2():
    hidden = np.random.default_rng(0).normal(size=(5, 1))
    scores = score_neurons(hidden, hidden**2, np.array([0, 1, 1, 1, 1]), probe="ols")
    assert np.isnan(scores["r2"][0, 0, 0])
    assert np.isfinite(scores["r2"][0, 0, 1])


@pytest.mark.slow  # the large offset above has the same digits, on fewer positions
def test_digits_survive_a_million_positions():
    rng = np.random.default_rng(0)
    n = 1_000_000
    small = rng.normal(size=(n, 1))
    hidden = (1_000 + small).astype(np.float32)  # in float32 sums of squares would be all offset
    labels = 500 + 0.05 * hidden.astype(np.float64) + 0.1 * rng.normal(size=(n, 1))
    folds = np.arange(n, dtype=np.int32) % 2
    scores = score_neurons(hidden, labels, folds, probe="ols")
    x, y = hidden[:, 0].astype(np.float64), labels[:, 0]
    for k in range(2):
        slope, start = np.polyfit(x[folds != k] - 1_000, y[folds != k], 1)
        predicted, truth = start + slope * (x[folds == k] - 1_000), y[folds == k]
        r2 = 1 - np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2)
        assert scores["r2"][0, 0, k] == pytest.approx(r2, abs=1e-9)
        assert scores["pearson"][0, 0, k] == pytest.approx(np.corrcoef(truth, predicted)[0, 1], abs=1e-9)
    streamed = score_neurons(hidden, labels, folds, probe="ols", engine="binned")
    np.testing.assert_allclose(streamed["r2"], scores["r2"], atol=5 * streamed.attrs["r2_error"])
