"""The bootstrap against scoring each draw's strings one by one."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dni_jax.probes import make_folds, reference
from dni_jax.probes._bootstrap import bootstrap_auc, bootstrap_held_out, string_weights, weighted_pearson
from tests.support.probe_problems import METRICS


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(15), rng.integers(4, 12, 15))
    hidden = rng.normal(size=(len(groups), 3)).astype(np.float32)
    hidden[:, 2] = 0.5
    labels = hidden[:, :1] + rng.normal(size=(len(groups), 2)) > [0, 0.5]
    return hidden, labels, groups


def rows_of(weights, groups):
    """Positions of the strings that one draw has, each as often as it was drawn."""
    return np.repeat(np.arange(len(groups)), weights.astype(int)[groups])


def test_auc_of_every_draw(problem):
    hidden, labels, groups = problem
    found = bootstrap_auc(hidden, labels, groups, n_draws=30, seed=3)
    for draw, weights in enumerate(string_weights(15, 30, seed=3)):
        rows = rows_of(weights, groups)
        for n in range(2):
            for f in range(2):
                assert found[draw, n, f] == pytest.approx(roc_auc_score(labels[rows, f], hidden[rows, n]), abs=1e-9)
    np.testing.assert_array_equal(found[:, 2], 0.5)


def test_blocks_of_ranks_are_fine_enough():
    rng = np.random.default_rng(1)
    labels, groups = rng.random((5_000, 1)) < 0.2, np.repeat(np.arange(100), 50)
    hidden = labels + rng.normal(size=(5_000, 1))
    found = bootstrap_auc(hidden, labels, groups, n_draws=20)
    for draw, weights in enumerate(string_weights(100, 20, seed=0)):
        rows = rows_of(weights, groups)
        assert found[draw, 0, 0] == pytest.approx(roc_auc_score(labels[rows, 0], hidden[rows, 0]), abs=1e-3)


def test_one_class_is_no_score(problem):
    hidden, _, groups = problem
    rare = (groups == 0)[:, None]
    found = bootstrap_auc(hidden, rare, groups, n_draws=50)[:, 0, 0]
    np.testing.assert_array_equal(np.isnan(found), string_weights(15, 50, seed=0)[:, 0] == 0)


def test_held_out_accuracy_and_r2_of_every_draw():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(16), np.tile([14, 16], 8))  # the shape of `probe_problems`, whose programs it shares
    hidden = rng.normal(size=(240, 3)).astype(np.float32)
    hidden[:, 2] = 0.5
    labels = hidden[:, :1] + rng.normal(size=(240, 3)) > [0, 0.5, -0.5]
    folds = make_folds(len(groups), 4, groups=groups)
    found = bootstrap_held_out(hidden, labels, folds, groups, "ridge", n_draws=25, metrics=METRICS)
    from dni_jax.probes import fit_neurons

    lines = fit_neurons(hidden, labels, folds, probe="ridge", metrics=METRICS)
    right = (lines["weight"][:, :, folds] * hidden.T[:, None] + lines["bias"][:, :, folds] > 0) == labels.T
    for draw, weights in enumerate(string_weights(16, 25, seed=0)):
        rows = rows_of(weights, groups)
        np.testing.assert_allclose(found[draw], right[:, :, rows].mean(-1))
    values = hidden[:, [0]] + labels
    found = bootstrap_held_out(hidden, values, folds, groups, "ols", n_draws=25)
    whole = reference.score_neurons(hidden, values, folds, probe="ols", metrics=("r2",))["r2"].mean(-1)
    np.testing.assert_allclose(found.mean(0)[:2], whole[:2], atol=0.1)


def test_intervals_cover_the_truth():
    """AUC of a neuron that is one standard deviation higher where the feature holds: Phi(1 / sqrt 2) = .760."""
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(50), 20)
        labels = rng.random((1_000, 1)) < 0.3
        drawn = bootstrap_auc(labels + rng.normal(size=(1_000, 1)), labels, groups, n_draws=100, seed=seed)
        low, high = np.quantile(drawn, [0.05, 0.95])
        covered += low <= 0.76025 <= high
    assert 31 <= covered <= 40  # 90 % of 40 is 36


def test_weighted_correlation_of_every_draw(problem):
    hidden, labels, groups = problem
    values = labels + np.random.default_rng(0).normal(size=labels.shape)
    weights = string_weights(15, 10, seed=0)
    found = weighted_pearson(hidden, values, groups, weights)
    for draw in range(10):
        rows = rows_of(weights[draw], groups)
        wanted = np.corrcoef(hidden[rows, :2].T.astype(float), values[rows].T)[:2, 2:]
        np.testing.assert_allclose(found[draw, :2], wanted, atol=1e-9)
    assert np.isnan(found[:, 2]).all()
