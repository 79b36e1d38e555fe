"""Properties on drawn inputs. Every example has one of two shapes, so that nothing is compiled anew."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from dni_jax.probes import ProbeSpec, Sample, accumulate, choose_engine, score_neurons
from tests.support.probe_problems import KINDS, METRICS, hinge_objective, problem
from tests.support.slow import slow_after

SEEDS = st.integers(0, 10**6)
DTYPES = st.sampled_from([np.float32, np.float64])
LABEL_TYPES = st.sampled_from([bool, np.int8, np.int64, np.float32, np.float64])
PLACES = st.sampled_from([np.asarray, jnp.asarray])
QUICK = ["rounded", "separable", "imbalanced"]  # test_svm tries some others
few = settings(max_examples=6, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", slow_after(3, sorted(KINDS[:8], key=QUICK.count, reverse=True)))
@given(seed=SEEDS, C=st.sampled_from([0.1, 1.0, 10.0]), dtype=DTYPES, label_type=LABEL_TYPES, place=PLACES)
@few
def test_svm_is_never_above_its_oracle_and_counts_what_it_predicts(kind, seed, C, dtype, label_type, place):
    hidden, labels, folds = problem(kind, seed, dtype)
    with jax.enable_x64(True):
        given_arrays = place(hidden), place(labels.astype(label_type)), folds
    scores = score_neurons(*given_arrays, metrics=METRICS, C=C)
    lines, accuracy = scores.lines, scores["accuracy"]
    for n, f, k in np.ndindex(accuracy.shape):
        x, y, train = hidden[:, n].astype(np.float64), labels[:, f], folds != k
        weight, bias = lines["weight"][n, f, k], lines["bias"][n, f, k]
        decision = weight * x[~train] + bias
        right = np.count_nonzero((decision > 0) == y[~train])
        at_the_boundary = np.count_nonzero(np.abs(decision) < 1e-9)
        assert abs(accuracy[n, f, k] * len(decision) - right) <= at_the_boundary + 1e-9
        if y[train].min() == y[train].max():
            assert (weight, bias) == (0, 1 if y[train][0] else -1)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early, it is only easier to beat
            svc = SVC(kernel="linear", C=C, tol=1e-6, max_iter=10_000).fit(x[train, None], y[train])
        theirs = hinge_objective(x[train], y[train], svc.coef_.item(), svc.intercept_.item(), C)
        assert hinge_objective(x[train], y[train], weight, bias, C) <= theirs * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("step", slow_after(2, [0.0, 1.0, 0.25]))
@given(seed=SEEDS)
@few
def test_auc_of_rising_and_falling_lines_is_scikit_learns(step, seed):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(240, 3))
    hidden = (np.round(hidden / step) * step if step else hidden).astype(np.float32)
    labels = hidden * [2, -2, 1] + rng.normal(size=(240, 3)) > [0, 0.5, 1]
    folds = rng.permutation(np.arange(240) % 4).astype(np.int32)
    scores = score_neurons(hidden, labels, folds, metrics=METRICS)
    weight, auc = scores.lines["weight"], scores["auc"]
    assert (weight[0, 0] > 0).all()
    assert (weight[1, 1] < 0).all()
    for n, f, k in zip(*np.nonzero(weight), strict=True):
        y, decision = labels[folds == k, f], np.sign(weight[n, f, k]) * hidden[folds == k, n]
        np.testing.assert_allclose(auc[n, f, k], roc_auc_score(y, decision), atol=1e-12)


@given(seed=SEEDS, share=st.floats(0, 1))
@settings(few, max_examples=20)
def test_random_splits_of_counts_merge_to_the_bit(seed, share):
    hidden, labels, folds = problem("random", seed)
    spec = ProbeSpec(engine="binned", n_bins=32).resolve(labels)
    engine = choose_engine(spec, len(folds))

    def count(chunks):
        return accumulate(engine, engine.init(spec, Sample(hidden, labels, folds, 4)), chunks)

    chosen = np.random.default_rng(seed).random(len(folds)) < share
    parts = [(hidden, labels, np.where(mask, folds, -1)) for mask in (chosen, ~chosen)]
    whole = count([(hidden, labels, folds)])
    merged = count(parts[:1]) + count(parts[1:])
    for other in (merged, count(parts)):
        assert other.n_positions == whole.n_positions == len(folds)
        np.testing.assert_array_equal(other.counts, whole.counts)
