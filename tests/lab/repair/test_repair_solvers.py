"""The solvers of one class, compared with HiGHS on the whole program, each stage of the crossover disabled in turn."""

import numpy as np
import pytest

from dni_jax.lab.repair import _crossover as crossover
from dni_jax.lab.repair import _interior_point as interior_point
from dni_jax.lab.repair._crossover import solve_interior
from dni_jax.lab.repair._linear_program import (
    InfeasibleError,
    Solution,
    duality_gap,
    objective,
    solve_clarabel,
    solve_highs,
)
from tests.support.slow import slow_after

KINDS = ("normal", "relu", "tied", "lstm", "one of each", "dependent")


def drawn(n_states, n_neurons, kind, seed=0):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n_states, n_neurons))
    if kind == "relu":
        states = np.maximum(states, 0)
    elif kind == "tied":
        states = rng.integers(-1, 2, size=states.shape).astype(float)
    elif kind == "lstm":
        states = np.tanh(2 * states @ rng.normal(size=(n_neurons, n_neurons)) / np.sqrt(n_neurons))
    elif kind == "one of each":
        states = np.eye(n_states, n_neurons)
    elif kind == "dependent":  # of rank 2
        states = rng.normal(size=(n_states, 2)) @ rng.normal(size=(2, n_neurons))
    return states, 3 * rng.normal(size=n_states)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", slow_after(3, [(1, 1), (12, 30), (90, 20), (2, 9), (30, 30)]))
@pytest.mark.parametrize("cost", slow_after(1, [1.5, 0.2, 40.0]))
def test_objectives_are_those_of_highs(size, kind, cost):
    states, wanted = drawn(*size, kind)
    ours, theirs = solve_interior(states, wanted, cost), solve_highs(states, wanted, cost)
    least = objective(states, wanted, cost, theirs.change)
    assert objective(states, wanted, cost, ours.change) == pytest.approx(least, rel=1e-8, abs=1e-12)
    assert duality_gap(states, wanted, cost, ours) <= 1e-8 * least + 1e-12
    assert np.count_nonzero(ours.change) <= min(size)  # a vertex


@pytest.mark.parametrize("disabled", ["square", "square and program", "interior points"])
@pytest.mark.parametrize("kind", ["normal", "tied", "dependent"])
@pytest.mark.parametrize("size", [(8, 25), (60, 12)])
def test_each_stage_of_the_crossover(monkeypatch, size, kind, disabled):
    states, wanted = drawn(*size, kind, seed=3)
    least = objective(states, wanted, 2.0, solve_highs(states, wanted, 2.0).change)
    whole = []
    monkeypatch.setattr(crossover, "solve_highs", lambda *given: whole.append(given) or solve_highs(*given))
    if "square" in disabled:
        monkeypatch.setattr(crossover, "_solve_square", lambda *given: None)
    if "program" in disabled:
        monkeypatch.setattr(crossover, "_solve_restricted", lambda *given: None)
    if "points" in disabled:
        monkeypatch.setattr(crossover, "follow_central_path", lambda *given: None)
    found = solve_interior(states, wanted, 2.0)
    assert objective(states, wanted, 2.0, found.change) == pytest.approx(least, rel=1e-8)
    assert duality_gap(states, wanted, 2.0, found) <= 1e-8 * least
    assert bool(whole) == (disabled != "square")


@pytest.mark.parametrize("solver", [solve_interior, solve_highs])
def test_multipliers_never_prove_too_much(solver):
    """Any multipliers prove a bound, and those of a point that is not optimal leave a gap."""
    states, wanted = drawn(6, 15, "normal")
    best = solver(states, wanted, 1.0)
    least = objective(states, wanted, 1.0, best.change)
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 100.0):
        other = Solution(best.change, scale * rng.normal(size=6))
        assert objective(states, wanted, 1.0, other.change) - duality_gap(states, wanted, 1.0, other) <= least + 1e-9
    worse = Solution(best.change + 0.01, best.multipliers)
    assert duality_gap(states, wanted, 1.0, worse) == pytest.approx(
        objective(states, wanted, 1.0, worse.change) - least, rel=1e-6
    )


@pytest.mark.parametrize("unit", [1e-7, 1e7])
@pytest.mark.parametrize("height", [1e-7, 1e7])
def test_the_solution_scales_with_the_units(unit, height):
    states, wanted = drawn(15, 25, "relu")
    plain = solve_interior(states, wanted, 2.0)
    found = solve_interior(unit * states, height * wanted, 2.0 / unit)
    np.testing.assert_allclose(found.change * unit / height, plain.change, atol=1e-9)


def test_many_states_without_corrections_hold_the_head(monkeypatch):
    """No weight changes and every state without a correction is met: a tie that the square system cannot solve."""
    states, wanted = drawn(400, 20, "lstm")
    wanted[np.arange(400) % 4 > 0] = 0
    monkeypatch.setattr(crossover, "solve_highs", None)
    found = solve_interior(states, np.abs(wanted), 0.5)
    assert not found.change.any()
    assert duality_gap(states, np.abs(wanted), 0.5, found) <= 1e-8 * 0.5 * np.abs(wanted).sum()


@pytest.mark.parametrize(("size", "kind"), [((5, 30), "normal"), ((25, 30), "lstm"), ((10, 40), "relu")])
def test_hard_constraints(monkeypatch, size, kind):
    states, wanted = drawn(*size, kind)
    found, theirs = solve_interior(states, wanted, np.inf), solve_highs(states, wanted, np.inf)
    np.testing.assert_allclose(states @ found.change, wanted, atol=1e-9)
    assert np.abs(found.change).sum() == pytest.approx(np.abs(theirs.change).sum(), rel=1e-9)
    assert duality_gap(states, wanted, np.inf, found) <= 1e-8 * np.abs(found.change).sum()
    monkeypatch.setattr(crossover, "_PENALTY", 1e-3)  # too low to meet any score
    np.testing.assert_allclose(solve_interior(states, wanted, np.inf).change, theirs.change, atol=1e-9)


def test_infeasible_constraints():
    states, wanted = drawn(9, 20, "dependent")
    for solver in (solve_interior, solve_highs):
        with pytest.raises(InfeasibleError):
            solver(states, wanted, np.inf)


def test_newton_systems_of_states_and_of_neurons_agree(monkeypatch):
    """Many states may be solved either way."""
    states, wanted = drawn(60, 10, "normal")
    problem = interior_point.Problem(states / np.abs(states).max(), wanted / np.abs(wanted).max(), 5.0)
    few = interior_point.follow_central_path(problem)
    monkeypatch.setattr(interior_point, "_STATES_PER_NEURON", 100)
    assert few is not None
    np.testing.assert_allclose(few.y, interior_point.follow_central_path(problem).y, atol=1e-6)


def test_clarabel_agrees():
    pytest.importorskip("clarabel")
    states, wanted = drawn(40, 100, "relu")
    ours, theirs = solve_interior(states, wanted, 1.0), solve_clarabel(states, wanted, 1.0)
    assert duality_gap(states, wanted, 1.0, theirs) < 1e-5
    np.testing.assert_allclose(theirs.change, ours.change, atol=1e-5)
