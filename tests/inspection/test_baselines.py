"""What a score has to beat, against scores made one by one."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import dni_jax as dni
from dni_jax.features import FeatureLibrary, control_task
from dni_jax.inspection._baselines import auc_within_symbol


@pytest.fixture(scope="module")
def few(labels):
    return labels.select(["depth", "symbol:3", "range:e2"])


@pytest.fixture(scope="module")
def scored(states, few):
    return dni.inspect(states, few, "ridge", folds=5)


@pytest.fixture(scope="module")
def compared(scored, states, few, held_out, model):
    return scored.pipe(dni.baselines, states, few, held_out, model=model, n_controls=2)


@pytest.mark.slow
def test_control_scores_are_those_of_the_tasks_themselves(compared, states, few, held_out):
    one_by_one = []
    for seed in (0, 1):
        both = FeatureLibrary((few.library["symbol:3"], few.library["range:e2"]))  # the shape of `scored`
        tasks = control_task(both, held_out, seed)
        scores = dni.inspect(states, tasks.label(held_out), "ridge", folds=5)["score"]
        one_by_one.append(scores.mean("fold").values[:, 1])
    np.testing.assert_allclose(compared["control"].sel(feature="range:e2"), np.mean(one_by_one, axis=0), atol=1e-6)
    gap = compared["score"].mean("fold") - compared["control"]
    np.testing.assert_allclose(compared["selectivity"], gap.transpose("neuron", "feature"), atol=1e-6)
    assert compared.attrs["no_control"] == []


def test_an_untrained_network_of_the_same_shape(compared, model, few, held_out):
    from dni_jax.models import TrainedModel

    theirs = dni.record(TrainedModel.init(model.vocabulary, model.config), held_out)
    best = dni.inspect(theirs, few, "ridge", folds=5)["score"].mean("fold").max("neuron")
    np.testing.assert_allclose(compared["untrained"], best, atol=1e-6)
    assert float(compared["over_untrained"].sel(feature="range:e2").max()) > 0


def test_the_current_character_explains_itself(compared):
    within = compared["auc_within_symbol"]
    assert np.isnan(within.sel(feature="symbol:3")).all()
    assert (within.sel(feature="range:e2") <= 1).all()
    assert ((within.sel(feature="depth") >= 0) & (within.sel(feature="depth") <= 1)).all()


def test_given_the_symbol_an_echo_knows_nothing(few, held_out):
    rng = np.random.default_rng(0)
    echo = held_out.flat_codes.astype(float)
    knows = few["range:e2"] + 0.5 * rng.normal(size=len(echo))
    found = auc_within_symbol(np.stack([echo, -knows], axis=1), few, held_out)
    assert found[0, 2] == 0.5
    assert found[1, 2] > 0.8
    assert found[0, 0] == 0


def test_columns_of_top(compared):
    table = dni.top(compared, "range:e2", k=3, by="selectivity")
    assert {"control", "selectivity", "auc_within_symbol", "untrained", "over_untrained"} <= set(table.columns)
    assert table["selectivity"].is_monotonic_decreasing
    assert table["untrained"].nunique() == 1


def test_bad_input_is_named(scored, states, few, held_out):
    with pytest.raises(ValueError, match="the corpus that was labeled"):
        dni.baselines(scored, states, few, held_out.head(50))
    with pytest.raises(ValueError, match="know their library"):
        dni.baselines(scored, states, replace(few, library=None), held_out)
    with pytest.raises(ValueError, match="was passed to"):
        dni.baselines(scored.assign_attrs(folds="given"), states, few, held_out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:labels are shifted in short strings")
def test_positions_without_a_state_count_nowhere(relevance, states, labels, held_out):
    """Masked states are left out as masked labels are."""
    mask = np.random.default_rng(0).random(held_out.n_positions) < 0.7
    some = labels.select(["digit", "depth"])
    by_states = dataclasses.replace(states, mask=mask)
    by_labels = dataclasses.replace(some, mask=mask)
    for add in (
        lambda s, la: dni.inspect(s, la, folds=4),
        lambda s, la: dni.inspect(s, la, folds=4).pipe(dni.baselines, s, la, held_out, n_controls=0)[
            "auc_within_symbol"
        ],
        lambda s, la: dni.inspect(s, la, folds=4).pipe(dni.significance, s, la, held_out, null="shift", n_null=9)["p"],
        lambda s, la: dni.inspection.lags(s, la, held_out, range(-1, 2)),
    ):
        xr.testing.assert_equal(add(by_states, some).drop_attrs(), add(states, by_labels).drop_attrs())
    again = dni.inspect(by_states, some, folds=4)
    exchanged = dni.significance(again, by_states, some, held_out, n_null=9)  # fresh strings have no masked positions
    assert exchanged.attrs["null"] == "string_permutation"
    assert exchanged.attrs["null_matched_by"] == "unit"
    with pytest.raises(ValueError, match="without a masked position"):
        dni.significance(again, by_states, some, held_out, null="fresh", n_null=9)


def test_a_network_from_elsewhere_is_compared_with_fresh_weights(relevance, states, labels, held_out, model):
    """How its training began is unknown; its architecture is not."""
    stranger = dataclasses.replace(model, config=None)
    found = dni.baselines(relevance, states, labels, held_out, model=stranger, n_controls=0)
    assert np.isfinite(found["untrained"].sel(feature="depth"))
    assert not found["untrained"].equals(relevance["score"].mean("fold").max("neuron"))


def test_a_lookup_of_the_token_is_an_echo_of_it():
    """States that depend on the token only know nothing beyond it, even of a feature of the token's characters."""
    rng = np.random.default_rng(0)
    words = np.asarray(["if", "for", "(", ")", "x", "while", "y2", "1"])
    strings = [list(rng.choice(words, 12)) for _ in range(30)]
    corpus = dni.Corpus.from_strings([" ".join(string) for string in strings])
    table = {word: rng.normal(size=4) + (len(word) > 1) for word in words}
    offsets = [
        np.stack([ends := np.cumsum([len(w) + 1 for w in string]) - 1, ends], 1) - [[len(w), 0] for w in string]
        for string in strings
    ]
    states = dni.from_tokens(
        [np.asarray([table[w] for w in string]) for string in strings], offsets, corpus, unit="token"
    )
    assert int(states.mask.sum()) == 30 * 12  # a token counts once
    labels = dni.char_feature("letter", str.isalpha).label(corpus).by_token(states.mask, corpus, how="any")
    # A label that is not a function of the token: whether it stands in the second half of its string.
    late = corpus.position_in_string > 18
    two = dataclasses.replace(
        labels, names=("letter", "late"), kinds=("binary",) * 2, columns=(labels["letter"], late * 1)
    )
    relevance = dni.inspect(states, two, "ridge", folds=3)
    found = dni.baselines(relevance, states, two, corpus, n_controls=1)
    assert float(relevance["auc"].sel(feature="letter").mean("fold").max()) > 0.8
    assert np.isnan(found["auc_within_symbol"].sel(feature="letter")).all()  # the token decides it
    np.testing.assert_allclose(found["auc_within_symbol"].sel(feature="late"), 0.5)
    assert np.isfinite(found["selectivity"].sel(feature="letter")).all()
    tested = dni.significance(relevance, states, two, corpus, n_null=19)
    assert tested.attrs["null"] == "string_permutation"
    assert tested.attrs["null_matched_by"] == "unit"
    by_character = dni.from_arrays(states.hidden, corpus)
    again = dni.baselines(relevance, by_character, two, corpus, symbols=states.symbols, n_controls=0)
    np.testing.assert_array_equal(again["auc_within_symbol"], found["auc_within_symbol"])
