"""Densities of states: percentiles, splits by string, and plausibility where the answer is known."""

import numpy as np
import pytest
from scipy import stats

import dni_jax as dni
from dni_jax.lab.densities import (
    KINDS,
    Density,
    Gaussian,
    Whiten,
    log_prob_in_blocks,
    plausibility,
    split_states,
)
from dni_jax.verification._plausible import Density as VerifiedDensity
from tests.support.slow import slow_after

MEAN, ROOT = np.asarray([1.0, -2.0]), np.asarray([[1.0, 0.0], [0.8, 0.5]])


@pytest.fixture(scope="module")
def gaussian():
    return (np.random.default_rng(0).normal(size=(40_000, 2)) @ ROOT.T + MEAN).astype(np.float32)


def ring(n, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    return (np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(n, 2))).astype(np.float32)


def test_gaussian_density(gaussian):
    density = plausibility(gaussian, "gaussian", shrink=0)
    exact = stats.multivariate_normal(MEAN, ROOT @ ROOT.T)
    np.testing.assert_allclose(density.log_prob(gaussian[:100]), exact.logpdf(gaussian[:100]), atol=0.1)
    drawn = density.sample(20_000, seed=1)
    np.testing.assert_allclose(drawn.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), ROOT @ ROOT.T, atol=0.05)
    # A Gaussian's percentile follows from the chi-squared distribution of its Mahalanobis distance.
    distance = -2 * (exact.logpdf(gaussian[:500]) - exact.logpdf(MEAN))
    np.testing.assert_allclose(density.percentile(gaussian[:500]), 100 * stats.chi2(2).sf(distance), atol=3)
    assert abs(density.percentile(gaussian).mean() - 50) < 1.5


SLOW = ("realnvp", "sylvester", "planar", "qr", "maf")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] if k in SLOW else []) for k in KINDS])
def test_every_kind(kind):
    states = ring(2_000, 0)
    asked = {"layers": 1, "width": 16, "steps": 60, "directions": 2, "batch": 64}
    density = plausibility(states, kind, **asked)
    assert density.sample(5).shape == (5, 2)
    assert density.log_prob(states[:7]).shape == (7,)
    if density.evaluations:
        assert max(one.validation for one in density.evaluations) >= density.evaluations[0].validation
    if kind == "plu":
        np.testing.assert_array_equal(density.calibration, plausibility(states, kind, **asked).calibration)


@pytest.mark.slow
def test_realnvp_models_a_ring_that_a_gaussian_cannot():
    states, middle = ring(3_000, 0), 0.1 * ring(200, 1)
    flow = plausibility(states, "realnvp", layers=4, width=32, steps=300, learning_rate=5e-3)
    gaussian = plausibility(states, "gaussian")
    assert np.median(flow.percentile(middle)) < 5 < 60 < np.median(gaussian.percentile(middle))
    radius = np.linalg.norm(flow.sample(500), axis=1)
    assert np.mean(np.abs(radius - 1) < 0.35) > 0.7


def test_percentile_counts_ties_half():
    standard = Whiten.from_gaussian(Gaussian(np.zeros(1), np.eye(1)))
    density = Density("gaussian", standard, 1, np.asarray([1, 2, 2, 4], np.float32))
    assert density.percentile_of(np.arange(6, dtype=np.float32)).tolist() == [0, 12.5, 50, 75, 87.5, 100]


def test_the_block_size_does_not_change_the_result(gaussian):
    density = plausibility(gaussian[:2_000], "gaussian")
    whole = density.log_prob(gaussian[:333])
    for block in (64,):
        np.testing.assert_allclose(log_prob_in_blocks(density.bijection, gaussian[:333], block), whole, atol=1e-5)
    np.testing.assert_allclose(density.log_prob(gaussian[5:6]), whole[5:6], atol=1e-5)
    assert density.log_prob(gaussian[:0]).shape == (0,)


def test_strings_are_not_split_and_masked_positions_are_skipped(states):
    groups, part = states.groups, split_states(states)
    assert set(part) == {0, 1, 2}
    for number in range(3):
        inside = set(groups[part == number])
        assert not inside & set(groups[part != number])
    assert 0.6 < np.mean(part == 0) < 0.8
    masked = dni.models.Activations(states.hidden, states.groups, mask=states.groups != groups[0])
    assert set(split_states(masked)[groups == groups[0]]) == {-1}


def test_invalid_arguments(gaussian):
    with pytest.raises(ValueError, match="expected kind to be one of"):
        plausibility(gaussian, "glow")
    with pytest.raises(ValueError, match=r"expected states of shape \(T, N\)"):
        plausibility(gaussian[:, 0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        plausibility(np.where(np.arange(100)[:, None] == 3, np.nan, gaussian[:100]))
    with pytest.raises(ValueError, match="at least 20 groups"):
        plausibility(gaussian[:100], groups=np.arange(100) // 50)
    with pytest.raises(ValueError, match="of at least 1"):
        plausibility(gaussian[:100], layers=0)
    with pytest.raises(ValueError, match="density's 2 neurons"):
        plausibility(gaussian[:100], "gaussian").log_prob(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="at least 1 state"):
        plausibility(gaussian[:100], "gaussian").sample(0)


def test_one_neuron():
    states = np.random.default_rng(0).normal(3, 2, (500, 1)).astype(np.float32)
    density = plausibility(states, "gaussian")
    np.testing.assert_allclose(density.log_prob(states[:3]), stats.norm(3, 2).logpdf(states[:3, 0]), atol=0.2)
    with pytest.raises(ValueError, match="at least 2 neurons"):
        plausibility(states, "realnvp")


def test_overrides_accept_a_density(gaussian):
    density = plausibility(gaussian[:2_000], "gaussian")
    (edit,) = dni.clamp([1], "plausible", density=density, states=gaussian[:2_000], percentile=30.0, sign=1).edits
    assert edit.low[0] > np.median(gaussian[:, 1])
    assert isinstance(density, VerifiedDensity)


@pytest.mark.parametrize("scale", slow_after(1, [3e3, 1.0, 1e-3, 1e3]))
def test_scales_of_neurons_do_not_matter(scale):
    states = np.random.default_rng(0).normal(size=(3_000, 4)).astype(np.float32)
    odd = states[:50].copy()
    odd[:, 0] += 20  # standard deviations
    factors = np.asarray([1, scale, 1, 1], np.float32)
    density = plausibility(states * factors, "gaussian")
    assert density.percentile(odd * factors).max() == 0
    usual = plausibility(states, "gaussian").percentile(states[:50])
    np.testing.assert_allclose(density.percentile(states[:50] * factors), usual, atol=0.5)


def test_a_neuron_that_never_moves_is_not_infinitely_implausible():
    states = np.random.default_rng(0).normal(size=(3_000, 4)).astype(np.float32)
    states[:, 2] = 0.25
    moved = states[:1] + np.asarray([0, 0, 0.01, 0], np.float32)
    assert plausibility(states, "gaussian").percentile(moved)[0] > 0


@pytest.mark.parametrize("shrink", [-1.0, np.inf, np.nan])
def test_shrink_must_be_a_finite_share(shrink):
    with pytest.raises(ValueError, match="expected shrink of at least 0 and finite"):
        plausibility(np.random.default_rng(0).normal(size=(500, 2)), "gaussian", shrink=shrink)
