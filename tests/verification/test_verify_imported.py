"""What an imported network does with its neurons, through its own output; and where it is measured."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models import Readout
from dni_jax.text import Corpus
from dni_jax.verification._verify import check_network

SYMBOLS = ["c", "a", "x", "b"]
CORPUS = Corpus.from_strings(["abcab", "cab", "bbac", "abxca", "ccab", "xa"])
LIBRARY = dni.char_feature("a", lambda c: c == "a") + dni.char_feature("b", lambda c: c == "b")
H = 6


def weights(seed=0):
    rng = np.random.default_rng(seed)
    state = {"weight_ih_l0": (3 * H, 4), "weight_hh_l0": (3 * H, H), "bias_ih_l0": (3 * H,), "bias_hh_l0": (3 * H,)}
    return {name: rng.normal(size=shape) for name, shape in state.items()}


KERNEL = np.random.default_rng(9).normal(size=(H, 4)).astype("float32")


def taken(readout, **options):
    return dni.from_torch(weights(), None, SYMBOLS, readout=readout, **options)


def verified(model, corpus=CORPUS, **options):
    relevance = dni.inspect(dni.record(model, corpus), LIBRARY.label(corpus), "ols", folds=2)
    return dni.verify(model, corpus, relevance, "a", ks=(1, 2), n_random=5, match=None, **options)


def test_the_same_network_has_the_same_effects_with_its_head_and_with_a_readout():
    own = dni.from_torch(weights(), {"weight": KERNEL.T}, SYMBOLS)
    a, b = verified(own), verified(taken(lambda trace: trace.top @ KERNEL))
    for name in ("intact", "top", "random", "top_effect_low", "p"):
        np.testing.assert_allclose(
            a[name], b[name], atol=2e-3 if name != "p" else 0
        )  # probabilities are half precision
    np.testing.assert_allclose(a["top_effect"].sel(measure="loss"), b["top_effect"].sel(measure="loss"), atol=1e-5)
    assert str(a["symbols"].values) == str(b["symbols"].values) == "letter"


def test_an_output_per_string_is_measured_by_hand():
    model = taken(Readout(lambda trace: trace.layers[0].max(axis=1)[:, :3], per="string"))
    targets = np.asarray([0, 1, 2, 0, 1, -1])
    effect = verified(model, targets=targets, outputs=[1])
    states = dni.record(model, CORPUS).hidden
    # The maximum goes over padding, too, where the state is the last one, or the first.
    tops = [states[CORPUS.offsets[s] : CORPUS.offsets[s + 1]].max(axis=0)[:3].astype(float) for s in range(5)]
    chances = np.stack([np.exp(row) / np.exp(row).sum() for row in tops])
    expected = -np.log(chances[np.arange(5), targets[:5]]).mean()
    np.testing.assert_allclose(effect["intact"].sel(measure="loss"), expected, atol=1e-5)
    np.testing.assert_allclose(effect["intact"].sel(measure="class_probability"), chances[:, 1].mean(), atol=1e-5)
    right = (chances.argmax(axis=1) == targets[:5]).mean()
    np.testing.assert_allclose(effect["intact"].sel(measure="type_accuracy"), right)


def test_a_regression_has_a_squared_error_and_no_accuracy():
    model = taken(Readout(lambda trace: trace.top[..., :2], output="values"))
    targets = np.zeros((CORPUS.n_positions, 2))
    effect = verified(model, targets=targets)
    expected = np.square(dni.record(model, CORPUS).hidden[:, :2]).mean()
    np.testing.assert_allclose(effect["intact"].sel(measure="loss"), expected, rtol=1e-5)
    assert np.isnan(effect["p"].sel(measure="type_accuracy")).all()
    assert np.isnan(effect["p"].sel(measure="class_probability")).all()


def test_the_networks_own_outputs_are_targets():
    effect = verified(taken(lambda trace: np.asarray(trace.top) @ KERNEL), targets="own")  # a function of NumPy
    assert float(effect["intact"].sel(measure="type_accuracy")) == 1.0
    assert (effect["top"].sel(measure="loss") >= 0).all()


def test_an_effect_at_chosen_symbols_is_not_lost_in_the_mean():
    model = dni.from_torch(weights(), {"weight": KERNEL.T}, SYMBOLS)
    states, corpus = dni.record(model, CORPUS, what=("logits",)), model.encode(CORPUS)
    effect, other = verified(model, at="x", outputs="xa"), verified(model, at=CORPUS.text == ord("x"))
    where = np.flatnonzero((CORPUS.text == ord("x")) & (CORPUS.position_in_string > 0))
    assert len(where) == 1
    logits = states.logits[where - 1].astype(float)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -logs[np.arange(len(where)), corpus.flat_codes[where]].mean()
    np.testing.assert_allclose(effect["intact"].sel(measure="loss"), expected, atol=1e-5)
    np.testing.assert_allclose(other["top"].sel(measure="loss"), effect["top"].sel(measure="loss"))
    both = np.exp(logs)[:, corpus.vocabulary.encode("xa")].sum()
    np.testing.assert_allclose(effect["intact"].sel(measure="class_probability"), both, atol=1e-3)
    assert str(effect["symbols"].values) == "xa"


def test_labels_are_made_before_a_network_without_boundaries_cuts_the_text():
    model = dni.from_torch(weights(), {"weight": KERNEL.T}, SYMBOLS)
    library = dni.char_feature("a", lambda c: c == "a").lag(1)
    labels = library.label(CORPUS)
    relevance = dni.inspect(dni.record(model, CORPUS), labels, "ols", folds=2)
    (name,) = labels.names
    a = dni.verify(model, CORPUS, relevance, name, ks=(1,), n_random=3)
    b = dni.verify(model, CORPUS, relevance, name, ks=(1,), n_random=3, labels=labels)
    np.testing.assert_array_equal(a["top"], b["top"])


@pytest.mark.parametrize(
    ("readout", "options", "message"),
    [
        (None, {}, "without a head: pass readout="),
        (lambda trace: trace.top, {}, "targets= for an output that is not the next symbol"),
        (Readout(lambda trace: trace.top[:, 0], per="string"), {}, "targets="),
        (lambda trace: trace.top @ KERNEL, {"targets": np.zeros(3, int)}, "shape"),
        (lambda trace: trace.top @ KERNEL, {"targets": "mine"}, "own"),
        (lambda trace: trace.top @ KERNEL, {"at": "q"}, "symbols that the network predicts in at"),
        (lambda trace: trace.top @ KERNEL, {"at": np.ones(3, bool)}, "at as symbols"),
        (lambda trace: trace.top @ KERNEL, {"at": np.zeros(CORPUS.n_positions, bool)}, "got none"),
        (lambda trace: trace.top @ KERNEL, {"outputs": [7]}, "outputs from 0 to 3"),
        (lambda trace: trace.top @ KERNEL * np.nan, {}, "finite outputs"),
    ],
)
def test_what_cannot_be_measured_is_refused(readout, options, message):
    with pytest.raises(ValueError, match=message):
        verified(taken(readout), **options)


def test_states_in_the_place_of_the_network_are_named():
    states = dni.record(taken(None), CORPUS)
    with pytest.raises(ValueError, match="pass the network first"):
        check_network(states)
