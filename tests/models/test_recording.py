"""Recorded states against reading each string by itself, one character at a time."""

import jax
import numpy as np
import pytest
from scipy.special import expit

import dni_jax as dni
from dni_jax.models._network import input_table, network_step, zero_carries
from dni_jax.text import Corpus, segment_corpus

one_step = jax.jit(network_step)


def one_by_one(model, string, begins=True):
    """Hidden state, cell and gates after each character, without any batching."""
    weights = model.weights
    carries = zero_carries(weights, 1)
    never, table = np.zeros(1, bool), input_table(weights)
    rows = []
    codes = [0] * begins + model.vocabulary.encode(string).tolist()
    for code in codes:
        carries, _, gates = one_step(weights, table, carries, np.asarray([code], np.int32), never)
        rows.append((carries[0].h[0], carries[0].c[0], np.stack(gates[0])[:, 0]))
    return [np.stack(parts) for parts in zip(*rows[int(begins) :], strict=True)]


def test_states_equal_reading_one_by_one(model, held_out, states):
    for string in (0, 1, len(held_out) - 1):
        place = slice(held_out.offsets[string], held_out.offsets[string + 1])
        hidden, cell, gates = one_by_one(model, held_out.strings[string])
        np.testing.assert_allclose(states.hidden[place], hidden, atol=1e-5)
        np.testing.assert_allclose(states.cell[place], cell, atol=1e-5)
        np.testing.assert_allclose(states.gates[place], gates, atol=1e-5)


def test_pieces_start_from_nothing(model):
    pieces = segment_corpus(Corpus.from_strings(["(1(2(3(44)3)2)1)"], vocabulary=model.vocabulary), 9)
    states = dni.record(model, pieces)
    assert len(pieces) > 1
    second = slice(pieces.offsets[1], pieces.offsets[2])
    hidden, _, _ = one_by_one(model, pieces.strings[1], begins=False)
    np.testing.assert_allclose(states.hidden[second], hidden, atol=1e-5)


def test_groups_are_the_strings(states, held_out):
    np.testing.assert_array_equal(states.groups, held_out.groups[held_out.string_ids])


def test_long_texts_are_recorded_in_parts(model, held_out, monkeypatch):
    whole = dni.record(model, held_out).hidden
    monkeypatch.setattr("dni_jax.models._recording._STEPS", 4)
    np.testing.assert_allclose(dni.record(model, held_out).hidden, whole, atol=1e-6)


def test_another_corpus_vocabulary_is_translated(model):
    other = Corpus.from_strings(["(1)"])
    assert other.vocabulary != model.vocabulary
    hidden, _, _ = one_by_one(model, "(1)")
    np.testing.assert_allclose(dni.record(model, other).hidden, hidden, atol=1e-5)


def test_unknown_symbols_and_kinds_are_named(model, held_out):
    with pytest.raises(ValueError, match="'x' at position 1 of string 0"):
        dni.record(model, Corpus.from_strings(["(x)"]))
    with pytest.raises(ValueError, match="memory"):
        dni.record(model, held_out, what=("memory",))


@pytest.fixture(scope="module")
def stack(corpus):
    """Two layers of GRUs that were never trained."""
    return dni.models.TrainedModel.init(
        corpus.vocabulary, dni.models.TrainConfig(hidden=6, layers=2, cell="gru", seed=4)
    )


@pytest.fixture(scope="module")
def place(held_out):
    """The positions of one string."""
    return slice(held_out.offsets[2], held_out.offsets[3])


def by_layers(model, string):
    """Hidden states of both layers, by the module's own layers."""
    lower, upper = (jax.jit(lambda inputs, layer=layer: layer(inputs)) for layer in model.module.layers)
    codes = np.asarray([0, *model.vocabulary.encode(string)])
    below = lower(np.eye(len(model.vocabulary), dtype=np.float32)[codes][None])
    return np.concatenate([below, upper(below)], axis=-1)[0, 1:]


def gru(layer, below, h):
    """One step by hand."""
    wx, wh, bx, bh = map(np.asarray, (layer.wx, layer.wh, layer.b, layer.bh))
    a, b = below @ wx + bx, h @ wh + bh
    r, z = expit(a[:6] + b[:6]), expit(a[6:12] + b[6:12])
    return (1 - z) * np.tanh(a[12:] + r * b[12:]) + z * h


def test_neurons_of_all_layers_are_recorded(stack, held_out, place):
    states = dni.record(stack, held_out, what=("gates", "logits"))
    assert states.hidden.shape == (held_out.n_positions, 12)
    assert states.gates.shape == (held_out.n_positions, 3, 12)
    assert states.gate_names == ("r", "z", "n")
    hidden = by_layers(stack, held_out.strings[2])
    np.testing.assert_allclose(states.hidden[place], hidden, atol=1e-6)
    logits = hidden[:, 6:] @ np.asarray(stack.weights.head) + np.asarray(stack.weights.head_b)
    np.testing.assert_allclose(states.logits[place], logits, atol=1e-5)


def test_an_override_of_a_lower_layer_is_seen_above(stack, held_out, place):
    states = dni.record(stack, held_out, intervention=dni.clamp([1], 0.5)).hidden[place]
    assert (states[:, 1] == 0.5).all()
    for t in range(1, len(states)):
        expected = gru(stack.weights.layers[1], states[t, :6], states[t - 1, 6:])
        np.testing.assert_allclose(states[t, 6:], expected, atol=1e-5)


def test_an_override_of_a_lower_layer_at_the_readout_does_not_last(stack, held_out, place):
    """Each step's upper state is one step from the untouched carry, and the lower layer flows on untouched."""
    plain = by_layers(stack, held_out.strings[2])
    shown = dni.record(stack, held_out, intervention=dni.clamp([1], 0.5, where="readout")).hidden[place]
    np.testing.assert_allclose(shown[:, [0, 2, 3, 4, 5]], plain[:, [0, 2, 3, 4, 5]], atol=1e-6)
    for t in range(1, len(plain)):
        below = np.where(np.arange(6) == 1, np.float32(0.5), plain[t, :6])
        expected = gru(stack.weights.layers[1], below, plain[t - 1, 6:])
        np.testing.assert_allclose(shown[t, 6:], expected, atol=1e-5)


def test_half_the_memory(model, held_out, states):
    half = dni.record(model, held_out, dtype="float16")
    assert half.hidden.dtype == np.float16
    np.testing.assert_allclose(half.hidden, states.hidden, atol=1e-3)
    with pytest.raises(ValueError, match="'float32' or 'float16'"):
        dni.record(model, held_out, dtype="int8")


def test_a_gru_has_no_cell(stack, held_out):
    with pytest.raises(ValueError, match="only for a network with a memory"):
        dni.record(stack, held_out, what=("cell",))
