"""Attribution over a corpus, compared with single positions and with recordings under interventions."""

from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.inspection._lags import has_state
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement
from dni_jax.models import TrainedModel, Weights, predict
from tests.support.layers import random_layer

LAGS = [0, 2, 5]


@pytest.fixture(scope="module")
def text(held_out):
    return held_out.head(600)


@pytest.fixture(scope="module")
def some(text):
    return np.sort(np.random.default_rng(0).choice(text.n_positions, 40, replace=False))


@pytest.fixture(scope="module")
def found(model, text, some):
    return attribute(model, text, "next", LAGS, part="state", positions=some, batch=16)


@pytest.mark.slow
def test_means_over_single_positions(model, text):
    chosen = np.flatnonzero(has_state(text.string_ids, 5))[[3, 40, 90]]
    each = [attribute(model, text, "next", LAGS, part="state", positions=[at], batch=2) for at in chosen]
    together = attribute(model, text, "next", LAGS, part="state", positions=chosen, batch=2)
    for name in ("attribution", "magnitude", "value", "change", "completeness_error"):
        single = [np.abs(one["attribution"]) if name == "magnitude" else one[name] for one in each]
        np.testing.assert_allclose(np.mean(single, axis=0), together[name], atol=1e-6)


def test_positions_need_enough_characters_before_them(text, some, found):
    expected = [int(has_state(text.string_ids, lag)[some].sum()) for lag in LAGS]
    assert found["positions"].values.tolist() == expected
    assert expected[0] == 40 > expected[-1]


def test_strings_are_independent(model, text):
    second = text.take(np.array([1]))
    whole = np.flatnonzero(text.string_ids == 1)
    inside = attribute(model, text, ")", LAGS, positions=whole, batch=16)
    alone = attribute(model, second, ")", LAGS, batch=16)
    np.testing.assert_allclose(inside["attribution"], alone["attribution"], atol=1e-6)
    assert (inside["positions"] == alone["positions"]).all()


@pytest.mark.parametrize("part", ["hidden", "state"])
def test_integrated_gradients_are_complete(model, text, some, part):
    ask = {"part": part, "positions": some, "baseline": "mean", "batch": 16}
    exact = attribute(model, text, "next", LAGS, "integrated_gradients", **ask)
    assert (exact["completeness_error"] < 1e-3 * exact["change"]).all()
    assert (exact["change"] > 0.01).all()
    near = attribute(model, text, "next", LAGS, **ask)
    assert (near["completeness_error"] > 10 * exact["completeness_error"]).all()
    np.testing.assert_allclose(near["change"], exact["change"], rtol=1e-5)
    np.testing.assert_allclose(near["value"], exact["value"], rtol=1e-5)


@pytest.mark.slow
def test_all_four_parts_of_an_slstm_are_explained(text):
    """Along the line to a state, its normalizer and its stabiliser change, too."""
    rng, size = np.random.default_rng(1), len(text.vocabulary)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    weights = Weights((random_layer("slstm", size, 4, draw),), draw(4, size), draw(size), "slstm")
    network = TrainedModel.from_weights(weights, text.vocabulary)
    ask = {"part": "state", "positions": 20, "baseline": "mean", "batch": 20}
    exact = attribute(network, text, "next", [2], "integrated_gradients", **ask)
    assert (exact["completeness_error"] < 1e-3 * exact["change"]).all()
    assert (exact["change"] > 1e-3).all()


def test_parts_of_gradient_x_activation_add_up(model, text, some, found):
    parts = [attribute(model, text, "next", LAGS, part=part, positions=some, batch=16) for part in ("hidden", "cell")]
    np.testing.assert_allclose(sum(part["attribution"] for part in parts), found["attribution"], atol=1e-6)
    assert not parts[1]["attribution"].sel(lag=0).any()  # the head does not read the memory


def test_targets(model, text, some):
    code = model.vocabulary.symbols.index(")")
    ours = attribute(model, text, [")"], LAGS, positions=some, batch=16)
    function = attribute(model, text, lambda log_probs: log_probs[code], LAGS, positions=some, batch=16)
    np.testing.assert_allclose(ours["attribution"], function["attribution"], atol=1e-6)
    anything = attribute(model, text, model.vocabulary.symbols, LAGS, positions=some, batch=16)
    np.testing.assert_allclose(anything["attribution"], 0, atol=1e-6)  # log 1 is constant
    logits = dni.record(model, text, ("logits",)).logits[some]
    log_probs = logits[:, code] - np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(ours["value"].sel(lag=0), log_probs.mean(), rtol=1e-5)


def test_intervals_are_over_strings_and_reproducible(model, text, some, found):
    assert (found["attribution_low"] <= found["attribution"] + 1e-9).mean() > 0.95
    assert (found["attribution"] <= found["attribution_high"] + 1e-9).mean() > 0.95
    assert found.equals(attribute(model, text, "next", LAGS, part="state", positions=some, batch=16))
    one = np.flatnonzero(text.string_ids == 3)
    narrow = attribute(model, text, "next", LAGS, positions=one, batch=16)
    np.testing.assert_allclose(narrow["attribution_low"], narrow["attribution_high"], atol=1e-9)


@pytest.mark.parametrize("part", ["hidden", "cell"])
def test_ablation_at_one_step_equals_a_recording_under_it(model, text, part):
    at = int(np.flatnonzero(has_state(text.string_ids, 5))[7])
    effects = ablation_effects(model, text, "next", LAGS, part=part, positions=[at])
    following, hidden = int(text.flat_codes[at + 1]), dni.record(model, text).hidden
    for lag in LAGS:
        when = np.arange(text.n_positions) == at - lag
        for neuron in (0, 7):
            silenced = dni.ablate([neuron], when=when, part=part[0])
            if part == "cell":  # keep the hidden state of the same step
                silenced = silenced.then(dni.patch([neuron], hidden, when=when))
            logits = [dni.record(model, text, ("logits",), intervention=how).logits[at] for how in (None, silenced)]
            before, after = (row[following] - np.log(np.exp(row).sum()) for row in logits)
            assert effects["effect"].sel(neuron=neuron, lag=lag) == pytest.approx(before - after, abs=2e-5)


def test_lag_0_is_ablation_at_the_readout(model, text):
    inside = np.flatnonzero(has_state(text.string_ids, -1))  # a character follows
    masks = np.concatenate([np.zeros((1, model.n_neurons), bool), np.eye(model.n_neurons, dtype=bool)])
    silenced = dni.ablate(range(model.n_neurons), where="readout").bind(model.n_neurons, text.n_positions, sets=masks)
    predictions = predict(model.weights, text, silenced)
    expected = (predictions.loss[1:] - predictions.loss[0])[:, inside + 1].mean(axis=1)
    effects = ablation_effects(model, text, "next", [0], positions=inside)
    np.testing.assert_allclose(effects["effect"].sel(lag=0), expected, atol=1e-5)


def test_sets_and_resampled_states(model, text, some):
    sets = np.zeros((3, model.n_neurons), bool)
    sets[1, 4] = sets[2] = True
    effects = ablation_effects(model, text, ")", LAGS, sets=sets, part="state", positions=some)
    assert not effects["effect"].sel(set=0).any()
    single = ablation_effects(model, text, ")", LAGS, part="state", positions=some)
    np.testing.assert_allclose(effects["effect"].sel(set=1), single["effect"].sel(neuron=4), atol=1e-6)
    change = attribute(model, text, ")", LAGS, part="state", positions=some)["change"]
    np.testing.assert_allclose(effects["magnitude"].sel(set=2), change, rtol=1e-4)
    drawn = [ablation_effects(model, text, ")", LAGS, sets=sets, positions=some, baseline="resample", seed=seed)
             for seed in (0, 0, 1)]  # fmt: skip
    assert drawn[0].equals(drawn[1])
    assert not np.allclose(drawn[0]["effect"], drawn[2]["effect"])


@pytest.mark.slow
def test_attribution_ranks_as_ablation_does(model, text, relevance):
    deep = has_state(text.string_ids, 5) & has_state(text.string_ids, -1)
    ask = {"target": "next", "lags": LAGS, "part": "hidden", "positions": deep}
    by_paths = attribute(model, text, method="integrated_gradients", steps=8, **ask)
    effects = ablation_effects(model, text, **ask)
    agreement = rank_agreement(by_paths, effects, relevance, ["digit", "depth"])
    assert (agreement["magnitude"] > 0.8).all()
    assert agreement["signed"].sel(lag=0) > 0.6
    assert agreement["relevance"].shape == (3, 2)
    assert (np.abs(agreement["relevance"]) < 1).all()


INVALID = {
    "method": {"method": "saliency"},
    "lags of 0": {"lags": [-1]},
    "symbols of the network": {"target": "digit"},
    "part among": {"part": "gates"},
    "number of positions": {"positions": 10**6},
    "positions from 0": {"positions": [10**6]},
    "distinct": {"positions": [3, 3]},
    "baseline='zero'": {"baseline": "median"},
    "shape \\(24,\\)": {"baseline": np.zeros(23)},
    "\\(2, 24\\)": {"baseline": np.zeros(24), "part": "state"},
    "choose smaller lags": {"lags": [500]},
    "steps and batch": {"batch": 0},
}


@pytest.mark.parametrize("message", INVALID)
def test_invalid_arguments(model, text, message):
    with pytest.raises(ValueError, match=message):
        attribute(model, text, **INVALID[message])


def test_segments_of_a_text_have_no_next_symbol_at_their_ends(model, text):
    segments = replace(text, ends=np.zeros(len(text), bool))
    last = text.offsets[1:] - 1
    with pytest.raises(ValueError, match="at the end of a segment"):
        attribute(model, segments, positions=last)
    inside = attribute(model, segments, "next", LAGS, batch=16)
    assert inside["positions"][0] == text.n_positions - len(text)
    assert attribute(model, segments, ")", LAGS, positions=last, batch=16)["positions"][0] == len(text)


def test_agreement_needs_the_same_lags_and_part(found, model, text, some):
    effects = ablation_effects(model, text, "next", LAGS, positions=some)
    with pytest.raises(ValueError, match="part"):
        rank_agreement(found, effects)
    with pytest.raises(ValueError, match="lag"):
        rank_agreement(found, effects.isel(lag=[0]))
    with pytest.raises(ValueError, match="relevance"):
        rank_agreement(found.assign_attrs(part="hidden"), effects, None, "digit")
