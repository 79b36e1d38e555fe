import time
import warnings

import numpy as np
import pytest
from lark import Lark, Tree

from dni_jax.languages import AmbiguityWarning, Language, ParseError, get, load_text
from tests.support.tree_checks import assert_same_trees, nodes_of

SUM = '?sum: sum "+" atom -> add | atom\n?atom: NUMBER | "(" sum ")"\nNUMBER: /[0-9]+/\n%ignore " "'
JSONISH = 'start: "{" (KEY ":" start)* "}"\nKEY: /[a-z{]+/'


def shown(language, text):
    return language.parse(text).show(0, text).split("\n")


def test_tree_of_a_sum_by_hand():
    language = Language.from_lark(SUM, start="sum")
    assert language.engine.is_lalr
    assert shown(language, "1 + (22+3)") == [
        "add -> sum + atom  '1 + (22+3)'",
        "  NUMBER  '1'",
        "  atom -> ( sum )  '(22+3)'",
        "    add -> sum + atom  '22+3'",
        "      NUMBER  '22'",
        "      NUMBER  '3'",
        "brackets  '(22+3)'",
    ]


def test_ignored_text_lies_between_nodes_not_in_them():
    language = Language.from_lark(SUM, start="sum")
    assert shown(language, "  7   ") == ["NUMBER  '7'"]


def test_lalr_where_it_fits_earley_where_it_does_not():
    assert Language.from_lark('start: "a" start | "b"').engine.is_lalr
    assert not get("arithmetic").engine.is_lalr
    assert not get("parentheses").engine.is_lalr
    assert repr(get("arithmetic")) == "Language(arithmetic, start='_text', Earley)"


def test_nodes_without_characters_stand_beside_their_neighbor():
    language = Language.from_lark('start: none "a" none none "b" none | none\nnone: none_\nnone_:')
    places = [(n["start"], n["end"]) for n in nodes_of(language.parse("ab"), 0) if n["kind"].symbol == "none"]
    assert places == [(0, 0), (1, 1), (1, 1), (2, 2)]
    empty = language.parse("")
    assert [(n["start"], n["end"], n["depth"]) for n in nodes_of(empty, 0)] == [(0, 0, 0), (0, 0, 1), (0, 0, 2)]


def test_named_terminals_with_underscore_belong_to_their_node():
    language = Language.from_lark('start: pair+\npair: _OPEN "x" _CLOSE\n_OPEN: "<"\n_CLOSE: />+/')
    sampled = language.sample(5, seed=0)
    assert_same_trees(sampled.trees, language.corpus(sampled.strings).trees)
    assert shown(language, "<x><x>>")[1:] == [
        "  pair -> _OPEN x _CLOSE  '<x>'".replace("_OPEN", "<"),
        "  pair -> _OPEN x _CLOSE  '<x>>'".replace("_OPEN", "<"),
    ]


def test_brackets_inside_tokens_do_not_count():
    for parser in ("lalr", "earley"):
        language = Language.from_lark(JSONISH, parser=parser)
        text = "{a{:{}b:{}}"
        found = [text[n["start"] : n["end"]] for n in nodes_of(language.parse(text), 0) if n["kind"].name == "brackets"]
        assert found == [text, "{}", "{}"]


@pytest.mark.parametrize("text", ["1+2*3-4/5", "(1+2)*(3-(4))", "1, 2+3, (4)"])
def test_earley_takes_one_derivation_of_an_ambiguous_text(text):
    nodes = nodes_of(get("arithmetic").parse(text), 0)
    digits = [n for n in nodes if n["kind"].symbol == "d"]
    assert [text[n["start"] : n["end"]] for n in digits] == [c for c in text if c.isdigit()]
    binary = [n for n in nodes if n["kind"].symbol == "e" and len(n["children"]) == 2]
    assert len(binary) == sum(c in "+-*/" for c in text)
    for node in binary:
        left, right = (nodes[row] for row in node["children"])
        assert (left["start"], right["end"], left["end"] + 1) == (node["start"], node["end"], right["start"])


def test_a_long_text_parses_without_recursion():
    language = Language.from_lark('start: "(" start ")" | item*\nitem: "x" none\nnone:')
    text = "(" * 5_000 + "x" * 50 + ")" * 5_000
    trees = language.parse(text)
    assert trees.depth.max() == 5_002
    assert len(trees.rule) == 5_001 + 100 + 5_000


def error(language, text):
    with pytest.raises(ParseError) as caught:
        language.parse(text)
    return str(caught.value)


@pytest.mark.parametrize("parser", ["lalr", "earley"])
class TestErrors:
    def test_wrong_character(self, parser):
        language = Language.from_lark(SUM, start="sum", parser=parser)
        message = error(language, "1 +\n2 + x".replace("\n", " "))
        assert "(line 1, column 9)" in message
        assert "1 + 2 + x\n        ^" in message
        assert "NUMBER" in message
        assert "'('" in message

    def test_wrong_token_on_a_later_line(self, parser):
        language = Language.from_lark('start: ("let" NAME "=" NAME _NL)+\nNAME: /[a-z]/\n_NL: "\\n"', parser=parser)
        message = error(language, "leta=b\nletc==\n")
        assert "line 2, column 6" in message
        assert "letc==\n     ^" in message
        assert "expected NAME" in message

    def test_first_character(self, parser):
        message = error(Language.from_lark(SUM, start="sum", parser=parser), ")+1")
        assert "line 1, column 1" in message
        assert ")+1\n^" in message

    def test_text_that_ends_too_early(self, parser):
        message = error(Language.from_lark(SUM, start="sum", parser=parser), "1+(2")
        assert message.startswith("the text ends too early (line 1, column 5), after '1+(2'")
        assert "')'" in message
        assert "'+'" in message

    def test_no_text(self, parser):
        message = error(Language.from_lark(SUM, start="sum", parser=parser), "")
        assert "the text ends too early (line 1, column 1)" in message
        assert "NUMBER" in message


def test_python_errors():
    python = get("python")
    assert error(python, "x = (1\n").startswith("the text ends too early (line 2, column 1), after 'x = (1\\n'")
    message = error(python, "def f():\n    return )\n")
    assert message.startswith("does not parse at ')' (line 2, column 12)")
    assert "    return )\n" in message
    assert "others" in message
    assert "(line 3, column 3): Unexpected dedent" in error(python, "if x:\n    y\n  z\n")
    with pytest.raises(ParseError, match="string 1: does not parse"):
        python.corpus(["x\n", "$"])


def test_a_failed_parse_leaves_no_state():
    language = Language.from_lark(JSONISH)
    before = language.parse("{a:{}}")
    error(language, "{a:{{}")
    assert_same_trees(before, language.parse("{a:{}}"))


@pytest.mark.parametrize("grammar", ["start: nowhere", "start: (", 'begin: "a"'])
def test_grammars_that_lark_refuses(grammar):
    with pytest.raises(ValueError, match=r"expected a grammar that Lark accepts, got: (.|\n)*starts from the rule"):
        Language.from_lark(grammar)


AMBIGUOUS = 'start: start "+" start -> add | NUMBER\nNUMBER: /[0-9]+/'


def test_an_ambiguous_text_warns_once():
    language = Language.from_lark(AMBIGUOUS, name="sums")
    language.parse("1+2")  # of which there is one derivation
    with pytest.warns(AmbiguityWarning, match="language sums is ambiguous"):
        language.parse("1+2+3")
    language.parse("1+2+3+4")  # in silence, or the test fails
    language.corpus(["1+2+3"])
    with pytest.warns(AmbiguityWarning):
        Language.from_lark(AMBIGUOUS).corpus(["1", "1+2+3"])


def test_ambiguous_files_warn_when_they_come_from_the_cache_too(tmp_path):
    (tmp_path / "a.txt").write_text("1+2+3")
    for _ in range(2):
        with pytest.warns(AmbiguityWarning):
            load_text(Language.from_lark(AMBIGUOUS), [tmp_path / "a.txt"])


@pytest.mark.parametrize("text", ["1+2+3", "1", "12+3+45+6"])
def test_the_derivation_is_larks_own(text):
    grammar = Language.from_lark(AMBIGUOUS)
    own = Lark(AMBIGUOUS, parser="earley", keep_all_tokens=True).parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AmbiguityWarning)
        nodes = nodes_of(grammar.parse(text), 0)

    def shape(tree):
        return (tree.data, *(shape(child) for child in tree.children if isinstance(child, Tree)))

    def built(row):
        inner = [built(child) for child in nodes[row]["children"] if nodes[child]["kind"].symbol != "NUMBER"]
        return (nodes[row]["kind"].symbol, *inner)

    assert built(0) == shape(own)


def test_priorities_decide():
    text = "start: a | b\na.2: /x+/\nb.1: /x+/\n"
    for grammar, expected in ((text, "a"), (text.replace(".2", ".0"), "b")):
        language = Language.from_lark(grammar, parser="earley")
        with pytest.warns(AmbiguityWarning):
            trees = language.parse("xx")
        assert nodes_of(trees, 0)[1]["kind"].symbol == expected


@pytest.mark.parametrize("rule", ['"[" N ("," N)* "]"', '"[" _list "]"\n_list: N | N "," _list'])
def test_parsing_takes_time_linear_in_a_repetition(rule):
    language = Language.from_lark(f"start: {rule}\nN: /[0-9]+/")

    def parse(count):
        text = "[" + ",".join(["7"] * count) + "]"
        begun = time.process_time()
        trees = language.parse(text)
        return time.process_time() - begun, trees

    parse(10)
    short, _ = parse(2_000)
    long, trees = parse(20_000)  # quadratic time would be a hundred times as long
    assert long < 35 * short
    assert trees.parent.tolist() == [-1, *[0] * 20_000, -1]
    assert (trees.start[1:-1] == 1 + 2 * np.arange(20_000)).all()


def test_nodes_without_characters_in_a_long_repetition_have_a_place():
    language = Language.from_lark('start: "[" _item* "]"\n_item: "a" empty\nempty:')
    trees = language.parse("[" + "a" * 50 + "]")
    assert trees.start[1:51].tolist() == trees.end[1:51].tolist() == list(range(2, 52))


@pytest.mark.parametrize("terminal", ["/a(?s)./", r"/(a|b)\1/", "/(?i)x/"])
def test_terminals_that_re_refuses_are_named_at_once(terminal):
    with pytest.raises(ValueError, match=r"expected .*(terminals that Python's re can read|grammar that Lark accepts)"):
        Language.from_lark(f"start: X\nX: {terminal}")


def test_a_relative_import_without_a_file_is_named():
    with pytest.raises(ValueError, match="%import"):
        Language.from_lark("%import .b.X\nstart: X")
