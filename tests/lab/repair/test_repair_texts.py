"""Repairing a network from its own texts: violations, requirements, the change of the head, and the outcome."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dni_jax as dni
from dni_jax.features import Violation
from dni_jax.lab.repair import NoViolationError, prefix_states, preserved_states, repair_table, violating_symbols
from dni_jax.lab.repair import _text_repair as text_repair
from dni_jax.lab.repair._generated import (
    GeneratedStrings,
    count_by_text,
    first_violations,
    generate_strings,
    initial_state,
    outcome_table,
)
from dni_jax.lab.repair._linear_program import solve_one_sided
from dni_jax.lab.repair._requirements import cap_probability, head_probabilities
from dni_jax.models._trained import TrainedModel
from tests.support.slow import slow_after

N, LENGTH, CLEAN = 120, 60, 150
BEGINNING = re.compile(r"0*(\(1*(\(2*(\(3*(\(4*(\)3*(\)2*(\)1*(\))?)?)?)?)?)?)?)?")
WHOLE = re.compile(r"0*\(1*\(2*\(3*\(4*\)3*\)2*\)1*\)")


@pytest.fixture(scope="module")
def violation(parentheses):
    return parentheses.violations()


@pytest.fixture(scope="module")
def fix(model, corpus, violation):
    return dni.lab.repair.repair(model, corpus, violation, N, LENGTH, n_clean=CLEAN)


@pytest.fixture(scope="module")
def few(model, corpus, violation):
    return dni.lab.repair.repair(
        model, corpus, violation, N, LENGTH, n_clean=CLEAN, neurons=[3, 9, 20], n_examples=8, n_random=2
    )


def first_violation_by_hand(text):
    """Yield each string of a text, and the place of its first violation, by regular expressions."""
    strings = text.split("\n")
    for number, string in enumerate(strings):
        ends = number < len(strings) - 1
        places = [n for n in range(len(string)) if not BEGINNING.fullmatch(string[: n + 1])]
        yield string, ends, places[0] if places else len(string) if ends and not WHOLE.fullmatch(string) else None


def test_violations_are_those_found_by_regular_expressions(model, violation):
    generated = generate_strings(model, N, LENGTH, seed=5)
    by_hand = [
        found
        for text in dni.generate(model, N, LENGTH, seed=5)
        for found in first_violation_by_hand(text)
        if found[0] or found[1]
    ]
    assert generated.strings == tuple(string for string, *_ in by_hand)
    assert generated.ended.tolist() == [ends for _, ends, _ in by_hand]
    place = first_violations(violation, generated)
    assert place.tolist() == [-1 if wrong is None else wrong for *_, wrong in by_hand]
    assert 20 < (place >= 0).sum() < len(place)
    counts = count_by_text(generated, place, N)
    assert counts.strings.sum() == len(by_hand)
    expected = sum(len(s) + ends if wrong is None else wrong + 1 for s, ends, wrong in by_hand)
    assert counts.symbols.sum() == expected


def test_a_repair_leaves_fewer_violations(fix, model):
    found = fix.outcomes
    assert found.loc["after", "per_1000"] < 0.3 * found.loc["before", "per_1000"]
    assert found.loc["change", "per_1000_high"] < 0
    assert found.loc["after", "strings"] < 0.3 * found.loc["before", "strings"]
    assert (found["per_1000_low"] <= found["per_1000"]).all()
    assert (found["per_1000"] <= found["per_1000_high"]).all()
    by_hand = [one for text in dni.generate(fix.model, N, LENGTH, seed=1) for one in first_violation_by_hand(text)]
    assert found.loc["after", "violations"] == sum(wrong is not None for *_, wrong in by_hand)
    assert "per_1000" in fix._repr_html_()
    assert f"{len(fix.weights)} of {model.weights.head.size} weights" in repr(fix)


@pytest.mark.slow
def test_only_violating_symbols_of_chosen_neurons_change(few, model, violation):
    old, new = model.weights, few.model.weights
    for name in ("wx", "wh", "b"):
        np.testing.assert_array_equal(getattr(old.layers[0], name), getattr(new.layers[0], name))
    np.testing.assert_array_equal(old.head_b, new.head_b)
    changed = np.asarray(new.head) != np.asarray(old.head)
    assert set(np.flatnonzero(changed.any(axis=1))) <= {3, 9, 20}
    wrong = violating_symbols(violation, few.examples["prefix"].tolist(), model.vocabulary)
    assert set(np.flatnonzero(changed.any(axis=0))) <= set(np.flatnonzero(wrong.any(axis=0)))
    assert len(few.weights) == changed.sum() > 0
    assert few.size == pytest.approx(np.abs(np.asarray(new.head) - np.asarray(old.head)).sum(), rel=1e-5)
    assert few.by_neuron["share"].sum() == pytest.approx(1)
    assert few.by_neuron["changed"].sum() == len(few.weights)


def test_one_example_reaches_the_target_probability(model, corpus, violation):
    settings = {"n_examples": 1, "n_clean": 1, "preserve_cost": 0, "cost": 1e5, "target_probability": 1e-3}
    one = dni.lab.repair.repair(model, corpus, violation, 20, 40, **settings)
    (example,) = one.examples.itertuples()
    assert example.wrong_before > 1e-3 > 0.99 * example.wrong_after
    state = prefix_states(model, [example.prefix])
    wrong = violating_symbols(violation, [example.prefix], model.vocabulary)[0]
    chances = [head_probabilities(network, state)[0] for network in (model, one.model)]
    np.testing.assert_allclose([chance[wrong].sum() for chance in chances], example[-2:], rtol=1e-6)
    right = [chance[~wrong] / chance[~wrong].sum() for chance in chances]
    np.testing.assert_allclose(right[1], right[0], rtol=1e-4)


def test_prefix_states_are_those_that_symbols_are_sampled_from(model):
    strings = ["", "(", "0(1", "0(1"]
    states = prefix_states(model, strings)
    np.testing.assert_array_equal(states[2], states[3])
    np.testing.assert_array_equal(states[0], initial_state(model))
    generated = generate_strings(model, N, LENGTH, seed=5)
    first = [string[:1] or model.vocabulary.boundary_text for string in generated.strings]
    share = np.asarray([first.count(symbol) for symbol in model.vocabulary.symbols]) / len(first)
    np.testing.assert_allclose(share, head_probabilities(model, states[:1])[0], atol=0.08)


def test_violating_symbols_by_regular_expressions(model, violation):
    prefixes = ["", "0", "0(1", "((((4", "(((())))"]
    found = violating_symbols(violation, prefixes, model.vocabulary)
    expected = [
        [not WHOLE.fullmatch(prefix), *(not BEGINNING.fullmatch(prefix + c) for c in model.vocabulary.characters)]
        for prefix in prefixes
    ]
    assert found.tolist() == expected
    plain = dni.feature("2", lambda s: [c == "2" for c in s])
    twos = violating_symbols(plain, prefixes, model.vocabulary)
    assert twos.tolist() == [[symbol == "2" for symbol in model.vocabulary.symbols]] * len(prefixes)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_repair(few, model, corpus, violation):
    again = dni.lab.repair.repair(
        model, corpus, violation, N, LENGTH, n_clean=CLEAN, neurons=[20, 3, 9], n_examples=8, n_random=2
    )
    np.testing.assert_array_equal(again.model.weights.head, few.model.weights.head)
    assert again.outcomes.equals(few.outcomes)
    assert again.random.equals(few.random)


def test_random_sets_are_compared_with_the_chosen_one(few):
    assert [len(set(chosen)) for chosen in few.random["neurons"]] == [3, 3]
    assert few.p.between(1 / 3, 1).all()
    row = few.row()
    assert row["random_loss"] == few.random["loss"].median()
    assert row["neurons"] == 3


def test_a_repaired_network_can_be_saved_and_loaded(fix, held_out, tmp_path):
    fix.model.save(tmp_path / "repaired")
    again = dni.load(tmp_path / "repaired")
    assert dni.generate(again, 2, 20) == dni.generate(fix.model, 2, 20)
    states = [dni.record(network, held_out).hidden for network in (again, fix.model)]
    np.testing.assert_array_equal(*states)
    assert again.config == fix.model.config
    assert again.validation_loss == fix.model.validation_loss


def test_neurons_may_come_from_a_ranking(model, corpus):
    table = pd.DataFrame({"rank": [1, 2], "neuron": [17, 4], "score": [0.9, 0.8]})  # as dni.top returns it
    found = dni.lab.repair.repair(model, corpus, dni.char_feature("4", "4".__eq__), 20, 40, n_clean=20, neurons=table)
    assert found.neurons.tolist() == [4, 17]
    assert set(found.weights["symbol"]) == {"4"}


def test_the_head_reads_the_top_layer(corpus):
    stack = TrainedModel.init(corpus.vocabulary, dni.models.TrainConfig(hidden=6, layers=2, cell="gru"))
    assert text_repair._free_neurons(stack, [11, 7]).tolist() == [1, 5]
    assert text_repair._free_neurons(stack, None).tolist() == list(range(6))
    with pytest.raises(ValueError, match="expected neurons 6 to 11, which the head reads, got 5 to 7"):
        text_repair._free_neurons(stack, [5, 7])


@pytest.mark.slow
def test_a_stack_changes_its_top_layer(corpus, violation):
    stack = TrainedModel.init(corpus.vocabulary, dni.models.TrainConfig(hidden=6, layers=2, cell="gru"))
    found = dni.lab.repair.repair(
        stack, corpus, violation, 20, 40, n_clean=20, neurons=[7, 11], target_probability=0.01
    )
    assert "untrained" in repr(found.model)
    assert set(found.weights["neuron"]) <= {7, 11}
    changed = np.asarray(found.model.weights.head) != np.asarray(stack.weights.head)
    assert set(np.flatnonzero(changed.any(axis=1)) + 6) == set(found.weights["neuron"])


def test_a_network_without_boundary_starts_with_the_prime(model, corpus):
    never = np.append(np.float32(-1e9), np.asarray(model.weights.head_b)[1:])
    weights = replace(model.weights, head_b=never)
    endless = TrainedModel.from_weights(weights, model.vocabulary, boundary=False)
    four = dni.char_feature("4", "4".__eq__)
    generated = generate_strings(endless, 20, 40, seed=0, prime="4(")
    assert [string[:2] for string in generated.strings] == ["4("] * 20
    place = first_violations(four, generated)
    assert all("4" not in string[2:p] for string, p in zip(generated.strings, place, strict=True) if p > 0)
    assert set(place[place < 2]) <= {-1}
    found = dni.lab.repair.repair(endless, corpus, four, 20, 40, n_clean=20, prime="4(")
    assert found.outcomes.loc["after", "violations"] < found.outcomes.loc["before", "violations"]


@pytest.mark.slow
def test_repair_table(model, corpus):
    four = dni.char_feature("4", "4".__eq__)
    found = repair_table(model, corpus, four, {"all": None, "two": [1, 5]}, n_random=2, n=20, length=40, n_clean=20)
    assert found["free"].tolist() == ["all", "two"]
    assert found["neurons"].tolist() == [24, 2]
    assert found["p_loss"].isna().tolist() == [True, False]
    alone = dni.lab.repair.repair(model, corpus, four, 20, 40, n_clean=20)
    assert found.loc[0, "per_1000"] == alone.outcomes.loc["after", "per_1000"]
    with pytest.raises(NoViolationError):
        repair_table(model, corpus, dni.char_feature("never", lambda c: False), {"all": None}, n=20, length=40)


def ahead(string):
    return [place + 1 < len(string) and string[place + 1] == "4" for place in range(len(string))]


REFUSED = {
    "never violated": (dni.char_feature("never", lambda c: False), {}, "got none in 20 texts of 40 symbols"),
    "depends on later characters": (dni.feature("ahead", ahead), {}, "depends on characters to come"),
    "depends on the corpus": (
        replace(dni.char_feature("4", "4".__eq__), fit=lambda corpus: None),
        {},
        "depends on the corpus as a whole",
    ),
    "continuous": (dni.feature("place", lambda s: list(range(len(s)))), {}, "expected a binary feature"),
    "no way out": (
        Violation("any", dni.char_feature("any", lambda c: True).compute, unfinished=lambda c: np.ones(len(c), bool)),
        {},
        "which every symbol after '' violates",
    ),
    "few": (dni.char_feature("4", "4".__eq__), {"n_examples": 0}, "expected n_examples of at least 1"),
    "target_probability": (
        dni.char_feature("4", "4".__eq__),
        {"target_probability": 1.0},
        "expected target_probability between 0 and 1",
    ),
    "cost": (dni.char_feature("4", "4".__eq__), {"cost": 0}, "a cost above 0"),
    "all random": (dni.char_feature("4", "4".__eq__), {"n_random": 3}, "pass neurons="),
    "n": (dni.char_feature("4", "4".__eq__), {"n_clean": 0}, "expected n_clean of at least 1"),
    "neurons": (dni.char_feature("4", "4".__eq__), {"neurons": [1, 1]}, "distinct whole numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_say_what_to_try(case, model, corpus):
    feature, settings, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        dni.lab.repair.repair(model, corpus, feature, **{"n": 20, "length": 40, **settings})


def test_wrong_types_are_rejected(states, model, corpus, violation):
    with pytest.raises(ValueError, match=r"dni\.repair_head"):
        text_repair._check_types(states, corpus, violation)
    with pytest.raises(ValueError, match=r"expected a feature of violations, got function: see dni\.feature"):
        text_repair._check_types(model, corpus, ahead)
    with pytest.raises(ValueError, match="expected the corpus that the network was trained on, got list"):
        text_repair._check_types(model, ["0(1"], violation)


@pytest.mark.parametrize("seed", slow_after(5, range(20)))
def test_the_cap_is_reached_by_the_smallest_correction(seed):
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.full(6, 0.5))
    wrong = rng.random(6) < 0.5
    wrong[:2] = True, False
    most = rng.uniform(0.01, 0.5)
    fall = cap_probability(chance, wrong, most)
    after = chance * np.exp(fall)
    share = after[wrong].sum() / after.sum()
    assert (fall <= 0).all()
    assert not fall[~wrong].any()
    if chance[wrong].sum() <= most:
        assert not fall.any()
        return
    assert share == pytest.approx(most, rel=1e-9)
    for _ in range(50):  # other corrections that reach the same cap
        other = np.where(wrong, np.log(rng.random(6)), 0.0) * 2
        low, high = 0.0, 60.0
        for _ in range(60):
            middle = (low + high) / 2
            moved = chance * np.exp(np.minimum(0.0, other - np.where(wrong, middle - 30, 0.0)))
            low, high = (middle, high) if moved[wrong].sum() / moved.sum() > most else (low, middle)
        fallen = -np.minimum(0.0, other - np.where(wrong, high - 30, 0.0)).sum()
        assert fallen >= -fall.sum() - 1e-6


@pytest.mark.parametrize(("n_states", "n_neurons"), [(1, 1), (2, 4), (9, 4), (12, 12)])
def test_the_program_with_equal_costs_is_that_of_repair_head(n_states, n_neurons):
    rng = np.random.default_rng(n_states)
    states, wanted = rng.normal(size=(n_states, n_neurons)), rng.normal(size=n_states)
    price = np.full(n_states, 3.0)
    change, _ = solve_one_sided(states, wanted, price, price)
    weights = np.zeros((1, n_neurons))
    fix = dni.repair_head(weights, np.zeros(1), states, wanted[:, None], cost=3.0)
    ours = np.abs(change).sum() + 3 * np.abs(states @ change - wanted).sum()
    assert ours == pytest.approx(fix.objective, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_multipliers_bound_every_change(seed):
    rng = np.random.default_rng(seed)
    states, wanted = rng.normal(size=(8, 5)), rng.normal(size=8)
    above, below = rng.uniform(0, 4, 8), rng.uniform(0, 4, 8) * (rng.random(8) < 0.5)
    change, multipliers = solve_one_sided(states, wanted, above, below)

    def value(g):
        error = states @ g - wanted
        return np.abs(g).sum() + above @ np.maximum(error, 0) + below @ np.maximum(-error, 0)

    assert (np.abs(states.T @ multipliers) <= 1 + 1e-7).all()
    assert (multipliers <= below + 1e-7).all()
    assert (multipliers >= -above - 1e-7).all()
    assert value(change) == pytest.approx(wanted @ multipliers, rel=1e-7, abs=1e-7)
    assert all(value(change + rng.normal(size=5) * 0.1) >= value(change) - 1e-9 for _ in range(50))


def test_rates_by_hand(corpus):
    ended, given = np.array([True, True, False, False]), np.zeros(4, int)
    generated = GeneratedStrings(("01", "", "0", "111"), np.array([0, 0, 0, 1]), ended, given, corpus.vocabulary)
    before = count_by_text(generated, np.array([-1, 0, -1, 1]), 2, loss=0.7)
    assert before.symbols.tolist() == [3 + 1 + 1, 2]
    after = count_by_text(generated, np.full(4, -1), 2, loss=0.6)
    table = outcome_table(before, after, seed=0)
    assert table.loc["before", "per_1000"] == pytest.approx(2_000 / 7)
    assert table.loc["before", ["per_1000_low", "per_1000_high"]].tolist() == pytest.approx([200, 500])
    assert table.loc["before", "strings"] == 0.5
    assert table.loc["change", "per_1000"] == pytest.approx(-2_000 / 7)
    assert table.loc["change", "loss"] == pytest.approx(-0.1)
    assert table.loc["after", "per_1000_high"] == 0
    assert np.isfinite(table.to_numpy(float)).all()


def test_after_a_complete_string_only_its_end_is_correct(model, corpus, violation):
    seen = preserved_states(model, violation, corpus.train.head(300), 200, seed=0)
    over = seen.violates[:, 1:].all(axis=1)
    assert over.any()
    assert not seen.violates[over, 0].any()  # so the scores of all characters may fall there
    plain = replace(violation, unfinished=None)  # it cannot distinguish a complete string from one with a violation
    assert not preserved_states(model, plain, corpus.train.head(300), 200, seed=0).violates[over].any()
