"""Sentences claim what the numbers hold, and nothing where they do not."""

import math

import pytest

from dni_jax.app.report._sentences import (
    counting_sentence,
    echo_sentence,
    feature_sentences,
    headline,
    known_p_value,
    known_sentence,
    left_out_sentences,
    loss_sentence,
    main_findings,
    plausible_sentence,
    sample_sentence,
    untrained_sentence,
    use_sentence,
)
from dni_jax.app.report._verdicts import KNOWLEDGE, USE, knowledge, use

P = "p\u00a0=\u00a0"


def row(**changes):
    base = {
        "feature": "depth=1",
        "kind": "binary",
        "share": 0.3,
        "neurons": [7, 2, 5],
        "folds": 20,
        "most_folds": 20,
        "score": 0.95,
        "auc": 0.98,
        "baseline": 0.7,
        "strength": 0.96,
        "same_as": "",
        "p_family": 0.005,
        "p_global": 0.01,
        "auc_within_symbol": 0.9,
        "untrained_strength": 0.4,
        "effect": 0.2,
        "random": 0.01,
        "p_effect": 0.015,
    }
    return base | changes


def number(**changes):
    return row(kind="continuous", auc=math.nan, score=0.8, strength=0.8, **changes)


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (row(), "known"),
        (number(), "known"),
        (row(strength=0.2), "weak"),
        (row(strength=math.nan), "weak"),
        (row(p_family=0.051), "chance"),
        (row(p_family=math.nan), "untested"),
        (row(auc_within_symbol=0.55), "echo"),
        (row(auc_within_symbol=0.56), "known"),
        (row(auc_within_symbol=0.2), "echo"),
        (row(auc_within_symbol=math.nan), "echo"),
        (number(auc_within_symbol=0.04), "echo"),
        (number(auc_within_symbol=0.3), "known"),
        (row(folds=9), "rare"),
        (row(folds=10), "known"),
        (row(same_as="digit"), "same"),
        (row(share=0.0), "constant"),
        (row(share=1.0), "constant"),
    ],
)
def test_knowledge(one, state):
    assert knowledge(one) == state
    assert state in KNOWLEDGE


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (row(), "used"),
        (row(auc_within_symbol=math.nan), "used"),
        (row(p_effect=0.06), "not shown"),
        (row(effect=-0.1), "not shown"),  # less loss is no harm, however rare among random sets
        (row(effect=math.nan, p_effect=math.nan), ""),
        (row(strength=0.1), "harm"),
        (row(p_family=0.5), "harm"),
        (row(same_as="digit"), ""),
    ],
)
def test_use(one, state):
    assert use(one) == state
    assert state in USE


def test_without_baselines_nothing_counts_as_more_than_an_echo():
    one = row()
    del one["auc_within_symbol"]
    assert knowledge(one) == "echo"
    assert "was not tested" in echo_sentence(one)


def test_a_known_feature_is_reported_with_auc_baseline_and_p():
    said = known_sentence(row())
    assert said == (
        "Neuron 7 alone predicts where it holds: AUC 0.980 on unseen text (0.5 is chance), accuracy 0.950 compared "
        f"with 0.700 without any neuron; {P}0.010, corrected for the number of neurons and features."
    )
    assert "R² 0.800" in known_sentence(number())
    assert "AUC" not in known_sentence(number())


def test_a_p_that_is_not_corrected_for_features_says_so():
    assert known_p_value(row(p_global=0.2)).endswith(
        f"{P}0.005, corrected for the number of neurons but not of features"
    )
    assert known_p_value(row(p_global=math.nan)).endswith("not of features")
    assert "not corrected for the number of features" in use_sentence(row(), 10, 64)


def test_nothing_is_known_without_a_score_or_a_p():
    for one in (row(strength=0.1), row(p_family=0.3), row(p_family=math.nan), row(folds=2), row(share=1.0)):
        said = " ".join(feature_sentences(one, 10, 64))
        assert "alone predicts" not in said
        assert "uses" not in said
        assert "ncoded" not in said
    assert "may be chance" in known_sentence(row(p_family=0.3))
    assert "not tested" in known_sentence(row(p_family=math.nan))
    assert "too rare" in known_sentence(row(folds=2))
    assert "No single neuron predicts it well" in known_sentence(row(strength=0.1))


def test_an_echo_is_called_one():
    assert "not shown to be more than an echo" in echo_sentence(row(auc_within_symbol=0.51))
    assert "may merely echo" in echo_sentence(row(auc_within_symbol=math.nan))
    assert echo_sentence(row()).endswith("0.900: more than an echo of the current character.")
    assert echo_sentence(row(strength=0.1)) == ""


def test_use_needs_harm_beyond_random_sets():
    assert use_sentence(row(), 10, 64) == (
        "The network uses them: with its 10 best neurons set to 0, the loss where it holds changes by +0.200 nats per "
        f"character (64 random sets of 10: +0.010 on average); {P}0.015, not corrected for the number of features."
    )
    for one in (row(p_effect=0.3), row(effect=-0.4, p_effect=0.01)):
        assert use_sentence(one, 10, 64).startswith("Encoded, but not shown to be used")
    assert use_sentence(row(strength=0.1), 10, 64).startswith("Setting neurons to 0 does harm, although no neuron is")
    assert use_sentence(row(strength=0.1, p_effect=0.5), 10, 64).startswith("Not shown to be used")
    assert use_sentence(row(p_effect=math.nan), 10, 64) == ""
    assert use_sentence(row(), 1, 64).startswith("The network uses it: with its best neuron set to 0")


def test_an_untrained_network_as_good_is_named():
    assert "AUC 0.975" in untrained_sentence(row(untrained_strength=0.95))
    assert "R² 0.790" in untrained_sentence(number(untrained_strength=0.79))
    assert untrained_sentence(row()) == ""
    assert untrained_sentence(row(untrained_strength=math.nan)) == ""
    assert headline(row(untrained_strength=0.96), 10).endswith("A neuron of an untrained network is as good.")


def test_headlines_describe_the_feature():
    assert headline(row(), 10, "exactly 1 pair of brackets is open") == (
        f"Neuron 7 alone predicts whether exactly 1 pair of brackets is open (AUC 0.980, {P}0.010). Setting the 10 "
        f"best neurons to 0 raises the loss by 0.200 nats per character where it holds; random sets on average: "
        f"+0.010 ({P}0.015)."
    )
    assert "lowers the loss by 0.100" in headline(row(effect=-0.1, p_effect=0.9), 10)
    assert "Setting" not in headline(row(p_effect=math.nan), 10)
    assert "predicts how many" in headline(number(), 10, "how many brackets are open")


def test_findings_are_grouped_by_claim():
    rows = [row(), row(p_effect=0.5), row(auc_within_symbol=math.nan), row(strength=0.1), row(p_family=0.9)]
    groups = main_findings(rows)
    assert [(group.state, len(group.rows)) for group in groups] == [("used", 1), ("not shown", 1), ("echo", 1)]
    assert "second is not corrected for the number of features" in groups[0].note
    assert "neurons and features" in groups[0].note
    many = main_findings([row(p_global=0.3)] * 9)
    assert (len(many[0].rows), many[0].more) == (3, 6)
    assert "but not of features" in many[0].note
    (alone,) = main_findings([row(effect=math.nan, p_effect=math.nan)])
    assert "second" not in alone.note
    assert main_findings([row(strength=0.1)]) == []


def test_counts():
    rows = [
        row(),
        row(p_effect=0.5),
        row(auc_within_symbol=math.nan),
        row(strength=0.1),
        row(same_as="digit"),
        row(share=1),
    ]
    said = counting_sentence(rows, 10)
    assert said.startswith("Of 4 features with labels of their own, single neurons know 2 beyond an echo")
    assert "and 1 possibly only as such an echo" in said
    assert "shown to use 2 of these 3" in said
    assert "not corrected for the number of features" in said
    blind = [one | {"p_effect": math.nan} for one in rows]
    assert counting_sentence(blind, 10).endswith("was not tested.")
    assert "this is chance was not tested" in counting_sentence([row(p_family=math.nan)], 10)
    assert "1 have a neuron with a high score" in counting_sentence([row(p_family=math.nan)], 10)


def test_what_is_left_out_is_named():
    rows = [
        row(),
        row(feature="a", strength=0.1),
        row(feature="b", p_family=0.5),
        row(feature="c", folds=1),
        row(feature="d", share=0),
        row(feature="e", same_as="depth=1"),
    ]
    said = left_out_sentences(rows)
    assert len(said) == 5
    assert said[0] == "No single neuron predicts it well: a."
    assert said[-1].endswith("e as depth=1.")
    assert left_out_sentences([row()]) == []


def test_the_loss_is_compared_with_a_bound_or_with_frequencies():
    assert loss_sentence({"loss": 1.1, "ideal": 1.0}, "c").endswith("has 1.0000; the gap is 10.0%.")
    assert "50% lower" in loss_sentence({"loss": 1.0, "ideal": None, "unigram": 2.0}, "c")
    assert "is as good" in loss_sentence({"loss": 2.5, "unigram": 2.0}, "c")
    assert loss_sentence({"loss": 1.0}, "c") == "On unseen text in c, the network's loss is 1.0000 nats per symbol."


def test_samples_are_compared_with_the_intact_network():
    intact, random = {"shares": {"digit": 0.5, "letter": 0.5}}, {"shares": {"digit": 0.52, "letter": 0.48}}
    said = sample_sentence({"shares": {"digit": 0.9, "letter": 0.1}}, intact, random)
    assert said == "90.0% of class digit; 50.0% without intervention, 52.0% with one random set of neurons set to 1."
    assert "letter" in sample_sentence({"shares": {"letter": 1.0, "digit": 0.5}}, intact, None)
    assert sample_sentence({"shares": {}}, {"shares": {}}, None) == ""


def test_how_typical_overridden_states_are():
    assert plausible_sentence(row()) == ""
    near = plausible_sentence(row(percentile=40.0, percentile_intact=51.0))
    assert "less typical than 60.0 % of the states" in near
    assert "without the intervention, 49 %" in near
    assert "atypical states may cause" not in near
    assert "atypical states may cause" in plausible_sentence(row(percentile=0.3, percentile_intact=51.0))
    unused = row(percentile=0.3, percentile_intact=51.0, p_effect=0.6)
    assert "atypical states may cause" not in plausible_sentence(unused)
    assert plausible_sentence(unused) in feature_sentences(unused, 10, 64)
