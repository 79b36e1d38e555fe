"""The solvers of one class: against HiGHS on the whole program, with each way to the vertex shut in turn."""

import numpy as np
import pytest

from dni_jax.lab.repair import _interior as interior
from dni_jax.lab.repair import _vertices as vertices
from dni_jax.lab.repair._programs import InfeasibleError, Solved, by_clarabel, by_highs, gap_of, objective_of
from dni_jax.lab.repair._vertices import by_interior

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
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (12, 30), (30, 30), (90, 20)])
@pytest.mark.parametrize("cost", [0.2, 1.5, 40.0])
def test_as_good_as_highs(size, kind, cost):
    states, wanted = drawn(*size, kind)
    ours, theirs = by_interior(states, wanted, cost), by_highs(states, wanted, cost)
    least = objective_of(states, wanted, cost, theirs.change)
    assert objective_of(states, wanted, cost, ours.change) == pytest.approx(least, rel=1e-8, abs=1e-12)
    assert gap_of(states, wanted, cost, ours) <= 1e-8 * least + 1e-12
    assert np.count_nonzero(ours.change) <= min(size)  # a vertex


@pytest.mark.parametrize("shut", ["square", "square and program", "interior points"])
@pytest.mark.parametrize("kind", ["normal", "tied", "dependent"])
@pytest.mark.parametrize("size", [(8, 25), (60, 12)])
def test_each_way_to_the_vertex(monkeypatch, size, kind, shut):
    states, wanted = drawn(*size, kind, seed=3)
    least = objective_of(states, wanted, 2.0, by_highs(states, wanted, 2.0).change)
    whole = []
    monkeypatch.setattr(vertices, "by_highs", lambda *given: whole.append(given) or by_highs(*given))
    if "square" in shut:
        monkeypatch.setattr(vertices, "_by_square", lambda *given: None)
    if "program" in shut:
        monkeypatch.setattr(vertices, "_by_program", lambda *given: None)
    if "points" in shut:
        monkeypatch.setattr(vertices, "approach", lambda *given: None)
    found = by_interior(states, wanted, 2.0)
    assert objective_of(states, wanted, 2.0, found.change) == pytest.approx(least, rel=1e-8)
    assert gap_of(states, wanted, 2.0, found) <= 1e-8 * least
    assert bool(whole) == (shut != "square")


@pytest.mark.parametrize("solver", [by_interior, by_highs])
def test_nothing_is_proven_that_is_not_so(solver):
    """The proof holds for any multipliers; those of a point that is not the best one leave a gap."""
    states, wanted = drawn(6, 15, "normal")
    best = solver(states, wanted, 1.0)
    least = objective_of(states, wanted, 1.0, best.change)
    rng = np.random.default_rng(0)
    for scale in (0.01, 1.0, 100.0):
        other = Solved(best.change, scale * rng.normal(size=6))
        assert objective_of(states, wanted, 1.0, other.change) - gap_of(states, wanted, 1.0, other) <= least + 1e-9
    worse = Solved(best.change + 0.01, best.multipliers)
    assert gap_of(states, wanted, 1.0, worse) == pytest.approx(
        objective_of(states, wanted, 1.0, worse.change) - least, rel=1e-6
    )


@pytest.mark.parametrize("unit", [1e-7, 1e7])
@pytest.mark.parametrize("height", [1e-7, 1e7])
def test_units_do_not_matter(unit, height):
    states, wanted = drawn(15, 25, "relu")
    plain = by_interior(states, wanted, 2.0)
    found = by_interior(unit * states, height * wanted, 2.0 / unit)
    np.testing.assert_allclose(found.change * unit / height, plain.change, atol=1e-9)


def test_many_states_that_lack_nothing_hold_the_head(monkeypatch):
    """No weight changes, and every state that lacks nothing is met: a tie that no square system tells."""
    states, wanted = drawn(400, 20, "lstm")
    wanted[np.arange(400) % 4 > 0] = 0
    monkeypatch.setattr(vertices, "by_highs", None)
    found = by_interior(states, np.abs(wanted), 0.5)
    assert not found.change.any()
    assert gap_of(states, np.abs(wanted), 0.5, found) <= 1e-8 * 0.5 * np.abs(wanted).sum()


@pytest.mark.parametrize(("size", "kind"), [((5, 30), "normal"), ((25, 30), "lstm"), ((10, 40), "relu")])
def test_demanded_scores(monkeypatch, size, kind):
    states, wanted = drawn(*size, kind)
    found, theirs = by_interior(states, wanted, np.inf), by_highs(states, wanted, np.inf)
    np.testing.assert_allclose(states @ found.change, wanted, atol=1e-9)
    assert np.abs(found.change).sum() == pytest.approx(np.abs(theirs.change).sum(), rel=1e-9)
    assert gap_of(states, wanted, np.inf, found) <= 1e-8 * np.abs(found.change).sum()
    monkeypatch.setattr(vertices, "_PENALTY", 1e-3)  # too low to meet anything
    np.testing.assert_allclose(by_interior(states, wanted, np.inf).change, theirs.change, atol=1e-9)


def test_demands_that_cannot_be_met():
    states, wanted = drawn(9, 20, "dependent")
    for solver in (by_interior, by_highs):
        with pytest.raises(InfeasibleError):
            solver(states, wanted, np.inf)


def test_interior_points_go_by_states_or_by_neurons(monkeypatch):
    """The two systems are the same one: many states may be taken either way."""
    states, wanted = drawn(60, 10, "normal")
    problem = interior.Problem(states / np.abs(states).max(), wanted / np.abs(wanted).max(), 5.0)
    few = interior.approach(problem)
    monkeypatch.setattr(interior, "_MANY", 100)
    assert few is not None
    np.testing.assert_allclose(few.y, interior.approach(problem).y, atol=1e-6)


def test_clarabel_as_well():
    pytest.importorskip("clarabel")
    states, wanted = drawn(40, 100, "relu")
    ours, theirs = by_interior(states, wanted, 1.0), by_clarabel(states, wanted, 1.0)
    assert gap_of(states, wanted, 1.0, theirs) < 1e-5
    np.testing.assert_allclose(theirs.change, ours.change, atol=1e-5)
