"""Ranges against an independent parser, where both parse: pip install tree-sitter tree-sitter-c."""

from pathlib import Path

import numpy as np
import pytest

from dni_jax.languages import get
from tests.support.marks import spans_of

pytestmark = pytest.mark.slow

KINDS = {
    "if_statement": ("If",),
    "for_statement": ("For",),
    "while_statement": ("While",),
    "do_statement": ("DoWhile",),
    "switch_statement": ("Switch",),
    "return_statement": ("Return",),
    "goto_statement": ("Goto",),
    "compound_statement": ("Compound",),
    # Without knowing types they take "(type)(x)" for a call: the ranges are the same, the names are not.
    "call_expression": ("FuncCall", "Cast"),
    "assignment_expression": ("Assignment",),
    "conditional_expression": ("TernaryOp",),
    "subscript_expression": ("ArrayRef",),
    "field_expression": ("StructRef",),
    "string_literal": ("string",),
    "number_literal": ("number",),
    "char_literal": ("character",),
    "comment": ("comment",),
}


def theirs(text):
    """For each of their kinds the ranges, and the functions that they parse without an error."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_c")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    content = text.encode()
    places = np.cumsum([0] + [(byte & 0xC0) != 0x80 for byte in content])
    found = {kind: [] for kind in KINDS}
    functions = []
    todo = [parser.parse(content).root_node]
    while todo:
        node = todo.pop()
        span = int(places[node.start_byte]), int(places[node.end_byte])
        if node.type == "number_literal" and node.text[:1] in b"+-":
            span = span[0] + 1, span[1]  # they count the sign of "-1" as the number's
        kind = "call_expression" if node.type == "cast_expression" else node.type
        if kind in found:
            found[kind].append(span)
        if node.type == "function_definition" and not node.has_error:
            functions.append(span)
        todo += node.children
    return found, functions


def agreement(text):
    """For each kind how many ranges are the same, and how many only one of the two has, in functions both parse."""
    result = get("c").try_parse(text)
    found, functions = theirs(text)
    own = set(spans_of(result.trees, "FuncDef"))
    dead = np.zeros(len(text) + 1, bool)
    for first, last in result.unparsed:
        dead[first:last] = True
    both = [span for span in functions if any(last == span[1] for _, last in own) and not dead[slice(*span)].any()]
    inside = np.zeros(len(text) + 1, bool)
    for first, last in both:
        inside[first:last] = True
    counts = {}
    for kind, names in KINDS.items():
        a = {span for span in spans_of(result.trees, *names) if inside[span[0]]}
        b = {span for span in found[kind] if inside[span[0]]}
        counts[kind] = len(a & b), len(a - b), len(b - a)
    return counts, len(both)


def test_ranges_are_tree_sitters():
    import numpy.f2py

    text = (Path(numpy.f2py.__file__).parent / "src" / "fortranobject.c").read_text(encoding="utf-8")
    counts, n_functions = agreement(text)
    assert n_functions >= 30
    assert sum(same for same, _, _ in counts.values()) > 1_400
    for kind, (_, ours, others) in counts.items():
        assert (ours, others) == (0, 0), kind
