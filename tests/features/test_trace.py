import itertools
from collections import namedtuple
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st

import dni_jax as dni
from dni_jax.features import Feature, FeatureLibrary, feature, trace
from dni_jax.features._nodes import bracket_nesting
from dni_jax.languages import get
from dni_jax.text import Corpus, segment_corpus
from tests.support.drawn import few_of_many

STRINGS = st.lists(st.text("ab(é", min_size=1, max_size=12), min_size=1, max_size=5)


def place(symbols):
    for number, _ in enumerate(symbols):
        yield number


def automaton(symbols):
    """Whether the text so far ends in an odd number of a."""
    state = "even"
    for symbol in symbols:
        state = "even" if symbol != "a" else {"even": "odd", "odd": "even"}[state]
        yield state


def brackets(symbols):
    stack = []
    for symbol in symbols:
        if symbol == "(":
            stack.append(symbol)
        yield len(stack)
        if symbol == ")":
            stack.pop()


def values_of(one, strings):
    return one.label(Corpus.from_strings(strings)).columns


@few_of_many(25, 100, STRINGS, derandomize=True)
def test_a_trace_is_what_a_function_of_the_string_would_say(strings):
    np.testing.assert_array_equal(
        values_of(trace(place), strings)[0], values_of(feature("place", lambda s: range(len(s))), strings)[0]
    )

    def odd(string):
        runs = [string[: i + 1] for i in range(len(string))]
        return [(len(run) - len(run.rstrip("a"))) % 2 for run in runs]

    labels = values_of(trace(automaton, values=["even", "odd"]), strings)
    np.testing.assert_array_equal(labels[1], values_of(feature("odd", odd), strings)[0])
    np.testing.assert_array_equal(labels[0], 1 - labels[1])


def test_a_stack_of_brackets_counts_their_depth():
    corpus = get("arithmetic").sample(50, seed=0)
    np.testing.assert_array_equal(trace(brackets, "depth").label(corpus)["depth"], bracket_nesting(corpus))


def test_names_and_kinds():
    one = trace(place)
    assert isinstance(one, Feature)
    assert one.name == "place"
    assert trace(place, "where", kind="continuous").kind == "continuous"
    assert values_of(trace(place, kind="continuous"), ["a"])[0].dtype == np.float32
    two = trace(automaton, "a", values=["even", "odd"])
    assert isinstance(two, FeatureLibrary)
    assert two.names == ("a=even", "a=odd")
    assert dni.trace is trace
    assert (one + two).names == ("place", "a=even", "a=odd")


Pair = namedtuple("Pair", ["code", "upper"])


@dataclass
class Record:
    code: int
    upper: bool


@pytest.mark.parametrize(
    "make",
    [
        Pair,
        Record,
        lambda code, upper: (code, upper),
        lambda code, upper: [code, upper],
        lambda code, upper: {"upper": upper, "code": code, "more": "x"},
    ],
)
def test_fields(make):
    def both(symbols):
        for symbol in symbols:
            yield make(ord(symbol), symbol.isupper())

    labels = trace(both, fields=["code", "upper"]).label(Corpus.from_strings(["aB", "C"]))
    assert labels.names == ("both:code", "both:upper")
    assert labels.kinds == ("continuous", "binary")
    assert labels.values.T.tolist() == [[97, 66, 67], [0, 1, 1]]


def test_fields_with_values():
    def both(symbols):
        yield from enumerate(automaton(symbols))

    labels = trace(both, "b", fields={"n": None, "state": ["even", "odd"]}).label(Corpus.from_strings(["aab"]))
    assert labels.names == ("b:n", "b:state=even", "b:state=odd")
    assert labels.values.T.tolist() == [[0, 1, 2], [0, 1, 1], [1, 0, 0]]


def test_iterators_of_any_make():
    count = trace(lambda symbols: itertools.accumulate(int(symbol == "a") for symbol in symbols), "count")
    assert values_of(count, ["aba", "a"])[0].tolist() == [1, 1, 2, 1]
    assert values_of(trace(lambda symbols: map(ord, symbols), "code"), ["ab"])[0].tolist() == [97, 98]

    def by_next(symbols):
        while True:
            yield next(symbols) == "a"

    assert values_of(trace(by_next), ["aba"])[0].tolist() == [1, 0, 1]


def test_the_procedure_runs_once_for_all_its_features():
    started = []

    def counted(symbols):
        started.append(1)
        for symbol in symbols:
            yield {"a": symbol == "a", "b": symbol == "b"}

    library = trace(counted, fields=["a", "b"])
    library.label(Corpus.from_strings(["ab", "b", "a"]))
    assert len(started) == 3


class TestPieces:
    def test_pieces_that_follow_each_other_are_read_as_one(self):
        corpus = Corpus.from_strings(["def f(a):\n    return (a,\n 1)\n\n\nx = f('b')\n", "f((1))\n"])
        pieces = segment_corpus(corpus, 9)
        assert len(pieces) > 4
        labels = trace(brackets).label(pieces)
        assert labels.mask.all()
        np.testing.assert_array_equal(labels["brackets"], trace(brackets).label(corpus)["brackets"])

    def test_pieces_without_their_beginning_are_masked(self):
        pieces = segment_corpus(Corpus.from_strings(["((((((", "aa"]), 4)
        labels = trace(brackets).label(pieces.take(np.array([1, 2, 0])))
        assert labels.mask.tolist() == [False] * 2 + [True] * 6
        assert labels["brackets"][labels.mask].tolist() == [0, 0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match=r"'brackets': expected strings from their beginning, got only"):
            trace(brackets).label(pieces.take(np.array([1])))


def fails(function, strings=("ab", "abcd"), **more):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (each test looks at the words)
        trace(function, "t", **more).label(Corpus.from_strings(list(strings)))
    return str(caught.value)


class TestErrors:
    def test_look_ahead(self):
        def pairs(symbols):
            for one, _ in itertools.pairwise(symbols):
                yield one == "a"

        message = fails(pairs)
        assert message.startswith("trace 't': expected one value after each symbol, got a call for the next symbol")
        assert message.endswith("at character 0 of string 0 ('ab'): a label must not depend on later symbols")

    def test_look_ahead_later_on_and_at_the_end(self):
        def later(symbols):
            for symbol in symbols:
                if symbol == "c":
                    next(symbols)
                yield 0

        assert "at character 2 of string 1 ('abcd')" in fails(later)
        assert "next symbol" in fails(lambda symbols: [1 for _ in symbols], ["a"])

    def test_look_ahead_that_is_hushed_up(self):
        def hushed(symbols):
            for _ in symbols:
                with suppress(Exception):
                    next(symbols)
                yield 0

        assert "got a call for the next symbol" in fails(hushed)

    def test_early(self):
        message = fails(lambda symbols: itertools.accumulate(map(ord, symbols), initial=0))
        assert "got a value before the symbol was taken" in message
        assert "at character 0 of string 0 ('ab'): take one for each value" in message

        def twice(symbols):
            for _ in symbols:
                yield 1
                yield 2

        assert "at character 1 of string 0 ('ab')" in fails(twice)

    def test_too_few(self):
        message = fails(lambda symbols: itertools.islice(map(ord, symbols), 3))
        assert "got 3 values for 4 symbols" in message
        assert "at character 3 of string 1 ('abcd')" in message
        assert "got 0 values for 2 symbols" in fails(lambda symbols: [])

    def test_failing(self):
        def odd(symbols):
            for symbol in symbols:
                yield 1 / (symbol != "d")

        message = fails(odd)
        assert "its function fails with ZeroDivisionError" in message
        assert message.endswith("at character 3 of string 1 ('abcd')")
        assert "fails with TypeError" in fails(lambda symbols: None)

    def test_the_place_in_a_long_string(self):
        text = "b" * 100 + "x" + "c" * 100
        message = fails(lambda symbols: (1 / (symbol != "x") for symbol in symbols), [text])
        assert message.endswith(f"at character 100 of string 0 ({'b' * 20 + 'x' + 'c' * 19!r})")

    def test_other_values(self):
        message = fails(automaton)
        assert "expected numbers or bools, got 'odd', at character 0 of string 0 ('ab'): declare other" in message
        assert "got {'a': 1}, at" in fails(lambda symbols: ({"a": 1} for _ in symbols))
        assert "got (1, 2), at" in fails(lambda symbols: ((1, 2) for _ in symbols))
        assert "got 'odd', at character 0" in fails(automaton, values=["even", "od"])
        assert "one of the values ['even'], got []" in fails(lambda symbols: ([] for _ in symbols), values=["even"])
        message = fails(lambda symbols: ((i,) for i, _ in enumerate(symbols)), fields=["a", "b"])
        assert "expected values with the fields ['a', 'b'], got (0,), at character 0" in message
        assert "got {'b': 1}" in fails(lambda symbols: ({"b": 1} for _ in symbols), fields=["a"])
        assert "got 7" in fails(lambda symbols: (7 for _ in symbols), fields=["a"])

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, value):
        message = fails(lambda symbols: (value if symbol == "c" else 0.5 for symbol in symbols))
        assert f"expected finite numbers, got {value}, at character 2 of string 1 ('abcd')" in message

    def test_bad_definitions(self):
        with pytest.raises(ValueError, match="expected a name for the trace"):
            trace(lambda symbols: symbols)
        with pytest.raises(ValueError, match="fields= or values=, got both"):
            trace(place, fields=["a"], values=["b"])
        with pytest.raises(ValueError, match="expected a list, got the string 'ab'"):
            trace(place, fields="ab")
        with pytest.raises(ValueError, match="kind= for a trace of single numbers only, got 'binary'"):
            trace(place, fields=["a"], kind="binary")
        for empty in ({"fields": []}, {"values": []}, {"fields": {"a": []}}):
            with pytest.raises(ValueError, match="at least one"):
                trace(place, **empty)
        with pytest.raises(ValueError, match="distinct names"):
            trace(place, values=["a", "a"])
