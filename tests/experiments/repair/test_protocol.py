"""Stages of a measurement are computed once, and the comparison of two kinds of adversarials counts pictures."""

import numpy as np
import pytest

from dni_jax.lab.repair import MinimalAttack
from experiments.repair.protocol import EPSILONS, TARGETS, Stages, adversarials, compare_categories, make_targets

INF = np.inf


def attack(sizes, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.3, 0.7, (len(sizes), 3)).astype(np.float32)
    signs = np.sign(rng.normal(size=x.shape)).astype(np.float32)
    return MinimalAttack(x, signs, np.array(sizes, np.float32), EPSILONS, 0.0, 1.0)


def test_a_stage_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"values": np.arange(3)}

    for _ in range(2):
        np.testing.assert_array_equal(Stages(tmp_path, 1)("one", compute)["values"], [0, 1, 2])
    assert calls == [1]
    with pytest.raises(SystemExit, match="of another plan: delete it"):
        Stages(tmp_path, 2)("one", compute)


def test_cross_table_counts_pictures_that_both_classify():
    one, other = attack([0, 0.1, INF, 0.1, INF, INF], 0), attack([0.1, 0.1, 0.1, INF, INF, 0], 1)
    assert compare_categories(lambda x: x, one, other)["cross"].tolist() == [[1, 1], [1, 1]]


def test_adversarials_are_moved_states_of_correct_pictures():
    found = attack([0.1, 0.1, INF, 0], 0)
    head = (np.eye(3), np.zeros(3))
    y = found.inputs.argmax(axis=1)
    before, after, labels = adversarials(lambda x: x, head, found, np.where(np.arange(4) == 1, (y + 1) % 3, y))
    np.testing.assert_array_equal(before, found.inputs[:1].astype(float))
    np.testing.assert_allclose(np.abs(after - before), 0.1, rtol=1e-5)
    assert labels.tolist() == [y[0]]
    wanted = [make_targets(way, before, after, labels, head) for way in TARGETS]
    np.testing.assert_array_equal(wanted[0], before)
    assert wanted[1].sum() == 1
    assert wanted[2].argmax() == y[0]
