"""The relevance dataset: right scores in the right place, folds that respect groups, errors that help."""

import numpy as np
import pytest

import dni_jax as dni
from tests.support.slow import slow_after


def test_dimensions_names_and_attributes(relevance, labels, model):
    assert dict(relevance.sizes) == {"neuron": model.n_neurons, "feature": len(labels), "fold": 5}
    assert list(relevance["feature"].values) == list(labels.names)
    assert relevance["score"].dims == ("neuron", "feature", "fold")
    assert relevance["baseline"].dims == ("feature", "fold")
    kinds = relevance["kind"].values
    binary, continuous = relevance.isel(feature=kinds == "binary"), relevance.isel(feature=kinds == "continuous")
    np.testing.assert_array_equal(binary["score"], binary["accuracy"])
    np.testing.assert_array_equal(continuous["score"], continuous["r2"])
    assert np.isnan(binary["r2"]).all()
    assert np.isnan(continuous["accuracy"]).all()
    for name, column in zip(labels.names, labels.columns, strict=True):
        assert float(relevance["share"].sel(feature=name)) == pytest.approx(column.mean(), rel=1e-5)


def test_scores_are_those_of_the_probes(relevance, states, labels):
    folds = dni.make_folds(len(labels.mask), 5, groups=states.groups, seed=0)
    binary = labels.of_kind("binary")
    expected = dni.score_neurons(states.hidden, binary.matrix, folds, probe="svm", metrics=("accuracy", "auc"))
    np.testing.assert_allclose(relevance["accuracy"].sel(feature=list(binary.names)), expected["accuracy"], atol=1e-6)
    expected = dni.score_neurons(states.hidden, labels["depth"][:, None], folds, probe="ols", metrics=("r2",))
    np.testing.assert_allclose(relevance["r2"].sel(feature="depth"), expected["r2"][:, 0], atol=1e-5)


def test_a_planted_neuron_comes_first(states, labels):
    hidden = np.random.default_rng(0).normal(size=states.hidden.shape).astype(np.float32)  # one program for all
    hidden[:, 4] += 3 * labels["digit"]
    relevance = dni.inspect(hidden, labels, folds=5, groups=states.groups)
    best = dni.top(relevance, "digit", k=2)
    assert best["neuron"][0] == 4
    assert best["score"][0] > 0.9 > best["score"][1]
    assert best["auc"][0] > 0.95


@pytest.mark.parametrize("probe", slow_after(0, ["ridge", "svm"]))
def test_masked_positions_take_no_part(states, labels, probe):
    from dataclasses import replace

    used = np.random.default_rng(1).random(len(labels.mask)) < 0.5
    corrupted = states.hidden.copy()
    corrupted[~used] = 1e6
    some = replace(labels.select(["digit"]), mask=used)
    first = dni.inspect(states.hidden, some, probe, folds=4, groups=states.groups)
    second = dni.inspect(corrupted, some, probe, folds=4, groups=states.groups)
    np.testing.assert_array_equal(first["accuracy"], second["accuracy"])
    assert first.attrs["positions"] == used.sum()


def test_constant_features_have_their_baseline(relevance):
    constant = relevance.sel(feature="range:e0")
    np.testing.assert_array_equal(constant["accuracy"], 1.0)
    np.testing.assert_array_equal(constant["baseline"], 1.0)


def test_bad_input_is_named(states, labels, corpus, parentheses):
    with pytest.raises(ValueError, match="record and label the same corpus"):
        dni.inspect(states.hidden[:-1], labels)
    with pytest.raises(ValueError, match=r"groups=\(T,\)"):
        dni.inspect(states.hidden, labels)
    with pytest.raises(ValueError, match="svm"):
        dni.inspect(states, labels, probe="magic", folds=4)
    with pytest.raises(ValueError, match="fold"):
        dni.inspect(states, labels, folds=len(np.unique(states.groups)) + 1)
    broken = states.hidden.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="hidden"):
        dni.inspect(broken, labels, folds=4, groups=states.groups)


def test_one_kind_only_and_no_feature(states, labels):
    only = dni.inspect(states, labels.of_kind("continuous"), folds=3)
    assert list(only["feature"].values) == ["depth"]
    with pytest.raises(ValueError, match="at least one feature"):
        dni.inspect(states, labels.select([]), folds=3)
