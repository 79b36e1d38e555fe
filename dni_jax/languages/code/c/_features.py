"""C's kinds of nodes and features."""

from __future__ import annotations

from dni_jax.features import (
    Feature,
    FeatureLibrary,
    default_library,
    depth_features,
    nesting_features,
    node_features,
    symbol_feature,
)
from dni_jax.languages.code.c._lexer import words
from dni_jax.text import NodeKind

_CLASSES = words(
    "FuncDef Decl Typedef Struct Union Enum Compound If For While DoWhile Switch Case Default Label Return Goto Break "
    "Continue EmptyStatement Assignment TernaryOp BinaryOp UnaryOp Cast FuncCall ArrayRef StructRef CompoundLiteral "
    "InitList"
)

# Symbols with a capital are classes of pycparser; the others are names for what it has no class for.
KINDS: tuple[NodeKind, ...] = (
    *(NodeKind(name, name) for name in _CLASSES),
    NodeKind("identifier", "identifier"),
    NodeKind("function declaration", "Decl"),
    NodeKind("parameter", "parameter"),
    NodeKind("macro loop", "macro loop"),
    NodeKind("macro block", "macro block"),
    NodeKind("number", "Constant"),
    NodeKind("character", "Constant"),
    NodeKind("string", "Constant"),
    NodeKind("terminator", "terminator"),
    NodeKind("parentheses", "brackets"),
    NodeKind("square brackets", "brackets"),
    NodeKind("braces", "brackets"),
    NodeKind("comment", "comment"),
    NodeKind("preprocessor", "preprocessor"),
)
NUMBER_OF = {kind.name: number for number, kind in enumerate(KINDS)}


LOOPS = ("For", "While", "DoWhile", "macro loop")
NODES = {
    "terminator": ["terminator"],
    "function definition": ["FuncDef"],
    "function declaration": ["function declaration"],
    "braces": ["braces"],
    "parentheses": ["parentheses"],
    "square brackets": ["square brackets"],
    "if": ["If"],
    "loop": LOOPS,
    "switch": ["Switch"],
    "case": ["Case", "Default"],
    "return": ["Return"],
    "jump": ["Goto", "Break", "Continue"],
    "assignment": ["Assignment"],
    "call": ["FuncCall"],
    "string": ["string"],
    "character": ["character"],
    "number": ["number"],
    "identifier": ["identifier"],
    "comment": ["comment"],
    "preprocessor": ["preprocessor"],
    "declaration": ["Decl"],
    "parameter": ["parameter"],
    "typedef": ["Typedef"],
    "structure": ["Struct", "Union"],
    "enumeration": ["Enum"],
    "initializer": ["InitList"],
    "block": ["Compound"],
    "binary operation": ["BinaryOp"],
    "unary operation": ["UnaryOp"],
    "conditional": ["TernaryOp"],
    "cast": ["Cast"],
    "subscript": ["ArrayRef"],
    "member": ["StructRef"],
}
_SYMBOLS = ";,{}()=*"
_LEVELS = 6


def c_library() -> FeatureLibrary:
    """Return the features of C: nesting, character types, some symbols, range and impulse of every node.

    ``depth`` counts brackets of all kinds; ``braces depth`` and ``parentheses depth`` count one kind. ``loop`` includes
    macros like ``list_for_each_entry(..)``.

    Examples
    --------
    >>> [name for name in c_library().names if name.endswith(":if")]
    ['range:if', 'impulse:if']
    """
    nesting: list[Feature] = []
    for bracket in ("braces", "parentheses"):
        nesting += nesting_features(f"{bracket} depth", [bracket], 4)
    symbols = [symbol_feature(symbol) for symbol in _SYMBOLS]
    return FeatureLibrary(
        (*depth_features(_LEVELS), *nesting, *default_library([], None), *symbols, *node_features(NODES))
    )
