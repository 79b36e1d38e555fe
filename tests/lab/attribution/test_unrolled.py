"""Gradients and path integrals in float64, against forward mode, finite differences, closed forms, whole strings."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from dni_jax.lab.attribution._unrolled import (
    Read,
    carries_of,
    lag_gradients,
    path_gradients,
    state_of,
    values_from,
)
from dni_jax.models._network import input_table, network_step, zero_carries
from dni_jax.models._weights import LayerWeights, Weights

V, B, L = 6, 3, 4
NETWORKS = [("lstm", (4, 3)), ("gru", (5,)), ("rnn", (5,))]


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


def drawn(cell, sizes, rng):
    """Random weights."""
    blocks = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    layers = []
    for below, size in itertools.pairwise((V, *sizes)):
        shapes = ((below, blocks * size), (size, blocks * size), (blocks * size,), (blocks * size,))
        arrays = [rng.normal(size=shape) * 0.6 for shape in shapes]
        layers.append(LayerWeights(*arrays[:3], arrays[3] if cell == "gru" else None))
    return Weights(tuple(layers), rng.normal(size=(sizes[-1], V)), rng.normal(size=V), cell)


@jax.jit
def pushed(weights, state, read, lag, along):
    """The value, and its derivative in a direction, by forward mode."""
    return jax.jvp(lambda state: values_from(weights, state, read, lag), (state,), (along,))


@jax.jit
def walked(weights, codes):
    """The states of a network that reads from the zero state."""
    table = input_table(weights)

    def body(carries, symbols):
        new, _, _ = network_step(weights, table, carries, symbols, jnp.zeros(B, bool))
        return new, state_of(new)

    return jax.lax.scan(body, zero_carries(weights, B), codes)[1]


class Case:
    """A network of random weights that has read B strings of L + 1 symbols, and its states on the way."""

    def __init__(self, cell, sizes):
        rng = np.random.default_rng(0)
        self.weights = drawn(cell, sizes, rng)
        self.codes = jnp.asarray(rng.integers(0, V, (L + 1, B)), jnp.int32)
        members = np.zeros((B, V), bool)
        members[0, 1] = members[1, [0, 4]] = members[2, [2, 3, 5]] = True
        self.read = Read(self.codes[1:], jnp.asarray(members))
        self.states = walked(self.weights, self.codes)
        self.logits = (
            np.asarray(self.states[-1])[:, -1, self.weights.layer_slices[-1]] @ self.weights.head + self.weights.head_b
        )

    def value(self, lag, state):
        return values_from(self.weights, state, self.read, jnp.int32(lag))


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda pair: f"{pair[0]}-{len(pair[1])}")
def case(request):
    with jax.enable_x64(True):
        return Case(*request.param)


def test_the_value_is_the_probability_of_the_whole_strings(case):
    for lag in range(L + 1):
        shares = softmax(case.logits, axis=1)
        expected = np.log((shares * np.asarray(case.read.members)).sum(axis=1))
        np.testing.assert_allclose(case.value(lag, case.states[L - lag]), expected, atol=1e-12)


def test_gradients_equal_finite_differences_and_forward_mode(case):
    room = jnp.full(B, L, jnp.int32)
    values, gradients = lag_gradients(case.weights, case.states[0], case.read, room)
    np.testing.assert_allclose(values, case.value(0, case.states[L]), atol=1e-12)
    step = 1e-5
    for lag in range(L + 1):
        state = case.states[L - lag]
        for part, neuron in np.ndindex(state.shape[1:]):
            nudge = np.zeros(state.shape)
            nudge[:, part, neuron] = step
            slope = (case.value(lag, state + nudge) - case.value(lag, state - nudge)) / (2 * step)
            np.testing.assert_allclose(gradients[lag, :, part, neuron], slope, atol=2e-9)
        along = jnp.asarray(np.random.default_rng(lag).normal(size=state.shape))
        _, tangent = pushed(case.weights, state, case.read, jnp.int32(lag), along)
        np.testing.assert_allclose((gradients[lag] * along).sum(axis=(1, 2)), tangent, atol=1e-12)


def test_the_head_in_closed_form(case):
    _, gradients = lag_gradients(case.weights, case.states[0], case.read, jnp.full(B, L, jnp.int32))
    shares = softmax(case.logits, axis=1)
    chosen = shares * np.asarray(case.read.members)
    expected = (chosen / chosen.sum(axis=1, keepdims=True) - shares) @ np.asarray(case.weights.head).T
    span = case.weights.layer_slices[-1]
    np.testing.assert_allclose(gradients[0, :, -1, span], expected, atol=1e-12)
    below = np.delete(np.asarray(gradients[0, :, -1]), np.arange(span.start, span.stop), axis=1)
    assert not below.any()  # the head sees the top layer's hidden state alone
    assert gradients.shape[2] == 1 or not np.asarray(gradients[0, :, 0]).any()


def test_strings_that_begin_within_the_window(case):
    room = np.asarray([L, 2, 0], np.int32)
    start = jnp.stack([case.states[L - steps][row] for row, steps in enumerate(room)])
    codes = np.asarray(case.read.codes).copy()
    for row, steps in enumerate(room):
        codes[: L - steps, row] = 5 - codes[: L - steps, row]  # of another string: must not matter
    read = case.read._replace(codes=jnp.asarray(codes))
    _, short = lag_gradients(case.weights, start, read, jnp.asarray(room))
    _, whole = lag_gradients(case.weights, case.states[0], case.read, jnp.full(B, L, jnp.int32))
    for row, steps in enumerate(room):
        np.testing.assert_allclose(short[: steps + 1, row], whole[: steps + 1, row], atol=1e-12)


def test_integrated_gradients_become_complete():
    case = Case(*NETWORKS[0])
    lag = jnp.int32(3)
    state = case.states[L - 3]
    base = jnp.full_like(state, 0.2)
    difference = case.value(3, state) - case.value(3, base)
    errors = []
    for steps in (1, 2, 4, 12):
        nodes, shares = np.polynomial.legendre.leggauss(steps)
        # Places without a share fill up the rule: one program serves all.
        rule = np.pad((nodes + 1) / 2, (0, 12 - steps)), np.pad(shares / 2, (0, 12 - steps))
        found, values = path_gradients(case.weights, state, base, case.read, lag, *rule)
        np.testing.assert_allclose(values, case.value(3, state), atol=1e-12)
        errors.append(float(jnp.abs(found.sum(axis=(1, 2)) - difference).max()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 8 * errors[3]
    assert errors[-1] < 1e-6 < 1e-4 < errors[0]


def test_layers_side_by_side_and_back():
    case = Case("lstm", (4, 3))
    again = state_of(carries_of(case.weights, case.states[2]))
    assert (again == case.states[2]).all()
    assert [carry.h.shape for carry in carries_of(case.weights, case.states[2])] == [(B, 4), (B, 3)]


def log_odds(log_probs):
    return log_probs[1] - log_probs[2]


def leaky(z):
    """A GRU whose state decays by z at every step, whatever it reads: linear in its state."""
    n, rng = 4, np.random.default_rng(1)
    b = np.concatenate([np.zeros(n), np.full(n, np.log(z / (1 - z))), rng.normal(size=n)])
    layer = LayerWeights(*(jnp.asarray(a) for a in (np.zeros((V, 3 * n)), np.zeros((n, 3 * n)), b, np.zeros(3 * n))))
    return Weights((layer,), jnp.asarray(rng.normal(size=(n, V))), jnp.zeros(V), "gru")


def test_gradient_x_activation_is_exact_where_the_network_is_linear():
    weights, rng = leaky(0.7), np.random.default_rng(2)
    state, codes = jnp.asarray(rng.normal(size=(B, 1, 4))), jnp.asarray(rng.integers(0, V, (L, B)), jnp.int32)
    read = Read(codes, jnp.zeros((B, V), bool))
    values, gradients = lag_gradients(weights, state, read, jnp.full(B, L, jnp.int32), log_odds)
    head = np.asarray(weights.head)
    for lag in range(L + 1):
        expected = 0.7**lag * (head[:, 1] - head[:, 2])
        np.testing.assert_allclose(gradients[lag, :, 0], np.tile(expected, (B, 1)), atol=1e-12)
    at_zero = values_from(weights, jnp.zeros_like(state), read, jnp.int32(L), log_odds)
    np.testing.assert_allclose((gradients[L] * state).sum(axis=(1, 2)), values - at_zero, atol=1e-12)


@pytest.mark.slow
def test_float32_and_float64_agree():
    case = Case("gru", (5,))
    single = jax.tree.map(lambda a: a.astype(jnp.float32), (case.weights, case.states[0]))
    room = jnp.full(B, L, jnp.int32)
    _, exact = lag_gradients(case.weights, case.states[0], case.read, room)
    with jax.enable_x64(False):
        _, rough = lag_gradients(*single, case.read, room)
    np.testing.assert_allclose(rough, exact, atol=2e-6)


def test_the_lecture_example():
    gradient = jax.grad(lambda x, y, z: (x + y) * z, argnums=(0, 1, 2))(-2.0, 5.0, -4.0)
    assert tuple(map(float, gradient)) == (-4.0, -4.0, 3.0)


@pytest.mark.slow
def test_bfloat16_products_have_a_gradient():
    case = Case("lstm", (5,))
    weights = replace(jax.tree.map(lambda a: a.astype(jnp.float32), case.weights), matmul_dtype="bfloat16")
    with jax.enable_x64(False):
        start = case.states[0].astype(jnp.float32)
        _, rough = lag_gradients(weights, start, case.read, jnp.full(B, L, jnp.int32))
    _, exact = lag_gradients(case.weights, case.states[0], case.read, jnp.full(B, L, jnp.int32))
    assert np.corrcoef(np.ravel(rough), np.ravel(exact))[0, 1] > 0.98
