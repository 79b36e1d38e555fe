"""Our networks against Flax's own cells, and the written-out gradient against autodiff."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dni_jax.models._layers import Dense, Lookup, ScanSettings, layer_step, zero_carry
from dni_jax.models._network import CharNetwork, RecurrentLayer, network_scan, scan_layer, zero_carries
from dni_jax.models._weights import with_arrays
from dni_jax.models.cells import CELLS, Carry
from tests.support.layers import random_layer
from tests.support.slow import slow_after

V, N, B, L = 7, 12, 5, 19
FLAX = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}


@pytest.fixture(scope="module")
def codes():
    return jnp.asarray(np.random.default_rng(0).integers(0, V, (B, L)), jnp.int32)


def flax_rnn(cell, layer, n_inputs):
    """Flax's own cell with our layer's weights."""
    theirs = FLAX[cell](n_inputs, layer.hidden, rngs=nnx.Rngs(0))
    theirs.dense_i.kernel[...] = layer.wx
    theirs.dense_h.kernel[...] = layer.wh
    (theirs.dense_h if cell == "lstm" else theirs.dense_i).bias[...] = layer.b
    return nnx.RNN(theirs)


class FlaxTwin(nnx.Module):
    """The same network made of Flax's own parts."""

    def __init__(self, ours):
        inputs = (V, *ours.sizes[:-1])
        self.layers = nnx.List(
            [flax_rnn(ours.cell, layer, n) for layer, n in zip(ours.weights.layers, inputs, strict=True)]
        )
        self.head = nnx.Linear(ours.sizes[-1], V, rngs=nnx.Rngs(0))
        self.head.kernel[...] = ours.weights.head

    def __call__(self, codes):
        hidden = jax.nn.one_hot(codes, V)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden)


def loss(module, codes):
    logits = module(codes[:, :-1])
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), codes[:, 1:, None], axis=-1).mean()


@nnx.jit
def logits_and_gradient(module, codes):
    return module(codes), nnx.grad(loss)(module, codes)


@pytest.mark.parametrize(
    ("cell", "sizes"), slow_after(1, [("lstm", (5, 8)), ("gru", (5, 8)), ("lstm", (N,)), ("rnn", (N, 9))], 2)
)
def test_outputs_and_gradients_equal_flax(cell, sizes, codes):
    ours = CharNetwork(V, sizes, cell, rngs=nnx.Rngs(3))
    theirs = FlaxTwin(ours)
    (logits, mine), (flax_logits, flax) = (logits_and_gradient(module, codes) for module in (ours, theirs))
    np.testing.assert_allclose(logits, flax_logits, atol=1e-6)
    np.testing.assert_allclose(mine["head"]["kernel"][...], flax["head"]["kernel"][...], atol=1e-6)
    for number in range(len(sizes)):
        own, other = mine["layers"][number], flax["layers"][number]["cell"]
        bias = other["dense_h" if cell == "lstm" else "dense_i"]["bias"]
        np.testing.assert_allclose(own["wx"][...], other["dense_i"]["kernel"][...], atol=1e-6)
        np.testing.assert_allclose(own["wh"][...], other["dense_h"]["kernel"][...], atol=1e-6)
        np.testing.assert_allclose(own["b"][...], bias[...], atol=1e-6)


def test_a_layer_alone_equals_flax():
    layer = RecurrentLayer(6, N, "gru", rngs=nnx.Rngs(0))
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(B, L, 6)), jnp.float32)
    np.testing.assert_allclose(
        layer(inputs), nnx.jit(nnx.RNN.__call__)(flax_rnn("gru", layer.weights, 6), inputs), atol=1e-6
    )


def plain_scan(settings, source, layer, resets, carry):
    def body(state, inputs):
        row, reset = inputs
        new, _ = layer_step(settings, source.at(row), layer, state, reset)
        return new, new.h

    last, hidden = jax.lax.scan(body, carry, (source.rows(), resets))
    return hidden, last


def random_problem(cell, dense, seed=1):
    """A layer with every weight set, lanes that start anew, a carry, and directions to differentiate in."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    kind = CELLS[cell]
    layer = random_layer(cell, V, N, draw)
    G = layer.b.size
    codes = jnp.asarray(rng.integers(0, V, (L, B)), jnp.int32)
    carry = Carry(kind.make_memory([draw(B, N) for _ in kind.memory]), draw(B, N))
    if cell == "slstm":  # a sum of positive weights
        carry = carry._replace(c=carry.c._replace(n=1 + jnp.abs(carry.c.n)))
    pulls = draw(L, B, N), jax.tree.map(lambda part: draw(B, N), carry)
    resets = jnp.asarray(rng.random((L, B)) < 0.2)
    values = draw(L, B, G)
    return layer, (lambda wx: Dense(values * wx.sum()) if dense else Lookup(wx, codes)), resets, carry, pulls


# An LSTM stands for the cells with a matrix of the state, a minGRU for those without.
TELLING = sorted(CELLS, key=lambda cell: cell not in ("lstm", "mingru"))


@pytest.mark.parametrize(("cell", "dense"), slow_after(4, itertools.product(TELLING, (False, True)), 2))
def test_gradient_equals_autodiff(cell, dense):
    layer, source_of, resets, carry, (pull, pull_last) = random_problem(cell, dense)

    def loss(scan, layer):
        hidden, last = scan(ScanSettings(cell, "float32"), source_of(layer.wx), layer, resets, carry)
        flows = jax.tree.map(lambda part, along: (part * along).sum(), last, pull_last)
        return (hidden * pull).sum() + sum(jax.tree.leaves(flows))

    both = jax.jit(lambda layer: [jax.grad(partial(loss, scan))(layer) for scan in (scan_layer, plain_scan)])
    ours, theirs = both(layer)
    for mine, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_no_gradient_into_the_carry(cell):
    layer, source_of, resets, carry, _ = random_problem(cell, dense=False)

    def loss(carry):
        return scan_layer(ScanSettings(cell, "float32"), source_of(layer.wx), layer, resets, carry)[0].sum()

    assert all(np.abs(part).max() == 0 for part in jax.tree.leaves(jax.jit(jax.grad(loss))(carry)))


@pytest.mark.parametrize("cell", slow_after(2, TELLING))
def test_reset_forgets(cell):
    layer, source_of, _, _, _ = random_problem(cell, dense=False)
    source, scan = source_of(layer.wx), jax.jit(partial(scan_layer, ScanSettings(cell, "float32")))
    resets, zero = np.zeros((L, B), bool), zero_carry(B, N, cell)
    resets[7] = True
    whole, _ = scan(source, layer, resets, zero)
    later = Lookup(source.table, np.asarray(source.codes)[7:])
    fresh, _ = scan(later, layer, np.zeros((L - 7, B), bool), zero)
    np.testing.assert_allclose(whole[7:], fresh, atol=1e-6)


def test_a_long_text_in_windows_is_one_long_text(codes):
    """Carried state: two windows give what one scan gives."""
    weights = CharNetwork(V, (N, N), "lstm", rngs=nnx.Rngs(0)).weights
    codes, never, scan = np.asarray(codes).T[:18], np.zeros((18, B), bool), jax.jit(network_scan)
    whole, _ = scan(weights, codes, never, zero_carries(weights, B))
    first, carries = scan(weights, codes[:9], never[:9], zero_carries(weights, B))
    second, _ = scan(weights, codes[9:], never[9:], carries)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-6)


def test_bfloat16_products_are_near(codes):
    exact = CharNetwork(V, (N,), rngs=nnx.Rngs(0))
    rounded = CharNetwork(V, (N,), matmul_dtype="bfloat16", rngs=nnx.Rngs(0))
    rounded.set_weights(exact.weights)
    assert rounded(codes).dtype == jnp.float32
    gap = np.abs(rounded(codes) - exact(codes)).max()
    assert 0 < gap < 0.02


def test_is_a_flax_module():
    module = CharNetwork(V, (N,), rngs=nnx.Rngs(3))
    graph, state = nnx.split(module)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == V * 4 * N + N * 4 * N + 4 * N + N * V + V
    assert nnx.merge(graph, state).weights.layers[0].wh.shape == (N, 4 * N)


def test_unknown_cells_and_shapes_are_named():
    with pytest.raises(ValueError, match="lstm, gru, rnn"):
        CharNetwork(V, (N,), "transformer", rngs=nnx.Rngs(0))
    weights = CharNetwork(V, (N,), rngs=nnx.Rngs(0)).weights
    with pytest.raises(ValueError, match="head"):
        with_arrays(weights, {"layers.0.wx": weights.layers[0].wx})


@pytest.mark.parametrize("cell", slow_after(1, ["lstm", "gru"]))
def test_compiled_initial_weights_are_flax_s_own(cell):
    compiled, plain = CharNetwork.init(V, (N, 9), cell, seed=5), CharNetwork(V, (N, 9), cell, rngs=nnx.Rngs(5))
    for mine, direct in zip(jax.tree.leaves(compiled.weights), jax.tree.leaves(plain.weights), strict=True):
        np.testing.assert_allclose(mine, direct, atol=1e-5)
    assert jax.tree.structure(nnx.state(compiled)) == jax.tree.structure(nnx.state(plain))


def test_a_network_that_holds_weights_computes_with_them(codes):
    given = CharNetwork(V, (N,), rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(CharNetwork.from_weights(given.weights)(codes), given(codes))


def test_networks_that_hold_weights_share_nothing():
    weights = CharNetwork(V, (N,), rngs=nnx.Rngs(1)).weights
    one, other = CharNetwork.from_weights(weights), CharNetwork.from_weights(weights)
    other.set_weights(jax.tree.map(lambda array: 2.0 * array, weights))
    np.testing.assert_array_equal(one.head.kernel[...], weights.head)
    np.testing.assert_array_equal(other.layers[0].wh[...], 2.0 * weights.layers[0].wh)
    np.testing.assert_array_equal(CharNetwork.from_weights(weights).layers[0].wh[...], weights.layers[0].wh)
