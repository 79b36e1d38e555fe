"""Stages of a measurement are computed once, each image has one part in it, and the tables count images."""

from dataclasses import replace

import numpy as np
import pytest

from dni_jax.lab.repair import MinimalAttack, fit_hybrid
from experiments._shared.images import Images
from experiments.repair.protocol import (
    PLANS,
    TARGETS,
    Stages,
    adversarials,
    compare_categories,
    draw,
    judge_claims,
    main,
    make_targets,
    measure_clean,
    measure_matrix,
    split,
)

EPSILONS = PLANS["mnist"].epsilons
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


def test_no_picture_has_two_parts():
    x, y = np.arange(30, dtype=np.float32), np.arange(30)
    images = Images(x[:20], y[:20], x[20:], y[20:])
    plan = replace(PLANS["mnist"], learned=12, tested=6, pool=5, held=7)
    used, others = split(images, plan)
    parts = used.x_train, used.x_test, others["pool"][0], others["held"][0]
    assert [len(part) for part in parts] == [12, 6, 5, 7]
    assert len(np.unique(np.concatenate(parts))) == 30
    np.testing.assert_array_equal(others["pool"][0], [12, 13, 14, 15, 16])
    with pytest.raises(SystemExit, match="expected 12 training images, 6 test images and 13 others"):
        split(images, replace(plan, pool=6))


def test_the_matrix_is_the_accuracy_on_each_replaced_set():
    one = attack([0, 0.04, 0.11, INF], 0)
    heads = [(np.eye(3), np.zeros(3)), (np.roll(np.eye(3), 1, axis=0), np.zeros(3))]
    y = np.where(np.arange(4) > 0, one.inputs.argmax(axis=1), (one.inputs.argmax(axis=1) + 1) % 3)
    found = measure_matrix(lambda x: x, lambda x: x, heads, {"NN": one}, one.inputs, y)
    for epsilon in EPSILONS:
        moved = one.inputs_at(epsilon)
        wanted = [np.mean((moved @ weights.T).argmax(axis=1) == y) for weights in (np.eye(3), heads[0][0], heads[1][0])]
        np.testing.assert_array_equal(found[f"NADV {epsilon}"], wanted)
    np.testing.assert_array_equal(found["Data"][:2], [0.75, 0.75])


def test_machines_are_judged_on_the_states_that_the_network_reads():
    states = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = states.argmax(axis=1)
    machine = fit_hybrid(None, states, y)
    found = measure_clean(lambda x: x / 2, lambda x: -x, {"LH": machine}, 2 * states, y)
    assert found["NN"] == 0
    assert found["LH"] == machine.accuracy(states, y) > 0.9


def results(lh, fixed):
    sets = ["Data", *(f"{kind} {e}" for kind in ("NADV", "HADV", "RHADV") for e in EPSILONS)]
    rows = [(0, 1, fixed, 0.9, 0.4, 1, 10, fixed - 0.1, fixed + 0.1), (1, 1, 0.3, 0.9, 0.4, 1, 10, 0.2, 0.4)]
    return {
        "matrix": {key: np.array([0.97, lh, 0.95]) for key in sets},
        "classifiers": ["NN", "LH", "RLH"],
        "repairs": {"table": np.array([*rows, (2, 1, 0.1, 0.9, 0.4, 1, 10, 0.1, 0.1)])},
        "clean": {"NN": 0.97, "LH": lh, "KH": 0.985},
    }


def test_a_claim_is_reproduced_if_it_holds_on_every_network():
    found = [results(0.98, 0.35), results(0.99, 0.15)]
    rows = judge_claims(found, PLANS["mnist"])
    assert [row[-1] for row in rows] == ["reproduced", "on 1 of 2 networks", "reproduced", "on 1 of 2 networks"]
    assert rows[3][2] == "0.250 (0.150-0.350); single ones 0.050 to 0.450"
    assert judge_claims(found[:1], PLANS["mnist"])[3][-1] == "reproduced"
    fewer = judge_claims(found, replace(PLANS["mnist"], learned=6_000))
    assert fewer[0][-1] == "open: machines of 6,000, not 50,000"
    assert fewer[3] == rows[3]


@pytest.mark.slow
def test_the_figure_is_drawn(tmp_path):
    draw([(PLANS["mnist"], [results(0.98, 0.35)])], tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_cifar_needs_a_trained_network(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["protocol", "--part", "cifar"])
    with pytest.raises(SystemExit):
        main()
    assert "train one with python -m experiments.repair.train_cifar" in capsys.readouterr().err
