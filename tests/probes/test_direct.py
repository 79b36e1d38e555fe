"""Scores without a fit against scikit-learn, SciPy and counting by hand."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from dni_jax.probes import direct_scores
from tests.support.probe_problems import KINDS, problem


@pytest.mark.parametrize("kind", KINDS)
def test_auc_is_sklearns(kind):
    hidden, labels, _ = problem(kind, seed=0)
    found = direct_scores(hidden, labels)
    for n in range(3):
        for f in range(3):
            if labels[:, f].min() == labels[:, f].max():
                assert np.isnan(found[n, f])
            else:
                assert found[n, f] == pytest.approx(roc_auc_score(labels[:, f], hidden[:, n]), abs=1e-12)


@pytest.mark.parametrize("kind", ["random", "tied", "large_offset", "constant"])
def test_pearson_is_scipys(kind):
    hidden, labels, _ = problem(kind, seed=1, dtype=np.float64)
    values = labels + np.random.default_rng(0).normal(size=labels.shape) * ~np.isin(labels.mean(0), (0, 1))
    found = direct_scores(hidden, values, "pearson")
    for n in range(3):
        for f in range(3):
            if np.ptp(values[:, f]) == 0:
                assert np.isnan(found[n, f])
            elif np.ptp(hidden[:, n]) == 0:
                assert found[n, f] == 0
            else:
                assert found[n, f] == pytest.approx(pearsonr(hidden[:, n], values[:, f])[0], abs=1e-9)


def within_pairs(x, y, strata):
    wins = pairs = 0.0
    for i in np.flatnonzero(y):
        for j in np.flatnonzero((y == 0) & (strata == strata[i])):
            wins += (x[i] > x[j]) + 0.5 * (x[i] == x[j])
            pairs += 1
    return wins / pairs if pairs else np.nan


@pytest.mark.parametrize("kind", ["random", "tied", "imbalanced", "constant"])
def test_stratified_auc_counts_pairs_within_strata(kind):
    hidden, labels, _ = problem(kind, seed=2)
    strata = np.random.default_rng(3).choice(["a", "b", "c"], len(hidden))
    labels[:, 2] = strata == "b"  # constant within every stratum
    found = direct_scores(hidden, labels, strata=strata)
    wanted = [[within_pairs(hidden[:, n], labels[:, f], strata) for f in range(3)] for n in range(3)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert np.isnan(found[:, 2]).all()


def test_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(0)
    strata = rng.integers(0, 4, 300)
    hidden, values = rng.normal(size=(300, 2)) + strata[:, None], rng.normal(size=(300, 2)) - strata[:, None]
    values[:, 1] = strata * 0.1
    design = np.eye(4)[strata]
    left = [part - design @ np.linalg.lstsq(design, part, rcond=None)[0] for part in (hidden, values)]
    found = direct_scores(hidden, values, "pearson", strata=strata)
    np.testing.assert_allclose(found[:, 0], [pearsonr(left[0][:, n], left[1][:, 0])[0] for n in range(2)], atol=1e-9)
    assert np.isnan(found[:, 1]).all()


def test_an_echo_of_the_stratum_is_no_knowledge_within_it():
    rng = np.random.default_rng(1)
    strata = rng.integers(0, 3, 400)
    labels = (rng.random((400, 1)) < 0.2 + 0.3 * strata[:, None]).astype(int)
    hidden = strata[:, None].astype(float)
    assert direct_scores(hidden, labels)[0, 0] > 0.6
    assert direct_scores(hidden, labels, strata=strata)[0, 0] == 0.5


def test_bad_input_is_named():
    hidden, labels, _ = problem("tiny", seed=0)
    with pytest.raises(ValueError, match="pass folds"):
        direct_scores(hidden, labels, "accuracy")
    with pytest.raises(ValueError, match="strata of shape"):
        direct_scores(hidden, labels, strata=np.zeros(3, int))
    with pytest.raises(ValueError, match=r'metric="auc"'):
        direct_scores(hidden, labels * 2)
