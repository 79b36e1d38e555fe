"""One rollout: what it emits of given text, and of the network's own samples, against the module's own outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import dni_jax as dni
from dni_jax.interventions import Bound
from dni_jax.models import Emit, Samples, Text, rollout

EVERYTHING = ("hidden", "cell", "gates", "logits", "loss", "best", "class_probability", "symbols")


@pytest.fixture(scope="module")
def codes(held_out):
    """Five symbols of two strings, a boundary first, time first."""
    rows = [[0, *held_out.vocabulary.encode(string[:5])] for string in held_out.strings if len(string) >= 5][:2]
    return np.asarray(rows, np.int32).T


def test_text_emits_what_the_module_computes(model, codes):
    classes = np.eye(len(model.vocabulary), dtype=np.float32)[:, :3]
    text = Text(codes[:-1], codes[:-1] == 0, codes[1:])
    last, kept = rollout(model.weights, text, Bound(), Emit(EVERYTHING, classes=classes))
    found = dict(zip(EVERYTHING, kept, strict=True))
    logits = np.asarray(jax.jit(lambda codes: model.module(codes))(codes[:-1].T)).swapaxes(0, 1)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    losses = -np.take_along_axis(log_softmax(logits, axis=-1), codes[1:, :, None], -1)[..., 0]
    np.testing.assert_allclose(found["loss"], losses, atol=1e-5)
    np.testing.assert_array_equal(found["best"], logits.argmax(-1))
    np.testing.assert_allclose(found["class_probability"], softmax(logits, axis=-1)[..., :3], atol=1e-3)
    np.testing.assert_array_equal(found["symbols"], codes[1:])
    np.testing.assert_array_equal(found["hidden"][-1], last[0].h)
    np.testing.assert_array_equal(found["cell"][-1], last[0].c)
    np.testing.assert_allclose(found["gates"][:, :, 3] * np.tanh(found["cell"]), found["hidden"], atol=1e-6)


def test_a_rollout_continues_from_a_state(model, codes):
    emit = Emit(("hidden", "logits"), "float16")
    never = np.zeros(codes.shape, bool)
    _, whole = rollout(model.weights, Text(codes, never), Bound(), emit)
    middle, first = rollout(model.weights, Text(codes[:3], never[:3]), Bound(), emit)
    _, rest = rollout(model.weights, Text(codes[3:], never[3:]), Bound(), emit, middle)
    for parts, expected in zip(zip(first, rest, strict=True), whole, strict=True):
        assert expected.dtype == np.float16
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-3)


def test_samples_are_read_as_text(model):
    """What a network writes, read again under the same override, has the most probable symbols it wrote."""
    held = model.bind(dni.clamp([2], 0.5), 12)
    surest = Samples(
        *map(jnp.asarray, (np.zeros((12, 2), np.float32), np.full(12, -1, np.int32), np.int32(0), np.float32(0.0)))
    )
    _, (written, states) = rollout(model.weights, surest, held, Emit(("symbols", "hidden")))
    read = np.concatenate([np.zeros((1, 2), np.int32), np.asarray(written)[:-1]])
    _, (best, again) = rollout(model.weights, Text(read, read == 0), held, Emit(("best", "hidden")))
    np.testing.assert_array_equal(best, written)
    np.testing.assert_allclose(states, again, atol=1e-6)
    assert (states[:, :, 2] == 0.5).all()


def test_forced_symbols_are_not_drawn(model):
    forced = np.asarray([3, -1, 2, -1], np.int32)
    source = Samples(*map(jnp.asarray, (np.full((4, 3), 0.5, np.float32), forced, np.int32(0), np.float32(1.0))))
    _, (symbols,) = rollout(model.weights, source, Bound(), Emit(("symbols",)))
    assert (symbols[0] == 3).all()
    assert (symbols[2] == 2).all()
