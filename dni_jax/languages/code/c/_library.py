"""The features of C source code."""

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
    """Make the features of C: nesting, classes of characters, some symbols, range and impulse of every node.

    ``depth`` counts brackets of all sorts, ``braces`` and ``parentheses`` those of one. ``loop`` holds C's own loops
    and macros like ``list_for_each_entry(..)``.

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
