"""States that come in chunks against the same states in memory."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import dni_jax as dni
from dni_jax.inspection._read_plan import at_random, cut_blocks, sample_strings
from dni_jax.models import stream
from tests.support.chunked_states import FakeChunks
from tests.support.slow import slow_after

METRICS = ("accuracy", "auc", "balanced_accuracy", "mcc", "f1", "r2", "pearson")


@pytest.fixture(scope="module")
def library(parentheses):
    some = parentheses.features().select("depth", "depth=[012]", "digit", "range:e2*")
    return some + dni.feature("place", lambda s: [i / len(s) for i in range(len(s))])


@pytest.fixture(scope="module")
def stored(model, held_out, tmp_path_factory):
    return dni.record(model, held_out, store=tmp_path_factory.mktemp("chunks") / "s", chunk=700, dtype="float16")


@pytest.fixture(scope="module")
def loaded(stored):
    return stored.load()


@pytest.fixture(scope="module")
def found(stored, library, held_out):
    return dni.inspect(stored, library, corpus=held_out, folds=5, metrics=METRICS, n_bins=128)


def test_equal_to_the_bit_where_memory_uses_the_same_engine(found, loaded, library, held_out):
    labels = library.label(held_out)
    same = dni.inspect(loaded, labels, folds=5, metrics=METRICS, engine="binned", n_bins=128)
    for name in ("score", *METRICS, "baseline"):
        np.testing.assert_array_equal(found[name].values, same[name].values, err_msg=name)
    assert found["kind"].values.tolist() == same["kind"].values.tolist()
    np.testing.assert_allclose(found["share"], same["share"], atol=1e-6)
    assert found.sizes == same.sizes
    for name in ("probe", "seed", "folds", "positions"):
        assert found.attrs[name] == same.attrs[name]
    assert found.attrs["library"].library is library


@pytest.mark.slow
def test_close_to_exact_scores(found, loaded, library, held_out):
    exact = dni.inspect(loaded, library.label(held_out), folds=5, metrics=METRICS)
    binary = found["kind"].values == "binary"
    auc = np.abs(found["auc"] - exact["auc"]).values[:, binary]
    rising = np.abs(exact["auc"].values[:, binary] - 0.5) > 0.03  # a line that knows nothing may fall or rise
    assert np.nanmax(auc[rising]) <= found.attrs["auc_error"]
    accuracy = np.abs(found["accuracy"] - exact["accuracy"]).values[:, binary]
    assert np.quantile(accuracy, 0.995) <= found.attrs["accuracy_error"]  # an estimate: a flat optimum may move far
    assert accuracy.mean() < 0.002
    for name in ("r2", "pearson"):
        np.testing.assert_allclose(found[name].values[:, ~binary], exact[name].values[:, ~binary], atol=1e-4)
    assert found.attrs["r2_error"] < 1e-3


def test_labels_of_every_form_give_the_same(found, stored, library, held_out):
    asked = {"folds": 5, "metrics": METRICS, "n_bins": 128}
    for labels in (library.label(held_out), library.label_lazily(held_out)):
        xr.testing.assert_equal(dni.inspect(stored, labels, **asked), found)


@pytest.mark.slow
def test_batches_give_the_same(found, stored, library, held_out):
    asked = {"folds": 5, "metrics": METRICS, "n_bins": 128, "corpus": held_out}
    xr.testing.assert_equal(dni.inspect(stored, library, **asked, neuron_batch=12, feature_batch=5), found)


def test_a_running_network_is_scored_as_its_record(model, found, library, held_out):
    running = stream(model, held_out, chunk=700)
    again = dni.inspect(running, library, folds=5, metrics=METRICS, n_bins=128)
    for name in ("score", "auc"):
        np.testing.assert_allclose(again[name].values, found[name].values, atol=0.01)


OTHERS = [("ridge", {"alpha": 10.0}), ("svm", {"class_weight": "balanced"})]


@pytest.mark.parametrize(("probe", "options"), slow_after(0, OTHERS, n_arguments=2))
def test_other_probes_and_masks(stored, loaded, library, held_out, probe, options):
    mask = np.random.default_rng(0).random(held_out.n_positions) > 0.2
    labels = replace(library.label(held_out), mask=mask)
    folds = dni.make_folds(held_out.n_positions, k=4, groups=held_out.position_groups, seed=3)
    asked = {"folds": folds, "n_bins": 32, **options}
    labels = labels.of_kind("binary") if "class_weight" in options else labels
    chunked = dni.inspect(stored, labels, probe, **asked)
    whole = dni.inspect(loaded, labels, probe, engine="binned", **asked)
    for name in ("score", "auc", "r2", "baseline"):
        np.testing.assert_array_equal(chunked[name].values, whole[name].values)
    assert chunked.attrs["folds"] == "passed"
    assert chunked.attrs["positions"] == mask.sum()


@pytest.mark.slow
def test_what_follows_takes_a_small_store(stored, found, library, held_out):
    """Functions that need all states read them from the store."""
    labels = library.label(held_out)
    sure = dni.inspection.intervals(found, stored, labels, n_draws=20)
    assert (sure["score_low"] <= sure["score"].mean("fold") + 1e-6).all()
    assert len(dni.top(found, "digit", k=3)) == 3


def test_what_does_not_fit_is_named(stored, loaded, library, held_out, corpus):
    with pytest.raises(ValueError, match="expected corpus="):
        dni.inspect(stored, library)
    with pytest.raises(ValueError, match="got another"):
        dni.inspect(stored, library, corpus=corpus.validation)
    with pytest.raises(ValueError, match="record and label the same corpus"):
        dni.inspect(stored, library.label(corpus.validation))
    with pytest.raises(ValueError, match="got wrong"):
        dni.inspect(stored, library, corpus=held_out, wrong=1)
    with pytest.raises(ValueError, match="Labels, LazyLabels or a FeatureLibrary"):
        dni.inspect(stored, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="only with states that come in chunks"):
        dni.inspect(loaded, library.label(held_out), tolerance=0.1)
    with pytest.raises(ValueError, match="number of folds with a tolerance"):
        dni.inspect(stored, library, folds=np.zeros(3, int), corpus=held_out, tolerance=0.1)


def test_an_error_in_a_label_is_raised_and_ends_the_threads(stored, held_out):
    def fails(string):
        raise RuntimeError("no")

    before = threading.active_count()
    with pytest.raises(ValueError, match="'odd': its function fails"):
        dni.inspect(stored, dni.feature("odd", fails, "binary"), corpus=held_out, folds=5)
    assert threading.active_count() == before


def test_blocks_hold_groups_together_and_rounds_all_folds():
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 400))])
    groups = np.sort(rng.integers(0, 150, 400))
    states = FakeChunks(np.zeros((int(offsets[-1]), 1), np.float32), offsets, groups, chunk=100)
    plan = at_random(states, 4, None, seed=1)
    read = [segment for strings in plan.reads for segment in strings]
    assert sorted(number for first, last in read for number in range(first, last)) == list(range(400))
    for group in np.unique(groups):
        assert len(np.unique(plan.folds[np.repeat(groups, np.diff(offsets)) == group])) == 1
    first = [plan.folds[offsets[start]] for start, _ in cut_blocks(offsets, groups, 10)]
    assert set(first) == {0, 1, 2, 3}
    half = [segment for strings in plan.reads[: len(plan.reads) // 2] for segment in strings]
    positions = np.concatenate([np.arange(offsets[a], offsets[b]) for a, b in half])
    per_fold = np.bincount(plan.folds[positions], minlength=4)
    assert per_fold.min() > 0.6 * per_fold.max()
    with pytest.raises(ValueError, match="next to each other"):
        cut_blocks(offsets, rng.permutation(groups), 10)


def test_a_long_text_is_sampled_all_over():
    offsets = np.arange(0, 3_000_001, 100)
    states = FakeChunks(np.zeros((3_000_000, 1), np.int8), offsets, np.arange(30_000), chunk=65_536)
    sample = sample_strings(states)
    assert 150_000 < sum(offsets[last] - offsets[first] for first, last in sample) < 250_000
    assert sample[0][0] == 0
    assert sample[-1][1] > 28_000
