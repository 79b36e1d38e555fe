"""Fits compared with maximum likelihood in closed form, and with known densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree
from scipy import stats

from dni_jax.lab.densities import PLU, QR, Chain, Gaussian, Inverse, Planar, Whiten, fit, fit_reverse, log_prob
from tests.support.slow import slow_after


@pytest.mark.parametrize("kind", slow_after(1, [PLU, QR]))
def test_linear_flow_reaches_the_sample_moments(kind):
    """Where the gradient is 0, a linear flow with standard normal latents has the sample's mean and covariance."""
    rng = np.random.default_rng(0)
    n = 3
    states = rng.normal(size=(200, n)) @ rng.normal(size=(n, n)) + rng.normal(size=n)
    with jax.enable_x64(True):
        start = kind.from_matrix(np.eye(n) + 0.1 * rng.normal(size=(n, n)), np.zeros(n), "float64")
        flat, whole = ravel_pytree(start)
        loss = jax.jit(jax.value_and_grad(lambda values: -log_prob(whole(values), jnp.asarray(states)).mean()))
        found = scipy.optimize.minimize(
            lambda values: loss(jnp.asarray(values)), flat, jac=True, options={"gtol": 1e-9}
        )
        flow = whole(jnp.asarray(found.x))
        mean, back = jax.jit(lambda z: (flow.inverse(z)[0], jax.jacfwd(lambda one: flow.inverse(one)[0])(z)))(
            jnp.zeros(n)
        )
        mean, back = np.asarray(mean), np.asarray(back)
    covariance = np.cov(states, rowvar=False, ddof=0)
    np.testing.assert_allclose(mean, states.mean(0), atol=1e-6)
    np.testing.assert_allclose(back @ back.T, covariance, atol=1e-6)
    best = stats.multivariate_normal(states.mean(0), covariance).logpdf(states).mean()
    np.testing.assert_allclose(-found.fun, best, atol=1e-9)


def test_fit_improves_stops_early_and_is_reproducible():
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(500, 2)) * [1, 3] + [0, 5]).astype(np.float32)
    start = PLU.from_matrix(np.eye(2), np.zeros(2))
    asked = {"steps": 350, "evaluate_every": 50, "learning_rate": 0.05, "seed": 3}
    fitted = fit(start, states, states, **asked)
    again = fit(start, states, states, **asked)
    best = stats.multivariate_normal(states.mean(0), np.cov(states, rowvar=False, ddof=0)).logpdf(states).mean()
    assert best - 0.03 < max(one.validation for one in fitted.evaluations) <= best + 1e-4
    for ours, same in zip(jax.tree.leaves(fitted.bijection), jax.tree.leaves(again.bijection), strict=True):
        np.testing.assert_array_equal(ours, same)
    far = states + 100  # fitting the states makes these less likely at every evaluation
    stopped = fit(PLU.from_matrix(np.eye(2), -far.mean(0)), states, far, **asked | {"patience": 2})
    assert [one.step for one in stopped.evaluations] == [0, 50, 100]
    np.testing.assert_array_equal(stopped.bijection.bias, PLU.from_matrix(np.eye(2), -far.mean(0)).bias)


def test_fit_rejects_infinite_states():
    states = np.ones((300, 2), np.float32)
    with pytest.raises(ValueError, match="expected finite log-densities"):
        fit(PLU.from_matrix(np.eye(2), np.zeros(2)), states, states * np.inf, steps=10)


def banana(x):
    """A curved density that integrates to 1."""
    return jax.scipy.stats.norm.logpdf(x[:, 0]) + jax.scipy.stats.norm.logpdf(x[:, 1], x[:, 0] ** 2 / 2, 0.5)


def gaussian(x):
    return jax.scipy.stats.norm.logpdf(x, jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 2.0])).sum(-1) + 0.7


@pytest.mark.slow
def test_reverse_kl_reaches_a_gaussian():
    """Where both densities are equal, the bound is the log of the integral, here .7."""
    fitted = fit_reverse(PLU.from_matrix(np.eye(2), np.zeros(2)), gaussian, 2, steps=400, learning_rate=0.05)
    assert fitted.evaluations[0].validation == pytest.approx(0.7, abs=5e-3)
    mean = fitted.bijection.inverse(jnp.zeros(2))[0]
    np.testing.assert_allclose(mean, [1, -2], atol=0.05)


@pytest.mark.slow
def test_reverse_kl_through_inverse_planar_maps():
    plain = fit_reverse(PLU.from_matrix(np.eye(2), np.zeros(2)), banana, 2, steps=400, learning_rate=0.05)
    start = Chain(
        (PLU.from_matrix(np.eye(2), np.zeros(2)), *(Inverse(Planar.init(jax.random.key(n), 2)) for n in range(3)))
    )
    bent = fit_reverse(start, banana, 2, steps=400, learning_rate=0.02)
    assert plain.evaluations[0].validation + 0.03 < bent.evaluations[0].validation < 0.01


def test_whitening_is_not_learned():
    start = Whiten.from_gaussian(Gaussian(np.zeros(2), np.eye(2)))
    states = np.random.default_rng(0).normal(3, 2, (200, 2)).astype(np.float32)
    fitted = fit(start, states, states, steps=20, learning_rate=0.1)
    np.testing.assert_array_equal(fitted.bijection.mean, 0)
