"""The causal verdict on networks whose answer is known, and its bookkeeping against brute force."""

from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models import StateGaussian, predict
from dni_jax.probes._bootstrap import string_weights
from dni_jax.verification import INTERVENTIONS, MEASURES
from dni_jax.verification._measures import Values, group_sums, holds_before, means_of
from dni_jax.verification._outputs import NextSymbolTask
from dni_jax.verification._overrides import draw_variance_matched, intervene, neuron_sets, variance_strata
from dni_jax.verification._verify import feature_holds
from tests.support.slow import slow_after


@pytest.fixture(scope="module")
def verdict(model, held_out, relevance):
    names = ["digit", "depth=4", "depth"]
    return dni.verify(model, held_out, relevance, names, ks=(1, 3), n_random=8, match=None)


def test_dimensions(verdict):
    assert dict(verdict.sizes) == {"feature": 3, "measure": len(MEASURES), "k": 2, "draw": 8, "place": 3}
    assert verdict.attrs["intervention"] == "ablate"


def test_only_the_neurons_that_the_output_reads_matter(model, held_out, relevance, cut_off):
    """With every weight out of all but three neurons cut, silencing those three is silencing everything."""
    readers = dni.top(relevance, "digit", k=3)["neuron"].tolist()
    others = [n for n in range(model.n_neurons) if n not in readers]
    cut = dni.models.TrainedModel.init(model.vocabulary, model.config)
    cut.module.set_weights(cut_off(model.weights, others))
    effect = dni.verify(cut, held_out, relevance, "digit", ks=(3,), n_random=16, match=None)
    with pytest.warns(UserWarning, match="no other set of 24, no p"):
        everything = dni.verify(cut, held_out, relevance, "digit", ks=(model.n_neurons,), n_random=1)
    assert np.isnan(everything["p"]).all()
    near = [measure for measure in MEASURES if measure != "distance"]
    top, all_of_them = (found["top"].sel(measure=near).values[0] for found in (effect, everything))
    np.testing.assert_allclose(top, all_of_them, atol=1e-5)
    untouched = [not set(readers) & set(row) for row in random_sets(model, 16, 3)]
    assert any(untouched)
    change = (effect["random"].values[0] - effect["intact"].values)[:, : len(near)]
    np.testing.assert_allclose(change[untouched], 0, atol=1e-5)
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
    right, by_symbol, symbol, loss, on, after = [], [], [], [], [], []
    for start, stop in zip(held_out.offsets[:-1], held_out.offsets[1:], strict=True):
        for place in range(start + 1, stop):  # a string's first character is left to the other test
            row, came = logits[place - 1], codes[place]
            chances = np.exp(row - row.max())
            totals = {kind: chances[types == kind].sum() for kind in set(types)}
            right.append(max(totals, key=totals.get) == types[came])
            by_symbol.append(types[row.argmax()] == types[came])
            symbol.append(row[came] == row[types == types[came]].max())
            loss.append(np.log(chances.sum()) + row.max() - row[came])
            on.append(labels["digit"][place] == 1)
            after.append(labels["digit"][place - 1] == 1)
    right, by_symbol, symbol, loss, on, after = map(np.asarray, (right, by_symbol, symbol, loss, on, after))
    inside = np.ones(held_out.n_positions, bool)
    inside[held_out.offsets[:-1]] = False
    everything = np.ones((1, model.n_neurons), bool)
    bound = dni.ablate(neurons).bind(model.n_neurons, held_out.n_positions, sets=everything)
    task = NextSymbolTask.of(model, held_out)
    outcome = task.measure(bound, np.zeros((len(types), 0), np.float32), StateGaussian.fit(silenced))
    np.testing.assert_allclose(outcome.loss[0, inside], loss, atol=1e-4)
    for found, expected in (("right", right), ("right_by_symbol", by_symbol), ("right_symbol", symbol)):
        np.testing.assert_array_equal(getattr(outcome, found)[0, inside], expected)
    ones = np.ones(outcome.loss.shape)
    values = Values(outcome.right, outcome.right_by_symbol, outcome.right_symbol, outcome.loss, 2 * ones, 3 * ones)
    holds = labels["digit"] == 1
    before = holds_before(holds, held_out.offsets)
    sums = group_sums(values, outcome.measured & inside, holds, before, held_out.position_groups)
    parts = [np.ones(len(on), bool), on, ~on, after]
    expected = [right[part].mean() for part in parts] + [by_symbol.mean()] + [symbol[part].mean() for part in parts]
    expected += [*(loss[part].mean() for part in parts), 2, 2, 2, 2, 3]
    np.testing.assert_allclose(sums.means()[0], expected, atol=1e-5)


def test_means_by_products_are_the_sums_divided():
    rng = np.random.default_rng(0)
    values = Values(*rng.normal(size=(6, 6, 300)))
    predicted, groups, after = rng.random(300) < 0.9, rng.integers(0, 7, 300), rng.random((2, 300)) < 0.2
    for on in (rng.random(300) < 0.3, np.zeros(300, bool)):
        sums = group_sums(values, predicted, on, after[1], groups)
        probabilities = [values.loss, values.class_probability]
        means = means_of(values, probabilities, [0, 1], predicted, np.stack([~on, on]), after)
        np.testing.assert_allclose(means[1], sums.means(), atol=1e-12)


def test_ten_likely_digits_outweigh_a_likelier_bracket():
    """The old measure is 0 where a digit comes, whatever is done to the network; the new one sees what is removed."""
    corpus = dni.Corpus.from_strings(["0(1)23(4)5678", "9(9(8)7)6543"] * 5)
    model = dni.models.TrainedModel.init(corpus.vocabulary, dni.models.TrainConfig(hidden=4))
    digits = np.asarray(corpus.vocabulary.types) == "digit"
    brackets = np.asarray(corpus.vocabulary.types) == "parenthesis"
    (layer,) = model.weights.layers
    blind = replace(layer, wx=0 * layer.wx, wh=0 * layer.wh, b=layer.b.at[:].set(5.0))  # its neurons are near 1
    head = np.zeros((4, len(digits)), np.float32)
    head[0, digits] = 2.0  # the first neuron stands for digits
    base = np.where(digits, -2.0, np.where(brackets, 0.5, -5.0)).astype(np.float32)
    model.module.set_weights(replace(model.weights, layers=(blind,), head=head, head_b=base))
    states = dni.record(model, corpus)
    library = dni.FeatureLibrary((dni.char_feature("digit", str.isdigit),))
    relevance = dni.inspect(states, library.label(corpus), "ols", folds=2)
    relevance["score"].values[0] = 1.0  # all four are constant: rank the first one best
    effect = dni.verify(model, corpus, relevance, "digit", ks=(1,), n_random=2, at="0123456789")
    zeros = 1 / 17  # of the digits that come; among equally likely ones the first counts as the most probable
    wanted = {"type_accuracy": (1, 0), "type_accuracy_by_symbol": (0, 0), "symbol_accuracy": (zeros, zeros)}
    first = np.exp(2.0 * float(states.hidden[-1, 0]) - 2.0)
    assert first < np.exp(0.5) < 10 * first / 2  # one digit is less likely than a bracket, ten are more than two
    for measure, (intact, top) in wanted.items():
        found = effect.sel(measure=measure)
        assert float(found["intact"]) == pytest.approx(intact)
        assert found["top"].item() == pytest.approx(top)


def test_bootstrap_resamples_whole_groups():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 5, 200)
    correct, loss = rng.random((1, 200)) < 0.5, rng.random((1, 200)).astype(np.float32)
    values = Values(correct, correct, correct, loss, loss, loss)
    sums = group_sums(values, np.ones(200, bool), rng.random(200) < 0.3, rng.random(200) < 0.3, groups)
    np.testing.assert_allclose(sums.resampled(np.ones((1, 5)))[0], sums.means())
    only = np.asarray([[0.0, 0.0, 5.0, 0.0, 0.0]])
    assert sums.resampled(only)[0, 0, 0] == pytest.approx(correct[0, groups == 2].mean())
    draws = string_weights(5, 100, seed=1)
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
    one, other = overall.sel(feature="digit"), overall.sel(feature="depth=4")
    np.testing.assert_allclose(one.sel(k=3), other.sel(k=3), atol=1e-7)
    # A draw that is the best neuron of one feature is another one for that feature.
    assert int((abs(one - other).sel(k=1) > 1e-7).sum()) <= 2


def members(sets, rows):
    return [np.flatnonzero(sets.masks[row]).tolist() for row in np.ravel(rows)]


def test_sets_of_neurons():
    orders = np.asarray([[3, 1, 0, 2, 4], [4, 0, 1, 2, 3]])
    sets = neuron_sets(orders, (1, 3), 2, None, seed=0)
    assert members(sets, [0]) == [[]]
    assert members(sets, sets.top) == [[3], [0, 1, 3], [4], [0, 1, 4]]
    assert members(sets, sets.bottom) == [[4], [0, 2, 4], [3], [1, 2, 3]]
    # The second draw begins with the second feature's best neuron, which has the third in its place.
    assert members(sets, sets.random[:, 0]) == [[2], [4], [2], [0]]
    np.testing.assert_array_equal(sets.random[0, 1], sets.random[1, 1])
    for one, three in zip(members(sets, sets.random[0, 0]), members(sets, sets.random[0, 1]), strict=True):
        assert set(one) < set(three)
        assert len(three) == 3


def test_random_sets_are_alike_in_variance():
    rng = np.random.default_rng(0)
    variances = rng.permutation(np.repeat([1.0, 2.0, 3.0, 4.0], 16) + rng.random(64) / 10)
    strata = variance_strata(variances)
    assert np.bincount(strata).tolist() == [16] * 4
    assert all(variances[strata == s].max() < variances[strata == s + 1].min() for s in range(3))
    chosen = np.flatnonzero(strata == 3)[:5].tolist() + np.flatnonzero(strata == 0)[:1].tolist()
    drawn = draw_variance_matched(np.asarray(chosen), strata, 500, rng)
    assert len({frozenset(row) for row in drawn.tolist()}) == 500
    assert all(len(set(row)) == 6 for row in drawn.tolist())
    assert (np.sort(strata[drawn], axis=1) == [0, 3, 3, 3, 3, 3]).all()
    shares = np.bincount(drawn.ravel(), minlength=64) / 500
    np.testing.assert_allclose(shares[strata == 3], 5 / 16, atol=0.08)
    sets = neuron_sets(np.argsort(-variances)[None], (2, 5), 7, variances, seed=1)
    assert sets.random.shape == (1, 2, 7)
    assert all(set(row) <= set(np.flatnonzero(strata == 3)) for row in members(sets, sets.random))
    assert variance_strata(np.ones(5)).tolist() == [0] * 5


def test_no_random_set_is_the_best_one_and_none_comes_twice():
    """A set that is drawn twice, or is the one that is tested, would count as evidence against itself."""
    rng = np.random.default_rng(0)
    orders = np.asarray([rng.permutation(40) for _ in range(5)])
    variances = rng.random(40)
    for matched in (variances, None):
        sets = neuron_sets(orders, (1, 2, 6), 25, matched, seed=3)
        fewest = 25 if matched is None else 19  # others in a stratum of 20
        assert sets.n_random.tolist() == [[fewest, 25, 25]] * 5
        for feature in range(5):
            for column in range(3):
                own = tuple(members(sets, sets.top[feature, column])[0])
                rows = sets.random[feature, column]
                drawn = [tuple(row) for row in members(sets, rows[rows >= 0])]
                assert own not in drawn
                assert len(set(drawn)) == len(drawn)


def test_sets_that_do_not_exist_are_not_drawn():
    orders = np.asarray([[3, 1, 0, 2, 4], [4, 0, 1, 2, 3]])
    for matched in (np.arange(5.0), None):
        sets = neuron_sets(orders, (1, 4, 5), 30, matched, seed=0)
        assert sets.n_random.tolist() == [[4, 4, 0]] * 2
        assert sorted(members(sets, sets.random[0, 0, :4])) == [[0], [1], [2], [4]]
        assert (sets.random[:, :, 4:] == -1).all()


def test_strata_are_wider_where_5_percent_could_not_be_reached():
    variances = np.random.default_rng(0).random(128)
    narrow, wide = (variance_strata(variances, size) for size in (16, 32))
    order = np.random.default_rng(1).permutation(128)
    sets = neuron_sets(order[None], (1, 10), 64, variances, seed=0)
    assert sets.n_random.tolist() == [[31, 64]]
    assert {wide[one] for (one,) in members(sets, sets.random[0, 0, :31])} == {wide[order[0]]}
    for row in members(sets, sets.random[0, 1]):
        assert sorted(narrow[row]) == sorted(narrow[order[:10]])
    # Fifteen are enough for those who ask for no more.
    fewer = neuron_sets(order[None], (1,), 15, variances, seed=0)
    assert {narrow[one] for (one,) in members(fewer, fewer.random)} == {narrow[order[0]]}


@pytest.mark.parametrize("match", slow_after(1, ["variance", None]))
def test_the_one_neuron_that_matters_has_the_smallest_p(model, held_out, relevance, cut_off, match):
    """All weights out of the other neurons are cut, so that no other one changes any prediction."""
    order = dni.top(relevance, "digit", k=model.n_neurons)["neuron"].tolist()
    cut = dni.models.TrainedModel.init(model.vocabulary, model.config)
    cut.module.set_weights(cut_off(model.weights, order[1:]))
    effect = dni.verify(cut, held_out, relevance, "digit", ks=(1,), n_random=64, match=match)
    assert effect["p_smallest"].values.tolist() == [1 / 24]
    assert effect["p_differs"].sel(measure="loss").item() == pytest.approx(1 / 24)
    assert int(effect["random"].sel(measure="loss").notnull().sum()) == 23
    assert effect["random_effect_low"].sel(measure="loss").item() == pytest.approx(0, abs=1e-6)


def test_too_few_sets_are_said(model, held_out, relevance):
    with pytest.warns(UserWarning, match="for a p of .05: no other set of 24, no p"):
        dni.verify(model, held_out, relevance, "digit", ks=(1, 24), n_random=64)


@pytest.mark.slow
def test_p_values_are_uniform_for_random_rankings(model, held_out, relevance):
    """A ranking that knows nothing is one more draw: p <= .25 in about a quarter of rankings."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(24):
        shuffled = relevance.sel(feature=["digit"]).copy(deep=True)
        shuffled["score"].values[:] = rng.random(shuffled["score"].shape)
        some = held_out.take(np.arange(30))
        effect = dni.verify(model, some, shuffled, "digit", ks=(2,), n_random=7, seed=seed)
        found.append([effect[name].sel(measure="loss").item() for name in ("p", "p_differs")])
    low = (np.asarray(found) <= 0.25).sum(axis=0)
    assert ((low >= 1) & (low <= 13)).all()  # 6 expected; the binomial's tails beyond are below .005


def test_one_name_gives_no_feature_dimension(model, held_out, relevance, verdict):
    single = dni.verify(model, held_out, relevance, "digit", ks=(1, 3), n_random=8, match=None)
    assert "feature" not in single.sizes
    # Other batches round float32 otherwise, which moves some class probabilities, kept in half precision, by a step of
    # at most 2^-11; a measure is the mean of at least a few dozen of them.
    for name in ("intact", "top", "random", "top_effect_low", "p"):
        np.testing.assert_allclose(single[name], verdict[name].sel(feature="digit"), atol=2**-11 / 12)


@pytest.mark.parametrize("kind", INTERVENTIONS[1:])
def test_other_interventions(model, held_out, relevance, kind):
    result = dni.verify(model, held_out, relevance, "digit", ks=(2,), n_random=2, intervention=kind)
    assert result.attrs["intervention"] == kind
    assert abs(result["top_effect"].sel(measure="loss").item()) > 1e-4


def test_what_an_intervention_holds(model, held_out, relevance, labels):
    """Each kind against the same override asked for by hand."""
    best = dni.top(relevance, "digit", k=2)["neuron"].tolist()
    states, signal = dni.record(model, held_out), labels["digit"].astype(float)
    by_hand = {
        "mean": dni.ablate(best, "mean", reference=states),
        "clamp": dni.clamp(best, 0.5),
        "oracle": dni.clamp_to_labels(best, signal),
        "fitted": dni.clamp_to_labels(best, signal, reference=states),
    }
    weights = model.weights
    for kind, intervention in by_hand.items():
        hidden = dni.record(model, held_out, intervention=intervention).hidden
        logits = hidden @ weights.head + weights.head_b
        losses = np.log(np.exp(logits).sum(1))[:-1] - logits[np.arange(len(logits) - 1), held_out.flat_codes[1:]]
        inside = np.ones(len(hidden), bool)
        inside[held_out.offsets[:-1]] = False
        sets = np.zeros((1, 24), bool)
        sets[0, best] = True
        whole = intervene(kind, states, signal.astype(np.float32), value=0.5, where="recurrent", seed=0)
        found = predict(weights, held_out, whole.bind(24, held_out.n_positions, sets=sets)).loss[0]
        np.testing.assert_allclose(found[inside], losses[inside[1:]], atol=1e-4)


def test_only_the_prediction_sees_a_readout_override(model, held_out, relevance):
    loss = {
        where: dni.verify(model, held_out, relevance, "digit", ks=(3,), n_random=2, where=where)["top"]
        .sel(measure="loss")
        .item()
        for where in ("recurrent", "readout")
    }
    states = dni.record(model, held_out, intervention=dni.ablate(dni.top(relevance, "digit", k=3)["neuron"].tolist(),
                                                                 where="readout"))  # fmt: skip
    assert np.isfinite(states.hidden).all()
    assert abs(loss["recurrent"] - loss["readout"]) > 1e-4


def test_mass_is_of_the_features_own_class(verdict, model, held_out):
    assert verdict["symbols"].values.tolist()[0] == "digit"
    states = dni.record(model, held_out, what=("logits",))
    probabilities = np.exp(states.logits - states.logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    digits = np.asarray(model.vocabulary.types) == "digit"
    inside = np.ones(held_out.n_positions, bool)
    inside[held_out.offsets[:-1]] = False
    expected = probabilities[:, digits].sum(1)[np.flatnonzero(inside) - 1].mean()

    assert verdict["intact"].sel(feature="digit", measure="class_probability").item() == pytest.approx(
        expected, abs=0.05
    )


def test_states_far_from_the_usual_are_seen(model, held_out, relevance):
    asked = {"ks": (3,), "n_random": 2}
    held, silent = (
        dni.verify(model, held_out, relevance, "digit", intervention=kind, value=1.0, **asked).sel(measure="distance")
        for kind in ("clamp", "mean")
    )
    assert held["intact"].item() == pytest.approx(1, abs=0.1)
    assert held["top"].item() > 1.3 * silent["top"].item()


def test_a_feature_holds_above_the_middle():
    assert feature_holds(np.asarray([0, 1, 1])).tolist() == [False, True, True]
    assert feature_holds(np.asarray([0.0, 0.5, 0.6, 1.0])).tolist() == [False, False, True, True]
    assert not feature_holds(np.zeros(3)).any()


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
        ({"match": "size"}, "'size'"),
        ({"labels": labels.select(["depth"])}, "'digit'"),
    ):
        with pytest.raises(ValueError, match=message):
            dni.verify(model, held_out, relevance, "digit", **bad)
    with pytest.raises(ValueError, match="did you mean 'digit'"):
        dni.verify(model, held_out, relevance, "digits")
    with pytest.raises(ValueError, match=r"this model's 24 neurons, got one of 5"):
        dni.verify(model, held_out, relevance.isel(neuron=slice(5)), "digit")
    bare = relevance.assign_attrs(library=None)
    with pytest.raises(ValueError, match="labels="):
        dni.verify(model, held_out, bare, "digit")
    assert dni.verify(model, held_out, bare, "digit", ks=(1,), n_random=1, labels=labels)["k"].values.tolist() == [1]
