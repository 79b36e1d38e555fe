"""Losses of joint distribution matching against closed forms on finite joints and on Gaussians."""

import doctest
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.spatial.distance import jensenshannon
from scipy.stats import multivariate_normal, norm

from experiments.joint_matching import _losses as losses
from tests.support.slow import slow_after

BITS = np.eye(2)  # NumPy: made before 64-bit mode is on


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


def drawn(rng, shape):
    joint = rng.gamma(1.0, size=shape)
    return joint / joint.sum()


@partial(jax.jit, static_argnames="loss")
def value(q, p, logits, loss=losses.discriminator_loss):
    """The expected loss over all cells of two joints."""
    return loss(logits.ravel(), logits.ravel(), q.ravel(), p.ravel())


@jax.jit
def ali(q, p):
    """What the best discriminator can reach."""
    return value(q, p, losses.best_logits(q, p))


@pytest.mark.parametrize("shape", slow_after(1, [(40, 30), (1, 4)]))
def test_the_best_discriminator_gives_the_jensen_shannon_divergence(shape):
    rng = np.random.default_rng(sum(shape))
    q, p = drawn(rng, shape), drawn(rng, shape)
    expected = jensenshannon(np.ravel(q), np.ravel(p)) ** 2
    np.testing.assert_allclose(jax.jit(losses.jensen_shannon)(q, p), expected, rtol=1e-12)
    np.testing.assert_allclose(ali(q, p), math.log(4) - 2 * expected, rtol=1e-12)
    np.testing.assert_allclose(ali(q, q), math.log(4), rtol=1e-15)
    best = np.asarray(jax.jit(losses.best_logits)(q, p))
    for _ in range(20):
        other = best + rng.normal(size=shape)
        assert value(q, p, other) > ali(q, p)


def test_the_example():
    assert doctest.testmod(losses) == (0, 2)


def test_joints_that_never_meet():
    np.testing.assert_allclose(losses.jensen_shannon(BITS / 2, (1 - BITS) / 2), math.log(2), rtol=1e-15)
    assert value(BITS / 2, (1 - BITS) / 2, 800 * (2 * BITS - 1)) < 1e-300  # and no overflow


def test_masses_are_the_same_as_counting_and_sides_can_be_exchanged():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=5), rng.normal(size=3)
    counts = np.asarray([3, 1, 0, 2, 4])
    judged = jax.jit(losses.discriminator_loss)
    np.testing.assert_allclose(judged(real, fake, counts / 10.0), judged(np.repeat(real, counts), fake), rtol=1e-12)
    sigmoid = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    expected = -np.log(sigmoid[0]).mean() - np.log(1 - sigmoid[1]).mean()
    np.testing.assert_allclose(judged(real, fake), expected, rtol=1e-12)
    expected = -np.log(1 - sigmoid[0]).mean() - np.log(sigmoid[1]).mean()
    np.testing.assert_allclose(jax.jit(losses.generator_loss)(real, fake), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", slow_after(1, [(4, 3), (5, 1)]))
def test_conditional_entropy_is_the_least_cross_entropy(shape):
    rng = np.random.default_rng(1)
    joint = drawn(rng, shape)
    posterior = joint / joint.sum(0)
    by_hand = -sum(float(joint[cell]) * math.log(float(posterior[cell])) for cell in np.ndindex(shape))
    crossed = jax.jit(losses.conditional_cross_entropy)
    np.testing.assert_allclose(jax.jit(losses.conditional_entropy)(joint), by_hand, rtol=1e-12)
    np.testing.assert_allclose(crossed(joint, posterior), by_hand, rtol=1e-12)
    for _ in range(20):
        model = drawn(rng, shape)
        model = model / model.sum(0)
        gap = float(crossed(joint, model)) - by_hand
        kl = sum(float(joint[c]) * math.log(float(posterior[c] / model[c])) for c in np.ndindex(shape))
        np.testing.assert_allclose(gap, kl, rtol=1e-9)
        assert gap > 0


def test_cells_of_no_mass_count_nothing():
    assert float(losses.conditional_entropy(BITS / 2)) == 0
    assert float(losses.conditional_cross_entropy(BITS / 2, BITS)) == 0
    assert float(losses.conditional_cross_entropy((1 - BITS) / 2, BITS)) == math.inf


@pytest.mark.parametrize(("n_x", "n_z"), [(1, 1), (2, 3)])
def test_gaussians_by_closed_form(n_x, n_z):
    rng = np.random.default_rng(2)
    root = rng.normal(size=(n_x + n_z, n_x + n_z))
    covariance = root @ root.T + 0.1 * np.eye(n_x + n_z)
    xx, xz, zz = covariance[:n_x, :n_x], covariance[:n_x, n_x:], covariance[n_x:, n_x:]
    left = xx - xz @ np.linalg.solve(zz, xz.T)  # the covariance of x given z
    found = float(losses.gaussian_conditional_entropy(jnp.asarray(covariance), n_x))
    np.testing.assert_allclose(found, multivariate_normal(cov=left).entropy(), rtol=1e-10)


def test_the_cycle_term_bounds_the_entropy_and_touches_it_at_the_true_posterior():
    rng = np.random.default_rng(3)
    slope, spread, n = 0.8, 0.5, 200_000
    z = rng.normal(size=(n, 1))
    x = slope * z + spread * rng.normal(size=(n, 1))
    covariance = jnp.asarray([[slope**2 + spread**2, slope], [slope, 1.0]])
    entropy = float(losses.gaussian_conditional_entropy(covariance, 1))
    np.testing.assert_allclose(entropy, math.log(2 * math.pi * math.e * spread**2) / 2, rtol=1e-12)
    error = spread**2 / math.sqrt(2 * n) / spread**2  # the standard error of the mean of the squared residual over 2
    np.testing.assert_allclose(
        losses.cycle_bound(jnp.asarray(x), jnp.asarray(slope * z), jnp.float64(spread)), entropy, atol=5 * error
    )
    for scale, tilt in ((0.5, 0.6), (0.5, 1.0), (0.3, 0.8), (1.0, 0.8), (0.9, 0.0)):
        exact = ((slope - tilt) ** 2 + spread**2) / (2 * scale**2) + math.log(scale) + math.log(2 * math.pi) / 2
        bound = losses.cycle_bound(jnp.asarray(x), jnp.asarray(tilt * z), jnp.float64(scale))
        np.testing.assert_allclose(bound, exact, rtol=0.01)
        assert bound > entropy
    by_scipy = -norm(0.6 * z, 0.9).logpdf(x).mean()
    np.testing.assert_allclose(losses.cycle_bound(jnp.asarray(x), jnp.asarray(0.6 * z), jnp.float64(0.9)), by_scipy)


def test_squared_and_absolute_errors_by_hand():
    x, x_hat = jnp.asarray([[1.0, 2.0], [0.0, -1.0]]), jnp.asarray([[0.0, 4.0], [3.0, -1.0]])
    z, z_hat = jnp.asarray([[2.0], [0.5]]), jnp.asarray([[1.0], [0.0]])
    assert float(losses.squared_error(x, x_hat)) == (5 + 9) / 2
    assert float(losses.two_sided_cycle(x, x_hat, z, z_hat)) == (3 + 3) / 2 + (1 + 0.5) / 2
    assert float(losses.paired_error(x, z, x_hat, z_hat)) == (5 + 9) / 2 + (1 + 0.25) / 2
    real, fake = losses.cycle_pairs(x, x_hat)
    assert real.tolist() == [[1, 2, 1, 2], [0, -1, 0, -1]]
    assert fake.tolist() == [[1, 2, 0, 4], [0, -1, 3, -1]]


def test_the_implicit_cycle_term_is_least_where_there_and_back_is_the_identity():
    # x is a fair bit; there and back it is kept with probability keep: joints of (x, x) and of (x, x_hat).
    values = [
        float(losses.jensen_shannon(BITS / 2, losses.coupling(jnp.float64(keep)))) for keep in (1.0, 0.9, 0.5, 0.1, 0.0)
    ]
    assert values[0] == 0
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(values[-1], math.log(2), rtol=1e-15)


def test_gradients():
    """Reverse mode against central differences, of all losses by all that they are given."""
    rng = np.random.default_rng(4)
    shapes = (6, 4, (5, 2), (5, 2), (5, 3), (5, 3))
    given = (*(jnp.asarray(rng.normal(size=shape)) for shape in shapes), drawn(rng, (3, 4)), drawn(rng, (3, 4)))
    flat, back = ravel_pytree(given)

    def all_of_them(flat):
        real, fake, x, x_hat, z, z_hat, joint, other = back(flat)
        return jnp.stack(
            [
                losses.discriminator_loss(real, fake),
                losses.generator_loss(real, fake),
                losses.squared_error(x, x_hat),
                losses.cycle_bound(x, x_hat, jnp.exp(real[0])),
                losses.two_sided_cycle(x, x_hat, z, z_hat),
                losses.paired_error(x, z, x_hat, z_hat),
                losses.conditional_entropy(joint),
                losses.conditional_cross_entropy(joint, other),
                losses.jensen_shannon(joint, other),
            ]
        )

    at = jax.jit(jax.vmap(all_of_them))
    nudges = 1e-5 * jnp.eye(len(flat))
    differences = (at(flat + nudges) - at(flat - nudges)).T / 2e-5
    found = jax.jit(jax.jacrev(all_of_them))(flat)
    assert np.abs(found).max(axis=1).min() > 0.01
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-7)


class TestTwoBits:
    """ALICE's example of what ALI leaves open: fair bits x and z, all of whose couplings have the same marginals."""

    def test_every_coupling_is_an_optimum_of_ali(self):
        for delta in np.linspace(0.01, 0.99, 9):
            joint = losses.coupling(jnp.float64(delta))
            np.testing.assert_allclose(joint.sum(0), 0.5, rtol=1e-15)
            np.testing.assert_allclose(joint.sum(1), 0.5, rtol=1e-15)
            np.testing.assert_allclose(ali(joint, joint), math.log(4), rtol=1e-15)

    def test_ali_does_not_move_along_them_but_across(self):
        def loss(deltas):
            # Encoder and decoder against the discriminator that is best for where they are.
            q, p = losses.coupling(deltas[0]), losses.coupling(deltas[1])
            logits = jax.lax.stop_gradient(losses.best_logits(q, p))
            return value(q, p, logits, losses.generator_loss)

        slopes_at = jax.jit(jax.grad(loss))
        for delta in (0.1, 0.5, 0.8):
            np.testing.assert_allclose(slopes_at(np.asarray([delta, delta])), 0, atol=1e-15)
        slopes = slopes_at(np.asarray([0.3, 0.6]))
        assert slopes[0] < 0 < slopes[1]  # a step down brings them together

    def test_the_conditional_entropy_selects_the_two_that_are_deterministic(self):
        deltas = np.linspace(0, 1, 101)
        found = [float(losses.conditional_entropy(losses.coupling(jnp.float64(delta)))) for delta in deltas]
        expected = [0.0 if delta in (0, 1) else -delta * math.log(delta) - (1 - delta) * math.log(1 - delta)
                    for delta in deltas]  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert np.flatnonzero(np.asarray(found) < 1e-12).tolist() == [0, 100]

    def descended(self, start, loss, steps=200):
        """The coupling where gradient descent on the logit of delta ends."""
        slope = jax.jit(jax.grad(lambda logit: loss(losses.coupling(jax.nn.sigmoid(logit)))))
        logit = math.log(start / (1 - start))
        for _ in range(steps):
            logit = logit - 10 * float(slope(logit))
        return 1 / (1 + math.exp(-logit))

    def test_which_of_the_two_depends_on_the_start(self):
        assert self.descended(0.4, losses.conditional_entropy) < 0.001
        assert self.descended(0.6, losses.conditional_entropy) > 0.999
        assert self.descended(0.5, losses.conditional_entropy) == 0.5

    @pytest.mark.parametrize(("x", "end"), [(0, 1.0), (1, 0.0)])
    def test_one_pair_settles_it(self, x, end):
        """The pair says that x goes with z = 0."""

        def loss(joint):
            return losses.conditional_entropy(joint) - jnp.log(joint[x, 0] / joint[:, 0].sum())

        for start in (0.1, 0.5, 0.9):
            assert abs(self.descended(start, loss) - end) < 0.001
