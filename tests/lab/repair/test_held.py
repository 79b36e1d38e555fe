"""Repairs that hold decisions: the constraint is kept, the corrections are made, the optimum is proven."""

import numpy as np
import pytest

from dni_jax.lab.repair import clean_targets, repair_and_hold, repair_head

RNG = np.random.default_rng(0)
HELD = RNG.normal(size=(200, 8))
WEIGHTS, BIAS = RNG.normal(size=(3, 8)), RNG.normal(size=3)
SCORES = HELD @ WEIGHTS.T + BIAS
LABELS = SCORES.argmax(axis=1)
MISSED = RNG.random(200) < 0.1
TRUTH = np.where(MISSED, (LABELS + 1) % 3, LABELS)
STATES = HELD[:4] + RNG.normal(size=(4, 8))
TARGETS = clean_targets(SCORES[:4], LABELS[:4])


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1])
def test_accuracy_falls_by_no_more_than_the_tolerance(tolerance):
    found = repair_and_hold(WEIGHTS, BIAS, STATES, TARGETS, HELD, TRUTH, tolerance=tolerance, cost=20.0)
    after = np.mean((HELD @ found.fix.weights.T + BIAS).argmax(axis=1) == TRUTH)
    assert found.accuracy_before == np.mean(~MISSED)
    assert found.accuracy_after == after >= found.accuracy_before - tolerance
    free = repair_head(WEIGHTS, BIAS, STATES, TARGETS, cost=20.0)
    assert found.fix.objective >= free.objective - 1e-9
    assert (found.fix.gap <= 1e-6 * found.fix.objective).all()


def test_without_anything_to_hold_it_is_the_repair_of_a_head():
    found = repair_and_hold(WEIGHTS, BIAS, STATES, TARGETS, HELD, TRUTH, tolerance=1.0, cost=20.0)
    free = repair_head(WEIGHTS, BIAS, STATES, TARGETS, cost=20.0)
    np.testing.assert_allclose(found.fix.objectives, free.objectives, rtol=1e-8)
    assert found.rounds == 1
    assert not found.constraints.any()


def test_constraints_cost_something_and_the_rest_stays():
    strict = repair_and_hold(WEIGHTS, BIAS, STATES, TARGETS, HELD, TRUTH, tolerance=0.0, cost=20.0, neurons=[0, 2, 5])
    assert set(strict.fix.changed_neurons) <= {0, 2, 5}
    assert strict.constraints.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": -0.1}, "tolerance of 0 or more"),
        ({"cost": 0.0}, "finite cost above 0"),
        ({"labels": TRUTH[:3]}, r"labels of shape \(200,\)"),
        ({"labels": TRUTH + 1}, "labels from 0 to 2"),
        ({"held": HELD[:, :3]}, r"states of shape \(T, 8\)"),
        ({"held": HELD * np.nan}, "finite states"),
        ({"targets": TARGETS[:2]}, "one row per state"),
    ],
)
def test_invalid_arguments(change, message):
    given = {"weights": WEIGHTS, "bias": BIAS, "states": STATES, "targets": TARGETS, "held": HELD, "labels": TRUTH}
    with pytest.raises(ValueError, match=message):
        repair_and_hold(**(given | change))


def test_clean_targets_are_the_scores_of_correct_originals():
    np.testing.assert_array_equal(clean_targets(SCORES, LABELS), SCORES)
    with pytest.raises(ValueError, match=f"got {MISSED.sum()} of 200 that are not"):
        clean_targets(SCORES, TRUTH)
    with pytest.raises(ValueError, match="finite scores"):
        clean_targets(SCORES * np.nan, LABELS)
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        clean_targets(SCORES, LABELS + 3)
