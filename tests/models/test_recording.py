"""Recorded states against reading each string by itself, one character at a time."""

import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.corpora import Corpus, cut
from dni_jax.models.network import network_step, table_of, zero_carries


def one_by_one(model, string, begins=True):
    """Hidden state, cell and gates after each character, without any batching."""
    weights = model.weights
    carries = zero_carries(weights, 1)
    never = jnp.zeros(1, bool)
    rows = []
    codes = [0] * begins + model.vocabulary.encode(string).tolist()
    for code in codes:
        carries, _, gates = network_step(weights, table_of(weights), carries, jnp.asarray([code]), never)
        rows.append((carries[0].h[0], carries[0].c[0], jnp.stack(gates[0])[:, 0]))
    return [np.stack(parts) for parts in zip(*rows[int(begins) :], strict=True)]


def test_states_equal_reading_one_by_one(model, held_out, states):
    for string in (0, 1, len(held_out) - 1):
        place = slice(held_out.offsets[string], held_out.offsets[string + 1])
        hidden, cell, gates = one_by_one(model, held_out.strings[string])
        np.testing.assert_allclose(states.hidden[place], hidden, atol=1e-5)
        np.testing.assert_allclose(states.cell[place], cell, atol=1e-5)
        np.testing.assert_allclose(states.gates[place], gates, atol=1e-5)


def test_pieces_start_from_nothing(model):
    pieces = cut(Corpus.from_strings(["(1(2(3(44)3)2)1)"], vocabulary=model.vocabulary), 9)
    states = dni.record(model, pieces)
    assert len(pieces) > 1
    second = slice(pieces.offsets[1], pieces.offsets[2])
    hidden, _, _ = one_by_one(model, pieces.strings[1], begins=False)
    np.testing.assert_allclose(states.hidden[second], hidden, atol=1e-5)


def test_groups_are_the_strings(states, held_out):
    np.testing.assert_array_equal(states.groups, held_out.groups[held_out.string_of])


def test_long_texts_are_recorded_in_parts(model, held_out, monkeypatch):
    whole = dni.record(model, held_out).hidden
    monkeypatch.setattr("dni_jax.models.recording._STEPS", 4)
    np.testing.assert_allclose(dni.record(model, held_out).hidden, whole, atol=1e-6)


def test_another_corpus_vocabulary_is_translated(model):
    other = Corpus.from_strings(["(1)"])
    assert other.vocabulary != model.vocabulary
    hidden, _, _ = one_by_one(model, "(1)")
    np.testing.assert_allclose(dni.record(model, other).hidden, hidden, atol=1e-5)


def test_unknown_symbols_and_kinds_are_named(model, held_out):
    with pytest.raises(ValueError, match="'x' at position 1"):
        dni.record(model, Corpus.from_strings(["(x)"]))
    with pytest.raises(ValueError, match="memory"):
        dni.record(model, held_out, what=("memory",))
