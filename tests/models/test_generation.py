"""Generated text follows the network's own distribution, and the overrides."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models._rollout import draw
from tests.support.slow import slow_after


def test_draw_inverts_the_cumulative_distribution():
    probabilities = np.asarray([0.1, 0.2, 0.0, 0.7])
    uniform = np.linspace(0, 1, 20_001)[:-1].astype(np.float32)
    with np.errstate(divide="ignore"):
        logits = np.broadcast_to(np.log(probabilities).astype(np.float32), (len(uniform), 4))
    compiled = jax.jit(draw)
    drawn = np.asarray(compiled(logits, uniform, np.float32(1.0)))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(uniform), probabilities, atol=2e-3)
    assert (np.asarray(compiled(logits, uniform, np.float32(0.0))) == 3).all()


@pytest.mark.parametrize("compiled", slow_after(1, [True, False]))
def test_without_temperature_the_most_probable_symbol_is_drawn(compiled):
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(size=(60, 9)), 1e3 * rng.normal(size=(60, 9)), np.eye(9), np.zeros((1, 9))])
    logits = jnp.asarray(logits, jnp.float32)
    function = jax.jit(draw) if compiled else draw
    drawn = function(logits, jnp.full(len(logits), 0.7), jnp.float32(0.0))
    np.testing.assert_array_equal(drawn, logits.argmax(-1))


def test_same_seed_same_text(model):
    first = dni.generate(model, n=3, length=50, seed=7)
    assert first == dni.generate(model, n=3, length=50, seed=7)
    assert first != dni.generate(model, n=3, length=50, seed=8)
    assert {len(text) for text in first} == {50}


def share_in_language(language, network):
    lines = [line for text in dni.generate(network, n=32, length=200, seed=0) for line in text.split("\n")[:-1]]
    return np.mean(np.isfinite(language.log_probability([line for line in lines if line])))


def test_training_brings_the_text_into_the_language(parentheses, model):
    untrained = dni.models.TrainedModel.init(model.vocabulary, model.config)
    assert share_in_language(parentheses, model) > 0.1 > 10 * share_in_language(parentheses, untrained)


def test_with_the_output_forced_every_symbol_is_that_one(model):
    """With the head reading only neuron 0, holding it high must force the symbol it votes for."""
    weights = model.weights
    digit = model.vocabulary.symbols.index("2")
    head = np.zeros(weights.head.shape, np.float32)
    head[0, digit] = 100.0
    voter = dni.models.TrainedModel.init(model.vocabulary, model.config)
    voter.module.set_weights(replace(weights, head=head, head_b=np.zeros(weights.head_b.shape, np.float32)))
    forced = dni.generate(voter, n=2, length=30, intervention=dni.clamp([0], 1.0))
    assert forced == ["2" * 30] * 2
    schedule = np.zeros(30)
    schedule[10:20] = 1.0
    driven = dni.generate(voter, n=2, length=30, intervention=dni.clamp_to_labels([0], schedule, low=0.0))
    assert all(text[10:20] == "2" * 10 for text in driven)
    assert any(text[:10] != "2" * 10 for text in driven)


def test_bad_sizes_are_named(model):
    for bad in ({"n": 0}, {"length": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            dni.generate(model, **bad)
    with pytest.raises(ValueError, match="temperature"):
        dni.generate(model, temperature=-1.0)
    with pytest.raises(ValueError, match="one row for each of the 20 positions"):
        dni.generate(model, length=20, intervention=dni.clamp_to_labels([0], [1.0] * 19))


def test_each_intervention_writes_as_if_alone(model, held_out):
    when = np.arange(30) > 5
    asked = [None, dni.clamp([1], 1.0), dni.clamp([2, 7], -0.5), dni.ablate([0], part="c"), None,
             dni.clamp([3], 1.0, when=when), dni.clamp([1], 1.0).then(dni.clamp([2], 0.0))]  # fmt: skip
    together = dni.models.generate_each(model, asked, n=5, length=30, seed=3)
    for texts, intervention in zip(together, asked, strict=True):
        assert texts == dni.generate(model, n=5, length=30, seed=3, intervention=intervention)
    assert together[0] == together[4] != together[1]


def test_drives_of_different_shapes_go_into_one_call(model, held_out):
    """A signal has one number per step, the states of another run one per step and neuron."""
    signal, states = np.linspace(0, 1, 30), np.random.default_rng(0).normal(size=(30, model.n_neurons))
    asked = [dni.clamp_to_labels([1], signal), dni.patch([0, 2], states), dni.clamp_to_labels([3], 1 - signal)]
    together = dni.models.generate_each(model, asked, n=5, length=30, seed=3)
    for texts, intervention in zip(together, asked, strict=True):
        assert texts == dni.generate(model, n=5, length=30, seed=3, intervention=intervention)


def test_texts_begin_as_asked(model):
    texts = dni.generate(model, n=3, length=10, prime="((1")
    assert all(text.startswith("((1") and len(text) == 13 for text in texts)
    with pytest.raises(ValueError, match="'x' at position 1"):
        dni.generate(model, n=1, length=2, prime="(x")
