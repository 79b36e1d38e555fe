"""Stability over halves of the strings and over seeds."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

import dni_jax as dni
from dni_jax.inspection._stability import overlap, spearman


def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, (2, 1, 30, 4)).astype(float)
    wanted = [spearmanr(one[0, :, f], other[0, :, f])[0] for f in range(4)]
    np.testing.assert_allclose(spearman(one, other)[0], wanted)
    assert np.isnan(spearman(np.ones((1, 5, 1)), other[:, :5, :1]))


def test_overlap_counts_common_leaders():
    one = np.asarray([3.0, 2.0, 1.0, 0.0])[None, :, None]
    assert overlap(one, one, 2)[0, 0] == 1
    assert overlap(one, -one, 2)[0, 0] == 0
    assert overlap(one, np.asarray([3.0, 0.0, 1.0, 2.0])[None, :, None], 2)[0, 0] == 0.5


@pytest.mark.slow
def test_halves_agree_on_what_is_there_and_not_on_noise(states, labels):
    few = labels.select(["depth", "digit"])
    found = dni.inspection.rank_stability(states, few, k=5, n_splits=5)
    assert dict(found.sizes) == {"split": 5, "feature": 2}
    assert (found["spearman"].mean("split") > 0.8).all()
    noise = np.random.default_rng(0).normal(size=states.hidden.shape)
    blind = dni.inspection.rank_stability(noise, few, k=5, n_splits=5, groups=states.groups)
    assert (np.abs(blind["spearman"].mean("split")) < 0.4).all()


def by_hand(best):
    score = np.asarray(best)[None, :, None] * np.ones((3, 1, 2)) * np.asarray([1, 0.9, 0.8])[:, None, None]
    dims = ("neuron", "feature", "fold")
    return xr.Dataset(
        {"score": (dims, score), "auc": (dims, (1 + score) / 2)},
        coords={"feature": list("abcd"), "kind": ("feature", ["binary"] * 4)},
    )


def test_seeds_are_compared_by_features():
    first, second = by_hand([0.9, 0.5, 0.2, 0.1]), by_hand([0.8, 0.1, 0.3, 0.05])
    found = dni.inspection.seed_stability([first, second], k=2)
    np.testing.assert_allclose(found["profile"].sel(model=0, feature="a"), [0.9, 0.81])
    np.testing.assert_allclose(found["profile_sd"].sel(feature="b", rank=0), np.std([0.5, 0.1], ddof=1))
    assert float(found["spearman"].sel(model=0, other=1)) == pytest.approx(0.8)
    assert float(found["overlap"].sel(model=0, other=1)) == 0.5
    together = xr.concat([first, second], "model")
    xr.testing.assert_allclose(dni.inspection.seed_stability(together, k=2), found)


def test_bad_input_is_named(states, labels, relevance):
    with pytest.raises(ValueError, match="at least two networks"):
        dni.inspection.seed_stability([relevance])
    with pytest.raises(ValueError, match="dimension 'model'"):
        dni.inspection.seed_stability(relevance)
    with pytest.raises(ValueError, match="same features"):
        dni.inspection.seed_stability([relevance, relevance.isel(feature=slice(1, None))])
    with pytest.raises(ValueError, match="k from 1"):
        dni.inspection.seed_stability([relevance, relevance], k=100)
    with pytest.raises(ValueError, match="k from 1"):
        dni.inspection.rank_stability(states, labels, k=100)
    with pytest.raises(ValueError, match=r"groups=\(T,\)"):
        dni.inspection.rank_stability(states.hidden, labels)
