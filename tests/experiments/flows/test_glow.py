"""A small Glow against its Jacobian and its inverse, and the change of variables by an integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.flows._glow import Glow, Logit, convolve, squeeze, unsqueeze
from experiments.flows.digits import bits
from tests.support.slow import slow_after


def test_squeezing_moves_pixels_to_channels_and_back():
    x = jnp.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3)
    small = squeeze(x)
    assert small.shape == (2, 2, 2, 12)
    np.testing.assert_array_equal(np.sort(small[0, 0, 0]), np.sort(np.asarray(x[0, :2, :2]).ravel()))
    np.testing.assert_array_equal(unsqueeze(small), x)


@pytest.mark.parametrize(("size", "out"), [(1, 2), (3, 2), (3, 5)])
def test_the_convolution_is_xlas(size, out):
    rng = np.random.default_rng(0)
    x, weights = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 4, 3), (size, size, 3, out)))
    bias = np.arange(out, dtype=np.float32)
    theirs = jax.lax.conv(x.transpose(0, 3, 1, 2), weights.transpose(3, 2, 0, 1), (1, 1), "SAME")
    ours = jax.jit(convolve)(x, weights, bias)
    np.testing.assert_allclose(ours, theirs.transpose(0, 2, 3, 1) + bias, atol=1e-5)


@pytest.mark.parametrize("levels", slow_after(1, [2, 1]))
def test_inverse_and_log_determinant(levels):
    glow, rng = Glow.init(jax.random.key(0), 4, levels, steps=1, width=3), np.random.default_rng(0)
    glow = jax.tree.map(lambda a: a + rng.normal(0, 0.3, a.shape).astype(a.dtype), glow)
    x = jnp.asarray(rng.normal(size=(3, 16)), jnp.float32)

    @jax.jit
    def both_ways(x):
        y, log_det = glow.forward(x)
        return y, log_det, *glow.inverse(y), jax.jacfwd(lambda one: glow.forward(one)[0])(x[1])

    y, log_det, back, back_log_det, jacobian = both_ways(x)
    assert y.shape == x.shape
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-4)
    np.testing.assert_allclose(np.linalg.slogdet(np.asarray(jacobian, np.float64))[1], log_det[1], atol=1e-4)


def test_latents_of_the_pictures_at_hand_are_standardized():
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.normal(size=(50, 16)) * rng.uniform(0.5, 2, 16) + 3, jnp.float32)
    glow = Glow.init(jax.random.key(0), 4, levels=2, steps=1, width=3)
    for _ in range(2):  # again, it changes nothing
        glow = glow.standardized(rows)
        latents = np.asarray(jax.jit(glow.forward)(rows)[0])
        np.testing.assert_allclose(latents.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(latents.std(0), 1, atol=1e-2)


def test_the_logit_of_a_uniform_pixel_integrates_to_1():
    x = np.linspace(0, 1, 2_001, dtype=np.float32)[:, None]
    y, log_det = jax.jit(Logit().forward)(x)
    assert np.trapezoid(np.exp(-np.asarray(log_det, np.float64)), y[:, 0]) == pytest.approx(1, abs=1e-4)
    back, back_log_det = jax.jit(Logit().inverse)(y)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-4)


def test_uniform_pixels_take_eight_bits():
    assert bits(np.zeros(5)) == 8.0
