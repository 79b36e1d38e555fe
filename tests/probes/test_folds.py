"""Folds: whole groups, balanced sizes, and scikit-learn's own stratified folds."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from dni_jax.probes import make_folds


def test_grouped_keeps_groups_whole_and_balances_sizes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 60, 300))
    groups[::17] = -1
    folds = make_folds(len(groups), k=20, groups=groups, seed=3)
    assert folds.dtype == np.int32
    np.testing.assert_array_equal(folds == -1, groups == -1)
    for group in range(300):
        assert len(np.unique(folds[groups == group])) <= 1
    sizes = np.bincount(folds[folds >= 0], minlength=20)
    assert sizes.max() - sizes.min() <= 60
    np.testing.assert_array_equal(folds, make_folds(len(groups), k=20, groups=groups, seed=3))
    assert (folds != make_folds(len(groups), k=20, groups=groups, seed=4)).any()


def test_shuffled_is_balanced():
    folds = make_folds(103, k=10, scheme="shuffled", seed=1)
    assert set(np.bincount(folds)) == {10, 11}


@pytest.mark.parametrize("chance", [0.5, 0.1, 0.02])
def test_stratified_contiguous_is_scikit_learns(chance):
    labels = np.random.default_rng(2).random((500, 3)) < chance
    labels[:5] = [[1, 0, 1]] * 5
    folds = make_folds(500, k=7, scheme="stratified_contiguous", labels=labels)
    assert folds.shape == (500, 3)
    for column, y in zip(folds.T, labels.T, strict=True):
        expected = np.empty(500, int)
        for fold, (_, test) in enumerate(StratifiedKFold(7).split(np.zeros(500), y)):
            expected[test] = fold
        np.testing.assert_array_equal(column, expected)
        np.testing.assert_array_equal(
            column, make_folds(500, k=7, scheme="stratified_contiguous", labels=y.astype(float))
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected groups"),
        ({"k": 1}, "k >= 2"),
        ({"scheme": "random"}, "grouped, shuffled, stratified_contiguous"),
        ({"groups": np.zeros(9, int)}, r"shape \(10,\)"),
        ({"groups": np.zeros(10)}, "integer groups"),
        ({"groups": np.full(10, -2)}, "groups >= -1"),
        ({"groups": np.arange(10) // 5}, "at least 20 groups for 20 folds, got 2; try 2 folds"),
        ({"scheme": "shuffled"}, "at least 20 positions"),
        ({"scheme": "stratified_contiguous"}, "expected labels"),
        ({"scheme": "stratified_contiguous", "labels": np.zeros(9)}, r"\(10,\)"),
        ({"scheme": "stratified_contiguous", "labels": np.arange(10) % 2, "k": 6}, "at least 6 members"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_folds(10, **arguments)
