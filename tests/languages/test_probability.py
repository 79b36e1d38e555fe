import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, assume
from scipy import stats

from dni_jax.languages import Language, get
from dni_jax.languages import _inside as inside
from dni_jax.languages._probability import log_probability
from tests.support.drawn import few_of_many
from tests.support.grammar_texts import JSON, as_lark, enumerate_strings, growth, reachable, small_weighted_grammars


def closed_form(string):
    """The probability of a string of the parentheses grammar, from the counts of its digits level by level."""
    total, rest = Fraction(1), string
    for level in "01234":
        inner = rest.find("(")
        before = len(rest) - len(rest.lstrip(level))
        if level == "0":
            assert inner == before
            total *= Fraction(1, 2) ** (before + 1)
            rest = rest[inner + 1 : -1]
        elif level == "4":
            assert rest == level * len(rest)
            total *= Fraction(1, 2) ** (len(rest) + 1)
        else:
            after = len(rest) - len(rest.rstrip(level))
            assert inner == before
            # Digits before and behind the brackets come in any order of the two recursive productions.
            total *= math.comb(before + after, before) * Fraction(1, 3) ** (before + after + 1)
            rest = rest[inner + 1 : len(rest) - after - 1]
    return float(total)


def test_parentheses_have_a_closed_form():
    language = get("parentheses")
    corpus = language.sample(300, seed=0)
    expected = [math.log(closed_form(string)) for string in corpus.strings]
    np.testing.assert_allclose(language.log_probability(corpus.strings), expected, rtol=1e-12)
    loss = -sum(expected) / (corpus.n_positions + len(corpus))
    assert language.ideal_cross_entropy(corpus) == pytest.approx(loss, rel=1e-12)


def test_parentheses_sum_to_one_up_to_a_known_tail():
    # The length is 8 + five independent waiting times; so is the mass of all strings of at most eleven characters.
    outer = [0.5 ** (n + 1) for n in range(4)]
    inner = [2**n * 3.0 ** -(n + 1) for n in range(4)]  # either recursive production, n times in any order
    mass = np.ones(1)
    for part in [outer, inner, inner, inner, outer]:
        mass = np.convolve(mass, part)[:4]
    strings = set()
    for n in range(4):
        for digits in product(["0", "1", "1'", "2", "2'", "3", "3'", "4"], repeat=n):
            left = {d: digits.count(d) for d in "01234"}
            right = {d: digits.count(d + "'") for d in "123"}
            text = "4" * left["4"]
            for d in "321":
                text = d * left[d] + f"({text})" + d * right[d]
            strings.add("0" * left["0"] + f"({text})")
    probability = np.exp(get("parentheses").log_probability(sorted(strings)))
    by_length = np.bincount([len(s) - 8 for s in sorted(strings)], weights=probability)
    np.testing.assert_allclose(by_length, mass, rtol=1e-12)


@few_of_many(20, 80, small_weighted_grammars(), derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_string_against_enumeration(grammar):
    grammar = reachable(grammar)
    assume(growth(grammar) < 0.95)
    text, weights = as_lark(grammar)
    language = Language.from_lark(text, weights=weights, start="n0", parser="earley")
    mass = enumerate_strings(grammar, longest=5)["n0"]
    nothing = mass.get("", 0.0)
    strings = ["".join(s) for n in range(1, 6) for s in product("xyz", repeat=n)]
    found = np.exp(language.log_probability(strings))
    expected = np.array([mass.get(string, 0.0) for string in strings]) / (1 - nothing)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(found == 0, expected == 0)


def test_unit_cycles_and_empty_parts_by_hand():
    # a -> a with probability 1/2 leaves 1/2 for "x", so every x has probability 1; b is empty half the time.
    language = Language.from_lark('start: b a b\na: c | "x"\nc: a\nb: "y" |', parser="earley")
    strings = ["x", "yx", "xy", "yxy"]
    np.testing.assert_allclose(np.exp(language.log_probability(strings)), 0.25, rtol=1e-9)


def test_a_finite_language_sums_to_one():
    text = 'start: a b? a | b\na: "x" | "xy" b\nb: /[01]{1,2}/ | "y"'
    language = Language.from_lark(text, weights={"a": [3, 1]}, parser="earley")
    strings = ["".join(s) for n in range(1, 10) for s in product("xy01", repeat=n) if sum(c in "01y" for c in s) < 8]
    b = [s for s in strings if s == "y" or (len(s) <= 2 and set(s) <= set("01"))]
    a = ["x", *("xy" + s for s in b)]
    every = sorted({*b, *(p + q + r for p in a for q in ["", *b] for r in a)})
    probability = np.exp(language.log_probability(every))
    assert (probability > 0).all()
    assert probability.sum() == pytest.approx(1, rel=1e-12)
    other = [s for s in strings[:2_000] if s not in every]
    assert np.isneginf(language.log_probability(other)).all()


@pytest.mark.parametrize(
    "string", ["0", "((()))", "(((())))0", "(((5)))", "(((()))", "0(1(2(3(4)3)2)1)0", "x", "\u20ac(((())))"]
)
def test_strings_outside_the_language(string):
    values = get("parentheses").log_probability(["(((())))", string])
    assert np.isneginf(values[1])
    assert values[0] == pytest.approx(math.log(1 / 108))


def test_against_frequencies():
    language = get("arithmetic")
    n = 20_000
    strings, counts = np.unique(language.sample(n, seed=2).strings, return_counts=True)
    often = counts > 12
    share = np.exp(language.log_probability(strings[often].tolist()))
    expected = np.append(share, 1 - share.sum()) * n
    observed = np.append(counts[often], n - counts[often].sum())
    # Selected by what was seen, so only a gross difference would be a surprise; digits are all equally likely.
    assert stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1) > 1e-4
    one = language.log_probability([str(d) for d in range(10)])
    np.testing.assert_allclose(one, math.log(0.25 * 8 / 14 / 10), rtol=1e-12)
    np.testing.assert_allclose(
        language.log_probability(["1+2*3"]), math.log(0.25 * 2 * (1 / 14) ** 2 * (8 / 14) ** 3 / 1_000), rtol=1e-12
    )


@pytest.mark.parametrize("length", [1, 30, 250])
def test_long_and_unlikely_strings_do_not_underflow(length):
    language = Language.from_lark("start: /[ -~]+/")
    uneven = Language.from_lark("start: ZERO /[a-z]/+\nZERO: /0+/", parser="lalr")
    assert language.log_probability(["q" * length])[0] == pytest.approx(length * math.log(1 / 95 / 2), rel=1e-9)
    string = "0" * length + "k" * length
    expected = (length - 1) * math.log(0.5) + math.log(0.5) + length * math.log(1 / 26)
    share = uneven.log_probability([string])[0] - expected
    star = uneven.productions
    again = star.weight[[star.symbols[left].startswith("__") for left in star.left]]
    turns = sorted(again)
    assert share == pytest.approx((length - 1) * math.log(turns[0]) + math.log(turns[1]), rel=1e-9)


def test_sums_that_begin_anew_from_the_likeliest_split_are_the_same(monkeypatch):
    cases = [(name, get(name).sample(20, seed=1).strings) for name in ("parentheses", "arithmetic")]
    usual = [get(name).log_probability([*strings, "(", "0)(1"]) for name, strings in cases]
    monkeypatch.setattr(inside, "_FAR", 0.0)
    monkeypatch.setattr(inside, "_NEAR", 0.0)  # every length leaves the range, so the careful way is taken
    for (name, strings), before in zip(cases, usual, strict=True):
        np.testing.assert_allclose(get(name).log_probability([*strings, "(", "0)(1"]), before, rtol=1e-12)


def test_values_that_are_rescaled_at_every_length_are_the_same(monkeypatch):
    strings = [*get("arithmetic").sample(20, seed=1).strings, "(", "1, 2,"]
    usual = get("arithmetic").log_probability(strings)
    monkeypatch.setattr(inside, "_NEAR", 0.5)
    np.testing.assert_allclose(get("arithmetic").log_probability(strings), usual, rtol=1e-12)


@pytest.mark.parametrize("name", ["json", "c_expressions", "repeats"])
def test_the_one_derivation_of_an_lalr_grammar_has_the_probability_of_all(name):
    if name == "c_expressions":
        language = get(name)
    else:
        repeats = "start: /(a?b*)*c/ X?\nX: /(z|zz|zzz)+/i"  # a repeat of what may be empty; three ways to read zzz
        language = Language.from_lark(JSON, start="value") if name == "json" else Language.from_lark(repeats)
    strings = [s for s in language.sample(60, seed=3).strings if len(s) < 12][:8]
    some_sum = log_probability(language.productions, strings)  # over all derivations
    np.testing.assert_allclose(language.log_probability(strings), some_sum, rtol=1e-12)
    outside = ["[", "a =", "ab!", " ", strings[0] + " "]
    assert np.isneginf(language.log_probability(outside)).all()


def test_the_ideal_cross_entropy_of_a_sample_has_a_standard_error():
    language = get("arithmetic")
    corpus = language.sample(400, seed=5, max_length=30)
    exact = language.ideal_cross_entropy(corpus)
    assert language.estimate_ideal_cross_entropy(corpus) == (pytest.approx(exact, rel=1e-12), 0.0)
    found = [language.estimate_ideal_cross_entropy(corpus, seconds=1e-3, seed=seed) for seed in range(20)]
    off = np.asarray([(value - exact) / error for value, error in found])
    assert 0.5 < np.sqrt((off**2).mean()) < 1.6
    with pytest.raises(ValueError, match="expected a positive number of seconds"):
        language.estimate_ideal_cross_entropy(corpus, seconds=0)


@pytest.mark.slow
def test_a_long_string_of_a_large_grammar_has_a_probability():
    language = get("c_expressions")
    strings = language.sample(3_000, seed=0).strings
    (long,) = [string for string in strings if len(string) == 273]  # its factors leave float64
    assert -1_000 < language.log_probability([long])[0] < -300


def test_order_and_company_do_not_matter():
    language = Language.from_lark(JSON, start="value")
    strings = list(language.sample(40, seed=3, max_length=40).strings)
    together = language.log_probability([*strings, "[", "null"])
    alone = np.concatenate([language.log_probability([s]) for s in [*strings, "[", "null"]])
    np.testing.assert_allclose(together, alone, rtol=1e-10)
    assert np.isfinite(together[:-2]).all()
    assert np.isneginf(together[-2])


def test_ideal_cross_entropy_is_what_the_best_predictor_gets():
    # "a" with probability 2/3, then the end: a fair die would do no better than the entropy of the choice.
    language = Language.from_lark('start: "a" start | "b"', weights={"start": [2, 1]})
    corpus = language.sample(5_000, seed=1)
    choice = -(2 * math.log(2 / 3) + math.log(1 / 3)) / 3
    symbols = corpus.n_positions / (corpus.n_positions + len(corpus))  # the end behind "b" is certain
    assert language.ideal_cross_entropy(corpus) == pytest.approx(choice * symbols, rel=0.02)
