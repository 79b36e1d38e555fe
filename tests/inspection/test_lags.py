"""Lags: pairs within strings only, and the place of a planted delay."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import dni_jax as dni
from dni_jax.inspection import peaks
from dni_jax.inspection._lags import has_state
from dni_jax.probes import make_folds, score_jointly
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


@pytest.mark.slow
def test_planted_delays_are_found(few, held_out):
    digit = few["digit"].astype(float)
    hidden = np.stack([np.roll(digit, delay) for delay in (0, 3, -2)], axis=1)
    best = peaks(dni.inspection.lags(hidden, few, held_out, range(-3, 3)))
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
    with pytest.raises(ValueError, match="the corpus that was labeled"):
        dni.inspection.lags(states, few, held_out.head(30))


@pytest.fixture(scope="module")
def joint(few, held_out):
    """Neuron 0 adds up digits, neuron 1 is a digit, 30 others are slow noise."""
    digit = few["digit"].astype(float)
    noise = np.random.default_rng(1).normal(size=(len(digit), 30))
    for t in range(1, len(noise)):
        noise[t] += 0.9 * noise[t - 1]
    hidden = np.concatenate([np.cumsum(digit)[:, None], digit[:, None], noise], axis=1)
    return dni.inspection.lags(hidden, few, held_out, range(3), joint=True)


@pytest.mark.slow
def test_a_change_is_known_by_two_lags_together_only(joint):
    of_digit = joint.sel(feature="digit")
    assert (of_digit["score"].sel(neuron=0) == 1).all()
    assert float(of_digit["single"].sel(neuron=0).mean()) < 0.7
    assert float(of_digit["p"].sel(neuron=0)) < 0.01
    assert float(of_digit["gain"].sel(neuron=1)) == 0.0
    assert float(of_digit["p"].sel(neuron=1)) == 1.0
    assert int(of_digit["lag"].sel(neuron=1)) == 0


def test_gains_are_rare_where_there_is_none(joint):
    """At a level of 5 %, at most 5 % of slow neurons that know nothing gain."""
    assert float((joint["p"].sel(neuron=slice(2, None)) < 0.05).mean()) <= 0.05


def test_joint_scores_are_those_of_a_probe_on_all_columns(states, few, held_out):
    digit = few.select(["digit"])
    found = dni.inspection.lags(states, digit, held_out, (0, 2), joint=True, sets={"a": [3, 5]}, folds=3)
    whole = held_out.position_in_string >= 2
    folds = make_folds(int(whole.sum()), 3, groups=held_out.position_groups[whole], seed=0)
    at = np.flatnonzero(whole)
    columns = np.concatenate([states.hidden[at][:, [3, 5]], states.hidden[at - 2][:, [3, 5]]], axis=1)
    wanted = score_jointly(columns, digit.matrix[at], folds)["auc"]
    np.testing.assert_allclose(found["score"].sel(set="a", feature="digit"), wanted[0])
    wanted = score_jointly(states.hidden[at - 2][:, [3, 5]], digit.matrix[at], folds)["auc"]
    np.testing.assert_allclose(found["by_lag"].sel(set="a", feature="digit", lags=2), wanted.mean())
    assert int(found["positions"]) == len(at)


def test_bad_input_of_joint_lags_is_named(states, few, held_out):
    longest = int(np.diff(held_out.offsets).max())
    for arguments, message in [
        ({"lags": [0, 500]}, f"got {longest} characters in the longest"),
        ({"lags": [longest - 1]}, "at least 5 strings with states at lags"),
        ({"probe": "svm"}, "probe='ridge' or 'logistic'"),
        ({"sets": {"a": [99]}}, "neurons from 0 to 23 in the set 'a'"),
        ({"sets": {"a": [1, 1]}}, "distinct neurons"),
        ({"sets": {}}, "sets={name: neurons}"),
        ({"folds": 5000}, "at least 5000 strings"),
    ]:
        with pytest.raises(ValueError, match=message):
            dni.inspection.lags(states, few, held_out, **{"lags": [0, 1], "joint": True, **arguments})
    with pytest.raises(ValueError, match="only with joint=True"):
        dni.inspection.lags(states, few, held_out, [0], sets={"a": [1]})
