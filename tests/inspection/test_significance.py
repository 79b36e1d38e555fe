"""p-values in the relevance dataset: the right null by default, what was matched is told, errors that help."""

from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.inspection import read_relevance, relevance_table
from dni_jax.inspection._store import write_table
from dni_jax.models import TrainedModel


@pytest.fixture(scope="module")
def few(labels):
    return labels.select(["depth", "digit", "range:e2", "depth=4"])


@pytest.fixture(scope="module")
def scored(relevance, few):
    return relevance.sel(feature=list(few.names))


@pytest.fixture(scope="module")
def tested(scored, states, few, held_out):
    return scored.pipe(dni.significance, states, few, held_out, n_null=39)


def test_a_network_that_reads_the_text_is_found_out(tested, few):
    assert tested.attrs["null"] == "fresh"
    assert tested.attrs["n_null"] == 39
    assert tested["p"].dims == ("neuron", "feature")
    for name in few.names:
        assert float(tested["p_global"].sel(feature=name).min()) == 1 / 40
    every = tested.attrs["null_positions"] + tested.attrs["null_positions_left_out"]
    assert every == len(few.mask)
    assert tested.attrs["null_positions_left_out"] < 0.02 * every
    assert tested.attrs["null_positions_matched_exactly"] > 0.9 * every


def test_a_network_that_reads_other_text_is_not(parentheses, scored, model, held_out, few):
    """States of an untrained network on other strings of the same lengths know nothing but the position."""
    pool = parentheses.sample(20_000, seed=77)
    lengths, wanted = np.diff(pool.offsets), np.diff(held_out.offsets)
    spare = {length: np.flatnonzero(lengths == length).tolist() for length in np.unique(wanted)}
    rows = np.asarray([spare[length].pop() if spare[length] else -1 for length in wanted])
    kept = held_out.take(np.flatnonzero(rows >= 0))
    others = dni.record(TrainedModel.init(model.vocabulary, model.config), pool.take(rows[rows >= 0]))
    labels = few.library.select(list(few.names)).label(kept)
    found = dni.significance(scored, others, labels, kept, n_null=99)
    assert (found["p_family"].min("neuron") > 0.01).all()
    assert float((found["p"] <= 0.05).mean()) < 0.2
    shifted = dni.significance(scored, others, labels, kept, null="shift", n_null=99)
    assert float((shifted["p"] <= 0.05).mean()) > 0.3  # both know the place in the string: shift does not keep it


def test_columns_of_top_and_ranking_by_p(tested, scored):
    table = dni.top(tested, "digit", k=3, by="q")
    assert {"p", "p_family", "p_global", "q", "statistic"} <= set(table.columns)
    assert "null_sd" not in table
    assert table["q"].is_monotonic_increasing
    best = scored["score"].sel(feature="digit", neuron=table["neuron"][0])
    assert table["score"][0] == pytest.approx(float(best.mean()))


def test_written_and_read_back(tested, tmp_path):
    write_table(relevance_table(tested), tmp_path / "relevance.parquet")
    again = read_relevance(tmp_path / "relevance.parquet")
    for name in tested:
        assert again[name].dims == tested[name].dims
        np.testing.assert_array_equal(again[name].values, tested[name].values)


@pytest.mark.slow
def test_other_nulls_and_masked_positions(scored, states, few, held_out):
    mask = np.ones(len(few.mask), bool)
    mask[[0, 5, 300]] = False
    some = replace(few, mask=mask)
    exchanged = dni.significance(scored, states, some, held_out, null="string_permutation", n_null=19)
    out = np.isin(held_out.string_ids, held_out.string_ids[~mask]).sum()
    assert exchanged.attrs["null_masked_positions"] == out
    shifted = dni.significance(scored, states.hidden, some, groups=states.groups, n_null=19)
    assert shifted.attrs["null"] == "shift"
    assert shifted.attrs["null_positions"] == len(mask) - 3
    given = dni.languages.get("parentheses").sample(500, seed=9)
    fresh = dni.significance(scored, states, few, fresh=given, n_null=19)
    assert fresh.attrs["null"] == "fresh"


def test_bad_input_is_named(scored, states, few, held_out, relevance):
    with pytest.raises(ValueError, match="the same states and labels"):
        dni.significance(relevance, states, few, held_out)
    with pytest.raises(ValueError, match="record and label the same corpus"):
        dni.significance(scored, states.hidden[1:], few, held_out)
    with pytest.raises(ValueError, match="know their library"):
        dni.significance(scored, states, replace(few, library=None), held_out)
    with pytest.raises(ValueError, match="language= or fresh="):
        dni.significance(scored, states, few, replace(held_out, language="mine"))
    with pytest.raises(ValueError, match="takes null_labels"):
        dni.significance(scored, states, few, held_out, null="labels")
    with pytest.raises(ValueError, match="null to be one of"):
        dni.significance(scored, states, few, held_out, null="magic")
    with pytest.raises(ValueError, match="whole strings"):
        dni.significance(scored, states, few, replace(held_out, ends=~held_out.ends))
    with pytest.raises(ValueError, match=r"groups=\(T,\)"):
        dni.significance(scored, states.hidden, few, null="shift")


def test_the_best_of_each_feature_come_with_their_p(tested):
    from dni_jax.inspection import best_per_feature

    table = best_per_feature(tested, k=1, by="auc")
    assert table["p_global"].tolist() == [1 / 40] * 4
