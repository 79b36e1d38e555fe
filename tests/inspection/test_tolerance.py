"""Early stopping: what was not read would not have changed the scores by more than was said."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.features import Labels
from dni_jax.probes import fold_margin
from tests.support.chunked_states import FakeChunks

METRICS = ("accuracy", "auc", "r2")


def problem(seed, drift, n_strings=3000, signal=1.0):
    """Three neurons that know a feature well, a little and not at all; strings, and neighboring ones, are alike."""
    rng = np.random.default_rng(seed)
    lengths = np.random.default_rng(0).integers(10, 31, n_strings)  # the same for all: programs are compiled once
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(n_strings) / n_strings
    rate = 0.3 + drift * 0.2 * np.sin(12 * place) + 0.1 * rng.normal(size=n_strings)
    label = rng.random(offsets[-1]) < np.repeat(np.clip(rate, 0.02, 0.98), lengths)
    off = np.repeat(drift * np.sin(20 * place + 1) + 0.5 * rng.normal(size=n_strings), lengths)
    gain = signal * np.array([2.0, 0.5, 0.0])
    hidden = np.tanh((label[:, None] * gain + off[:, None] + rng.normal(size=(offsets[-1], 3))) / 3)
    depth = (label + rng.normal(size=offsets[-1])).astype(np.float32)
    labels = Labels(
        ("on", "depth"), ("binary", "continuous"), (label.astype(np.int8), depth), np.ones(len(label), bool)
    )
    states = FakeChunks(hidden.astype(np.float16), offsets, np.arange(n_strings, dtype=np.int32), chunk=2500)
    return states, labels


def inspected(states, labels, tolerance, seed=0, **options):
    return dni.inspect(states, labels, folds=10, metrics=METRICS, n_bins=64, seed=seed, tolerance=tolerance, **options)


def share_within(seeds, drift, tolerance):
    """How often the score on all positions lies within the margin, and the mean share that was read."""
    inside, read = [], []
    for seed in seeds:
        states, labels = problem(seed, drift)
        early, whole = (inspected(states, labels, one, seed) for one in (tolerance, 1e-9))
        assert whole.attrs["positions_read"] == states.n_positions
        read.append(early.attrs["positions_read"] / states.n_positions)
        for name in ("score", "auc"):
            off = np.abs(early[name].mean("fold") - whole[name].mean("fold")).values
            margin = early[f"{name}_margin"].values
            known = ~np.isnan(off)
            assert (margin[known] <= tolerance).all()
            inside.append((off <= margin + 1e-7)[known])
    return np.concatenate(inside).mean(), np.mean(read)


@pytest.mark.slow
@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_scores_lie_within_their_margins(drift):
    share, read = share_within(range(3), drift, 0.04)
    assert share >= 0.95
    assert read < 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("drift", "tolerance"), [(0.0, 0.02), (0.0, 0.04), (1.0, 0.04), (1.0, 0.06)])
def test_scores_lie_within_their_margins_many_times(drift, tolerance):
    share, read = share_within(range(100, 160), drift, tolerance)
    print(f"drift {drift}, tolerance {tolerance}: {share:.4f} within, {read:.3f} read")
    assert share >= 0.95
    assert read < 0.95


@pytest.mark.slow
def test_easy_data_stop_early_and_a_tolerance_out_of_reach_never():
    states, labels = problem(0, 0.0)
    early = inspected(states, labels, 0.08)
    assert early.attrs["positions_read"] < 0.5 * states.n_positions
    assert early.attrs["evaluations"] >= 1
    assert (early.attrs["tolerance"], early.attrs["confidence"]) == (0.08, 0.95)
    never = inspected(states, labels, 1e-6)
    assert never.attrs["positions_read"] == never.attrs["positions"] == states.n_positions
    assert (never["score_margin"] == 0).all()
    surer = inspected(states, labels, 0.08, confidence=0.999)
    assert surer.attrs["positions_read"] >= early.attrs["positions_read"]


def test_reading_stops_where_it_says():
    states, labels = problem(1, 0.0)
    states.reads = 0
    found = inspected(states, labels.of_kind("binary"), 0.08)
    sampled = states.n_positions  # a short text is its own sample
    assert states.reads - sampled < found.attrs["positions_read"] + 3 * states.chunk + 3000  # a few reads ahead


@pytest.mark.slow
def test_perfect_folds_are_not_sure_at_once():
    """All folds perfect: no spread, but a string more might not be."""
    states, labels = problem(2, 0.0)
    perfect = labels.columns[0][:, None].astype(np.float16) * np.ones(3, np.float16)
    sure = FakeChunks(perfect, states.offsets, states.string_groups, states.chunk)
    binary = labels.of_kind("binary")
    found = inspected(sure, binary, 0.02)
    assert (found["score"] == 1).all()
    assert found.attrs["positions_read"] < sure.n_positions
    assert (found["score_margin"] > 0).all()
    assert inspected(sure, binary, 1e-4).attrs["positions_read"] == sure.n_positions


@pytest.mark.slow
def test_a_feature_that_never_comes_does_not_stop_it():
    states, labels = problem(3, 0.0)
    columns = (labels.columns[0], np.zeros_like(labels.columns[0]))
    constant = Labels(("on", "never"), ("binary", "binary"), columns, labels.mask)
    found = inspected(states, constant, 0.08)
    assert found.attrs["positions_read"] < states.n_positions
    assert np.isnan(found["auc_margin"].sel(feature="never")).all()
    rare = columns[1].copy()
    rare[-1] = 1  # met in no fold but one, if at all: its AUC is never sure
    late = Labels(("on", "rare"), ("binary", "binary"), (columns[0], rare), labels.mask)
    found = inspected(states, late, 0.08)
    assert (
        found["auc_margin"].sel(feature="rare").values.max() in (0, np.nan)
        or np.isnan(found["auc_margin"].sel(feature="rare")).all()
    )


def test_margins_are_the_formula():
    scores = np.array([[0.5, 0.7, 0.6], [0.6, 0.6, 0.6]])
    t, s = 4.302652729911275, 0.1  # of 2 degrees of freedom at 95 %
    wide = fold_margin(scores, 0.75, confidence=1 - 0.05 * np.pi**2 / 6, evaluation=1, least=0.03)
    np.testing.assert_allclose(wide, [t * s * np.sqrt((1 / 3 + 1 / 2) / 4), t * 0.03 * np.sqrt((1 / 3 + 1 / 2) / 4)])
    assert (
        fold_margin(scores, 0.75, evaluation=2, least=0.03) > fold_margin(scores, 0.75, evaluation=1, least=0.03)
    ).all()
    assert np.isinf(fold_margin(np.array([0.5, np.nan]), 0.5))
    assert fold_margin(np.array([0.5, np.nan]), 1.0) == 0
    for bad in ({"read": 1.5}, {"read": 0.5, "confidence": 1.0}, {"read": 0.5, "evaluation": 0}):
        with pytest.raises(ValueError, match="expected read within"):
            fold_margin(scores, **bad)
    with pytest.raises(ValueError, match="at least 2 folds"):
        fold_margin(scores[:, :1], 0.5)


def test_bad_tolerances_are_named():
    states, labels = problem(4, 0.0, n_strings=300)
    for bad in (0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="tolerance above 0"):
            inspected(states, labels, bad)
