"""What the claims are compared with: overlaps by hand and by simulation, random sets, and what is kept on disk."""

import numpy as np
import pytest

import dni_jax as dni
from experiments._shared.networks import Case, kept
from experiments.inspection._claims import (
    Effort,
    Row,
    against,
    count,
    expected_distinct,
    neurons_removed,
    overlap,
    rank_correlation,
    set_to_one,
)


def test_overlap_of_rankings_by_hand():
    orders = np.asarray([[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]])
    assert overlap(orders, 1) == (0.0, 0.25, 1.0)
    shared, chance, p = overlap(orders, 2)
    assert (shared, chance) == (pytest.approx(2 / 3), 1.0)
    assert p == pytest.approx(3 * 1 / 6)  # one pair of six has both; three pairs of features were looked at


def test_overlap_of_random_rankings_is_chances():
    rng = np.random.default_rng(0)
    found = [overlap(np.stack([rng.permutation(40) for _ in range(3)]), 10) for _ in range(400)]
    shared, chance, p = np.asarray(found).T
    assert shared.mean() == pytest.approx(chance[0], abs=0.1)
    assert (p <= 0.05).mean() < 0.07


def test_rank_correlation_and_distinct_draws():
    scores = np.asarray([[1.0, 9.0, 0.0], [2.0, 5.0, 0.0], [3.0, 1.0, 0.0]])
    assert rank_correlation(scores) == pytest.approx(-1.0)  # the third column is constant
    draws = np.random.default_rng(0).integers(0, 12, (20_000, 5))
    assert expected_distinct(12, 5) == pytest.approx(np.mean([len(set(row)) for row in draws.tolist()]), abs=0.02)


def test_a_value_is_one_of_its_random_sets():
    random = np.asarray([0.1, 0.2, 0.3])
    assert against("g", "", 0.25, random, 0.0).p == pytest.approx(2 / 4)
    assert against("i", "", 0.25, random, 0.0, -1.0).p == pytest.approx(3 / 4)
    assert count(["1+1\n", "2"], "\n", ["digit", "symbol:+"]) == {"digit": 0.75, "symbol:+": 0.25}


def test_measurements_are_made_once(tmp_path):
    row = Row("g", "share", 0.5, 0.25, intact=0.125)
    first = kept(tmp_path / "sub" / "rows.json", lambda: [row._asdict()])
    again = kept(tmp_path / "sub" / "rows.json", lambda: pytest.fail("measured twice"))
    assert Row(**first[0])[:4] == row[:4]
    assert str(first) == str(again)


@pytest.mark.slow
def test_the_claims_of_a_small_network(parentheses, model, held_out):
    case = Case(parentheses, model, held_out, held_out.take(np.arange(40)))
    effort = Effort(random_sets=3, texts=2, length=30)
    written, removed = set_to_one(case, 0, effort), neurons_removed(case, 0, effort)
    assert {row.claim for row in written} == {"g"}
    assert len(written) == 3 * 2 * 2
    intact = count(dni.generate(model, 2, 30), model.vocabulary.boundary_text, ["digit"])["digit"]
    assert {row.intact for row in written} == {intact}
    whats = [row.what for row in removed]
    assert len(set(whats)) == len(whats) == 3 * 3 * 9 + 2 * 2 * 3
    where = {row.what: row for row in removed}["class accuracy where a digit comes, without top 5 of digit, recurrent"]
    labels = parentheses.features().select(["digit"]).label(held_out)
    relevance = dni.inspect(dni.record(model, held_out), labels, seed=0, folds=10)
    effect = dni.verify(model, case.verified, relevance, "digit", ks=(5,), n_random=3, by="auc").sel(k=5)
    assert where.value == pytest.approx(float(effect["top"].sel(measure="accuracy_on")))
