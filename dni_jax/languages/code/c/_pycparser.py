"""pycparser's parser, reading tokens from a list and recording which of them every node consumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from pycparser import __version__ as pycparser_version
from pycparser import c_ast
from pycparser.c_parser import CParser

from dni_jax.languages.code.c._lexer import DISPLAY, Token, words

LEAF: Any = c_ast.ID("", None)  # returned in place of any expression, whose parts are in the notes
_PRIVATE = words(
    "_accept _add_typedef_name _advance _expect _is_type_in_scope _mark _parse_argument_expression_list "
    "_parse_assignment_expression _parse_binary_expression _parse_cast_expression _parse_compound_statement "
    "_parse_conditional_expression _parse_constant _parse_declaration _parse_enum_specifier _parse_error "
    "_parse_expression _parse_external_declaration _parse_expression_opt "
    "_parse_expression_statement _parse_initializer _parse_initializer_item _parse_initializer_list "
    "_parse_iteration_statement _parse_jump_statement _parse_parameter_declaration _parse_postfix_expression "
    "_parse_pragmacomp_or_statement _parse_primary_expression _parse_statement _parse_struct_declaration "
    "_parse_struct_or_union_specifier _parse_type_name _parse_unary_expression _parse_unified_string_literal _peek "
    "_peek_type _reset _starts_declaration _tok_coord _try_parse_paren_type_name"
)


def _check_pycparser() -> None:
    missing = [name for name in _PRIVATE if not hasattr(CParser, name)]
    if missing:
        raise ImportError(
            f"expected pycparser >=3.12,<4, whose parser's methods dni_jax records; got {pycparser_version}, which has "
            f"no {', '.join(missing)}: pip install 'pycparser>=3.12,<4'"
        )


_check_pycparser()


class DeclarationError(Exception):
    """A declaration that does not parse, with the index of the token at which parsing failed."""

    def __init__(self, message: str, token: int) -> None:
        super().__init__(message)
        self.token = token


Note = tuple[str, int, int]


class NotingParser(CParser):
    """pycparser's parser, reading a list of tokens and noting each node's kind, first and last token.

    pycparser records only where a node starts. Its parser is a recursive descent: the tokens that a method consumes
    are those of the node it returns. A note is made when a node is complete; when the parser backtracks, the notes
    that end after its new position are removed. The methods overridden here are private to pycparser, so importing
    this module raises an ImportError if a release has renamed one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._slice: list[Any] = []
        self._at = 0
        self._known: Mapping[str, bool] = {}
        self._maybe: set[str] = set()
        self._notes: list[Note] = []
        self._opaque: list[tuple[int, int]] = []

    def _begin(self, tokens: list[Token], known: Mapping[str, bool], guessed: set[str]) -> None:
        self._slice = [*tokens, None, None, None]
        self._at = 0
        self._known, self._maybe = known, set(guessed)
        self._scope_stack = [known, dict.fromkeys(guessed, True), {}]
        self._notes, self._opaque = [], []

    def _peek(self, k: int = 1) -> Any:
        token = self._slice[self._at + k - 1]
        if token is not None and (token.type == "ID" or token.type == "TYPEID"):
            name = token.value
            is_type = (name in self._known or name in self._maybe) and self._is_type_in_scope(name)
            token.type = "TYPEID" if is_type else "ID"
        return token

    def _peek_type(self, k: int = 1) -> str | None:
        token = self._peek(k)
        return None if token is None else token.type

    def _advance(self) -> Any:
        token = self._peek()
        if token is None:
            self._parse_error("the declaration ends too early", None)
        self._at += 1
        return token

    def _accept(self, token_type: str) -> Any:
        token = self._peek()
        if token is None or token.type != token_type:
            return None
        self._at += 1
        return token

    def _expect(self, token_type: str) -> Any:
        token = self._peek()
        if token is None or token.type != token_type:
            self._parse_error(f"expected {DISPLAY.get(token_type, token_type.lower())}", None)
        self._at += 1
        return token

    def _mark(self) -> int:
        return self._at

    def _reset(self, mark: int) -> None:
        self._at = mark
        while self._notes and self._notes[-1][2] > mark:
            self._notes.pop()
        while self._opaque and self._opaque[-1][1] > mark:
            self._opaque.pop()

    def _tok_coord(self, tok: Any) -> Any:
        return None

    def _parse_error(self, msg: str, coord: Any) -> NoReturn:
        raise DeclarationError(msg, self._at)

    def _add_typedef_name(self, name: str, coord: Any) -> None:
        self._maybe.add(name)
        super()._add_typedef_name(name, coord)

    def _note(self, kind: str, first: int) -> None:
        self._notes.append((kind, first, self._at))
