"""The strongest plausible value, where it follows from a Gaussian."""

import numpy as np
import pytest
from scipy import stats

import dni_jax as dni
from tests.support.densities import GaussianDensity


class Independent:
    """The exact percentiles of N independent normal neurons."""

    def __init__(self, n):
        self.n = n

    def percentile(self, states):
        return 100 * stats.chi2(self.n).sf(np.square(states, dtype=np.float64).sum(1))


def held(*args, **options):
    (edit,) = dni.clamp(*args, **options).edits
    return edit.low


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(0).normal(size=(20_000, 10)).astype(np.float32)


@pytest.mark.parametrize("percentile", [5.0, 20.0])
def test_one_neuron_of_one(states, percentile):
    """Of a single normal neuron the percentile of v is 2 (1 - Phi(|v|))."""
    bound = stats.norm.isf(percentile / 200)
    for sign in (1, -1):
        asked = {"density": Independent(1), "states": states[:, :1], "percentile": percentile, "sign": sign}
        assert held([0], "plausible", **asked)[0] == pytest.approx(sign * bound, abs=1e-3)


def test_one_neuron_of_ten(states):
    """The others stay as they were: chi2 quantile of 10 less the median of the others' sum of squares."""
    sample = states[np.unique(np.linspace(0, len(states) - 1, 512).astype(int))]
    others = np.median(np.square(sample, dtype=np.float64)[:, 1:].sum(1))
    expected = np.sqrt(stats.chi2(10).isf(0.3) - others)
    found = held([0], "plausible", density=Independent(10), states=states, percentile=30.0, sign=1)
    assert found[0] == pytest.approx(expected, abs=2e-3)
    assert expected == pytest.approx(np.sqrt(stats.chi2(10).isf(0.3) - stats.chi2(9).median()), abs=0.2)


def test_of_a_fitted_gaussian(states):
    scaled = states[:, :1] * 2 + 7
    density = GaussianDensity(scaled)
    found = held([0], "plausible", density=density, states=scaled, percentile=10.0, sign=1)
    assert found[0] == pytest.approx(7 + 2 * stats.norm.isf(0.05), abs=0.15)


def test_never_beyond_what_is_visited(states):
    found = held([2], "plausible", density=Independent(10), states=states, percentile=0.0, sign=-1)
    assert found[0] == states[:, 2].min()


def test_the_side(states):
    skewed = np.abs(states)  # the median lies nearer to the least value
    assert held([0], "plausible", density=Independent(10), states=skewed)[0] > np.median(skewed[:, 0])
    both = held([0, 1], "plausible", density=Independent(10), states=states, percentile=40.0, sign=[1, -1])
    assert both[0] > 0 > both[1]
    alone = held([0], "plausible", density=Independent(10), states=states, percentile=40.0, sign=1)
    assert both[0] < alone[0]  # two neurons share what is plausible


def test_is_plausible_and_a_little_more_is_not(states):
    density = GaussianDensity(states)
    value = held([4], "plausible", density=density, states=states, percentile=30.0, sign=1)[0]
    sample = states[np.unique(np.linspace(0, len(states) - 1, 512).astype(int))]
    at, beyond = sample.copy(), sample.copy()
    at[:, 4], beyond[:, 4] = value, value + 0.01
    assert np.median(density.percentile(at)) >= 30 > np.median(density.percentile(beyond)) - 0.05


def test_errors(states):
    with pytest.raises(ValueError, match=r"expected density=dni\.plausibility"):
        dni.clamp([0], "plausible")
    asked = {"density": Independent(10), "states": states}
    with pytest.raises(ValueError, match="only with the value 'plausible'"):
        dni.clamp([0], 1.0, **asked)
    with pytest.raises(ValueError, match="'plausible' for the part 'h'"):
        dni.clamp([0], "strongest", **asked)
    with pytest.raises(ValueError, match="'plausible' for the part 'h'"):
        dni.clamp([0], "plausible", part="c", **asked)
    with pytest.raises(ValueError, match="expected sign 1 or -1"):
        dni.clamp([0], "plausible", sign=0, **asked)
    with pytest.raises(ValueError, match="found none for neurons"):
        dni.clamp([0], "plausible", percentile=99.0, **asked)
    with pytest.raises(ValueError, match="between 0 and 100"):
        dni.clamp([0], "plausible", percentile=-1.0, **asked)
    with pytest.raises(ValueError, match="neurons 0 to 9"):
        dni.clamp([10], "plausible", **asked)
