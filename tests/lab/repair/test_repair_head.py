"""The smallest change of a head, compared with brute force, other solvers, its dual, and the paper's own program."""

import itertools
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import dni_jax as dni
from dni_jax.lab.repair import margin_targets, one_hot_targets, repair_head
from tests.support.slow import slow_after

CASES = [(1, 7, 4), (3, 5, 3), (9, 30, 3), (30, 9, 3), (1, 3, 1), (2, 1, 3), (6, 4, 2)]


def drawn(n_states, n_neurons, n_classes, seed=0, kind="normal"):
    rng = np.random.default_rng(seed)
    weights, bias = rng.normal(size=(n_classes, n_neurons)), rng.normal(size=n_classes)
    states = rng.normal(size=(n_states, n_neurons))
    if kind == "relu":
        states = np.maximum(states, 0)
    elif kind == "tied":  # many optima, equal states, columns of zeros
        states = rng.integers(-1, 2, size=states.shape).astype(float)
        states[-1] = states[0]
    elif kind == "zero":
        states[::2] = 0
    return weights, bias, states, rng.normal(size=(n_states, n_classes))


def literal(weights, bias, states, targets, cost):
    """Return the minimum of equation (3): all classes in one program, with inequalities for the absolute values."""
    (n_classes, n_neurons), n_states = weights.shape, len(states)
    n_g, n_e = n_classes * n_neurons, n_states * n_classes
    price = np.concatenate([np.zeros(n_g), np.ones(n_g), np.full(n_e, cost)])  # g, its bound, the errors' bound
    scores = np.kron(states, np.eye(n_classes))  # of g flattened neuron by neuron
    lacking = (targets - bias - states @ weights.T).ravel()
    rows, bounds = [], []
    for sign in (1, -1):
        rows.append(np.hstack([sign * np.eye(n_g), -np.eye(n_g), np.zeros((n_g, n_e))]))
        rows.append(np.hstack([sign * scores, np.zeros((n_e, n_g)), -np.eye(n_e)]))
        bounds += [np.zeros(n_g), sign * lacking]
    return linprog(price, A_ub=np.vstack(rows), b_ub=np.concatenate(bounds), bounds=(None, None)).fun


def value(head, fix, states, targets, cost):
    return np.abs(fix.delta).sum() + cost * np.abs(states @ (head + fix.delta).T + fix.bias - targets).sum()


@pytest.mark.parametrize("kind", ["normal", "relu", "tied", "zero"])
@pytest.mark.parametrize("shape", slow_after(4, CASES))
@pytest.mark.parametrize("cost", slow_after(1, [1.0, 0.3, 20.0]))
def test_objectives_are_those_of_the_literal_program(shape, kind, cost):
    head = drawn(*shape, kind=kind)
    fix = repair_head(*head, cost=cost)
    assert fix.objective == pytest.approx(literal(*head, cost), rel=1e-8, abs=1e-9)
    assert value(head[0], fix, head[2], head[3], cost) == pytest.approx(fix.objective, rel=1e-8)
    assert (np.abs(fix.gap) <= 1e-8 * (1 + fix.objectives)).all()  # proven by the multipliers


@pytest.mark.parametrize("solver", ["interior", "highs", "clarabel"])
@pytest.mark.parametrize("shape", slow_after(4, CASES))
def test_solvers_agree(shape, solver):
    if solver == "clarabel":
        pytest.importorskip("clarabel")
    head = drawn(*shape, seed=1)
    ours, theirs = (repair_head(*head, solver=name) for name in ("auto", solver))
    assert theirs.solver == solver
    np.testing.assert_allclose(theirs.objectives, ours.objectives, rtol=1e-6)
    np.testing.assert_allclose(theirs.weights, ours.weights, atol=1e-5)  # unique for random states
    assert (theirs.gap <= 1e-6 * (1 + theirs.objectives)).all()


def by_brute_force(states, lacking, cost):
    """Return the smallest objective over all vertices: some weights reach some scores exactly, and the rest stay."""
    n_states, n_neurons = states.shape
    best = cost * np.abs(lacking).sum()
    for size in range(1, min(n_states, n_neurons) + 1):
        for columns in itertools.combinations(range(n_neurons), size):
            for rows in itertools.combinations(range(n_states), size):
                square = states[np.ix_(rows, columns)]
                if abs(np.linalg.det(square)) < 1e-9:
                    continue
                g = np.linalg.solve(square, lacking[list(rows)])
                best = min(best, np.abs(g).sum() + cost * np.abs(states[:, columns] @ g - lacking).sum())
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["normal", "tied", "zero"])
def test_objectives_are_those_of_brute_force(seed, kind):
    weights, bias, states, targets = drawn(3, 4, 2, seed, kind)
    fix = repair_head(weights, bias, states, targets, cost=1.7)
    lacking = (targets - bias - states @ weights.T).T
    np.testing.assert_allclose(fix.objectives, [by_brute_force(states, r, 1.7) for r in lacking], rtol=1e-9)


def test_one_state_by_hand():
    weights, bias = np.zeros((2, 3)), np.array([1.0, 0.0])
    state = np.array([[0.5, -0.8, 0.8]])  # equal magnitudes: the first one changes
    fix = repair_head(weights, bias, state, [[1.0, 2.0]], cost=1.26)
    assert fix.delta.tolist() == [[0, 0, 0], [0, -2.5, 0]]
    assert fix.met.all()
    assert fix.corrected.all()
    assert (fix.changed, fix.changed_neurons.tolist(), fix.solver) == (1, [1], "closed form")
    too_cheap = repair_head(weights, bias, state, [[1.0, 2.0]], cost=1.25)
    assert not too_cheap.delta.any()
    assert too_cheap.objective == 2.5
    assert not (too_cheap.met | too_cheap.corrected).any()


def test_the_papers_cost_never_changes_the_head_of_small_states():
    weights, bias, _, targets = drawn(5, 6, 3)
    states = np.random.default_rng(2).uniform(-0.99, 0.99, size=(1, 6))
    assert not repair_head(weights, bias, states, targets[:1], cost=1.0).delta.any()
    fix = repair_head(weights, bias, states, targets[:1])
    assert fix.cost == pytest.approx(2 / np.abs(states).max())
    assert fix.met.all()


def test_default_cost_uses_free_neurons_and_skips_zero_states():
    states = np.array([[0.5, 0.1], [0.0, 0.0], [0.2, 0.4]])
    head = np.zeros((2, 2)), np.zeros(2), states, np.ones((3, 2))
    assert repair_head(*head).cost == pytest.approx(2 / 0.4)
    assert repair_head(*head, neurons=[1]).cost == pytest.approx(2 / 0.1)
    nothing = repair_head(np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2)), np.ones((2, 2)))
    assert not nothing.delta.any()
    assert nothing.objective == 4.0 == nothing.cost * 4


@pytest.mark.parametrize("shape", [(1, 4, 3), (3, 8, 2), (5, 5, 2)])
def test_hard_constraints(shape):
    weights, bias, states, targets = drawn(*shape)
    fix = repair_head(weights, bias, states, targets, hard=True)
    assert fix.hard
    assert fix.met.all()
    np.testing.assert_allclose(states @ fix.weights.T + bias, targets, atol=1e-8)
    soft = repair_head(weights, bias, states, targets, cost=1e6)  # a penalty this high is exact
    np.testing.assert_allclose(fix.weights, soft.weights, atol=1e-7)
    assert (np.abs(fix.gap) <= 1e-8 * (1 + fix.objectives)).all()


@pytest.mark.parametrize("solver", ["auto", "highs", "clarabel"])
def test_infeasible_constraints_names_the_classes(solver):
    if solver == "clarabel":
        pytest.importorskip("clarabel")
    states = np.array([[1.0, 2.0], [1.0, 2.0]])
    targets = [[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]  # class 1 asks for two scores of one state
    with pytest.raises(ValueError, match=r"classes \[1\] and 2 states.*cost="):
        repair_head(np.zeros((3, 2)), np.zeros(3), states, targets, hard=True, solver=solver)
    with pytest.raises(ValueError, match=r"classes \[0, 1\] and 1 states"):
        repair_head(np.zeros((3, 2)), np.zeros(3), np.zeros((1, 2)), [[1.0, 1.0, 0.0]], hard=True, solver=solver)


@pytest.mark.parametrize("n_states", [1, 4])
def test_restricted_neurons(n_states):
    weights, bias, states, targets = drawn(n_states, 10, 3)
    fix = repair_head(weights, bias, states, targets, cost=5.0, neurons=[7, 2])
    table = pd.DataFrame({"neuron": [7, 2], "auc": [0.9, 0.8]}, index=pd.Index([1, 2], name="rank"))
    np.testing.assert_array_equal(repair_head(weights, bias, states, targets, cost=5.0, neurons=table).delta, fix.delta)
    assert set(fix.changed_neurons) <= {2, 7}
    assert fix.neurons.tolist() == [2, 7]
    small = repair_head(
        weights[:, [2, 7]],
        bias,
        states[:, [2, 7]],
        targets - np.delete(states, [2, 7], 1) @ np.delete(weights, [2, 7], 1).T,
        cost=5.0,
    )
    np.testing.assert_allclose(fix.delta[:, [2, 7]], small.delta, atol=1e-9)
    assert fix.objective >= repair_head(weights, bias, states, targets, cost=5.0).objective


def test_correct_scores_stay():
    weights, bias, states, _ = drawn(4, 6, 3)
    scores = (states @ weights.T + bias).astype(np.float32)  # as a network in float32 computes them
    fix = repair_head(weights, bias, states, scores)
    assert fix.changed == 0
    assert fix.met.all()
    assert fix.objective == 0
    raised = margin_targets(scores, [0, 0, 0, 0], margin=0.5)
    fix = repair_head(weights, bias, states, raised, hard=True)
    assert not fix.delta[1:].any()
    assert fix.corrected.all()
    hot = repair_head(weights, bias, states, one_hot_targets([0, 0, 0, 0], 3), hard=True)
    assert np.abs(fix.delta).sum() < np.abs(hot.delta).sum()


@settings(max_examples=6, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.floats(0.01, 100),
    st.floats(0.01, 100),
    st.integers(0, 2**20),
    st.sampled_from(["normal", "tied", "zero"]),
)
def test_scaling(n_states, n_neurons, by, cost, seed, kind):
    """Scaling corrections by b scales the change; scaling states by b, at the cost divided by b, divides it."""
    _, bias, states, targets = drawn(n_states, n_neurons, 2, seed, kind)
    zero = np.zeros((2, n_neurons))
    fix = repair_head(zero, 0 * bias, states, targets, cost=cost)
    larger = repair_head(zero, 0 * bias, states, by * targets, cost=cost)
    assert larger.objective == pytest.approx(by * fix.objective, rel=1e-7)
    stretched = repair_head(zero, 0 * bias, by * states, targets, cost=cost / by)
    assert stretched.objective == pytest.approx(fix.objective / by, rel=1e-7)
    dearer = repair_head(zero, 0 * bias, states, targets, cost=2 * cost)
    assert fix.objective * (1 - 1e-9) <= dearer.objective <= 2 * fix.objective * (1 + 1e-9)
    assert np.abs(dearer.delta).sum() >= np.abs(fix.delta).sum() * (1 - 1e-7) - 1e-9


def test_effect():
    weights, bias, states, targets = drawn(4, 6, 3)
    fix = repair_head(weights, bias, states, targets)
    others, labels = drawn(50, 6, 3, seed=5)[2], np.random.default_rng(0).integers(0, 3, 50)
    before, after = others @ weights.T + bias, others @ (weights + fix.delta).T + bias
    effect = fix.effect(others.astype(np.float32), labels)
    assert effect.states == 50
    assert effect.accuracy_before == np.mean(before.argmax(1) == labels)
    assert effect.accuracy_after == np.mean(after.argmax(1) == labels)
    assert effect.changed_decisions == np.mean(before.argmax(1) != after.argmax(1)) > 0
    assert effect.largest_change == pytest.approx(np.abs(after - before).max(), rel=1e-5)
    assert effect.mean_change == pytest.approx(np.abs(after - before).mean(), rel=1e-5)
    assert np.isnan(fix.effect(others).accuracy_after)
    np.testing.assert_allclose(fix.scores(others), after)
    with pytest.raises(ValueError, match=r"labels of shape \(50,\)"):
        fix.effect(others, labels[:3])
    with pytest.raises(ValueError, match=r"labels from 0 to 2, got 1 to 3"):
        fix.effect(others, labels + 1)


def test_the_head_of_a_network(model, states):
    """An LSTM's weights are the transpose, and `Activations` hold its hidden states."""
    head, bias = np.asarray(model.weights.head).T, model.weights.head_b
    rows = states.hidden[:3]
    wanted = margin_targets(rows @ head.T + np.asarray(bias), [2, 2, 2])
    fix = dni.repair_head(jnp.asarray(head), bias, rows, wanted)
    assert fix.corrected.all()
    assert 0 < fix.changed <= 3
    assert fix.effect(states).states == states.hidden.shape[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.zeros(3)}, r"weights of shape \(C, N\), got \(3,\)"),
        ({"bias": np.zeros(4)}, r"bias of shape \(2,\).*transpose"),
        ({"states": np.zeros((3, 5))}, r"states of shape \(T, 4\)"),
        ({"states": np.zeros((0, 4)), "targets": np.zeros((0, 2))}, "T of at least 1"),
        ({"states": np.full((3, 4), np.nan)}, "finite states"),
        ({"targets": np.zeros((2, 2))}, r"targets of shape \(3, 2\)"),
        ({"targets": np.full((3, 2), np.inf)}, "targets of finite numbers"),
        ({"cost": 0.0}, "cost above 0"),
        ({"cost": float("inf")}, "hard=True"),
        ({"cost": 1.0, "hard": True}, "got both"),
        ({"neurons": [0, 4]}, "different neurons from 0 to 3"),
        ({"neurons": [1, 1]}, "different neurons"),
        ({"neurons": []}, "at least one"),
        ({"neurons": [True, False, True, True]}, "numbers of neurons"),
        ({"solver": "simplex"}, "expected a solver among"),
    ],
)
def test_invalid_arguments(change, message):
    given = {"weights": np.zeros((2, 4)), "bias": np.zeros(2), "states": np.ones((3, 4)), "targets": np.ones((3, 2))}
    with pytest.raises(ValueError, match=message):
        repair_head(**(given | change))


def test_clarabel_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ValueError, match=r"dni-jax\[repair\]"):
        repair_head(np.zeros((2, 4)), np.zeros(2), np.ones((3, 4)), np.ones((3, 2)), solver="clarabel")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: one_hot_targets([0.0, 1.0], 2), "integer labels"),
        (lambda: one_hot_targets([0, 2], 2), "labels from 0 to 1"),
        (lambda: margin_targets(np.zeros((2, 3)), [0, 1], margin=0), "margin above 0"),
        (lambda: margin_targets(np.zeros(3), [0]), r"scores of shape \(T, C\)"),
        (lambda: margin_targets(np.zeros((2, 3)), [0]), r"labels of shape \(2,\)"),
    ],
)
def test_invalid_targets(call, message):
    with pytest.raises(ValueError, match=message):
        call()
