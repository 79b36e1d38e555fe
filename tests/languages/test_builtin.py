import ast
import io
import tokenize
from collections import Counter

import numpy as np
import pytest

from dni_jax.languages import ParseError, get, list_languages, standard_library_files
from tests.support.slow import slow_after

PARENTHESES = {
    "e0": ["0 e0", "( e1 )"],
    "e1": ["e1 1", "1 e1", "( e2 )"],
    "e2": ["e2 2", "2 e2", "( e3 )"],
    "e3": ["e3 3", "3 e3", "( e4 )"],
    "e4": ["4 e4", ""],
}
NODES = {
    ast.FunctionDef: "funcdef",
    ast.AsyncFunctionDef: "funcdef",
    ast.ClassDef: "classdef",
    ast.Call: "funccall",
    ast.Compare: "comparison",
    ast.For: "for_stmt",
    ast.While: "while_stmt",
    ast.Attribute: "getattr",
    ast.Subscript: "getitem",
    ast.Return: "return_stmt",
    ast.With: "with_stmt",
    ast.Raise: "raise_stmt",
}
ENOUGH = 25  # nodes of a kind among the modules of the standard library that are read
ARITHMETIC = {
    "_text": ["e", "e ,' ' _text"],
    "e": ["d", "e - e", "e + e", "( e )", "e * e", "e / e"],
}


def written(grammar):
    """{rule: [production]} as text, from the table that is sampled from."""
    found = {}
    for left, right in zip(grammar.left, grammar.right, strict=True):
        parts = [grammar.symbols[p] if isinstance(p, int) else p if p != " " else "' '" for p in right]
        found.setdefault(grammar.symbols[left], []).append(" ".join(parts))
    return found


def test_parentheses_has_exactly_the_productions_of_the_paper():
    grammar = get("parentheses").productions
    assert written(grammar) == PARENTHESES
    assert grammar.symbols[grammar.start] == "e0"
    for symbol, rights in PARENTHESES.items():
        rows = [row for row, left in enumerate(grammar.left) if grammar.symbols[left] == symbol]
        np.testing.assert_allclose(grammar.weight[rows], 1 / len(rights))
        names_ = [grammar.kinds[grammar.kind[row]].name for row in rows]
        assert names_ == [f"{symbol} -> {right or 'epsilon'}" for right in rights]
        assert {grammar.kinds[grammar.kind[row]].symbol for row in rows} == {symbol}


def test_arithmetic_has_exactly_the_productions_of_the_paper():
    grammar = get("arithmetic").productions
    found = written(grammar)
    for symbol, rights in ARITHMETIC.items():
        assert [right.replace(", ' '", ",' '") for right in found[symbol]] == rights
    digits = [rights for symbol, rights in found.items() if symbol not in (*ARITHMETIC, "d")]
    assert [sorted(d) for d in digits if len(d) > 1] == [list("0123456789")]
    assert grammar.symbols[grammar.start] == "_text"
    kinds = {kind.name for kind in grammar.kinds}
    assert {"e -> d", "e -> e - e", "e -> e + e", "e -> ( e )", "e -> e * e", "e -> e / e", "d -> [0-9]"} <= kinds
    e = [w for w, left in zip(grammar.weight, grammar.left, strict=True) if grammar.symbols[left] == "e"]
    np.testing.assert_allclose(e, np.array([8, 1, 1, 2, 1, 1]) / 14)


def test_long_arithmetic_has_the_same_expressions_but_no_single_digits_among_them():
    grammar = get("arithmetic_long").productions
    assert written(grammar)["e"] == ARITHMETIC["e"]
    assert written(grammar)["whole"] == ARITHMETIC["e"][1:]
    assert (
        grammar.kinds
        == get("arithmetic").productions.kinds[1:6]
        + get("arithmetic").productions.kinds[:1]
        + (get("arithmetic").productions.kinds[6:])
    )
    texts = get("arithmetic_long").sample(2_000, seed=0).strings
    expressions = [each for text in texts for each in text.split(", ")]
    assert min(map(len, expressions)) == 3
    assert np.mean([len(each) for each in expressions]) == pytest.approx(7.4, abs=0.3)
    symbols = "".join(texts)
    assert [symbols.count(sign) / len(symbols) for sign in "+-*/"] == pytest.approx([0.141, *[0.047] * 3], abs=0.004)


def test_unknown_language_lists_those_there_are():
    with pytest.raises(ValueError, match=r"parentheses, arithmetic, python.*got 'klingon'.*from_lark"):
        get("klingon")
    assert list_languages() == ("parentheses", "arithmetic", "python", "c", "c_expressions", "arithmetic_long")


def test_python_cannot_be_sampled_and_says_so():
    with pytest.raises(ValueError, match=r"got _\w+, which only a lexer makes: parse text instead"):
        get("python").sample(3)
    assert get("python").characters is None


def test_standard_library_files_are_short_modules_without_tests():
    files = standard_library_files()
    assert len(files) > 100
    assert all(1_000 <= file.stat().st_size <= 16_000 for file in files)
    assert not any({"test", "tests", "idlelib", "site-packages"} & set(file.parts) for file in files)
    assert sum(file.stat().st_size for file in files) > 500_000


def character_offsets(source):
    """A function from ast's (line, byte column) to a position in the text."""
    lines = source.split("\n")
    starts = np.concatenate([[0], np.cumsum([len(line) + 1 for line in lines])])

    def offset(line, column):
        return int(starts[line - 1]) + len(lines[line - 1].encode()[:column].decode())

    return offset


def ast_spans(source):
    """Spans that Python's own parser gives, by the names of Lark's nodes.

    Where the two grammars differ: an f-string is one token for Lark, so what stands inside is left out; a dotted name
    in a pattern of a ``match`` is no attribute; an ``async def`` begins at its ``def``.
    """
    offset = character_offsets(source)
    spans = {kind: set() for kind in NODES.values()}
    module = ast.parse(source)
    inside = {id(n) for f in ast.walk(module) if isinstance(f, ast.JoinedStr) for n in ast.walk(f)}
    for node in ast.walk(module):
        if isinstance(node, ast.pattern):
            inside |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(module):
        kind = NODES.get(type(node))
        if kind is not None and id(node) not in inside:
            first, last = offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
            first = source.index("def", first) if isinstance(node, ast.AsyncFunctionDef) else first
            spans[kind].add((first, last))
    return spans


def count_nodes(source):
    """How often Python's own parser finds each kind of node; kinds that do not occur are left out."""
    return +Counter({kind: len(spans) for kind, spans in ast_spans(source).items()})


def token_spans(source, kind):
    """Spans of comments or strings by the standard library's tokenizer (which takes f-strings apart from 3.12 on)."""
    offset = [0, *np.cumsum([len(line) + 1 for line in source.split("\n")]).tolist()]
    opening, closing = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
    spans, opened = set(), []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        first, last = (offset[line - 1] + column for line, column in (token.start, token.end))
        if token.type == kind and not opened:
            spans.add((first, last))
        elif token.type == opening:
            opened.append(first)
        elif token.type == closing:
            first = opened.pop()
            if kind == tokenize.STRING and not opened:
                spans.add((first, last))
    return spans


def our_spans(trees, *symbols):
    rows = [row for row, rule in enumerate(trees.rule) if trees.kinds[rule].symbol in symbols]
    return {(int(trees.start[row]), int(trees.end[row])) for row in rows}


def sampled_modules(n):
    """(file, source) of n modules, evenly over the standard library, and of some more.

    How often a kind of node occurs in them depends on the version of Python: modules are added, in order, until
    Python's own parser finds each kind at least `ENOUGH` times.
    """
    sources = [(file, file.read_text(encoding="utf-8")) for file in standard_library_files()]
    step = max(len(sources) // n, 1)
    chosen = sources[::step][:n]
    counts = Counter()
    for _, source in chosen:
        counts.update(count_nodes(source))
    for file, source in sources:
        missing = {kind for kind in NODES.values() if counts[kind] < ENOUGH}
        if not missing:
            break
        if (file, source) not in chosen and missing & (found := count_nodes(source)).keys():
            chosen.append((file, source))
            counts.update(found)
    return chosen


@pytest.fixture(scope="module", params=slow_after(1, [6, 60]))
def python_files(request):
    """`sampled_modules` with their trees (None where they do not parse)."""
    read = []
    for file, source in sampled_modules(request.param):
        try:
            read.append((file, source, get("python").parse(source)))
        except ParseError:
            read.append((file, source, None))
    return read


def test_python_parses_the_standard_library(python_files):
    failed = [file.name for file, _, trees in python_files if trees is None]
    assert len(failed) <= 0.03 * len(python_files), failed


@pytest.mark.parametrize("kind", sorted(set(NODES.values())))
def test_python_spans_are_those_of_pythons_own_parser(python_files, kind):
    agreed, ours_only, theirs_only = 0, [], []
    for file, source, trees in python_files:
        if trees is not None:
            theirs, ours = ast_spans(source)[kind], our_spans(trees, kind)
            agreed += len(theirs & ours)
            ours_only += [(file.name, source[a:b][:60]) for a, b in ours - theirs]
            theirs_only += [(file.name, source[a:b][:60]) for a, b in theirs - ours]
    assert agreed > 10
    assert not ours_only
    assert not theirs_only


def test_python_strings_and_comments_are_those_of_tokenize(python_files):
    count = 0
    for _, source, trees in python_files:
        if trees is not None:
            assert our_spans(trees, "comment") == token_spans(source, tokenize.COMMENT)
            assert our_spans(trees, "STRING", "LONG_STRING") == token_spans(source, tokenize.STRING)
            count += len(our_spans(trees, "comment"))
    assert count > 500


def test_python_nodes_hold_their_children(python_files):
    for _, source, trees in python_files[:20]:
        if trees is not None:
            inner = np.flatnonzero(trees.parent >= 0)
            above = trees.parent[inner]
            assert (above < inner).all()
            assert (trees.start[above] <= trees.start[inner]).all()
            assert (trees.end[above] >= trees.end[inner]).all()
            np.testing.assert_array_equal(trees.depth[above] + 1, trees.depth[inner])
            assert trees.start.min() >= 0
            assert trees.end.max() <= len(source)


def test_python_brackets_in_strings_and_comments_do_not_count():
    source = 'f("((", g[1])  # ((( [\nx = {"}": (2)}'
    trees = get("python").parse(source)
    brackets = [source[a:b] for a, b in sorted(our_spans(trees, "brackets"))]
    assert brackets == ['("((", g[1])', "[1]", '{"}": (2)}', "(2)"]
    assert [source[a:b] for a, b in our_spans(trees, "comment")] == ["# ((( ["]
    assert trees.end.max() <= len(source)
