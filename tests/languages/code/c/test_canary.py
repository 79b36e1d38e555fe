"""Fails loudly where a release of pycparser changes what the recorder stands on."""

import itertools

import pytest
from pycparser import CParser, c_ast, c_generator

from dni_jax.languages.code.c import _pycparser as noting
from dni_jax.languages.code.c._lexer import tokenize, words
from dni_jax.languages.code.c._pycparser import LEAF
from dni_jax.languages.code.c._recorder import Recorder


def test_every_method_that_is_replaced_or_called_is_pycparsers():
    own = {name for cls in Recorder.__mro__ for name in vars(cls) if cls.__module__.startswith("dni_jax")}
    replaced = {name for name in own if name.startswith("_parse_")}
    assert replaced - {"_parse_error"} <= set(dir(CParser)), "pycparser has renamed a method: pin it, or follow it"
    assert set(noting._PRIVATE) <= set(dir(CParser))
    assert replaced <= set(noting._PRIVATE)


def test_a_missing_method_is_refused_at_import(monkeypatch):
    monkeypatch.setattr(noting, "_PRIVATE", [*noting._PRIVATE, "_parse_nothing"])
    with pytest.raises(ImportError, match=r"pycparser >=3\.12,<4.*no _parse_nothing"):
        noting._check_pycparser()


def test_the_parsers_state_is_where_the_recorder_sets_it():
    parser = CParser()
    assert isinstance(parser._scope_stack, list)
    assert c_ast.ID in type(LEAF).__mro__


def test_notes_agree_with_pycparsers_own_tree():
    """The recorder notes as many nodes of each class as an unchanged pycparser makes of the same text."""
    text = """
    typedef int t;
    struct s { int a; t b[3]; };
    int g(int);
    int f(int x, t *y) {
        int i = 0, j;
        for (i = 0; i < 3; i++) { if (x == 1) g(x); else y[i] = (t)(x ? i : -j); }
        while (x--) do { j += g(g(1)); } while (j);
        switch (x) { case 1: case 2: break; default: goto out; }
    out:
        return ((struct s){ 1, { 2 } }).a;
    }
    """
    tree = CParser().parse(text)
    counted = {}

    def count(node):
        counted[type(node).__name__] = counted.get(type(node).__name__, 0) + 1
        for _, child in node.children():
            count(child)

    count(tree)
    tokens = tokenize(text)
    starts = [0]
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.type == "LBRACE") - (token.type == "RBRACE")
        if depth == 0 and (token.type == "SEMI" or (token.type == "RBRACE" and tokens[place + 1 : place + 2] == [])):
            starts.append(place + 1)
    notes = []
    for first, last in itertools.pairwise(starts):
        notes += Recorder().record(tokens[first:last], tokens[last - 1].type == "RBRACE", {"t": True}, set())[0]
    noted = {}
    for kind, _, _ in notes:
        noted[kind] = noted.get(kind, 0) + 1
    for kind in words(
        "FuncDef Typedef If For While DoWhile Switch Case Default Break Goto Label Return Compound Assignment FuncCall "
        "ArrayRef StructRef BinaryOp UnaryOp TernaryOp Cast CompoundLiteral InitList"
    ):
        assert noted.get(kind, 0) == counted.get(kind, 0), kind
    assert c_generator.CGenerator().visit(tree)
