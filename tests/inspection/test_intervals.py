"""Intervals in the relevance dataset."""

import numpy as np
import pytest

import dni_jax as dni


def test_intervals_lie_about_the_scores(states, labels):
    few = labels.select(["depth", "digit", "range:e0"])
    some = dni.inspect(states, few, "ridge", folds=5)
    found = dni.inspection.intervals(some, states, few, n_draws=50)
    for name in ("score", "auc"):
        mean = found[name].mean("fold")
        known = ~np.isnan(mean)
        assert ((found[f"{name}_low"] <= mean + 1e-9) | ~known).all()
        assert ((found[f"{name}_high"] >= mean - 1e-9) | ~known).all()
    digit = found.sel(feature="digit")
    assert float((digit["score_high"] - digit["score_low"]).max()) < 0.2
    assert (found["score_high"] - found["score_low"]).sel(feature="range:e0").max() == 0
    assert np.isnan(found["auc_low"].sel(feature="depth")).all()
    assert {"score_low", "auc_high"} <= set(dni.top(found, "digit").columns)


def test_bad_input_is_named(relevance, states, labels):
    with pytest.raises(ValueError, match="level between"):
        dni.inspection.intervals(relevance, states, labels, level=95)
    with pytest.raises(ValueError, match="n_draws"):
        dni.inspection.intervals(relevance, states, labels, n_draws=1)
    with pytest.raises(ValueError, match=r"groups=\(T,\)"):
        dni.inspection.intervals(relevance, states.hidden, labels)
