"""The languages that come with the package."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from lark import Token
from lark.indenter import DedentError, PythonIndenter

from dni_jax.features import FeatureLibrary, impulse_feature, nesting_feature, range_feature
from dni_jax.features.library import default_library, symbol_feature
from dni_jax.features.nodes import depth_features
from dni_jax.languages.base import BaseLanguage
from dni_jax.languages.c import CLanguage
from dni_jax.languages.c_expressions import c_expressions
from dni_jax.languages.language import Language
from dni_jax.languages.parsing import ParseError


def _packaged(file: str) -> str:
    return (resources.files("dni_jax.languages") / file).read_text(encoding="utf-8")


def parentheses() -> Language:
    """Nested parentheses, four levels deep, with equal weights (Lin & Wu 2017): ``0(1((3(44))2))``."""
    return Language("parentheses", _packaged("parentheses.lark"), start="e0")


def arithmetic() -> Language:
    """Arithmetic with single digits in running text (Lin & Wu 2017): ``3+(4*2), 7, (1-5)/2``."""
    weights = {"_text": [1, 3], "e": [8, 1, 1, 2, 1, 1]}
    return Language("arithmetic", _packaged("arithmetic.lark"), start="_text", weights=weights)


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
    indent = [nesting_feature("indent", ["suite"])]
    indent += [nesting_feature(f"indent={level}", ["suite"], level) for level in range(4)]
    nodes = []
    for name, symbols in _PYTHON_NODES.items():
        nodes += [range_feature(f"range:{name}", symbols), impulse_feature(f"impulse:{name}", symbols)]
    return FeatureLibrary((*depth_features(4), *indent, *characters, symbol_feature(":"), *nodes))


class _Indenter(PythonIndenter):
    """Lark's, with the line of a dedent that fits no block."""

    def handle_NL(self, token: Token) -> Iterator[Token]:  # noqa: N802 (Lark's name)
        try:
            yield from super().handle_NL(token)
        except DedentError as error:
            raise ParseError(f"does not parse (line {token.end_line}, column {token.end_column}): {error}") from error


def python() -> Language:
    """Python source code, by the grammar and the indenter that ship inside Lark; parses, does not sample."""
    grammar = (resources.files("lark") / "grammars" / "python.lark").read_text(encoding="utf-8")
    comments = ("comment", r"#[^\n]*")
    return Language(
        "python",
        grammar,
        start="file_input",
        parser="lalr",
        options={"postlex": _Indenter()},
        token_spans={"_NEWLINE": comments, "COMMENT": comments},
        library=_python_library,
        final_newline=True,
    )


def c() -> CLanguage:
    """C source code as people write it, macros unexpanded, by pycparser; parses, does not sample."""
    return CLanguage()


_LANGUAGES: dict[str, Callable[[], BaseLanguage]] = {
    "parentheses": parentheses,
    "arithmetic": arithmetic,
    "python": python,
    "c": c,
    "c_expressions": c_expressions,
}


def names() -> tuple[str, ...]:
    """The names of the built-in languages."""
    return tuple(_LANGUAGES)


def about(name: str) -> str:
    """One line on a built-in language."""
    return str(_LANGUAGES[name].__doc__).splitlines()[0].replace("``", "")


@cache
def get(name: str) -> BaseLanguage:
    """Give a built-in language by name.

    Raises
    ------
    ValueError
        Where there is no such language; lists those there are.

    Examples
    --------
    >>> get("parentheses")
    Language(parentheses, start='e0', Earley)
    """
    if name not in _LANGUAGES:
        close = get_close_matches(name, _LANGUAGES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"expected one of the built-in languages ({', '.join(_LANGUAGES)}), got {name!r}{hint}: "
            "for a language of your own use Language.from_lark, or --grammar on the command line"
        )
    return _LANGUAGES[name]()


_MODULE_BYTES = (1_000, 16_000)
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "lib2to3"})


def standard_library_files() -> list[Path]:
    """The short modules of the running Python's standard library: 1,000 to 16,000 bytes each, without tests.

    Short ones, because a corpus of many files can be split and cross-validated by file.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = (file for file in root.rglob("*.py") if not _NOT_LIBRARY & set(file.relative_to(root).parts))
    return sorted(file for file in files if _MODULE_BYTES[0] <= file.stat().st_size <= _MODULE_BYTES[1])
