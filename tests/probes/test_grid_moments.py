"""Continuous labels from chunks: integers that merge to the bit, scores as on whole arrays."""

import itertools

import numpy as np
import pytest

from dni_jax.probes import ProbeSpec, Sample, accumulate, reference, score_neurons, score_stream
from dni_jax.probes._engine_grid import ENGINE
from dni_jax.probes._layout import fixed_blocks


def _problem(n=900, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 4)) * [1, 1e-3, 50, 0] + [0, 7, 1e4, 0.25]
    noise = rng.normal(size=(n, 3)) * [1, 30, 0]
    labels = (hidden[:, :3] - [0, 7, 1e4]) * [1, 1e5, 0] + noise + [0, 5, -1]
    folds = rng.integers(-1, 4, n).astype(np.int32)
    return hidden, labels, folds


def _pieces(arrays, bounds):
    return [tuple(array[i:j] for array in arrays) for i, j in itertools.pairwise(bounds)]


def _moments(chunks, sample, n_folds=4):
    """Moments of some chunks, on the grid of a sample."""
    spec = ProbeSpec("ols", metrics=("r2", "pearson"))
    return accumulate(ENGINE, ENGINE.init(spec, Sample(*sample, n_folds)), chunks)


def _integers(moments):
    return [getattr(moments, name) for name in ("n", "x", "xx", "y", "yy", "xy", "low", "high")]


def test_halves_merge_to_the_bit_in_any_chunks():
    arrays = _problem()
    whole = _moments([arrays], arrays)
    grid = whole.grid
    pieces = _pieces(arrays, [0, 3, 333, 900])
    for other in (
        _moments(pieces[:2], arrays) + _moments(pieces[2:], arrays),
        _moments(pieces, arrays),
        _moments([tuple(array[::-1] for array in arrays)], arrays),
    ):
        for ours, theirs in zip(_integers(other), _integers(whole), strict=True):
            assert ours.dtype == np.int64
            np.testing.assert_array_equal(ours, theirs)
    used = arrays[2] >= 0
    x = np.rint((arrays[0] - grid.x_middle) / grid.x_step).astype(np.int64)[used]
    y = np.rint((arrays[1] - grid.y_middle) / grid.y_step).astype(np.int64)[used]
    np.testing.assert_array_equal(whole.xy.sum(0), x.T @ y)
    np.testing.assert_array_equal(whole.n, np.bincount(arrays[2][used]))


@pytest.mark.parametrize("probe", ["ols", "ridge"])
def test_scores_are_those_of_whole_arrays(probe):
    arrays = _problem(3_000)
    options = {"probe": probe} | ({"alpha": 3.0} if probe == "ridge" else {})
    exact = score_neurons(*arrays, **options)
    binned = score_neurons(*arrays, engine="binned", **options)
    oracle = reference.score_neurons(*arrays, **options)
    assert binned.attrs["engine"] == "binned"
    assert 0 < binned.attrs["r2_error"] < 1e-5
    for key in exact:
        np.testing.assert_allclose(binned[key], exact[key], atol=5 * binned.attrs["r2_error"], err_msg=key)
        np.testing.assert_allclose(binned[key], oracle[key], atol=5 * binned.attrs["r2_error"], err_msg=key)
    pieces = _pieces(arrays, [0, 1_000, 3_000])
    if probe == "ols":
        with pytest.raises(ValueError, match='expected no alpha for probe="ols"'):
            score_stream(pieces, n_folds=4, probe=probe, alpha=(3.0, 1e6))
    penalties = {"alpha": (3.0, 1e6)} if probe == "ridge" else {}
    several = np.atleast_1d(score_stream(pieces, n_folds=4, probe=probe, **penalties)["r2"])
    several = several if probe == "ridge" else several[None]
    assert len(several) == (2 if probe == "ridge" else 1)
    np.testing.assert_allclose(several[0], exact["r2"], atol=1e-5)


def test_binary_labels_can_be_regressed():
    hidden, labels, folds = _problem()
    binary = labels[:, :1] > 0
    exact = score_neurons(hidden, binary, folds, probe="ols")
    binned = score_stream([(hidden, binary, folds)], n_folds=4, probe="ols")
    np.testing.assert_allclose(binned["r2"], exact["r2"], atol=1e-5)


def test_fixed_blocks_hold_every_position_once():
    rng = np.random.default_rng(0)
    for n in (1, 7, 64, 200):
        folds = rng.integers(-1, 3, n)
        blocks = fixed_blocks(folds, 3, length=8)
        assert blocks.rows.shape == blocks.real.shape == (n // 8 + 3, 8)
        assert sorted(blocks.rows[blocks.real]) == np.flatnonzero(folds >= 0).tolist()
        inside = np.broadcast_to(blocks.fold[:, None], blocks.real.shape)[blocks.real]
        np.testing.assert_array_equal(folds[blocks.rows[blocks.real]], inside)


def test_bad_input():
    hidden, labels, folds = _problem()
    sample = (hidden, labels, folds)
    with pytest.raises(ValueError, match="chunk 0: expected values within four ranges of the sample"):
        _moments([(hidden * 100, labels, folds)], sample)
    with pytest.raises(ValueError, match="at least one chunk"):
        score_stream([], n_folds=2)
    with pytest.raises(ValueError, match="chunk 0: expected 3 features as in the sample, got 1"):
        _moments([(hidden, labels[:, :1], folds)], sample)
    moments = _moments([sample], sample, n_folds=5)
    with pytest.raises(ValueError, match=r"every fold to hold a position, got none in \[4\]"):
        ENGINE.score(moments)
    with pytest.raises(ValueError, match="same grid"):
        moments + _moments([sample], tuple(array[:9] for array in sample), n_folds=5)
