"""Predictions under many overrides at once, against one network at a time."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.special import log_softmax, softmax

import dni_jax as dni
from dni_jax.models import cross_entropy, predict
from dni_jax.models._prediction import StateGaussian


def held(corpus, masks, value=0.0):
    n_neurons = masks.shape[1]
    return dni.clamp(range(n_neurons), value).bind(n_neurons, corpus.n_positions, sets=masks)


def masks_of(model, *sets):
    masks = np.zeros((len(sets), model.n_neurons), bool)
    for row, neurons in enumerate(sets):
        masks[row, list(neurons)] = True
    return masks


@pytest.fixture(scope="module")
def read(model, held_out):
    """Return the module's own logits before each character of a string; all strings are filled up to one length."""
    module = jax.jit(lambda codes: model.module(codes))

    def logits(string):
        codes = held_out.vocabulary.encode(held_out.strings[string])
        filled = np.zeros((1, held_out.mask.shape[1]), np.int32)
        filled[0, 1 : len(codes)] = codes[:-1]
        return codes, np.asarray(module(filled))[0, : len(codes)]

    return logits


def test_intact_losses_equal_the_modules_own(model, held_out, read):
    predictions = predict(model.weights, held_out, held(held_out, masks_of(model, ())))
    for string in (0, 3):
        codes, logits = read(string)
        losses = -log_softmax(logits, axis=-1)[np.arange(len(codes)), codes]
        place = slice(held_out.offsets[string], held_out.offsets[string + 1])
        np.testing.assert_allclose(predictions.loss[0, place], losses, atol=1e-4)
        np.testing.assert_array_equal(predictions.best[0, place], np.argmax(logits, -1))
    assert predictions.total_loss[0] == pytest.approx(cross_entropy(model.weights, held_out), rel=1e-5)
    assert predictions.predicted.all()


def test_sets_do_not_touch_each_other(model, held_out):
    sets = masks_of(model, (), (3,), (1, 5, 7), tuple(range(model.n_neurons)), (3,))
    together = predict(model.weights, held_out, held(held_out, sets))
    for row in range(len(sets)):
        alone = predict(model.weights, held_out, held(held_out, sets[row : row + 1]))
        np.testing.assert_allclose(together.loss[row], alone.loss[0], atol=1e-5)
        np.testing.assert_array_equal(together.best[row], alone.best[0])


def test_silencing_everything_leaves_the_bias(model, held_out):
    everything = masks_of(model, tuple(range(model.n_neurons)))
    predictions = predict(model.weights, held_out, held(held_out, everything))
    logits = np.asarray(model.weights.head_b)
    expected = -(logits - np.log(np.exp(logits).sum()))[held_out.flat_codes]
    np.testing.assert_allclose(predictions.loss[0], expected, atol=1e-5)


def test_an_override_equals_a_network_without_the_neuron(model, held_out, cut_off):
    """A neuron held at 0 is a neuron whose outgoing weights are 0."""
    weights = model.weights
    silenced = predict(weights, held_out, held(held_out, masks_of(model, (4,))))
    without = predict(cut_off(weights, [4]), held_out, held(held_out, masks_of(model, ())))
    np.testing.assert_allclose(silenced.loss, without.loss, atol=1e-5)


def test_a_drive_is_the_value_where_the_signal_is_one(model, held_out):
    masks = masks_of(model, (2, 6))
    ones = np.ones(held_out.n_positions, np.float32)
    to_one = dni.clamp_to_labels(range(24), ones).bind(24, held_out.n_positions, sets=masks)
    driven = predict(model.weights, held_out, to_one)
    recorded = dni.record(model, held_out, intervention=dni.clamp_to_labels([2, 6], ones))
    assert (recorded.hidden[:, [2, 6]] == 1.0).all()
    # Boundaries have no label and are left alone: the first character of each string differs from a clamp.
    assert driven.loss.shape == (1, held_out.n_positions)
    clamped = predict(model.weights, held_out, held(held_out, masks, 1.0))
    assert not np.allclose(driven.loss, clamped.loss)


def test_probability_of_classes_of_symbols(model, held_out, read):
    types = np.asarray(held_out.vocabulary.types)
    classes = np.stack([types == "digit", types == "parenthesis"], axis=1).astype(np.float32)
    predictions = predict(model.weights, held_out, held(held_out, masks_of(model, (), (3, 8))), classes=classes)
    assert predictions.class_probability.shape == (2, held_out.n_positions, 2)
    assert predictions.class_probability.dtype == np.float16
    _, logits = read(1)
    place = slice(held_out.offsets[1], held_out.offsets[2])
    np.testing.assert_allclose(predictions.class_probability[0, place], softmax(logits, axis=-1) @ classes, atol=1e-3)


def test_distance_from_visited_states(model, held_out, states):
    """Against SciPy's Mahalanobis distance, and larger where neurons are held where they never are."""
    visited = StateGaussian.fit(states.hidden, shrink=1e-6)
    predictions = predict(model.weights, held_out, held(held_out, masks_of(model, (), (3, 8)), 1.0), gaussian=visited)
    precision = np.linalg.inv(np.cov(states.hidden.astype(float), rowvar=False))
    mean = states.hidden.mean(0)
    for position in (0, 17, 500):
        expected = mahalanobis(states.hidden[position], mean, precision) / np.sqrt(24)
        assert predictions.distance[0, position] == pytest.approx(expected, rel=0.01)
    assert np.sqrt((predictions.distance[0] ** 2).mean()) == pytest.approx(1, abs=0.01)
    assert predictions.distance[1].mean() > 2 * predictions.distance[0].mean()
