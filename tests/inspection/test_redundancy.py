"""Clusters of neurons, sparse probes, what one neuron serves."""

import numpy as np
import pytest

import dni_jax as dni


def test_planted_groups_are_found():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(400, 3))
    member = np.asarray([0, 1, 0, 2, 0, 1])
    hidden = sources[:, member] * [1, -1, 3, 1, -2, 5] + 0.1 * rng.normal(size=(400, 6)) + 7
    found = dni.inspection.redundancy(hidden)
    assert found["cluster"].values.tolist() == [0, 1, 0, 2, 0, 1]
    assert found["size"].values.tolist() == [3, 2, 3, 1, 3, 2]
    np.testing.assert_allclose(found["correlation"], np.corrcoef(hidden.T), atol=1e-12)
    some = dni.inspection.redundancy(hidden, [5, 3, 1])
    assert some["cluster"].values.tolist() == [0, 1, 0]
    assert some["neuron"].values.tolist() == [5, 3, 1]


def test_every_pair_of_a_cluster_correlates_enough(states):
    found = dni.inspection.redundancy(states, threshold=0.5)
    correlation, cluster = np.abs(found["correlation"].values), found["cluster"].values
    together = cluster[:, None] == cluster[None, :]
    assert (correlation[together] >= 0.5 - 1e-9).all()


def test_a_constant_neuron_stands_alone():
    hidden = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    hidden[:, 1], hidden[:, 2] = 0.3, hidden[:, 0]
    found = dni.inspection.redundancy(hidden)
    assert found["cluster"].values.tolist() == [0, 1, 0]
    assert dni.inspection.redundancy(hidden, [1])["size"].values.tolist() == [1]
    masked = dni.inspection.redundancy(hidden, mask=np.arange(100) < 50)
    np.testing.assert_allclose(masked["correlation"][0, 2], 1)


def test_sparse_probes_grow(states, labels):
    few = labels.select(["digit", "depth"])
    found = dni.inspection.sparse_probe(states, few, k=4, folds=3)
    assert dict(found.sizes) == {"k": 4, "feature": 2, "fold": 3}
    mean = found["r2"].mean("fold")
    assert (mean.sel(k=4) > mean.sel(k=1)).all()
    chosen = found["neurons"].sel(feature="digit").values
    assert all(len(set(column)) == 4 for column in chosen.T)


def test_what_a_neuron_serves(relevance):
    best = int(dni.top(relevance, "digit", k=1, by="auc")["neuron"][0])
    table = dni.inspection.neuron_profile(relevance, best, k=60)
    assert table["rank"].is_monotonic_increasing
    row = table.set_index("feature").loc["digit"]
    assert row["rank"] == 0
    assert row["auc"] == pytest.approx(float(relevance["auc"].sel(feature="digit", neuron=best).mean()))
    assert len(table) == relevance.sizes["feature"]


def test_bad_input_is_named(states, relevance):
    for match, arguments in (
        ("neurons from 0", {"neurons": [99]}),
        ("each neuron once", {"neurons": [1, 1]}),
        ("threshold", {"threshold": 0.0}),
    ):
        with pytest.raises(ValueError, match=match):
            dni.inspection.redundancy(states, **arguments)
    with pytest.raises(ValueError, match="expected a neuron"):
        dni.inspection.neuron_profile(relevance, 99)
    with pytest.raises(ValueError, match="k of at least 1"):
        dni.inspection.neuron_profile(relevance, 0, k=0)
