"""Lags: pairs within strings only, and the place of a planted delay."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import dni_jax as dni
from dni_jax.inspection import peaks
from dni_jax.inspection._lags import has_state
from dni_jax.text import segment_corpus


def test_pairs_never_cross_a_string():
    strings = np.asarray([0, 0, 0, 1, 1, 2])
    for lag in range(-7, 8):
        wanted = [0 <= t - lag < 6 and strings[t - lag] == strings[t] for t in range(6)]
        assert has_state(strings, lag).tolist() == wanted


@pytest.fixture(scope="module")
def few(labels):
    return labels.select(["depth", "digit"])


def test_every_lag_is_scored_as_by_hand(states, few, held_out):
    found = dni.inspection.lags(states, few, held_out, [0, 2, -3])
    assert found["lag"].values.tolist() == [-3, 0, 2]
    for lag in (-3, 0, 2):
        at = [t for first, last in zip(held_out.offsets[:-1], held_out.offsets[1:], strict=True)
              for t in range(first, last) if first <= t - lag < last]  # fmt: skip
        assert int(found["positions"].sel(lag=lag)) == len(at)
        for n in (0, 7):
            moved = states.hidden[np.asarray(at) - lag, n]
            one = found.sel(lag=lag, neuron=n)
            assert float(one["auc"].sel(feature="digit")) == pytest.approx(roc_auc_score(few["digit"][at], moved))
            r = np.corrcoef(moved, few["depth"][at])[0, 1]
            assert float(one["pearson"].sel(feature="depth")) == pytest.approx(r, abs=1e-6)
    assert np.isnan(found["auc"].sel(feature="depth")).all()


def test_planted_delays_are_found(few, held_out):
    digit = few["digit"].astype(float)
    hidden = np.stack([np.roll(digit, delay) for delay in (0, 3, -2)], axis=1)
    best = peaks(dni.inspection.lags(hidden, few, held_out, range(-5, 6)))
    assert best["lag"].sel(feature="digit").values.tolist() == [0, -3, 2]
    np.testing.assert_array_equal(best["strength"].sel(feature="digit"), 1.0)


@pytest.mark.slow
def test_pieces_of_one_string_are_joined(parentheses, held_out):
    pieces = segment_corpus(held_out, 5)
    labels = parentheses.features().select("digit").label(pieces)
    hidden = np.random.default_rng(0).normal(size=(pieces.n_positions, 1))
    whole = dni.inspection.lags(hidden, labels, held_out, [4])["positions"].values
    assert dni.inspection.lags(hidden, labels, pieces, [4])["positions"].values == whole
    by_group = dni.inspection.lags(hidden, labels, groups=held_out.string_ids, lags=[4])
    assert by_group["positions"].values == whole


def test_bad_input_is_named(states, few, held_out):
    with pytest.raises(ValueError, match="longer than the lag"):
        dni.inspection.lags(states, few, held_out, [500])
    with pytest.raises(ValueError, match="at least one lag"):
        dni.inspection.lags(states, few, held_out, [])
    with pytest.raises(ValueError, match="expected corpus="):
        dni.inspection.lags(states.hidden, few)
    with pytest.raises(ValueError, match="the corpus that was labelled"):
        dni.inspection.lags(states, few, held_out.head(30))
