"""C expressions: what is sampled is C, and means the same to pycparser."""

import numpy as np
import pytest
from pycparser import CParser, c_ast

from dni_jax.languages import ParseError, get
from tests.support.tree_checks import assert_same_trees, check_shape, nodes_of

WRITTEN = [
    "a+b*c-d/e%f",
    "a - (-b) * --c",
    "a = b += c ? d : e, f",
    "*p++ = -*--q",
    "x ? y ? 1 : 2 : z ? 3 : 4",
    "a<<1 | b & ~c ^ !d",
    "a == b != c <= d > e",
    "f()(1, (2, 3))[i].x->y++",
    "(unsigned**) &p == &q ? &r : &s",
    "sizeof(int*) + sizeof(a.b[0])",
    "p->q -= 0x1fULL*.5e-3f/017",
    "g(\"a\\\"(b\", '\\'', '(')",
    "a&&b||c&&*p\t+\n x ",
    "integer + sizeof_b + intent",
]


def ours(language, text):
    """A string's tree as nested tuples."""
    nodes = nodes_of(language.parse(text), 0)
    return built(nodes, 0, text)


def built(nodes, row, text):
    node = nodes[row]
    symbol, rows = node["kind"].symbol, node["children"]
    shown = text[node["start"] : node["end"]]
    if symbol == "identifier" or symbol.isupper():
        return shown
    if symbol == "type":
        return "".join(shown.split())
    parts = [built(nodes, child, text) for child in rows]
    if symbol == "comma":
        left = parts[0][1:] if nodes[rows[0]]["kind"].symbol == "comma" else parts[:1]
        return (",", *left, parts[1])
    if symbol == "group":
        return parts[0]
    if symbol in ("call", "subscript", "conditional", "sizeof", "cast"):
        return (symbol, *parts)
    first, last = nodes[rows[0]], nodes[rows[-1]]
    if len(parts) == 2:
        return (text[first["end"] : last["start"]].strip(), *parts)
    before, behind = text[node["start"] : first["start"]].strip(), text[last["end"] : node["end"]].strip()
    return (before or "p" + behind, *parts)


def theirs(text):
    tree = CParser().parse(f"int f(void) {{ return {text}; }}")
    return simple(tree.ext[0].body.block_items[0].expr)


def simple(node):
    if isinstance(node, c_ast.ID):
        return node.name
    if isinstance(node, c_ast.Constant):
        return node.value
    if isinstance(node, c_ast.Typename):
        stars, inner = "", node.type
        while isinstance(inner, c_ast.PtrDecl):
            stars, inner = stars + "*", inner.type
        return inner.type.names[0] + stars
    if isinstance(node, c_ast.ExprList):
        return (",", *map(simple, node.exprs))
    if isinstance(node, (c_ast.BinaryOp, c_ast.Assignment)):
        left, right = (node.left, node.right) if isinstance(node, c_ast.BinaryOp) else (node.lvalue, node.rvalue)
        return (node.op, simple(left), simple(right))
    if isinstance(node, c_ast.UnaryOp):
        return (node.op, simple(node.expr))
    if isinstance(node, c_ast.TernaryOp):
        return ("conditional", simple(node.cond), simple(node.iftrue), simple(node.iffalse))
    if isinstance(node, c_ast.FuncCall):
        return ("call", simple(node.name), *(map(simple, node.args.exprs) if node.args else ()))
    if isinstance(node, c_ast.ArrayRef):
        return ("subscript", simple(node.name), simple(node.subscript))
    if isinstance(node, c_ast.StructRef):
        return (node.type, simple(node.name), node.field.name)
    assert isinstance(node, c_ast.Cast)
    return ("cast", simple(node.to_type), simple(node.expr))


@pytest.mark.parametrize("text", WRITTEN)
def test_written_expressions_mean_what_they_mean_in_c(text):
    assert ours(get("c_expressions"), text) == theirs(text)


def test_sampled_expressions_mean_what_they_mean_in_c():
    corpus = get("c_expressions").sample(100, seed=1, max_length=200)
    for string in corpus.strings:
        assert ours(get("c_expressions"), string) == theirs(string), string


def test_sampled_trees_are_those_of_parsing():
    language = get("c_expressions")
    assert language.engine.is_lalr
    sampled = language.sample(200, seed=2, max_length=300)
    assert_same_trees(sampled.trees, language.corpus(sampled.strings).trees)
    for string in range(50):
        check_shape(sampled.trees, string, len(sampled.strings[string]))


def test_strings_have_handy_lengths_and_use_every_rule():
    language = get("c_expressions")
    corpus = language.sample(1_000, seed=3)
    lengths = np.diff(corpus.offsets)
    assert 8 <= np.median(lengths) <= 20
    assert 20 <= lengths.mean() <= 50
    used = {corpus.trees.kinds[row].name for row in np.unique(corpus.trees.rule)}
    assert used == {kind.name for kind in language.engine.kinds}


def test_an_ideal_predictor_is_known():
    language = get("c_expressions")
    corpus = language.sample(20, seed=4, max_length=40)
    assert 0.5 < language.ideal_cross_entropy(corpus) < np.log(len(corpus.vocabulary))
    spaced = language.log_probability(["a + b", "a+b"])
    np.testing.assert_allclose(spaced[0], spaced[1])


@pytest.mark.parametrize("text", ["a b", "a +", "1 = 2", "f(,)", "a ? b", "(int)", "5.x", "a - -b", "'ab'"])
def test_what_is_no_expression(text):
    with pytest.raises(ParseError, match=r"line 1, column"):
        get("c_expressions").parse(text)
