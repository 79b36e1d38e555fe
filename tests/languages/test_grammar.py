import numpy as np
import pytest

from dni_jax.languages import Language, get

TEXT = """
start: item+ _tail
?item: word | "(" item ")" | "one" "two" -> pair
word: WORD
_tail: "," " " word |
WORD: /[a-z]+/
"""


def test_names_of_kinds():
    language = Language.from_lark(TEXT)
    kinds = [(kind.name, kind.symbol) for kind in language.engine.kinds]
    assert kinds == [
        ("start -> start_plus_0 tail", "start"),
        ("item -> ( item )", "item"),
        ("pair -> one two", "pair"),
        ("word -> WORD", "word"),
        ("WORD", "WORD"),
        ("brackets", "brackets"),
    ]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"nothing": [1]}, r"weights for rules of the grammar \(start, .*got 'nothing'"),
        ({"item": [1, 2]}, "expected 3 positive weights for 'item'"),
        ({"item": [1, 2, 0]}, "expected 3 positive weights"),
        ({"item": [1, 2, -1.0]}, "expected 3 positive weights"),
        ({"item": [1, 2, float("nan")]}, "expected 3 positive weights"),
        ({"item": [1, 2, float("inf")]}, "expected 3 positive weights"),
    ],
)
def test_weights_that_do_not_fit(weights, message):
    language = Language.from_lark(TEXT, weights=weights)
    with pytest.raises(ValueError, match=message):
        language.sample(1)


def test_weights_are_normalized_and_preserved():
    grammar = Language.from_lark(TEXT, weights={"item": [1, 2, 5]}).productions
    rows = [row for row, left in enumerate(grammar.left) if grammar.symbols[left] == "item"]
    np.testing.assert_allclose(grammar.weight[rows], np.array([1, 2, 5]) / 8)
    np.testing.assert_allclose(np.bincount(grammar.left, weights=grammar.weight), 1)


def test_rules_without_weights_are_lowered_until_strings_are_finite():
    language = Language.from_lark('start: start start start | start start | "x" | "y" start')
    grammar = language.productions
    assert grammar.growth <= 0.9
    weight = grammar.weight[grammar.left == grammar.start]
    assert weight[0] < weight[1] < weight[3] < weight[2]
    corpus = language.sample(2_000, seed=0)
    # A branching process with mean m has 1 / (1 - m) nodes on average.
    nodes = len(corpus.trees.rule) / len(corpus)
    assert nodes == pytest.approx(1 / (1 - grammar.growth), rel=0.15)


def test_rules_that_are_finite_already_keep_equal_weights():
    grammar = Language.from_lark('start: "a" start | "b" | "c"').productions
    np.testing.assert_allclose(grammar.weight, 1 / 3)


def test_growth_of_the_built_in_grammars():
    assert get("parentheses").productions.growth == pytest.approx(2 / 3)
    assert get("arithmetic").productions.growth == pytest.approx(3 / 4)


def test_default_weights_are_lowered_only_where_a_rule_recurs():
    text = 'start: "a" rest\nrest: "b" WORD "c" WORD "d" | "e" ("f" start)+ "g"\nWORD: /[a-z]+/'
    with pytest.raises(ValueError, match=r"got none among .* use parser='earley'"):
        Language.from_lark(text).sample(2)  # WORD reads on past "c": no such text ever parses
    language = Language.from_lark(text, parser="earley")
    strings = language.sample(2_000, seed=0).strings
    assert 0.2 < sum(string.startswith("ab") for string in strings) / 2_000 < 0.95
    assert max(map(len, strings)) < 5_000
