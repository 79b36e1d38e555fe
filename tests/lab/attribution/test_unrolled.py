"""Gradients and path integrals in float64, compared with forward mode, finite differences and closed forms."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from dni_jax.lab.attribution._unrolled import (
    Context,
    lag_gradients,
    pack_state,
    path_gradients,
    unpack_state,
    values_from_states,
)
from dni_jax.models._network import input_table, network_step, zero_carries
from dni_jax.models._weights import LayerWeights, Weights
from tests.support.layers import random_layer
from tests.support.slow import slow_after

V, B, L = 6, 3, 4
NETWORKS = [("lstm", (4, 3)), ("mingru", (4, 3)), ("slstm", (3,)), ("gru", (5,)), ("rnn", (5,)), ("rglru", (5,))]


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


def random_weights(cell, sizes, rng):
    """Draw random weights."""
    layers = [
        random_layer(cell, below, size, lambda *shape: rng.normal(size=shape) * 0.6, recurrence=1.0)
        for below, size in itertools.pairwise((V, *sizes))
    ]
    return Weights(tuple(layers), rng.normal(size=(sizes[-1], V)), rng.normal(size=V), cell)


@jax.jit
def forward_mode(weights, state, context, lag, along):
    """Compute the value, and its derivative in a direction, by forward mode."""
    return jax.jvp(lambda state: values_from_states(weights, state, context, lag), (state,), (along,))


@jax.jit
def read_states(weights, codes):
    """Compute the states of a network that starts from zero."""
    table = input_table(weights)

    def body(carries, symbols):
        new, _, _ = network_step(weights, table, carries, symbols, jnp.zeros(B, bool))
        return new, pack_state(new)

    return jax.lax.scan(body, zero_carries(weights, B), codes)[1]


class Case:
    """A network of random weights, and its states while it reads B strings of L + 1 symbols."""

    def __init__(self, cell, sizes):
        rng = np.random.default_rng(0)
        self.weights = random_weights(cell, sizes, rng)
        self.codes = jnp.asarray(rng.integers(0, V, (L + 1, B)), jnp.int32)
        members = np.zeros((B, V), bool)
        members[0, 1] = members[1, [0, 4]] = members[2, [2, 3, 5]] = True
        self.context = Context(self.codes[1:], jnp.asarray(members))
        self.states = read_states(self.weights, self.codes)
        self.logits = (
            np.asarray(self.states)[-1, :, -1, self.weights.layer_slices[-1]] @ self.weights.head + self.weights.head_b
        )

    def value(self, lag, state):
        return values_from_states(self.weights, state, self.context, jnp.int32(lag))


@pytest.fixture(scope="module", params=slow_after(2, NETWORKS), ids=lambda pair: f"{pair[0]}-{len(pair[1])}")
def case(request):
    with jax.enable_x64(True):
        return Case(*request.param)


def test_the_value_is_the_probability_of_the_whole_strings(case):
    for lag in range(L + 1):
        shares = softmax(case.logits, axis=1)
        expected = np.log((shares * np.asarray(case.context.members)).sum(axis=1))
        np.testing.assert_allclose(case.value(lag, case.states[L - lag]), expected, atol=1e-12)


def test_gradients_equal_finite_differences_and_forward_mode(case):
    n_before = jnp.full(B, L, jnp.int32)
    values, gradients = lag_gradients(case.weights, case.states[0], case.context, n_before)
    np.testing.assert_allclose(values, case.value(0, case.states[L]), atol=1e-12)
    step = 1e-5
    for lag in range(L + 1):
        state = case.states[L - lag]
        for part, neuron in np.ndindex(state.shape[1:]):
            perturbation = np.zeros(state.shape)
            perturbation[:, part, neuron] = step
            slope = (case.value(lag, state + perturbation) - case.value(lag, state - perturbation)) / (2 * step)
            np.testing.assert_allclose(gradients[lag, :, part, neuron], slope, atol=2e-9)
        along = jnp.asarray(np.random.default_rng(lag).normal(size=state.shape))
        _, tangent = forward_mode(case.weights, state, case.context, jnp.int32(lag), along)
        np.testing.assert_allclose((gradients[lag] * along).sum(axis=(1, 2)), tangent, atol=1e-12)


def test_the_head_in_closed_form(case):
    _, gradients = lag_gradients(case.weights, case.states[0], case.context, jnp.full(B, L, jnp.int32))
    shares = softmax(case.logits, axis=1)
    chosen = shares * np.asarray(case.context.members)
    expected = (chosen / chosen.sum(axis=1, keepdims=True) - shares) @ np.asarray(case.weights.head).T
    span = case.weights.layer_slices[-1]
    np.testing.assert_allclose(gradients[0, :, -1, span], expected, atol=1e-12)
    below = np.delete(np.asarray(gradients[0, :, -1]), np.arange(span.start, span.stop), axis=1)
    assert not below.any()  # the head reads only the top layer's hidden state
    assert gradients.shape[2] == 1 or not np.asarray(gradients[0, :, 0]).any()


def test_strings_that_begin_within_the_window(case):
    n_before = np.asarray([L, 2, 0], np.int32)
    start = np.stack([np.asarray(case.states)[L - steps, row] for row, steps in enumerate(n_before)])
    codes = np.asarray(case.context.codes).copy()
    for row, steps in enumerate(n_before):
        codes[: L - steps, row] = 5 - codes[: L - steps, row]  # symbols of another string, which must not matter
    context = case.context._replace(codes=jnp.asarray(codes))
    _, short = lag_gradients(case.weights, start, context, jnp.asarray(n_before))
    _, whole = lag_gradients(case.weights, case.states[0], case.context, jnp.full(B, L, jnp.int32))
    for row, steps in enumerate(n_before):
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
        # Nodes of weight 0 pad the rule, so that one program serves all.
        rule = np.pad((nodes + 1) / 2, (0, 12 - steps)), np.pad(shares / 2, (0, 12 - steps))
        found, values = path_gradients(case.weights, state, base, case.context, lag, *rule)
        np.testing.assert_allclose(values, case.value(3, state), atol=1e-12)
        errors.append(float(jnp.abs(found.sum(axis=(1, 2)) - difference).max()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 8 * errors[3]
    assert errors[-1] < 1e-6 < 1e-4 < errors[0]


def test_packing_a_state_is_invertible():
    case = Case("lstm", (4, 3))
    again = pack_state(unpack_state(case.weights, case.states[2]))
    assert (again == case.states[2]).all()
    assert [carry.h.shape for carry in unpack_state(case.weights, case.states[2])] == [(B, 4), (B, 3)]


def log_odds(log_probs):
    return log_probs[1] - log_probs[2]


def leaky_gru(z):
    """Return a GRU whose state decays by z at every step, whatever it reads: it is linear in its state."""
    n, rng = 4, np.random.default_rng(1)
    b = np.concatenate([np.zeros(n), np.full(n, np.log(z / (1 - z))), rng.normal(size=n)])
    layer = LayerWeights(*(jnp.asarray(a) for a in (np.zeros((V, 3 * n)), np.zeros((n, 3 * n)), b, np.zeros(3 * n))))
    return Weights((layer,), jnp.asarray(rng.normal(size=(n, V))), jnp.zeros(V), "gru")


def test_gradient_x_activation_is_exact_where_the_network_is_linear():
    weights, rng = leaky_gru(0.7), np.random.default_rng(2)
    state, codes = jnp.asarray(rng.normal(size=(B, 1, 4))), jnp.asarray(rng.integers(0, V, (L, B)), jnp.int32)
    context = Context(codes, jnp.zeros((B, V), bool))
    values, gradients = lag_gradients(weights, state, context, jnp.full(B, L, jnp.int32), log_odds)
    head = np.asarray(weights.head)
    for lag in range(L + 1):
        expected = 0.7**lag * (head[:, 1] - head[:, 2])
        np.testing.assert_allclose(gradients[lag, :, 0], np.tile(expected, (B, 1)), atol=1e-12)
    at_zero = values_from_states(weights, jnp.zeros_like(state), context, jnp.int32(L), log_odds)
    np.testing.assert_allclose((gradients[L] * state).sum(axis=(1, 2)), values - at_zero, atol=1e-12)


@pytest.mark.slow
def test_float32_and_float64_agree():
    case = Case("gru", (5,))
    single = jax.tree.map(lambda a: a.astype(jnp.float32), (case.weights, case.states[0]))
    n_before = jnp.full(B, L, jnp.int32)
    _, exact = lag_gradients(case.weights, case.states[0], case.context, n_before)
    with jax.enable_x64(False):
        _, rough = lag_gradients(*single, case.context, n_before)
    np.testing.assert_allclose(rough, exact, atol=2e-6)


def test_the_example_of_the_lecture():
    gradient = jax.grad(lambda x, y, z: (x + y) * z, argnums=(0, 1, 2))(-2.0, 5.0, -4.0)
    assert tuple(map(float, gradient)) == (-4.0, -4.0, 3.0)


@pytest.mark.slow
def test_bfloat16_products_have_a_gradient():
    case = Case("lstm", (5,))
    weights = replace(jax.tree.map(lambda a: a.astype(jnp.float32), case.weights), matmul_dtype="bfloat16")
    with jax.enable_x64(False):
        start = case.states[0].astype(jnp.float32)
        _, rough = lag_gradients(weights, start, case.context, jnp.full(B, L, jnp.int32))
    _, exact = lag_gradients(case.weights, case.states[0], case.context, jnp.full(B, L, jnp.int32))
    assert np.corrcoef(np.ravel(rough), np.ravel(exact))[0, 1] > 0.98
