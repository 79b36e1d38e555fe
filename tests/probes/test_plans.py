"""Every plan gives the scores of every other; a plan is an argument, so that accelerators' plans run on a CPU."""

import jax
import numpy as np
import pytest

from dni_jax.probes import ProbeSpec, _newton, score_jointly, score_neurons, score_sets
from dni_jax.probes import _bootstrap as bootstrap
from dni_jax.probes import _direct as direct
from dni_jax.probes._plan import SETTLED, Plan, run_plan
from tests.support.probe_problems import METRICS
from tests.support.slow import slow_after

T, K = 240, 4


@pytest.fixture(scope="module")
def problem():
    """Random, informative, rounded, two-valued and constant neurons; common and rare features, and one of one class."""
    rng = np.random.default_rng(0)
    common = rng.random(T) < 0.4
    hidden = np.stack(
        [rng.normal(size=T), rng.normal(size=T) + 2 * common, np.round(2 * rng.normal(size=T)), common, np.ones(T)], 1
    )
    labels = np.stack([common, rng.random(T) < 0.04, np.zeros(T, bool)], axis=1)
    folds = rng.permutation(np.arange(T) % K)
    folds[::17] = -1
    return hidden.astype(np.float32), labels, folds


LONG = pytest.mark.slow  # most of their time is compiling


@pytest.mark.parametrize(
    ("probe", "engine", "plan"),
    slow_after(2, [("svm", "exact", "gpu"), ("ridge", "binned", "gpu"), ("ridge", "exact", "tpu")], 3),
)
def test_plans_agree(problem, probe, engine, plan):
    """A solver of either kind, either word and either engine, in the shapes of `probe_problems`."""
    hidden, labels, _ = problem
    folds = np.random.default_rng(1).permutation(np.arange(T) % K).astype(np.int32)
    _check_plans((hidden[:, [1, 2, 4]], labels, folds), probe, engine, plan)


@LONG
@pytest.mark.parametrize("probe", ["svm", "ridge", "linear_svc", "logistic"])
@pytest.mark.parametrize(("engine", "plan"), [("exact", "gpu"), ("exact", "tpu"), ("binned", "gpu")])
def test_plans_agree_on_every_kind_of_neuron(problem, probe, engine, plan):
    _check_plans(problem, probe, engine, plan)


def _check_plans(arrays, probe, engine, plan):
    cpu, other = (
        score_neurons(*arrays, probe=ProbeSpec(probe, METRICS, engine=engine, n_bins=32, plan=one))
        for one in ("cpu", plan)
    )
    for name in METRICS:
        np.testing.assert_allclose(other[name], cpu[name], atol=1e-12, err_msg=name)
    for name, line in cpu.lines.items():
        np.testing.assert_allclose(other.lines[name], line, rtol=1e-5, atol=1e-9, err_msg=name)


@LONG
def test_balanced_classes_and_batches_agree(problem):
    spec = ProbeSpec("svm", ("accuracy", "auc"), class_weight="balanced")
    cpu = score_neurons(*problem, probe=spec)
    settings = {"metrics": spec.metrics, "class_weight": "balanced", "neuron_batch": 2, "feature_batch": 2}
    batched = score_neurons(*problem, probe="svm", plan="gpu", **settings)
    for name in spec.names:
        np.testing.assert_allclose(batched[name], cpu[name], atol=1e-12)


@pytest.mark.parametrize("engine", ["exact", "binned"])
def test_continuous_labels_agree(problem, engine):
    hidden, labels, folds = problem
    values = np.concatenate([labels[:, :2] + hidden[:, :2], np.ones((T, 1))], axis=1)
    cpu, gpu = (score_neurons(hidden, values, folds, probe="ols", engine=engine, plan=plan) for plan in ("cpu", "gpu"))
    for name in ("r2", "pearson"):
        np.testing.assert_allclose(gpu[name], cpu[name], rtol=1e-9, atol=1e-9)


@LONG
def test_fits_that_need_more_steps_are_solved_again(problem, monkeypatch):
    cpu = score_neurons(*problem, probe="linear_svc", metrics=("accuracy",), plan="cpu")
    monkeypatch.setattr(_newton, "_FIXED_STEPS", 1)
    jax.clear_caches()
    hasty = score_neurons(*problem, probe="linear_svc", metrics=("accuracy",), plan="gpu")
    monkeypatch.undo()
    jax.clear_caches()
    for name, line in cpu.lines.items():
        np.testing.assert_allclose(hasty.lines[name], line, rtol=1e-9, atol=1e-9)


def test_ranks_agree(problem):
    hidden, _, _ = problem
    strata = np.arange(T, dtype=np.int32) % 4
    with jax.enable_x64(True):
        cpu, *others = (np.asarray(direct._ranked(hidden, strata, 4, platform).x) for platform in ("cpu", "gpu", "tpu"))
    for other in others:
        np.testing.assert_array_equal(other, cpu)


def test_a_batch_that_does_not_fit_is_halved_once():
    asked = []

    def run(plan, neurons):
        asked.append(plan.neuron_batch)
        if plan.neuron_batch > limit:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return {"auc": np.zeros(5), SETTLED: np.ones((5, 1))}

    limit = 32
    assert list(run_plan(run, Plan("gpu", 64, 1))) == ["auc"]
    limit, asked = 8, []
    with pytest.raises(ValueError, match=r"expected 64 neurons, or half as many, .* try a smaller neuron_batch"):
        run_plan(run, Plan("gpu", 64, 1))
    assert asked == [64, 32]


def test_what_a_platform_lacks_is_said_before_compiling(problem):
    hidden, labels, folds = problem
    with pytest.raises(ValueError, match="expected float32 states on a TPU"):
        score_neurons(hidden.astype(np.float64), labels, folds, plan="tpu")
    with pytest.raises(ValueError, match="expected plan to be one of auto, cpu, gpu, tpu, got 'cuda'"):
        score_neurons(hidden, labels, folds, plan="cuda")


@pytest.mark.parametrize("probe", slow_after(1, ["ridge", "logistic"]))
def test_joint_probes_agree(problem, probe):
    hidden, labels, folds = problem
    cpu, gpu = (
        score_jointly(hidden, labels[:, :2], folds, probe=probe, metrics=("accuracy", "auc"), plan=plan)
        for plan in ("cpu", "gpu")
    )
    for name in ("accuracy", "auc"):
        np.testing.assert_allclose(gpu[name], cpu[name], atol=1e-12)


@pytest.mark.parametrize("probe", slow_after(1, ["ridge", "logistic"]))
def test_probes_on_sets_agree(problem, probe):
    hidden, labels, folds = problem
    sets, lags = [[0, 1], [1, 1], [2, 3]], [[0, 0], [0, 1], [0, 0]]
    folds = np.where(np.arange(T) == 0, -1, folds)
    cpu, gpu = (
        score_sets(hidden, labels[:, :2], folds, sets, lags, probe=probe, metrics=("accuracy", "auc"), plan=plan)
        for plan in ("cpu", "gpu")
    )
    for name in ("accuracy", "auc"):
        np.testing.assert_allclose(gpu[name], cpu[name], atol=1e-12)


def test_bootstrap_draws_agree(problem):
    hidden, labels, _ = problem
    weights = bootstrap.string_weights(30, 4, seed=0)
    arrays = hidden, labels.astype(np.float32), (np.arange(T) % 30).astype(np.int32), weights
    with jax.enable_x64(True):
        cpu, *others = (np.asarray(bootstrap._draws(*arrays, platform)) for platform in ("cpu", "gpu", "tpu"))
    for other in others:
        np.testing.assert_allclose(other, cpu, atol=1e-12)


def test_sums_over_strings_agree(problem):
    hidden, labels, folds = problem
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, hidden.shape[1], K)), rng.normal(size=(3, hidden.shape[1], K))
    groups = (np.arange(T) % 30).astype(np.int32)
    arrays = hidden, labels.T.astype(float), np.maximum(folds, 0), groups, weight, bias
    with jax.enable_x64(True):
        cpu, gpu = (np.asarray(bootstrap._group_sums(*arrays, 30, True, platform)) for platform in ("cpu", "gpu"))
    np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.slow
def test_a_tpu_leaves_logistic_regression_to_its_host(problem):
    hidden, labels, folds = problem
    cpu, tpu = (
        score_neurons(hidden.astype(np.float64), labels, folds, probe="logistic", metrics=("auc",), plan=plan)
        for plan in ("cpu", "tpu")
    )
    np.testing.assert_array_equal(tpu["auc"], cpu["auc"])
    with pytest.raises(ValueError, match="expected float32 states on a TPU"):
        score_neurons(hidden.astype(np.float64), labels, folds, probe="svm", plan="tpu")
