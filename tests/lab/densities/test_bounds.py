"""ELBO and IWAE where log p(x) is known; KL annealing and free bits."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dni_jax.lab.densities import elbo, free_bits, gaussian_kl, iwae, iwae_estimate, kl_weight

X, NOISE = 1.3, 0.8  # x = z + N(0, .8 ** 2), z ~ N(0, 1)
MEAN, SCALE = 0.2, 1.1  # of q, which differs from the posterior N(.79, .62 ** 2)
EXACT = stats.norm.logpdf(X, 0, math.hypot(1, NOISE))


def log_weight(key, n):
    z = MEAN + SCALE * jax.random.normal(key, (n,))
    joint = jax.scipy.stats.norm.logpdf(z) + jax.scipy.stats.norm.logpdf(X, z, NOISE)
    return joint - jax.scipy.stats.norm.logpdf(z, MEAN, SCALE)


def closed_elbo():
    kl = 0.5 * (SCALE**2 + MEAN**2 - 1) - math.log(SCALE)
    misfit = ((X - MEAN) ** 2 + SCALE**2) / NOISE**2
    return -0.5 * (misfit + math.log(2 * math.pi)) - math.log(NOISE) - kl


@pytest.mark.slow
def test_bounds_increase_towards_the_likelihood():
    bound = jax.jit(partial(iwae_estimate, log_weight), static_argnums=(1, 2))
    found = [bound(jax.random.key(k), k, 20_000) for k in (1, 5, 50)]
    means, errors = np.asarray(found, np.float64).T
    assert means[0] == pytest.approx(closed_elbo(), abs=4 * float(errors[0]))
    assert (np.diff(means) > 4 * np.hypot(errors[1:], errors[:-1])).all()
    assert closed_elbo() < means[-1] < EXACT
    assert EXACT - means[-1] < 0.02


def test_bound_of_one_draw_is_the_elbo_and_the_weights_are_unbiased():
    weights = np.asarray(jax.jit(log_weight, static_argnums=1)(jax.random.key(0), 40_000)).reshape(-1, 5)
    tight, loose, single = map(np.asarray, jax.jit(lambda w: (iwae(w), elbo(w), iwae(w[:, :1])))(weights))
    np.testing.assert_allclose(single, weights[:, 0], atol=1e-6)
    assert loose.shape == (8_000,)
    assert (tight >= loose - 1e-6).all()  # Jensen's inequality, sample by sample
    likelihood = np.exp(tight.astype(np.float64))
    assert likelihood.mean() == pytest.approx(math.exp(EXACT), abs=4 * float(likelihood.std()) / len(likelihood) ** 0.5)


def test_exact_posterior_needs_one_draw():
    precision = 1 + 1 / NOISE**2
    z = X / NOISE**2 / precision + jax.random.normal(jax.random.key(0), (50,)) / math.sqrt(precision)
    joint = jax.scipy.stats.norm.logpdf(z) + jax.scipy.stats.norm.logpdf(X, z, NOISE)
    weights = joint - jax.scipy.stats.norm.logpdf(z, X / NOISE**2 / precision, 1 / math.sqrt(precision))
    np.testing.assert_allclose(weights, EXACT, atol=1e-5)


def test_gaussian_kl_against_draws():
    mean, log_variance = np.asarray([[0.3, -1.0], [-0.5, 0.4]], np.float32)
    z = np.random.default_rng(0).normal(size=(200_000, 2)) * np.exp(0.5 * log_variance) + mean
    own = stats.norm.logpdf(z, mean, np.exp(0.5 * log_variance))
    for prior in ((), tuple(np.asarray([[1.0, 0.0], [0.2, 0.2]], np.float32))):
        other = stats.norm.logpdf(z, prior[0], np.exp(0.5 * prior[1])) if prior else stats.norm.logpdf(z)
        np.testing.assert_allclose(jax.jit(gaussian_kl)(mean, log_variance, *prior), (own - other).mean(0), atol=0.01)


def test_free_bits():
    kl = jnp.asarray([[0.1, 2.0], [0.3, 4.0]])
    assert free_bits(kl, 0.5).item() == pytest.approx(0.5 + 3.0)
    assert free_bits(kl, 0.0).item() == pytest.approx(kl.mean(0).sum().item())
    slope = jax.jit(jax.grad(free_bits), static_argnums=1)(kl, 0.5)
    np.testing.assert_allclose(slope, [[0, 0.5], [0, 0.5]])
    with pytest.raises(ValueError, match="at least 0 nats"):
        free_bits(kl, -1.0)


@pytest.mark.parametrize("schedule", ["linear", "sigmoid", "cyclic"])
def test_annealing(schedule):
    weights = np.asarray(kl_weight(jnp.arange(60), 40, schedule))
    assert weights[0] < 0.01
    assert (weights[40:] == 1).all()
    assert weights.max() == 1
    starts = (np.diff(weights) < -0.5).sum()
    assert starts == (3 if schedule == "cyclic" else 0)
    np.testing.assert_allclose(
        [kl_weight(step, 40, schedule).item() for step in (0, 13, 59)], weights[[0, 13, 59]], atol=1e-6
    )


def test_unknown_schedule():
    with pytest.raises(ValueError, match="expected schedule to be one of"):
        kl_weight(0, 10, "cosine")
    with pytest.raises(ValueError, match="at least 1"):
        kl_weight(0, 0)
