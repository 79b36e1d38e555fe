"""C's expressions, with the arguments that only macros take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycparser import c_ast

from dni_jax.languages.code.c._noting import LEAF, DeclarationError, NotingParser
from dni_jax.languages.code.c._tokens import NUMBER, STRING, names

_LEVELS = ("LOR", "LAND", "OR", "XOR", "AND", "EQ NE", "GT GE LT LE", "RSHIFT LSHIFT", "PLUS MINUS", "TIMES DIVIDE MOD")
_PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators.split()}
_ASSIGNMENTS = names(
    "EQUALS XOREQUAL TIMESEQUAL DIVEQUAL MODEQUAL PLUSEQUAL MINUSEQUAL LSHIFTEQUAL RSHIFTEQUAL ANDEQUAL OREQUAL"
)
_UNARY = names("PLUSPLUS MINUSMINUS AND TIMES PLUS MINUS NOT LNOT SIZEOF _ALIGNOF")
_SIMPLE = frozenset(("ID", NUMBER, "CHAR_CONST"))
_AFTER_AN_EXPRESSION = names("COMMA RPAREN SEMI RBRACKET RBRACE")
_ENDS_AN_ARGUMENT = names("COMMA RPAREN")
_OPENING = names("LPAREN LBRACKET LBRACE")
_CLOSING = names("RPAREN RBRACKET RBRACE")


class ExpressionParser(NotingParser):
    """Notes every expression; chained calls and operators that pycparser makes in one go get ranges of their own."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: Any = None  # the node that was noted last: parentheses hand it on as it is

    def _parse_assignment_expression(self) -> Any:
        first = self._at
        token, behind = self._peek(), self._slice[first + 1]
        if token is not None and behind is not None and token.type in _SIMPLE and behind.type in _AFTER_AN_EXPRESSION:
            self._at += 1
            return LEAF
        node = self._parse_conditional_expression()
        if self._peek_type() in _ASSIGNMENTS:
            self._at += 1
            if self._peek_type() == "LBRACE":  # what a macro declares
                self._parse_initializer()
            else:
                self._parse_assignment_expression()
            self._note("Assignment", first)
            return LEAF
        return node

    def _parse_conditional_expression(self) -> Any:
        first = self._at
        node = super()._parse_conditional_expression()
        if isinstance(node, c_ast.TernaryOp) and node is not self._newest:
            self._newest = node
            self._note("TernaryOp", first)
        return node

    def _parse_binary_expression(self, min_prec: int = 0, lhs: Any = None) -> Any:
        first = self._at
        node = self._parse_cast_expression()
        while True:
            level = _PRECEDENCE.get(self._peek_type() or "", -1)
            if level < min_prec:
                return node
            self._at += 1
            self._parse_binary_expression(level + 1)
            self._note("BinaryOp", first)
            node = LEAF

    def _parse_cast_expression(self) -> Any:
        first = self._at
        if self._peek_type() != "LPAREN":
            return self._parse_unary_expression()
        node = super()._parse_cast_expression()
        if isinstance(node, c_ast.Cast) and node is not self._newest:
            self._newest = node
            self._note("Cast", first)
        return node

    def _parse_unary_expression(self) -> Any:
        first = self._at
        if self._peek_type() not in _UNARY:
            return self._parse_postfix_expression()
        node = super()._parse_unary_expression()
        self._note("UnaryOp", first)
        return node

    def _parse_postfix_expression(self) -> Any:
        first = self._at
        kind = self._peek_type()
        node = LEAF
        if kind in _SIMPLE:
            self._at += 1
        elif not (kind == "LPAREN" and self._compound_literal()):
            node = self._parse_primary_expression()
        while True:
            token = self._slice[self._at]
            suffix = _SUFFIXES.get(token.type) if token is not None else None
            if suffix is None:
                return node
            self._at += 1
            self._note(suffix(self), first)
            node = LEAF

    def _compound_literal(self) -> bool:
        first = self._at
        if self._try_parse_paren_type_name() is None:
            return False
        if self._peek_type() != "LBRACE":
            self._reset(first)
            return False
        self._parse_initializer()
        self._note("CompoundLiteral", first)
        return True

    def _subscript(self) -> str:
        self._parse_expression()
        self._expect("RBRACKET")
        return "ArrayRef"

    def _member(self) -> str:
        if self._advance().type not in ("ID", "TYPEID"):
            self._at -= 1
            self._parse_error("expected a member's name", None)
        return "StructRef"

    def _step(self) -> str:
        return "UnaryOp"

    def _call(self) -> str:
        self._arguments()
        return "FuncCall"

    def _arguments(self) -> None:
        """Consume arguments and the closing parenthesis; a macro's may be types, operators, or nothing at all."""
        while True:
            kind = self._peek_type()
            if kind not in _ENDS_AN_ARGUMENT:
                self._argument()
                kind = self._peek_type()
            self._at += 1
            if kind == "RPAREN":
                return
            if kind != "COMMA":
                self._at -= 1
                self._parse_error("expected ',' or ')'", None)

    def _argument(self) -> None:
        first = self._at
        try:
            if self._starts_declaration():
                super()._parse_parameter_declaration()
            else:
                self._parse_assignment_expression()
            if self._peek_type() in _ENDS_AN_ARGUMENT:
                return
        except DeclarationError:
            pass
        self._reset(first)
        depth = 0
        while (token := self._peek()) is not None and (depth or token.type not in _ENDS_AN_ARGUMENT):
            depth += (token.type in _OPENING) - (token.type in _CLOSING)
            self._at += 1
        if self._at > first + 1:  # a single operator is no loss
            self._opaque.append((first, self._at))

    def _parse_unified_string_literal(self) -> Any:
        while self._accept(STRING):
            pass
        return LEAF


_SUFFIXES: dict[str, Callable[[ExpressionParser], str]] = {
    "LBRACKET": ExpressionParser._subscript,
    "LPAREN": ExpressionParser._call,
    "PERIOD": ExpressionParser._member,
    "ARROW": ExpressionParser._member,
    "PLUSPLUS": ExpressionParser._step,
    "MINUSMINUS": ExpressionParser._step,
}
