"""Draws of any model's weights: against the posterior in closed form, Flax, ArviZ, entropies by hand; bad input."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import entropy

from dni_jax.lab.posterior import convergence, measure_uncertainty, sample_weights

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2)).astype(np.float32)
Y = (X @ np.asarray([1.0, -0.5], np.float32) + 0.5 * RNG.normal(size=40)).astype(np.float32)
FAST = {"step_size": 5e-4, "batch": 40, "progress": False}


def squares(w, batch):
    """Return the mean negative log-likelihood of a linear model whose noise has variance 1/4."""
    x, y = batch
    return 2 * jnp.square(x @ w - y).mean()


@pytest.fixture(scope="module")
def draws():
    starts = [jnp.full(2, start, jnp.float32) for start in (-1.0, 0.0, 1.0, 2.0)]
    return sample_weights(squares, starts, (X, Y), "sgld", n_draws=300, thin=15, burn_in=150, prior_sd=0.5, **FAST)


def test_a_linear_models_draws_have_its_posterior(draws):
    """Mean and covariance of Bayesian linear regression; SGLD's own bias at this step is below 2 %."""
    precision = X.T @ X / 0.25 + np.eye(2) / 0.25
    mean, covariance = np.linalg.solve(precision, X.T @ Y / 0.25), np.linalg.inv(precision)
    assert draws.params.shape == (4, 300, 2)
    assert len(draws) == 1_200
    flat = draws.params.reshape(-1, 2)
    np.testing.assert_allclose(flat.mean(0), mean, atol=4 * np.sqrt(covariance.max() / 300))
    np.testing.assert_allclose(np.cov(flat.T), covariance, atol=0.15 * covariance.max())
    assert "4 x 300, sgld" in repr(draws)


def test_functions_of_draws(draws):
    values = draws.each(lambda w: w.sum())
    np.testing.assert_allclose(values, draws.params.sum(-1), rtol=1e-5)
    unsure = draws.uncertainty(lambda w: jax.nn.softmax(jnp.asarray(X[:3]) * w))
    each = jax.nn.softmax(X[None, :3] * draws.params.reshape(-1, 1, 2))
    np.testing.assert_allclose(unsure.mean, each.mean(0), atol=1e-5)
    np.testing.assert_allclose(unsure.std, each.std(0), atol=1e-5)


def test_entropy_is_split_into_what_draws_share_and_what_they_disagree_on():
    p = RNG.dirichlet(np.ones(4), size=(6, 3))
    found = measure_uncertainty(p)
    np.testing.assert_allclose(found.total, entropy(p.mean(0), axis=-1))
    np.testing.assert_allclose(found.shared, entropy(p, axis=-1).mean(0))
    np.testing.assert_allclose(found.disagreement, entropy(p, p.mean(0, keepdims=True), axis=-1).mean(0))
    with pytest.raises(ValueError, match="apply a softmax"):
        measure_uncertainty(np.log(p))
    with pytest.raises(ValueError, match="at least one draw"):
        measure_uncertainty(np.zeros((0, 3)))


@pytest.mark.slow
def test_a_flax_network_learns_by_its_draws():
    module = nnx.Sequential(nnx.Linear(2, 8, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(8, 2, rngs=nnx.Rngs(1)))
    graph, params = nnx.split(module, nnx.Param)
    labels = (X[:, 0] > 0).astype(np.int32)

    def log_p(params):
        return jax.nn.log_softmax(nnx.merge(graph, params)(jnp.asarray(X)))

    def loss(params, batch):
        found = jax.nn.log_softmax(nnx.merge(graph, params)(batch[0]))
        return -jnp.take_along_axis(found, batch[1][:, None], 1).mean()

    found = sample_weights(
        loss, [params, params], (X, labels), step_size=1e-2, n_draws=10, thin=20, burn_in=200, batch=20, progress=False
    )
    unsure = found.uncertainty(lambda params: jnp.exp(log_p(params)))
    assert (unsure.mean.argmax(1) == labels).mean() > 0.9
    edge, far = np.abs(X[:, 0]) < 0.3, np.abs(X[:, 0]) > 0.8
    assert unsure.disagreement[edge].mean() > 2 * unsure.disagreement[far].mean()


def test_a_convolution_is_sampled_without_a_loop(monkeypatch):
    """On CPUs loops slow convolutions down; with loops and without, draws are the same."""
    images = np.random.default_rng(0).normal(size=(8, 6, 1)).astype(np.float32)

    def loss(kernel, batch):
        return jnp.square(
            jax.lax.conv_general_dilated(batch, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")) - 1
        ).mean()

    def drawn():
        starts, how = [jnp.full((3, 1, 2), one) for one in (0.0, 0.5)], {"n_draws": 3, "thin": 4, "burn_in": 2}
        return sample_weights(loss, starts, images, "sgld", step_size=1e-3, batch=4, progress=False, **how)

    without = drawn()
    monkeypatch.setattr("dni_jax.lab.posterior._weights.is_slow_in_loops", lambda *_: False)
    within = drawn()
    np.testing.assert_allclose(without.params, within.params, atol=1e-5)
    np.testing.assert_allclose(without.train_loss, within.train_loss, rtol=1e-4)


def test_convergence_is_arvizs(draws):
    arviz = pytest.importorskip("arviz_stats")
    pytest.importorskip("arviz_base")  # without it, arviz_stats has no functions at its top
    found = convergence(draws.params)
    assert found.r_hat.shape == (2,)
    np.testing.assert_allclose(found.r_hat, [arviz.rhat(draws.params[..., k]) for k in range(2)])
    np.testing.assert_allclose(found.ess_bulk, [arviz.ess(draws.params[..., k]) for k in range(2)])
    assert (found.r_hat < 1.05).all()
    apart = draws.params + np.arange(4)[:, None, None]
    assert (convergence(apart).r_hat > 1.5).all()


def test_the_effective_sample_size_of_an_autoregression():
    """A chain with correlation rho is worth (1 - rho) / (1 + rho) of its draws."""
    pytest.importorskip("arviz_stats")
    rho, noise = 0.6, np.random.default_rng(1).normal(size=(4, 3_000))
    chain = np.zeros_like(noise)
    for t in range(1, noise.shape[1]):
        chain[:, t] = rho * chain[:, t - 1] + noise[:, t]
    assert convergence(chain).ess_bulk == pytest.approx((1 - rho) / (1 + rho) * noise.size, rel=0.15)


def test_without_arviz_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("arviz"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"dni-jax\[diagnostics\]"):
        convergence(np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("values", "words"),
    [(np.zeros((1, 9)), "at least 2 chains"), (np.zeros((2, 3)), "4 draws"), (np.full((2, 4), np.nan), "finite")],
)
def test_convergence_of_too_little(values, words):
    with pytest.raises(ValueError, match=words):
        convergence(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": 3}, "window=, which is for texts"),
        ({"step_size": 0.0}, "step size above 0"),
        ({"step_size": 1e9}, "chain that diverges"),
        ({"batch": 41}, "at most all 40 examples"),
        ({"starts": []}, "one per chain"),
        ({"starts": [jnp.zeros(2), jnp.zeros(3)]}, "different shapes"),
        ({"starts": [np.zeros(2)]}, "float32, got float64 at the root"),
        ({"data": (X, Y[:3])}, "one leading axis"),
        ({"sampler": "adam"}, "sampler among"),
    ],
)
def test_invalid_arguments(change, words):
    given = {
        "starts": [jnp.zeros(2)],
        "data": (X, Y),
        "sampler": "sgld",
        "n_draws": 2,
        "thin": 25,
        "burn_in": 0,
        **FAST,
    }
    given |= change
    with pytest.raises(ValueError, match=words):
        sample_weights(squares, given.pop("starts"), given.pop("data"), given.pop("sampler"), **given)
