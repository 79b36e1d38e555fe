"""Python source code as a language, and the files of the standard library."""

from __future__ import annotations

import ast
import io
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
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
from dni_jax.languages._parsing import ParseError, ParseResult
from dni_jax.text import BRACKETS, NodeKind, ParseTrees

_PYTHON_NODES = {
    "function": ["funcdef"],
    "class": ["classdef"],
    "definition header": ["parameters"],
    "call": ["funccall"],
    "arguments": ["arguments"],
    "attribute": ["getattr", "value"],
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


# A field of an f-string may have strings with the same quotes in it since Python 3.12. One level of them is read.
_FIELD = r"""(?<=[{])[^{}"'\n]*("[^"{}\n]*"|'[^'{}\n]*')[^{}\n]*(?=[}])|"""


def _quoted(field: str) -> str:
    """Return the regular expression of a string in one line, in either quotes, with fields."""
    return rf""""(?!"")(\\(.|\n)|{field}[^"\\\n])*"|'(?!'')(\\(.|\n)|{field}[^'\\\n])*'"""


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
    ('decorator: "@" dotted_name [ "(" [arguments] ")" ] _NEWLINE', 'decorator: "@" test _NEWLINE'),
    (
        "| STRING -> string\n                      | number\n\nattr_pattern",
        '| string_concat\n                      | "-"? number (("+" | "-") number)?\n\nattr_pattern',
    ),
    ('name_or_attr_pattern: NAME ("." NAME)* -> value', '?name_or_attr_pattern: NAME | NAME ("." NAME)+ -> value'),
    (
        'lambda_params: lambda_paramvalue ("," lambda_paramvalue)* ["," [',
        'lambda_params: lambda_paramvalue ("," lambda_paramvalue)* ["," SLASH ("," lambda_paramvalue)*] ["," [',
    ),
    ('return_stmt: "return" [testlist]', 'return_stmt: "return" [testlist_star_expr]'),
    ('yield_expr: "yield" [testlist]', 'yield_expr: "yield" [testlist_star_expr]'),
    ('for_stmt: "for" exprlist "in" testlist ":"', 'for_stmt: "for" exprlist "in" testlist_star_expr ":"'),
    ('match_stmt: "match" test ":"', 'match_stmt: "match" testlist_star_expr ":"'),
    ("comp_fors [comp_if]\ncomp_fors: comp_for+", "comp_fors\ncomp_fors: comp_for+"),
    ('comp_for: [ASYNC] "for" exprlist "in" or_test', 'comp_for: [ASYNC] "for" exprlist "in" or_test comp_if*'),
    ("?subscript: test |", "?subscript: test | star_expr |"),
    ('starparam: "*" typedparam', 'starparam: "*" name [":" test_or_star_expr]'),
    (
        'with_stmt: "with" with_items ":" suite',
        'with_stmt: "with" with_items ":" suite\n'
        '         | "with" "(" named_item ("," with_item)* ","? ")" ":" suite\n'
        'named_item: test "as" expr -> with_item',
    ),
    (
        '[arguments_pattern ","?] ")"\narguments_pattern: pos_arg_pattern ["," keyws_arg_pattern]\n'
        "                 | keyws_arg_pattern -> no_pos_arguments\n\n"
        'pos_arg_pattern: as_pattern ("," as_pattern)*\n'
        'keyws_arg_pattern: keyw_arg_pattern ("," keyw_arg_pattern)*',
        '[arguments_pattern] ")"\narguments_pattern: _argument_pattern ("," _argument_pattern)* [","]\n'
        "_argument_pattern: as_pattern | keyw_arg_pattern",
    ),
    # Type parameters and aliases (PEP 695); "type" is a name elsewhere.
    ('funcdef: "def" name "(" [parameters] ")"', 'funcdef: "def" name [type_parameters] "(" [parameters] ")"'),
    (
        'classdef: "class" name ["("',
        'type_parameters: "[" type_parameter ("," type_parameter)* ","? "]"\n'
        'type_parameter: ("*" | "**")? name [":" test] ["=" test_or_star_expr]\n'
        'type_stmt: "type" name [type_parameters] "=" test\n'
        'classdef: "class" name [type_parameters] ["("',
    ),
    ("| assert_stmt)", "| assert_stmt | type_stmt)"),
    ('!name: NAME | "match" | "case"', '!name: NAME | "match" | "case" | "type"'),
    (
        r"""STRING: /([ubf]?r?|r[ubf])("(?!"").*?(?<!\\)(\\\\)*?"|'(?!'').*?(?<!\\)(\\\\)*?')/i""",
        f"STRING: /(fr?|rf)({_quoted(_FIELD)})|([ub]?r?|r[ub])({_quoted('')})/i",
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
            raise ParseError(
                f"does not parse (line {token.end_line}, column {token.end_column}): {error}", token.end_pos
            ) from error


_CONTINUES = re.compile(r"(?:else|elif|except|finally)\b")
_BEGINS = re.compile(r"[^\W\d]|[@\"'(\[{*\d.~+-]")
_REPARSED = 10  # the most that masking may parse again, as a multiple of a statement's length,
_REPARSED_SHORT = 15_000  # or in characters
# A header that takes the place of one that does not parse, so that its block still belongs to something.
_HEADERS = {"elif": "elif 0:", "else": "else:", "try": "try:", "except": "except:", "finally": "finally:"}


def _interpret(text: str) -> ast.Module | None:
    """Parse a text with the interpreter's own parser; None for syntax that this version does not have."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text's own string escapes and comparisons
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]


def _find_statements(text: str) -> list[int]:
    """Return where the statements of a module begin: by the interpreter's own parser, or else by their lines."""
    starts, module = _line_starts(text), _interpret(text)
    if module is None:
        lines = text.splitlines(keepends=True)
        rows = [row for row, line in enumerate(lines) if _BEGINS.match(line) and not _CONTINUES.match(line)]
        rows = [row for row in rows if row == 0 or not lines[row - 1].startswith("@")]
    else:
        first = [[node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))] for node in module.body]
        rows = [min(lines) - 1 for lines in first]
    return [0, *sorted({starts[row] for row in rows if starts[row] > 0})]


def _list_spans(text: str) -> list[tuple[int, int]]:
    """Return where every statement begins and ends, at all depths: by the interpreter's parser, or by logical lines."""
    starts, module = _line_starts(text), _interpret(text)
    if module is None:
        return _logical_lines(text, starts)
    lines = text.split("\n")

    def position(row: int, column: int) -> int:
        line = lines[row - 1]
        return starts[row - 1] + (column if line.isascii() else len(line.encode()[:column].decode()))

    spans = []
    for node in ast.walk(module):
        if isinstance(node, ast.stmt):
            first = min([(node.lineno, node.col_offset), *((one.lineno, 0) for one in _decorators(node))])
            begin = position(*first)
            begin += len(text[begin:]) - len(text[begin:].lstrip(" \t\f"))
            spans.append((begin, position(node.end_lineno or node.lineno, node.end_col_offset or 0)))
    return spans


def _decorators(node: ast.stmt) -> Sequence[ast.expr]:
    return getattr(node, "decorator_list", ())


def _logical_lines(text: str, starts: Sequence[int]) -> list[tuple[int, int]]:
    """Return where each logical line begins and ends; physical lines where the tokenizer stops."""
    spans: list[tuple[int, int]] = []
    begin: int | None = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
                continue
            first = starts[token.start[0] - 1] + token.start[1]
            if token.type == tokenize.NEWLINE:
                spans += [(begin, first)] if begin is not None else []
                begin = None
            elif begin is None:
                begin = first
    except (tokenize.TokenError, SyntaxError):
        pass
    after = spans[-1][1] if spans else 0
    for first, line in zip(starts, text.split("\n"), strict=True):
        if first >= after and line.strip():
            spans.append((first + len(line) - len(line.lstrip()), first + len(line.rstrip())))
    return spans


def _fill(statement: str) -> str | None:
    """Return text of the same length that parses in place of a statement; None if there is none."""
    if not statement.rstrip().endswith(":"):
        return "0".ljust(len(statement))
    word = re.match(r"\w*", statement)
    header = _HEADERS.get(word.group() if word else "", "if 0:")
    return header.ljust(len(statement)) if len(header) <= len(statement) else None


@dataclass(frozen=True, eq=False)
class PythonLanguage(Language):
    """Python source code. In a file that does not parse, the statements that do not are masked, and no others."""

    def try_parse(self, text: str) -> ParseResult:
        """Parse a text; if it does not parse, everything but the innermost statements that do not."""
        whole = super().try_parse(text)
        if not whole.error:
            return whole
        begins = _find_statements(text)
        pieces = [
            (first, self._parse_masked(text[first:last]))
            for first, last in zip(begins, [*begins[1:], len(text)], strict=True)
        ]
        parsed = [(first, one.trees) for first, one in pieces if len(one.trees.rule)]
        if not parsed:
            return whole
        unparsed = [one.unparsed + first for first, one in pieces]
        return ParseResult(_join_trees(parsed, self.kinds), np.concatenate(unparsed), whole.counts, whole.error)

    def _parse_masked(self, text: str) -> ParseResult:
        """Parse a statement of a module; the innermost statements in it that do not parse are replaced."""
        spans: list[tuple[int, int]] | None = None
        masked: list[tuple[int, int]] = []
        filled, left = text if text.endswith("\n") else text + "\n", max(_REPARSED * len(text), _REPARSED_SHORT)
        while True:
            try:
                trees = self.engine.parse(filled, explain=False)
            except ParseError as error:
                place = error.position
                spans = _list_spans(text) if spans is None else spans
                around = [span for span in spans if place is not None and span[0] <= place <= span[1]]
                around = [span for span in around if span not in masked]
                chosen = min(around, key=lambda span: span[1] - span[0], default=None)
                filler = None if chosen is None else _fill(text[slice(*chosen)])
                left -= place or 0
                if (
                    chosen is None
                    or filler is None
                    or left < 0
                    or not f"{text[: chosen[0]]}{text[chosen[1] :]}".strip()
                ):
                    return ParseResult.failed(self.kinds, len(text), str(error))
                filled = filled[: chosen[0]] + filler + filled[chosen[1] :]
                masked = [span for span in masked if not chosen[0] <= span[0] < chosen[1]] + [chosen]
            else:
                return ParseResult(trees, np.asarray(sorted(masked), np.int64).reshape(-1, 2))


def _join_trees(pieces: Sequence[tuple[int, ParseTrees]], kinds: tuple[NodeKind, ...]) -> ParseTrees:
    """Join the trees of consecutive parts of a text; what lies outside the trees follows them all."""
    outside = [number for number, kind in enumerate(kinds) if kind in (BRACKETS, NodeKind("comment", "comment"))]
    inner: dict[str, list[np.ndarray]] = {name: [] for name in ("rule", "start", "end", "parent", "depth")}
    outer: dict[str, list[np.ndarray]] = {name: [] for name in inner}
    rows = 0
    for first, trees in pieces:
        is_inner = ~np.isin(trees.rule, outside)
        shift = {"start": first, "end": first}
        for name in inner:
            values = getattr(trees, name) + np.int32(shift.get(name, 0))
            outer[name].append(values[~is_inner])
            inner[name].append(values[is_inner])
        inner["parent"][-1] = np.where(inner["parent"][-1] < 0, -1, inner["parent"][-1] + rows)
        rows += int(is_inner.sum())
    fields = {name: np.concatenate([*inner[name], *outer[name]]).astype(np.int32) for name in inner}
    return ParseTrees(kinds, **fields, offsets=np.asarray([0, len(fields["rule"])], np.int64))


def python() -> Language:
    """Return the language of Python source code, which uses Lark's grammar and indenter. It cannot be sampled."""
    comments = ("comment", r"#[^\n]*")
    return PythonLanguage(
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
