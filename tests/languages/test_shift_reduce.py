from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from lark import Lark, Token

from dni_jax.languages import Language, ParseError, get
from dni_jax.languages._grammar import node_kind
from tests.support.drawn import few_of_many
from tests.support.grammar_texts import JSON, as_lark, ll1_grammars, small_weighted_grammars

SUM = '?sum: sum "+" product -> add | product\n?product: product "*" atom -> times | atom\n' + (
    '?atom: NUMBER | "(" sum ")"\nNUMBER: /[0-9]+/\n%ignore " "'
)
COLUMNS = ("stack_size", "reduced", "reductions", "top", "below", "expected")


def sums(**more):
    return Language.from_lark(SUM, start="sum", **more)


@cache
def watched(language):
    """A parser of Lark's own and the list of rules that it reduces."""
    plain = {"keep_all_tokens": True, "maybe_placeholders": False, **language.options}
    lark = Lark(language.grammar, start=language.start, parser="lalr", **plain)
    done = []
    callbacks = lark.parser.parser.parser.callbacks
    for rule in lark.rules:
        callbacks[rule] = lambda children, rule=rule: done.append(rule) or rule
    return lark, done


def replay(language, text):
    """After each token of Lark's own parser: where it ends, stack, rules reduced for it, terminals with an action."""
    lark, done = watched(language)
    terminals = {terminal.name: terminal for terminal in lark.terminals}
    origins = {rule.origin.name for rule in lark.rules}
    interactive = lark.parse_interactive(text)
    state = interactive.parser_state
    rows = []
    for token in interactive.lexer_thread.lex(state):
        before = len(done)
        interactive.feed_token(token)
        kinds = [node_kind(rule, terminals) for rule in done[before:]]
        stack = [value.type if isinstance(value, Token) else value.origin.name for value in state.value_stack]
        rows.append((token.end_pos, len(state.state_stack) - 1, stack[-2:], kinds, {*interactive.choices()} - origins))
    interactive.feed_eof()
    return rows


def assert_as_lark_does(language, text):
    """Compare entry by entry with a replay that holds every token's state until the next one ends."""
    states = language.parser_states(text)
    rows = replay(language, text)
    assert {len(getattr(states, name)) for name in COLUMNS} == {len(text)}
    size, stack, last, wanted = 0, [], None, None
    for place in range(len(text)):
        count = 0
        for row in rows:
            if row[0] == place + 1:
                _, size, stack, kinds, wanted = row
                count += len(kinds)
                last = kinds[-1] if kinds else last
        assert states.stack_size[place] == size
        assert states.reductions[place] == count
        assert (states.rules[states.reduced[place]] if states.reduced[place] >= 0 else None) == last
        names = [states.symbols[row] for row in (states.below[place], states.top[place]) if row >= 0]
        assert [lark_name(language, name) for name in names] == [name.strip("_") for name in stack]
        if wanted is not None:
            expected = states.expected_sets[states.expected[place]]
            assert {lark_name(language, name) for name in expected} == {name.strip("_") for name in wanted}


def assert_same_error(language, text):
    """The error of parsing and of watching a text, or None."""
    messages = []
    for read in (language.parse, language.parser_states):
        try:
            read(text)
            messages.append(None)
        except ParseError as error:
            messages.append(str(error))
    assert messages[0] == messages[1]
    return messages[0]


def lark_name(language, written):
    """Lark's name, without underscores, of a symbol as it is written."""
    for terminal in language.engine.lark.terminals:
        if written in (f'"{terminal.pattern.value}"', f"/{terminal.pattern.value}/"):
            return terminal.name.strip("_")
    return written.strip("_")


def test_by_hand():
    states = sums().parser_states("12 + 3*(4)")
    assert states.show("12 + 3*(4)").split("\n") == [
        "'1'    0                           0",
        "'2'    1 NUMBER                    0",
        "' '    1 NUMBER                    0",
        """'+'    2 sum "+"                   3 sum -> product""",
        """' '    2 sum "+"                   0 sum -> product""",
        """'3'    3 "+" NUMBER                0 sum -> product""",
        """'*'    4 product "*"               2 product -> atom""",
        """'('    5 "*" "("                   0 product -> atom""",
        """'4'    6 "(" NUMBER                0 product -> atom""",
        """')'    7 sum ")"                   3 sum -> product""",
    ]
    wanted = [states.expected_sets[row] for row in states.expected]
    assert wanted[0] == ('"("', "NUMBER")
    assert wanted[1] == wanted[2] == ('")"', '"*"', '"+"', "$END")
    assert all(getattr(states, name).dtype == np.int8 for name in COLUMNS)
    assert len(states) == 10


@few_of_many(8, 30, ll1_grammars(), st.integers(0, 100))
def test_random_grammars_as_lark_parses_them(text, seed):
    language = Language.from_lark(text, start="r0")
    assume(language.engine.is_lalr)
    try:
        corpus = language.sample(4, seed=seed, max_length=400)
    except ValueError:  # the weights that the grammar gets make hardly any string so short
        assume(False)
    for string in corpus.strings:
        assert_as_lark_does(language, string)
    together = language.parser_states(corpus)
    alone = [language.parser_states(string) for string in corpus.strings]
    for name in COLUMNS:
        np.testing.assert_array_equal(
            getattr(together, name), np.concatenate([getattr(one, name) for one in alone]), err_msg=name
        )


@few_of_many(10, 40, small_weighted_grammars(), st.lists(st.text("xyz", max_size=8), min_size=3, max_size=6))
def test_conflicts_are_resolved_as_by_lark(grammar, strings):
    text, _ = as_lark(grammar)
    try:
        language = Language.from_lark(text, start="n0", parser="lalr")
    except ValueError:
        assume(False)
    for string in strings:
        if assert_same_error(language, string) is None:
            assert_as_lark_does(language, string)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "if a:\n    def f(b, *c):  # why\n        return (1,\n  2)\n\n    y = f\nelse:\n\tpass\nz[1:2] = 'x' 'y'\n",
        "class A:\n  async def f(self): await x\n  @d(1)\n  def g(): yield {**a, 'b': [i for i in c if i]}\n",
        "match = case = 1\nmatch x:\n  case [1, _]: pass\nprint(match)\n",
    ],
)
def test_python_with_its_contextual_lexer_and_indenter(text):
    assert_as_lark_does(get("python"), text)


def test_json_and_sampled_c():
    language = Language.from_lark(JSON, start="value")
    for string in language.sample(10, seed=0, max_length=200).strings:
        assert_as_lark_does(language, string)
    for string in get("c_expressions").sample(20, seed=0, max_length=100).strings:
        assert_as_lark_does(get("c_expressions"), string)


@pytest.mark.slow  # a language that is no built-in one makes its table anew
def test_the_end_of_the_text_closes_no_block():
    python = replace(get("python"), final_newline=False)
    indented = python.parser_states("if x:\n  y\n  ")  # the indenter closes the block at the end of the text
    assert indented.symbols[indented.top[-1]] == "NEWLINE"
    closed = python.parser_states("if x:\n  y\n")
    assert closed.symbols[closed.top[-1]] == "DEDENT"


def test_reductions_at_the_end_of_the_text_are_left_out():
    unfinished = get("python").parser_states("x = 1")  # a line break is added for the parser
    finished = get("python").parser_states("x = 1\n")
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(unfinished, name), getattr(finished, name)[:-1])
    assert len(unfinished) == 5


@cache
def expressions():
    return get("c_expressions").sample(101, seed=0, max_length=30).strings


@few_of_many(10, 40, st.integers(0, 100), st.integers(0, 100))
def test_states_do_not_depend_on_later_text(first, second):
    """Two continuations of one beginning that is a complete string: the same states on it, whatever follows."""
    language = get("c_expressions")
    begin, one, other = (expressions()[place] for place in (first, second, 7))
    a = language.parser_states(f"({begin})*({one})")
    b = language.parser_states(f"({begin})*{{}}".format(f"({other})"))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name)[: len(begin) + 3], getattr(b, name)[: len(begin) + 3])


@pytest.mark.parametrize(
    "options", [{"lexer": "basic"}, {"lexer_callbacks": {"NUMBER": lambda token: token}}, {"g_regex_flags": 2}]
)
def test_lexers_agree(options):
    text = "1+(22*3 + 4)*5"
    expected, states = sums().parser_states(text), sums(options=options).parser_states(text)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(states, name), getattr(expected, name))


def test_a_lexer_callback_may_change_tokens():
    grammar = "start: (A | B)+\nA: /[a-z]/\nB: /[0-9]/"

    def digit(token):
        return token.update(type="B") if token == "x" else token

    states = Language.from_lark(grammar, options={"lexer_callbacks": {"A": digit}}).parser_states("ax1")
    assert [states.symbols[row] for row in states.top] == ["A", "B", "B"]


def test_a_word_that_is_also_a_name():
    states = Language.from_lark('start: ("if" NAME)+\nNAME: /[a-z]+/\n%ignore " "').parser_states("if iffy if if")
    assert [states.symbols[row] for row in states.top[[1, 6, 9, 12]]] == ['"if"', "NAME", '"if"', "NAME"]


def test_token_watchers_see_nothing_of_it():
    python = get("python")
    before = python.parse("# a\nx\n")
    python.parser_states("# one\n# two\n")
    np.testing.assert_array_equal(python.parse("# a\nx\n").rule, before.rule)
    assert not [span for span in python.engine._record.outside if span[1] > 6]


@pytest.mark.parametrize("text", ["1+", "1 2", "", "x", "(1", "1)"])
def test_errors_are_those_of_parsing(text):
    assert assert_same_error(sums(), text)
    assert assert_same_error(get("c_expressions"), text) or text == "x"


def test_python_errors_are_those_of_parsing():
    for text in ("if x:\n    y\n  z\n", "x = (1\n", "x = )\n", "$", "x)\n"):
        assert assert_same_error(get("python"), text)


def test_large_numbers_are_preserved():
    language = Language.from_lark('start: "a" start | "b"')  # every a waits on the stack
    states = language.parser_states("a" * 40_000 + "b")
    assert (states.stack_size == np.arange(1, 40_002)).all()
    right = Language.from_lark('start: list ";" | start list ";"\nlist: "a" list | "a"')
    states = right.parser_states("a" * 40_000 + ";")
    assert states.reductions[-1] == 40_000
    assert states.stack_size.dtype == states.reductions.dtype == np.int32


def test_earley_has_no_states():
    with pytest.raises(ValueError, match=r"with an LALR table, got .* Earley.*parser='lalr'.*levels of precedence"):
        get("arithmetic").state_features()
    for ask in (
        get("c").state_features,
        lambda: get("c").add_parser_states(get("parentheses").sample(1)),
        lambda: get("c").parser_states(""),
    ):
        with pytest.raises(ValueError, match=r"LALR grammar, got c, .*c_expressions"):
            ask()
    shifting = Language.from_lark(get("arithmetic").grammar, start="_text", parser="lalr")
    assert_as_lark_does(shifting, "1+2*3, (4-5)")
