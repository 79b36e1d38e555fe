"""The autoencoder's decoder, bounds and samples, against what they are by definition."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from experiments._shared.two_samples import nearest_neighbor_test
from experiments.flows import _vae
from experiments.flows._vae import Variant

N, LATENT = 5, 2


@pytest.fixture(scope="module")
def masked():
    """Return a decoder whose weights and biases are all random."""
    shapes = jax.eval_shape(lambda key: _vae.init(key, Variant(masked=True), N, LATENT, wide=12), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), jnp.float32), shapes)


def test_a_masked_decoder_sees_earlier_pixels_and_the_latents(masked):
    z, x = jnp.asarray([0.5, -1.0]), jnp.full(N, 0.3)
    of_z, of_x = jax.jit(jax.jacfwd(lambda z, x: _vae.decode(masked, z, x), argnums=(0, 1)))(z, x)
    assert not np.triu(of_x).any()
    assert np.tril(of_x, -1).any()
    assert not of_z[0].any()  # no hidden unit precedes the first pixel
    assert (np.abs(of_z[2:]).sum(1) > 0).all()


def test_a_masked_decoder_is_a_distribution(masked):
    """Its probabilities of all 32 images sum to 1, whatever z is."""
    every = jnp.asarray(list(itertools.product([0.0, 1.0], repeat=N)))
    z = jnp.broadcast_to(jnp.asarray([0.5, -1.0]), (len(every), LATENT))
    log_p = jax.jit(lambda z, x: _vae.log_bernoulli(_vae.decode(masked, z, x), x))(z, every)
    assert logsumexp(log_p) == pytest.approx(0, abs=1e-5)


def test_bounds_rise_to_the_evidence(masked):
    """log p(x) by a grid over both latents; L_1 < L_20 < log p(x), and the loss of k = 1 is minus L_1."""
    x = jnp.asarray([[1.0, 0.0, 1.0, 1.0, 0.0]])
    line = jnp.linspace(-5, 5, 101)
    grid = jnp.stack(jnp.meshgrid(line, line), -1).reshape(-1, LATENT)

    @jax.jit
    def found(x, keys):
        at_grid = _vae.log_normal(grid) + _vae.log_bernoulli(_vae.decode(masked, grid, x), x)
        exact = jax.nn.logsumexp(at_grid) + 2 * jnp.log(line[1] - line[0])
        wide = jnp.broadcast_to(x, (4_000, N))
        weights = _vae.log_weights(masked, wide, keys, 20)
        loss = _vae.loss(masked, wide, keys, Variant(masked=True), 1.0)
        return exact, weights.mean(), jnp.mean(jax.nn.logsumexp(weights, 1) - jnp.log(20.0)), loss

    exact, first, twentieth, loss = map(float, found(x, jax.random.key(2)))
    assert first < twentieth < exact + 0.01
    assert -loss == pytest.approx(first, abs=0.05)


def test_a_decoder_that_learned_alone_starts_without_its_latents():
    """Its bound is then its own likelihood: q(z|x) is the prior, and no latent reaches a pixel."""
    params = _vae.init(jax.random.key(0), Variant(masked=True, alone=0.5), N, LATENT, wide=12)
    x = jnp.asarray([[1.0, 0.0, 1.0, 1.0, 0.0]])
    alone = _vae.loss_alone(params, x)
    assert float(_vae.loss(params, x, jax.random.key(1), Variant(masked=True), 1.0)) == pytest.approx(float(alone))
    assert _vae.usage(params, x) == (0.0, 0)


def test_samples_follow_the_decoder(masked):
    """The second pixel's frequency is the mean, over z and the first pixel, of its probability."""
    drawn = np.asarray(jax.jit(_vae.sample, static_argnums=2)(masked, jax.random.key(3), 2_000))
    z = np.random.default_rng(1).normal(size=(2_000, LATENT)).astype(np.float32)
    first = np.zeros((2_000, N), np.float32)
    first[:, 0] = np.random.default_rng(2).random(2_000) < drawn[:, 0].mean()
    logits = jax.jit(lambda z, x: _vae.decode(masked, z, x))(z, first)
    expected = (1 / (1 + np.exp(-np.asarray(logits))))[:, 1].mean()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert float(drawn[:, 1].mean()) == pytest.approx(float(expected), abs=0.04)


def test_the_nearest_neighbor_test():
    rng = np.random.default_rng(0)
    alike, p = nearest_neighbor_test(rng.normal(size=(200, 3)), rng.normal(size=(200, 3)))
    assert abs(alike - 0.5) < 0.08
    assert p > 0.01
    apart, p = nearest_neighbor_test(rng.normal(size=(200, 3)), 3 + rng.normal(size=(200, 3)))
    assert apart > 0.95
    assert p < 1e-6
    with pytest.raises(ValueError, match="equal size, got 2 and 3"):
        nearest_neighbor_test(np.zeros((2, 1)), np.zeros((3, 1)))
