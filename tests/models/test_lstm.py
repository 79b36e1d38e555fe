"""The LSTM against Flax's own, and its written-out gradient against autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dni_jax.models.lstm import Carry, CharLSTM, hidden_scan, step, zero_carry

V, N, B, L = 7, 12, 5, 19


@pytest.fixture(scope="module")
def module():
    return CharLSTM(V, N, rngs=nnx.Rngs(3))


@pytest.fixture(scope="module")
def codes():
    return jnp.asarray(np.random.default_rng(0).integers(0, V, (B, L)), jnp.int32)


def flax_twin(module):
    """Flax's cell with our weights: one dense layer a gate, in the order i, f, g, o."""
    cell = nnx.OptimizedLSTMCell(V, N, rngs=nnx.Rngs(0))
    weights = module.weights
    cell.dense_i.kernel[...] = weights.wx
    cell.dense_h.kernel[...] = weights.wh
    cell.dense_h.bias[...] = weights.b
    return nnx.RNN(cell)


def test_outputs_equal_flax(module, codes):
    ours = module(codes)
    hidden = flax_twin(module)(jax.nn.one_hot(codes, V))
    theirs = hidden @ module.weights.head + module.weights.head_b
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def plain_scan(table, wh, codes, resets, carry):
    def body(state, inputs):
        new, _, _ = step(table, wh, state, *inputs)
        return new, new.h

    last, hidden = jax.lax.scan(body, carry, (codes, resets))
    return hidden, last


def test_gradient_equals_autodiff(module, codes):
    weights = module.weights
    rng = np.random.default_rng(1)
    resets = jnp.asarray(rng.random((L, B)) < 0.2)
    start = Carry(*(jnp.asarray(rng.normal(size=(B, N)), jnp.float32) for _ in range(2)))
    pull = jnp.asarray(rng.normal(size=(L, B, N)), jnp.float32)
    pull_last = jnp.asarray(rng.normal(size=(2, B, N)), jnp.float32)

    def loss(scan, table, wh):
        hidden, last = scan(table, wh, codes.T, resets, start)
        return (hidden * pull).sum() + (last.c * pull_last[0]).sum() + (last.h * pull_last[1]).sum()

    arguments = (weights.wx + weights.b, weights.wh)
    ours = jax.grad(loss, argnums=(1, 2))(hidden_scan, *arguments)
    theirs = jax.grad(loss, argnums=(1, 2))(plain_scan, *arguments)
    for mine, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-5)


def test_no_gradient_into_the_carry(module, codes):
    weights = module.weights

    def loss(carry):
        hidden, _ = hidden_scan(weights.wx + weights.b, weights.wh, codes.T, jnp.zeros((L, B), bool), carry)
        return hidden.sum()

    gradient = jax.grad(loss)(zero_carry(B, N))
    assert all(float(jnp.abs(part).max()) == 0 for part in gradient)


def test_reset_forgets(module, codes):
    weights = module.weights
    table = weights.wx + weights.b
    resets = jnp.zeros((L, B), bool).at[7].set(True)
    whole, _ = hidden_scan(table, weights.wh, codes.T, resets, zero_carry(B, N))
    fresh, _ = hidden_scan(table, weights.wh, codes.T[7:], jnp.zeros((L - 7, B), bool), zero_carry(B, N))
    np.testing.assert_allclose(whole[7:], fresh, atol=1e-6)


def test_is_a_flax_module(module):
    graph, state = nnx.split(module)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == V * 4 * N + N * 4 * N + 4 * N + N * V + V
    assert nnx.merge(graph, state).weights.wh.shape == (N, 4 * N)
