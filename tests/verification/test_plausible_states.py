"""How plausible overridden states are: what verify tells against recording and judging by hand."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.verification import INTERVENTIONS
from dni_jax.verification._overrides import intervene
from tests.support.densities import GaussianDensity


@pytest.fixture(scope="module")
def density(states):
    return GaussianDensity(states)


@pytest.fixture(scope="module")
def effect(model, held_out, relevance, density):
    asked = {"ks": (1, 5), "n_random": 2, "intervention": "clamp"}
    return dni.verify(model, held_out, relevance, ["digit", "depth"], density=density, **asked)


@pytest.mark.slow
def test_against_recording(model, held_out, density, effect):
    text = held_out.head(4_000)
    places = np.unique(np.linspace(0, text.n_positions - 1, 256).astype(int))
    assert effect["percentile_top"].dims == ("feature", "k")
    for k in (1, 5):
        chosen = effect["neurons"].sel(feature="depth", k=k).values
        changed = dni.clamp(chosen[chosen >= 0].tolist(), 1.0)
        judged = density.log_prob(dni.record(model, text, intervention=changed).hidden[places])
        found = effect.sel(feature="depth", k=k)
        assert found["log_density_top"].item() == pytest.approx(float(np.median(judged)), rel=1e-5)
        assert found["percentile_top"].item() == pytest.approx(np.median(density.percentile_of(judged)))


def test_intact_is_usual_and_five_neurons_at_one_are_not(effect):
    assert 25 < effect["percentile_intact"].values.min() <= effect["percentile_intact"].values.max() < 75
    assert effect["percentile_top"].sel(k=5).values.max() < 1
    assert (effect["log_density_top"].sel(k=5) < effect["log_density_top"].sel(k=1)).all()


@pytest.mark.parametrize("kind", INTERVENTIONS)
def test_every_kind_as_an_intervention(kind, states):
    """Selected neurons get what their set gets, on the first positions."""
    masks = np.zeros((2, states.n_neurons), bool)
    masks[1, [2, 5]] = True
    signal = (np.arange(len(states.hidden)) % 2).astype(np.float32)
    whole = intervene(kind, states, signal, value=0.5, where="readout", seed=0)
    (override,), (drive,) = whole.bind(states.n_neurons, len(signal), sets=masks)
    assert whole.select([], 7) is None
    (own,), (follows,) = whole.select([2, 5], 7).bind(states.n_neurons, 7)
    np.testing.assert_array_equal(override.mask, masks)
    np.testing.assert_array_equal(own.mask, masks[1])
    np.testing.assert_array_equal(np.asarray(own.low)[[2, 5]], np.asarray(override.low)[1, [2, 5]])
    assert own.where == "readout"
    if drive.value is None:
        assert follows.value is None
    elif drive.value.ndim == 2:
        np.testing.assert_array_equal(follows.value[:, [2, 5]], drive.value[:7, [2, 5]])
    else:
        np.testing.assert_array_equal(follows.value, drive.value[:7])


def test_density_of_other_neurons(model, held_out, relevance, states):
    other = GaussianDensity(states.hidden[:, :3])
    with pytest.raises(ValueError, match="density of this model's 24 neurons, got one of 3"):
        dni.verify(model, held_out, relevance, "digit", density=other)
