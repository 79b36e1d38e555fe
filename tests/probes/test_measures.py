"""Measures without a fit against SciPy-like definitions, and at their limits."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, mutual_info_score, roc_auc_score

from dni_jax.probes import measure_neurons
from tests.support.probe_problems import problem


def test_definitions():
    hidden, labels, _ = problem("random", 1)
    found = measure_neurons(hidden, labels, n_information_bins=8)
    for n, f in np.ndindex(3, 3):
        x, y = hidden[:, n].astype(np.float64), labels[:, f]
        assert found["auc"][n, f] == pytest.approx(roc_auc_score(y, x))
        assert found["pearson"][n, f] == pytest.approx(np.corrcoef(x, y)[0, 1])
        a, b = x[y], x[~y]
        pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(x) - 2)
        assert found["cohens_d"][n, f] == pytest.approx((a.mean() - b.mean()) / np.sqrt(pooled))
        above = x > x[:, None]
        cuts = np.concatenate([above, ~above])
        overlap = (cuts & y).sum(1) / (cuts | y).sum(1)
        assert overlap[0] == pytest.approx(jaccard_score(y, cuts[0]))
        assert found["jaccard"][n, f] == pytest.approx(overlap.max())
        group = np.argsort(np.argsort(x)) * 8 // len(x)
        plain = mutual_info_score(group, y) / np.log(2) - 7 / (2 * len(x) * np.log(2))
        assert found["mutual_information"][n, f] == pytest.approx(max(plain, 0), abs=1e-9)


def test_bias_correction_leaves_nothing_of_noise():
    rng = np.random.default_rng(0)
    hidden, labels = rng.normal(size=(2000, 20)), rng.random((2000, 20)) < 0.3
    found = measure_neurons(hidden, labels)["mutual_information"]
    assert found.mean() < 0.002  # uncorrected, 15 / (2 n ln 2) = .0054


def test_limits():
    hidden = np.stack([np.ones(50), np.arange(50.0)], axis=1)
    labels = np.stack([np.ones(50), np.zeros(50), np.arange(50) < 10], axis=1)
    found = measure_neurons(hidden, labels)
    assert np.isnan(found["auc"][:, :2]).all()
    assert found["auc"][0, 2] == 0.5
    assert np.isnan(found["pearson"][0]).all()
    assert np.isnan(found["cohens_d"][:, :2]).all()
    assert found["auc"][1, 2] == 0
    assert found["jaccard"][1, 2] == 1
    assert np.isnan(found["jaccard"][:, 1]).all()
    np.testing.assert_array_equal(found["mutual_information"][:, :2], 0)
    np.testing.assert_array_equal(found["mutual_information"][0], 0)


def test_used_positions_only():
    hidden, labels, _ = problem("random", 1)
    used = np.arange(240) % 3 == 0
    some, cut = measure_neurons(hidden, labels, used), measure_neurons(hidden[used], labels[used])
    for name in some:
        np.testing.assert_array_equal(some[name], cut[name])


def test_bad_input_is_named():
    hidden, labels, _ = problem("random", 1)
    with pytest.raises(ValueError, match="measures among auc"):
        measure_neurons(hidden, labels, measures=("tau",))
    with pytest.raises(ValueError, match="expected used"):
        measure_neurons(hidden, labels, np.zeros(240, bool))
    with pytest.raises(ValueError, match="labels of 0 and 1"):
        measure_neurons(hidden, labels * 2)
