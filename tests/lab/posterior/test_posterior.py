"""Draws of a network's weights: compared with the steps of training, with averages by hand; invalid settings."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from scipy.special import softmax

import dni_jax as dni
from dni_jax.lab.posterior import (
    Posterior,
    SamplerConfig,
    compare_uncertainty,
    sample_chains,
    sample_posterior,
    step_size_sweep,
)
from dni_jax.lab.posterior._chains import ChainTarget, count_symbols, make_sampler, run_chains
from dni_jax.lab.posterior._intervals import credible_intervals, ranks
from dni_jax.lab.posterior._prediction import combine_losses, predictive_loss, predictive_losses
from dni_jax.models import TrainConfig
from dni_jax.models._network import compute_logits, network_scan, zero_carries
from dni_jax.models._prediction import cross_entropies
from dni_jax.models._training import make_batches
from dni_jax.models._weights import named_arrays

SHORT = {"n_draws": 4, "thin": 5, "burn_in": 5, "batch": 16, "window": 32}


@pytest.fixture(scope="module")
def draws(model, corpus):
    return sample_posterior(model, corpus, step_size=1e-4, seed=1, progress=False, **SHORT)


@pytest.fixture(scope="module")
def few(parentheses, held_out):
    return parentheses.features().select(["digit", "depth", "depth=1"]).label(held_out.head(1_000))


@pytest.mark.slow
def test_draws_are_a_population(draws, model, held_out):
    assert len(draws) == 4
    assert draws.steps.tolist() == [10, 15, 20, 25]
    assert draws.weights.head.shape == (4, *model.weights.head.shape)
    states = dni.record(draws.population, held_out.head(500))
    alone = dni.record(draws.population[2], held_out.head(500))
    np.testing.assert_array_equal(states.hidden[2], alone.hidden)
    assert 0 < draws.spread < 0.1
    assert "4 local draws, psgld" in repr(draws)
    assert "average" in draws._repr_html_()


@pytest.mark.slow
def test_a_cold_chain_is_gradient_descent_on_the_posterior(model, corpus):
    """One step of SGLD at temperature 0, against the gradient of the windows' mean loss and the prior by JAX alone."""
    step, sd = 1e-6, 0.5
    config = SamplerConfig("sgld", n_draws=2, thin=1, burn_in=0, temperature=0.0, prior_sd=sd, batch=16, window=32)
    found = run_chains(model, corpus, config, [step], [3], progress=False)
    plan = TrainConfig(steps=2, batch=16, window=32, seed=3).plan(1)
    batch = next(make_batches(corpus.train, [plan], 0, 1))
    codes, targets, counts, resets = (jnp.asarray(array[0, 0]) for array in batch[:4])

    def loss_of(weights):
        hidden, _ = network_scan(weights, codes, resets, zero_carries(weights, 16))
        losses = optax.softmax_cross_entropy_with_integer_labels(compute_logits(weights, hidden), targets)
        prior = sum(jnp.sum(array * array) for array in named_arrays(weights).values()) / (2 * sd * sd)
        return count_symbols(corpus.train) * (losses * counts).sum() / counts.sum() + prior

    gradient = jax.jit(jax.grad(loss_of))(model.weights)
    expected = jax.tree.map(lambda w, g: w - step * g, model.weights, gradient)
    for name, array in named_arrays(expected).items():
        np.testing.assert_allclose(named_arrays(found.weights)[name][0, 0], array, rtol=2e-4, atol=2e-6)


def test_the_gradient_is_that_of_the_whole_text_and_the_prior():
    weights = {"a": np.asarray([0.5, -2.0], np.float32), "b": np.asarray([[3.0]], np.float32)}
    gradient = jax.tree.map(lambda w: np.float32(0.01) * w + np.float32(0.1), weights)
    chain = make_sampler(SamplerConfig("sgld", temperature=0.0))
    state = chain.start(
        weights, jax.random.key(0), ChainTarget(jnp.asarray(1e-3), jnp.asarray(200.0), jnp.asarray(4.0))
    )
    update = jax.jit(chain.update)
    change, after = update(gradient, state, weights)
    expected = jax.tree.map(lambda g, w: -1e-3 * (200 * g + 4 * w), gradient, weights)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), change, expected)
    assert int(after.inner[1].step) == 1
    stays, _ = update(gradient, chain.init(weights), weights)
    assert all((part == 0).all() for part in jax.tree.leaves(stays))


def test_schedules_scale_the_step_size():
    weights, one = jnp.ones(2), jnp.asarray(1.0)
    chain = make_sampler(SamplerConfig("sgld", temperature=0.0, schedule="cyclical", schedule_steps=2))
    state = chain.start(weights, jax.random.key(0), ChainTarget(jnp.asarray(0.1), one, 0 * one))
    found, update = [], jax.jit(chain.update)
    for _ in range(4):
        change, state = update(weights, state, weights)
        found.append(-float(change[0]))
    np.testing.assert_allclose(found, [0.1, 0.05, 0.1, 0.05], rtol=1e-6)


def test_symbols_are_characters_and_boundaries(corpus):
    some = corpus.take(np.arange(10))
    assert count_symbols(some) == some.n_positions + 10


@pytest.mark.slow
def test_chains_run_together_as_they_do_alone(model, corpus, draws):
    config = SamplerConfig("psgld", **SHORT)
    again = run_chains(model, corpus, config, [1e-4, 1e-5, 1e-4], [1, 1, 2], progress=False)
    np.testing.assert_allclose(again.weights.head[:, 0], draws.weights.head, rtol=1e-5, atol=1e-6)
    off = again.weights.head - np.asarray(model.weights.head)
    assert np.abs(off[:, 1]).mean() < 0.5 * np.abs(off[:, 0]).mean()
    assert (off[:, 2] != off[:, 0]).mean() > 0.99
    assert again.stable.all()


def test_the_seed_decides_the_draws(model, corpus, draws):
    again = sample_posterior(model, corpus, step_size=1e-4, seed=1, progress=False, **SHORT)
    np.testing.assert_array_equal(again.weights.head, draws.weights.head)
    other = sample_posterior(model, corpus, step_size=1e-4, seed=2, progress=False, **SHORT)
    assert (other.weights.head != draws.weights.head).mean() > 0.99


@pytest.mark.parametrize("sampler", ["sgld", "psgld", "sghmc", "sgnht", "santa"])
def test_every_sampler_preserves_the_shapes_of_its_state(model, sampler):
    config = SamplerConfig(sampler, schedule="cyclical", temperature=0.5)
    chain = make_sampler(config)
    target = ChainTarget(jnp.asarray(1e-4), jnp.asarray(1e3), jnp.asarray(1.0))
    state = jax.eval_shape(chain.start, model.weights, jax.random.key(0), target)
    change, after = jax.eval_shape(chain.update, model.weights, state, model.weights)
    assert jax.tree.map(jnp.shape, change) == jax.tree.map(jnp.shape, model.weights)
    kind = lambda part: (part.shape, part.dtype)  # noqa: E731
    assert jax.tree.map(kind, after) == jax.tree.map(kind, state)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "sgnht", "santa"])
def test_every_sampler_moves_the_weights(model, corpus, sampler):
    found = run_chains(model, corpus, SamplerConfig(sampler, n_draws=2, thin=2, burn_in=0), [1e-6], [0], progress=False)
    assert found.stable.all()
    assert not np.array_equal(found.weights.head[0], found.weights.head[1])


def test_configs_that_sample_alike_share_a_sampler():
    one = SamplerConfig("psgld", n_draws=5, options={"decay": 0.9})
    assert make_sampler(one) is make_sampler(replace(one, n_draws=7, thin=3, schedule_steps=5))
    assert make_sampler(one) is not make_sampler(replace(one, options={"decay": 0.99}))


def test_the_average_of_probabilities(draws, model, corpus):
    text = corpus.validation
    losses = predictive_losses(draws.weights, text)
    probability = np.exp(-losses.astype(np.float64)).mean(0)
    assert draws.validation.average == pytest.approx(-np.log(probability).mean())
    np.testing.assert_allclose(draws.validation.each, cross_entropies(draws.weights, text), rtol=1e-5)
    assert draws.validation.average <= draws.validation.each.mean()
    one = jax.tree.map(lambda array: np.stack([array, array]), model.weights)
    twice = predictive_loss(one, text)
    assert twice.average == pytest.approx(twice.each[0])
    assert draws.start_loss == pytest.approx(twice.average, rel=1e-6)


def test_the_average_survives_a_network_that_is_certain_and_wrong():
    wrong = np.asarray([[800.0, 0.1], [0.2, 0.1]])
    assert combine_losses(wrong).average == pytest.approx(0.5 * (0.2 + np.log(2)) + 0.05)


def test_predictions_are_means_of_probabilities(draws, held_out):
    text = held_out.head(300)
    found = draws.predict(text)
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-5)
    each = [softmax(dni.record(one, text, ("logits",)).logits, axis=-1) for one in draws.population]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_allclose(draws.evaluate(text).each, cross_entropies(draws.weights, text), rtol=1e-5)
    mean, std = draws.predict(text, return_std=True)
    np.testing.assert_array_equal(mean, found)
    np.testing.assert_allclose(std, np.std(each, axis=0), atol=1e-6)
    unsure = draws.uncertainty(text)
    np.testing.assert_allclose(unsure.total, unsure.shared + unsure.disagreement, atol=1e-9)
    assert unsure.disagreement.shape == (text.n_positions,)


def test_one_seed_per_chain(model, corpus):
    with pytest.raises(ValueError, match="one seed per chain, got 1 seeds and 2"):
        sample_chains(model, corpus, SamplerConfig(), [1e-4, 1e-4], [0])


def test_intervals_and_ranks_over_draws():
    rng = np.random.default_rng(0)
    dims, names = ("model", "neuron", "feature", "fold"), ["a", "b"]
    arrays = {name: (dims, rng.uniform(0.5, 1, (9, 6, 2, 3))) for name in ("score", "auc")}
    arrays["auc"][1][:, :, 1] = np.nan
    coords = {"neuron": range(6), "feature": names, "kind": ("feature", ["binary", "continuous"])}
    each = xr.Dataset(arrays, coords)
    found = credible_intervals(each, k=2, level=0.8)
    for name, feature in (("auc", "a"), ("score", "b")):
        drawn = each[name].mean("fold").sel(feature=feature).values
        np.testing.assert_allclose(found[name].sel(feature=feature), drawn.mean(0))
        np.testing.assert_allclose(found[f"{name}_low"].sel(feature=feature), np.quantile(drawn, 0.1, axis=0))
        np.testing.assert_allclose(found[f"{name}_high"].sel(feature=feature), np.quantile(drawn, 0.9, axis=0))
        top = [set(np.argsort(-row)[:2]) for row in drawn]
        share = [np.mean([neuron in best for best in top]) for neuron in range(6)]
        np.testing.assert_allclose(found["p_top"].sel(feature=feature), share)
    np.testing.assert_allclose(found["strength"].sel(feature="a"), 2 * found["auc"].sel(feature="a") - 1)
    np.testing.assert_allclose(found["rank"].sum("neuron"), 15)
    assert found.attrs["draws"] == 9
    for bad, message in (({"k": 7}, "k from 1 to 6"), ({"k": 2, "level": 1.0}, "level between 0 and 1")):
        with pytest.raises(ValueError, match=message):
            credible_intervals(each, **bad)


def test_of_equal_neurons_the_lower_number_ranks_first():
    assert ranks(np.asarray([[[1.0], [3.0], [1.0], [2.0]]]))[0, :, 0].tolist() == [2, 0, 3, 1]


def test_a_feature_without_scores_has_no_ranking():
    score = np.full((2, 3, 2, 1), np.nan)
    score[:, :, 0] = [[[0.1], [0.2], [0.3]]] * 2
    coords = {"neuron": range(3), "feature": ["a", "b"], "kind": ("feature", ["continuous"] * 2)}
    found = credible_intervals(xr.Dataset({"score": (("model", "neuron", "feature", "fold"), score)}, coords), k=1)
    assert found["p_top"].sel(feature="a").values.tolist() == [0, 0, 1]
    assert found["p_top"].sel(feature="b").isnull().all()


@pytest.mark.slow
def test_a_sweep_reports_each_chain(model, corpus, held_out, few, draws):
    text, asked = held_out.head(1_000), {"labels": few, "probe": "ridge", "k": 3}
    row = step_size_sweep(model, corpus, [1e-4], text=text, seed=1, progress=False, **asked, **SHORT).iloc[0]
    assert row["unseen_average"] == draws.validation.average
    assert row["unseen_average"] <= row["unseen_each"]
    assert row["spread"] == draws.spread
    sure = draws.relevance(text, few, "ridge", k=3)
    assert row["width"] == pytest.approx(float((sure["strength_high"] - sure["strength_low"]).median()))
    np.testing.assert_allclose(sure["p_top"].sum("neuron"), 3)
    lost = step_size_sweep(model, corpus, [1e3], progress=False, **SHORT)
    assert lost.columns.tolist() == ["step_size"]
    with pytest.raises(ValueError, match="labels= and text= together"):
        step_size_sweep(model, corpus, labels=few)


@pytest.mark.slow
def test_the_step_size_sets_the_width(model, corpus, held_out, few):
    text, asked = held_out.head(1_000), {"labels": few, "probe": "ridge", "k": 3}
    found = step_size_sweep(model, corpus, (1e-6, 1e-4, 1e3), text=text, progress=False, **asked, **SHORT)
    assert found["spread"][1] > 3 * found["spread"][0]
    assert found["width"][1] > 2 * found["width"][0]
    assert found.iloc[2].drop("step_size").isna().all()


def test_autocorrelation_of_draws(draws):
    def of(values):
        weights = jax.tree.map(lambda a: np.ones_like(a) * values.reshape(-1, *[1] * (a.ndim - 1)), draws.weights)
        return replace(draws, weights=weights).autocorrelation

    values = np.asarray([1.0, -1.0, 1.0, -1.0], np.float32)
    assert of(values) == pytest.approx(-1.0)
    assert np.isnan(of(np.ones(4, np.float32)))


@pytest.mark.slow
def test_uncertainty_over_draws_strings_and_seeds(draws, model, held_out, few):
    text = held_out.head(1_000)
    found = compare_uncertainty(draws, text, few, draws.population, probe="ridge", n_draws=50)
    sure = dni.inspect(dni.record(model, text), few, "ridge", folds=5)
    best = int(sure["auc"].mean("fold").sel(feature="digit").argmax("neuron"))
    row = found.set_index("feature").loc["digit"]
    assert row["neuron"] == best
    assert row["strength"] == pytest.approx(2 * float(sure["auc"].mean("fold").sel(feature="digit", neuron=best)) - 1)
    auc = draws.relevance(text, few, "ridge", k=1)["auc_low"].sel(feature="digit", neuron=best)
    assert row["draws_low"] == pytest.approx(2 * float(auc) - 1, abs=1e-6)
    assert (found["strings_low"] < found["strength"]).all()
    assert (found["strength"] < found["strings_high"]).all()
    assert (found["seeds_high"] >= found["draws_high"] - 1e-6).all()
    assert compare_uncertainty(draws, text, few, probe="ridge", n_draws=20)["seeds_low"].isna().all()


def test_without_validation_text_the_losses_are_nan(model, corpus):
    only = replace(corpus, split=np.zeros_like(corpus.split))
    found = sample_posterior(model, only, progress=False, **SHORT)
    assert isinstance(found, Posterior)
    assert np.isnan(found.validation.average)
    assert np.isnan(found.start_loss)


def test_invalid_settings_say_what_to_try(model, corpus):
    bad = {
        "a sampler among": {"sampler": "nuts"},
        "a schedule among": {"schedule": "linear"},
        "n_draws of at least 2": {"n_draws": 1},
        "prior_sd above 0": {"prior_sd": 0.0},
        "arguments of psgld among damping, decay, preconditioner, got friction": {"friction": 0.1},
        "step sizes above 0": {"step_size": 0.0},
        "step_size= for the sampler 'sgld'": {"sampler": "sgld"},
    }
    for message, setting in bad.items():
        with pytest.raises(ValueError, match=message):
            sample_posterior(model, corpus, progress=False, **setting)
    with pytest.raises(ValueError, match="take a smaller one"):
        sample_posterior(model, corpus, step_size=1e3, progress=False, **SHORT)
    with pytest.raises(ValueError, match="at least two draws"):
        credible_intervals(xr.Dataset({"score": (("neuron", "feature", "fold"), np.zeros((1, 1, 1)))}))
