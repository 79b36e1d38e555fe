"""The kinds of nodes in C's trees: pycparser's classes, what it has no class for, and what tokens alone tell.

Symbols with a capital are pycparser's classes; the others are of this package's making.
"""

from __future__ import annotations

from dni_jax.languages.code.c._tokens import words
from dni_jax.text import NodeKind

_PARSED = words(
    "FuncDef Decl Typedef Struct Union Enum Compound If For While DoWhile Switch Case Default Label Return Goto Break "
    "Continue EmptyStatement Assignment TernaryOp BinaryOp UnaryOp Cast FuncCall ArrayRef StructRef CompoundLiteral "
    "InitList"
)

KINDS: tuple[NodeKind, ...] = (
    *(NodeKind(name, name) for name in _PARSED),
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
