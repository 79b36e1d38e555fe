"""The causal verdict on networks whose answer is known, and its bookkeeping against brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models.evaluation import Predictions
from dni_jax.verification import MEASURES
from dni_jax.verification.measures import bootstrap_weights, correct_types, group_sums
from dni_jax.verification.verify import held_by, neuron_sets


@pytest.fixture(scope="module")
def verdict(model, held_out, relevance):
    return dni.verify(model, held_out, relevance, ["digit", "depth=4", "depth"], ks=(1, 3), n_random=8)


def test_dimensions(verdict):
    assert dict(verdict.sizes) == {"feature": 3, "measure": len(MEASURES), "k": 2, "draw": 8, "place": 3}
    assert verdict.attrs["intervention"] == "ablate"


def test_only_the_neurons_that_the_output_reads_matter(model, held_out, relevance, cut_off):
    """With every weight out of all but three neurons cut, silencing those three is silencing everything."""
    readers = dni.top(relevance, "digit", k=3)["neuron"].tolist()
    others = [n for n in range(model.n_neurons) if n not in readers]
    cut = dni.models.untrained(model.vocabulary, model.config)
    cut.module.set_weights(cut_off(model.weights, others))
    effect = dni.verify(cut, held_out, relevance, "digit", ks=(3,), n_random=16)
    everything = dni.verify(cut, held_out, relevance, "digit", ks=(model.n_neurons,), n_random=1)
    np.testing.assert_allclose(effect["top"].values[0], everything["top"].values[0], atol=1e-6)
    untouched = [not set(readers) & set(row) for row in random_sets(model, 16, 3)]
    assert any(untouched)
    change = effect["random"].values[0] - effect["intact"].values
    np.testing.assert_allclose(change[untouched], 0, atol=1e-6)
    assert abs(effect["top_effect"].sel(measure="loss").item()) > 0.01


def random_sets(model, n_random, k, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(model.n_neurons)[:k].tolist() for _ in range(n_random)]


def test_measures_against_brute_force(model, held_out, relevance, labels, verdict):
    neurons = [n for n in verdict["neurons"].sel(feature="digit", k=3).values.tolist() if n >= 0]
    silenced = dni.record(model, held_out, intervention=dni.ablate(neurons)).hidden
    weights = model.weights
    logits = np.asarray(silenced @ weights.head + weights.head_b)
    types = np.asarray(model.vocabulary.types)
    codes = held_out.flat_codes
    right, loss, on = [], [], []
    for start, stop in zip(held_out.offsets[:-1], held_out.offsets[1:], strict=True):
        for place in range(start + 1, stop):  # a string's first character is left to the other test
            row = logits[place - 1]
            right.append(types[row.argmax()] == types[codes[place]])
            loss.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[codes[place]])
            on.append(labels["digit"][place] == 1)
    right, loss, on = map(np.asarray, (right, loss, on))
    inside = np.ones(held_out.n_positions, bool)
    inside[held_out.offsets[:-1]] = False
    from dni_jax.interventions import Override
    from dni_jax.models import predict

    mask = np.zeros((1, model.n_neurons), bool)
    mask[0, neurons] = True
    zero = jnp.zeros(mask.shape)
    predictions = predict(weights, held_out, Override(jnp.asarray(mask), zero, zero))
    np.testing.assert_allclose(predictions.loss[0, inside], loss, atol=1e-4)
    np.testing.assert_array_equal(correct_types(predictions, held_out)[0, inside], right)
    sums = group_sums(
        correct_types(predictions, held_out),
        predictions.loss,
        predictions.predicted & inside,
        labels["digit"] == 1,
        held_out.position_groups,
    )
    expected = [right.mean(), right[on].mean(), right[~on].mean(), loss.mean(), loss[on].mean(), loss[~on].mean()]
    np.testing.assert_allclose(sums.means()[0], expected, atol=1e-5)


def test_bootstrap_resamples_whole_groups():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 5, 200)
    correct, loss = rng.random((1, 200)) < 0.5, rng.random((1, 200)).astype(np.float32)
    sums = group_sums(correct, loss, np.ones(200, bool), rng.random(200) < 0.3, groups)
    np.testing.assert_allclose(sums.resampled(np.ones((1, 5)))[0], sums.means())
    only = np.asarray([[0.0, 0.0, 5.0, 0.0, 0.0]])
    assert sums.resampled(only)[0, 0, 0] == pytest.approx(correct[0, groups == 2].mean())
    draws = bootstrap_weights(5, 100, seed=1)
    assert (draws.sum(1) == 5).all()
    assert draws.std() > 0.5


def test_intervals_hold_the_estimate(verdict):
    inside = (verdict["top_effect_low"] <= verdict["top_effect"]) & (
        verdict["top_effect"] <= verdict["top_effect_high"]
    )
    assert inside.mean() > 0.9
    assert (verdict["random_effect_low"] <= verdict["random_effect_high"]).all()
    assert ((verdict["p"] >= 1 / 9) & (verdict["p"] <= 1)).all()


def test_features_share_their_random_sets(verdict):
    overall = verdict["random"].sel(measure="loss")
    np.testing.assert_allclose(overall.sel(feature="digit"), overall.sel(feature="depth=4"), atol=1e-7)


def test_sets_of_neurons():
    tops, draws = np.asarray([[3, 1, 0]]), np.asarray([[2, 4, 1], [0, 3, 2]])
    masks = neuron_sets(tops, draws, (1, 3), 5)
    chosen = [np.flatnonzero(row).tolist() for row in masks]
    assert chosen == [[], [3], [0, 1, 3], [2], [1, 2, 4], [0], [0, 2, 3]]


def test_one_name_gives_no_feature_dimension(model, held_out, relevance, verdict):
    single = dni.verify(model, held_out, relevance, "digit", ks=(1, 3), n_random=8)
    assert "feature" not in single.sizes
    for name in ("intact", "top", "random", "top_effect_low", "p"):
        np.testing.assert_allclose(single[name], verdict[name].sel(feature="digit"), atol=1e-6)


@pytest.mark.parametrize("kind", ["clamp", "oracle"])
def test_other_interventions(model, held_out, relevance, kind):
    result = dni.verify(model, held_out, relevance, "digit", ks=(2,), n_random=2, intervention=kind)
    assert result.attrs["intervention"] == kind
    assert abs(result["top_effect"].sel(measure="loss").item()) > 1e-4


def test_a_feature_holds_above_the_middle():
    assert held_by(np.asarray([0, 1, 1])).tolist() == [False, True, True]
    assert held_by(np.asarray([0.0, 0.5, 0.6, 1.0])).tolist() == [False, False, True, True]
    assert not held_by(np.zeros(3)).any()


def test_a_feature_that_never_holds_has_no_accuracy_there(model, held_out, relevance):
    result = dni.verify(model, held_out, relevance, "range:e4 -> epsilon", ks=(1,), n_random=2)
    assert np.isnan(result["top"].sel(measure="accuracy_on")).all()
    assert np.isnan(result["p"].sel(measure="accuracy_on")).all()
    assert not np.isnan(result["top"].sel(measure="accuracy_off")).any()


def test_bad_requests_are_named(model, held_out, relevance, labels):
    for bad, message in (
        ({"ks": (25,)}, "1 to 24"),
        ({"ks": (0,)}, "1 to 24"),
        ({"ks": (5, 1)}, "growing"),
        ({"n_random": 0}, "n_random"),
        ({"intervention": "pray"}, "'pray'"),
        ({"labels": labels.select(["depth"])}, "'digit'"),
    ):
        with pytest.raises(ValueError, match=message):
            dni.verify(model, held_out, relevance, "digit", **bad)
    with pytest.raises(ValueError, match="did you mean 'digit'"):
        dni.verify(model, held_out, relevance, "digits")
    bare = relevance.assign_attrs(library=None)
    with pytest.raises(ValueError, match="labels="):
        dni.verify(model, held_out, bare, "digit")
    assert dni.verify(model, held_out, bare, "digit", ks=(1,), n_random=1, labels=labels)["k"].values.tolist() == [1]


def test_types_of_characters(model, held_out):
    codes = held_out.flat_codes
    perfect = Predictions(np.zeros((1, len(codes)), np.float32), codes[None], np.zeros(1), np.ones(len(codes), bool))
    assert correct_types(perfect, held_out).all()
    swapped = perfect._replace(best=np.full((1, len(codes)), model.vocabulary.symbols.index("3"), np.int32))
    expected = np.asarray([c.isdigit() for c in "".join(held_out.strings)])
    np.testing.assert_array_equal(correct_types(swapped, held_out)[0], expected)
