"""p-values in the relevance dataset: the right null by default, what was matched is told, errors that help."""

from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.inspection import read_relevance, relevance_table
from dni_jax.inspection._store import write_table
from dni_jax.models import TrainedModel
from tests.support.slow import slow_after


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
    with pytest.warns(UserWarning, match="short strings"):
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
    with pytest.warns(UserWarning, match="short strings"):
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


def words(rng, n, stop=0.25):
    """Strings of 3 to 14 letters that end by chance, with a space inside some of them."""
    lengths = np.minimum(3 + rng.geometric(stop, n) - 1, 14)
    texts = ["".join(rng.choice(list("abcde"), length)) for length in lengths]
    return [text[:2] + " " + text[2:] for text in texts]


def place_and_noise(corpus, rng, n=6):
    """States that know the place in the string, and nothing of what is in it."""
    place = corpus.position_in_string[:, None] / 5.0
    return (np.tanh(place * rng.normal(size=n)) + 0.3 * rng.normal(size=(corpus.n_positions, n))).astype(np.float32)


@pytest.mark.parametrize("matched", slow_after(1, ["unit", "position"]))
def test_features_of_other_strings_are_not_found_in_short_ones(matched):
    """The place in a word is no finding: whole strings are exchanged, also where the spaces have no state."""
    rng = np.random.default_rng(0)
    corpus = dni.Corpus.from_strings(words(rng, 100))
    library = dni.feature("late", lambda string: [int(n > len(string) // 2) for n in range(len(string))])
    library += dni.char_feature("a", lambda c: c == "a")
    labels = library.label(corpus)
    states = dni.from_arrays(place_and_noise(corpus, rng), corpus)
    spaced = replace(states, mask=corpus.text != ord(" "))
    which = spaced if matched == "unit" else states
    relevance = dni.inspect(which, labels, "ols", folds=3)
    tested = dni.significance(relevance, which, labels, corpus, n_null=19)
    assert tested.attrs["null"] == "string_permutation"
    assert tested.attrs["null_matched_by"] == matched
    assert tested.attrs["null_positions"] > 0.8 * int(which.mask.sum() if which.mask is not None else len(corpus.text))
    assert float(tested["p_global"].min()) > 0.025
    with pytest.warns(UserWarning, match="p is too small"):
        shifted = dni.significance(relevance, which, labels, corpus, null="shift", n_null=19)
    assert float(shifted["p_global"].min()) == 0.05


def test_groups_of_strings_and_long_texts_are_shifted():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc"), 300)) for _ in range(3)]
    corpus = dni.Corpus.from_strings(texts)
    labels = dni.char_feature("a", lambda c: c == "a").label(corpus)
    states = dni.from_arrays(rng.normal(size=(900, 2)).astype(np.float32), corpus)
    relevance = dni.inspect(states, labels, "ols", folds=3)
    assert dni.significance(relevance, states, labels, corpus, n_null=9).attrs["null"] == "shift"
