"""Python source code as a language, and the files of the standard library."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from lark import Token
from lark.indenter import DedentError, PythonIndenter

from dni_jax.features import (
    FeatureLibrary,
    default_library,
    depth_features,
    nesting_features,
    node_features,
    symbol_feature,
)
from dni_jax.languages._language import Language
from dni_jax.languages._parsing import ParseError

_PYTHON_NODES = {
    "function": ["funcdef"],
    "class": ["classdef"],
    "definition header": ["parameters"],
    "call": ["funccall"],
    "arguments": ["arguments"],
    "attribute": ["getattr"],
    "string": ["STRING", "LONG_STRING"],
    "docstring": ["LONG_STRING"],
    "number": ["number"],
    "name": ["NAME"],
    "comparison": ["comparison"],
    "boolean": ["and_test", "or_test", "not_test"],
    "arithmetic": ["arith_expr", "term"],
    "condition": ["if_stmt"],
    "loop": ["for_stmt", "while_stmt"],
    "assignment": ["assign", "augassign"],
    "return": ["return_stmt"],
    "import": ["import_stmt"],
    "try": ["try_stmt"],
    "with": ["with_stmt"],
    "raise": ["raise_stmt"],
    "list": ["list", "list_comprehension"],
    "dict": ["dict", "dict_comprehension"],
    "subscript": ["getitem"],
    "comment": ["comment"],
}


def _python_library() -> FeatureLibrary:
    characters = default_library([], None)
    indent, nodes = nesting_features("indent", ["suite"], 4), node_features(_PYTHON_NODES)
    return FeatureLibrary((*depth_features(4), *indent, *characters, symbol_feature(":"), *nodes))


# Lark's grammar rejects some valid Python: (a rule of the grammar, the rule that replaces it).
PYTHON_AMENDMENTS = (
    ('with_item: test ["as" name]', 'with_item: test ["as" expr]'),
    ('except_clause: "except" [test', 'except_clause: "except" ["*"] [test'),
    ('poststarparams: ("," paramvalue)* ["," kwparams]', 'poststarparams: ("," paramvalue)* ["," [kwparams]]'),
    (
        'starargs: stararg ("," stararg)* ("," argvalue)* ["," kwargs]',
        'starargs: stararg ("," (stararg | argvalue))* ["," [kwargs]]',
    ),
    ('kwargs: "**" test ("," argvalue)*', 'kwargs: "**" test ("," (argvalue | "**" test))* [","]'),
    (
        r"""("(?!"").*?(?<!\\)(\\\\)*?"|'(?!'').*?(?<!\\)(\\\\)*?')/i""",
        r"""("(?!"")(\\(.|\n)|[^"\\\n])*"|'(?!'')(\\(.|\n)|[^'\\\n])*')/i""",
    ),
)


def _python_grammar() -> str:
    grammar = (resources.files("lark") / "grammars" / "python.lark").read_text(encoding="utf-8")
    for theirs, ours in PYTHON_AMENDMENTS:
        grammar = grammar.replace(theirs, ours)
    return grammar


# The source of this class is part of the language's fingerprint: editing it makes cached parses of Python invalid.
class _Indenter(PythonIndenter):
    """Lark's, with the line of a dedent that fits no block."""

    def handle_NL(self, token: Token) -> Iterator[Token]:  # noqa: N802 (Lark's name)
        try:
            yield from super().handle_NL(token)
        except DedentError as error:
            raise ParseError(f"does not parse (line {token.end_line}, column {token.end_column}): {error}") from error


def python() -> Language:
    """Return the language of Python source code, which uses Lark's grammar and indenter. It cannot be sampled."""
    comments = ("comment", r"#[^\n]*")
    return Language(
        "python",
        _python_grammar(),
        start="file_input",
        parser="lalr",
        options={"postlex": _Indenter()},
        token_spans={"_NEWLINE": comments, "COMMENT": comments},
        library=_python_library,
        final_newline=True,
    )


_MODULE_BYTES = (1_000, 16_000)
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "lib2to3"})


def standard_library_files() -> list[Path]:
    """List the modules of the running Python's standard library with 1,000 to 16,000 bytes, without tests.

    Modules are short so that a corpus has many files, and can be split and cross-validated by file.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = (file for file in root.rglob("*.py") if not _NOT_LIBRARY & set(file.relative_to(root).parts))
    return sorted(file for file in files if _MODULE_BYTES[0] <= file.stat().st_size <= _MODULE_BYTES[1])
