"""Rankings on relevance written by hand."""

import numpy as np
import pytest
import xarray as xr

import dni_jax as dni
from dni_jax.inspection import best_per_feature, ranking, read_relevance, relevance_table
from dni_jax.inspection._store import write_table


@pytest.fixture
def by_hand():
    """Four neurons, two features, two folds; on "rare" all accuracies tie at the baseline."""
    accuracy = np.asarray(
        [[[0.6, 0.8], [0.9, 0.9]], [[0.9, 0.9], [0.9, 0.9]], [[0.5, 0.5], [0.9, 0.9]], [[0.9, 0.9], [0.9, 0.9]]]
    )
    auc = np.asarray(
        [[[0.7, 0.7], [0.5, 0.5]], [[0.8, 0.8], [0.6, 0.6]], [[0.5, 0.5], [0.9, 0.9]], [[0.95, 0.95], [np.nan, 0.7]]]
    )
    dims = ("neuron", "feature", "fold")
    return xr.Dataset(
        {
            "score": (dims, accuracy),
            "accuracy": (dims, accuracy),
            "auc": (dims, auc),
            "baseline": (dims[1:], np.asarray([[0.5, 0.5], [0.9, 0.9]])),
        },
        coords={
            "neuron": range(4),
            "feature": ["common", "rare"],
            "fold": [0, 1],
            "kind": ("feature", ["binary"] * 2),
            "share": ("feature", [0.5, 0.1]),
        },
        attrs={"library": None},
    )


def test_ties_are_broken_by_auc_then_by_number(by_hand):
    assert ranking(by_hand, "common").tolist() == [3, 1, 0, 2]
    assert ranking(by_hand, "rare").tolist() == [2, 3, 1, 0]
    assert ranking(by_hand, "common", by="auc").tolist() == [3, 1, 0, 2]


def test_top_columns_and_values(by_hand):
    table = dni.top(by_hand, "common", k=3)
    assert table["neuron"].tolist() == [3, 1, 0]
    assert table["score"].tolist() == pytest.approx([0.9, 0.9, 0.7])
    assert table["score_sd"].tolist() == pytest.approx([0, 0, np.std([0.6, 0.8], ddof=1)])
    assert table["baseline"].tolist() == pytest.approx([0.5] * 3)
    assert table["lift"].tolist() == pytest.approx([0.8, 0.8, 0.4])
    assert dni.top(by_hand, "common", k=4, minimum=0.75)["neuron"].tolist() == [3, 1]
    assert dni.top(by_hand, "rare", k=2, minimum=0.75, by="auc")["neuron"].tolist() == [2]


def test_best_per_feature(by_hand):
    table = best_per_feature(by_hand, k=2)
    assert table["feature"].tolist() == ["common", "rare"]
    assert table["neurons"].tolist() == [[3, 1], [2, 3]]
    assert table["lift"].tolist() == pytest.approx([0.8, 0.0])


def test_bad_requests_are_named(by_hand):
    with pytest.raises(ValueError, match="k from 1 to 4"):
        dni.top(by_hand, "common", k=5)
    with pytest.raises(ValueError, match="did you mean 'common'"):
        dni.top(by_hand, "comon")
    with pytest.raises(ValueError, match="by= one of"):
        dni.top(by_hand, "common", k=2, by="beauty")


def test_table_and_back(relevance, tmp_path):
    path = tmp_path / "relevance.parquet"
    write_table(relevance_table(relevance), path)
    again = read_relevance(path)
    for name in ("score", "accuracy", "auc", "r2", "baseline", "kind", "share"):
        np.testing.assert_array_equal(again[name].values, relevance[name].values)
        assert again[name].dims == relevance[name].dims
    assert list(again["feature"].values) == list(relevance["feature"].values)


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "relevance.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"relevance\.parquet"):
        read_relevance(tmp_path / "relevance.parquet")


def test_a_network_of_two_neurons_lists_both(by_hand):
    assert best_per_feature(by_hand.isel(neuron=[0, 1]))["neurons"].map(len).tolist() == [2, 2]


def test_without_k_a_small_network_is_listed_whole(by_hand):
    assert dni.top(by_hand, "common")["neuron"].tolist() == [3, 1, 0, 2]
