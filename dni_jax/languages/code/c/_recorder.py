"""The nodes of one external declaration of C: expressions, declarations, statements, and macros among them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from pycparser import c_ast

from dni_jax.languages.code.c._lexer import NUMBER, STRING, Token, names
from dni_jax.languages.code.c._pycparser import LEAF, DeclarationError, Note, NotingParser

_LEVELS = ("LOR", "LAND", "OR", "XOR", "AND", "EQ NE", "GT GE LT LE", "RSHIFT LSHIFT", "PLUS MINUS", "TIMES DIVIDE MOD")
_PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators.split()}
_ASSIGNMENTS = names(
    "EQUALS XOREQUAL TIMESEQUAL DIVEQUAL MODEQUAL PLUSEQUAL MINUSEQUAL LSHIFTEQUAL RSHIFTEQUAL ANDEQUAL OREQUAL"
)
_UNARY = names("PLUSPLUS MINUSMINUS AND TIMES PLUS MINUS NOT LNOT SIZEOF _ALIGNOF")
_RECURSION = 20_000  # calls within one another
_SIMPLE = frozenset(("ID", NUMBER, "CHAR_CONST"))
_AFTER_AN_EXPRESSION = names("COMMA RPAREN SEMI RBRACKET RBRACE")
_ENDS_AN_ARGUMENT = names("COMMA RPAREN")
_OPENING = names("LPAREN LBRACKET LBRACE")
_CLOSING = names("RPAREN RBRACKET RBRACE")


class ExpressionParser(NotingParser):
    """A parser that notes every expression.

    pycparser parses chained calls and operators in one method; here each of them gets a range of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest: Any = None  # the node noted last, which parentheses around it return again

    def _parse_assignment_expression(self) -> Any:
        first = self._at
        token, following = self._peek(), self._slice[first + 1]
        if (
            token is not None
            and following is not None
            and token.type in _SIMPLE
            and following.type in _AFTER_AN_EXPRESSION
        ):
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
        """Consume arguments and the closing parenthesis; those of a macro may be types, operators or empty."""
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
        if self._at > first + 1:  # a single operator has no nodes to lose
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


_LOOP_WORDS = ("each", "for_", "_for", "loop", "while", "iter")
_STATEMENTS = {
    "IF": "If",
    "FOR": "For",
    "DO": "DoWhile",
    "SWITCH": "Switch",
    "RETURN": "Return",
    "GOTO": "Goto",
    "BREAK": "Break",
    "CONTINUE": "Continue",
    "CASE": "Case",
    "DEFAULT": "Default",
    "SEMI": "EmptyStatement",
}
_CASES = frozenset(("Case", "Default"))
_COVERS = frozenset(("Compound", "Switch", "If", "For", "While", "DoWhile", "Label", "macro loop", "macro block"))


class Recorder(ExpressionParser):
    """A parser that records the kind and the tokens of each node of one external declaration."""

    def record(
        self, tokens: list[Token], is_function: bool, known: Mapping[str, bool], guessed: set[str]
    ) -> tuple[list[Note], list[tuple[int, int]]]:
        """Parse one declaration.

        Parameters
        ----------
        tokens
            The tokens of the declaration.
        is_function
            Whether it defines a function.
        known, guessed
            Names of types.

        Returns
        -------
        ``(kind, first, last)`` for each node, children before parents, and ``(first, last)`` for each argument of a
        macro that is not C. `first` and `last` (exclusive) are indices of tokens.

        Raises
        ------
        DeclarationError
            If the declaration does not parse.
        """
        self._begin(tokens, known, guessed)
        limit = sys.getrecursionlimit()
        # A level of parentheses takes a dozen calls of the recursive descent, and compilers take many levels.
        sys.setrecursionlimit(max(limit, _RECURSION))
        try:
            kind = self._outermost(is_function)
            if self._at < len(tokens):
                self._parse_error("", None)
        except DeclarationError:
            raise
        except (ValueError, TypeError, AttributeError, AssertionError, IndexError, RecursionError) as error:
            # pycparser raises these on input that is not C.
            raise DeclarationError(f"{type(error).__name__}: {error}", self._at) from error
        finally:
            sys.setrecursionlimit(limit)
        if kind is not None:
            self._notes.append((kind, 0, len(tokens)))
        return self._notes, self._opaque

    def _outermost(self, is_function: bool) -> str | None:
        if not is_function and self._peek_type() == "ID" and self._peek_type(2) == "LPAREN":
            self._parse_postfix_expression()
            if self._accept("EQUALS"):
                self._parse_initializer()
            self._accept("SEMI")
            return None
        nodes = self._parse_external_declaration()
        return _declaration_kind(nodes) if nodes else None

    # Declarations

    def _parse_declaration(self) -> Any:
        first = self._at
        nodes = super()._parse_declaration()
        self._note(_declaration_kind(nodes), first)
        return nodes

    def _parse_struct_declaration(self) -> Any:
        first = self._at
        if self._peek_type() == "ID" and self._peek_type(2) in ("LPAREN", "SEMI"):  # a macro that makes members
            self._parse_postfix_expression()
            self._accept("SEMI")
            return None
        nodes = super()._parse_struct_declaration()
        if nodes:
            self._note("Decl", first)
        return nodes

    def _parse_struct_or_union_specifier(self) -> Any:
        first, kind = self._at, "Struct" if self._peek_type() == "STRUCT" else "Union"
        node = super()._parse_struct_or_union_specifier()
        self._note(kind, first)
        return node

    def _parse_enum_specifier(self) -> Any:
        first = self._at
        node = super()._parse_enum_specifier()
        self._note("Enum", first)
        return node

    def _parse_parameter_declaration(self) -> Any:
        first = self._at
        node = super()._parse_parameter_declaration()
        self._note("parameter", first)
        return node

    def _parse_initializer(self) -> Any:
        first = self._at
        is_list = self._peek_type() == "LBRACE"
        node = super()._parse_initializer()
        if is_list:
            self._note("InitList", first)
        return node

    def _parse_initializer_list(self) -> Any:
        while True:
            self._parse_initializer_item()
            comma = self._accept("COMMA")
            kind = self._peek_type()
            if kind == "RBRACE" or not (comma or kind in ("ID", STRING)):  # no comma is needed after a macro
                return LEAF

    def _parse_initializer_item(self) -> Any:
        if self._peek_type() in ("ID", "TYPEID") and self._peek_type(2) == "COLON":  # GNU's old designator
            self._at += 2
        return super()._parse_initializer_item()

    # Statements

    def _parse_statement(self) -> Any:
        first = self._at
        token = self._peek()
        node = super()._parse_statement()
        kind = token.type
        if kind in _STATEMENTS:
            if kind == "SWITCH":
                self._extend_cases()
            self._note(_STATEMENTS[kind], first)
        elif kind == "WHILE":
            self._note(_loop_kind(token.value), first)
        elif kind == "ID" and isinstance(node, c_ast.Label):
            self._note("Label", first)
        return node

    def _extend_cases(self) -> None:
        """Extend each case of a switch, whose body is the last note, to the next case.

        For pycparser a case ends with its first statement.
        """
        body = len(self._notes) - 1
        if self._notes[body][0] != "Compound":
            return
        _, first, end = self._notes[body]
        covered = end  # a case that begins after this token belongs to a nested statement
        cases = []
        for place in range(body - 1, -1, -1):
            kind, begin, last = self._notes[place]
            if last <= first:
                break
            if begin < covered and kind in _CASES:
                cases.append((begin, place))
            elif begin < covered and kind in _COVERS:
                covered = begin
        end -= 1
        for begin, place in sorted(cases, reverse=True):
            self._notes[place] = (self._notes[place][0], begin, end)
            end = begin

    def _parse_expression_statement(self) -> Any:
        first = self._at
        is_word = self._peek_type() == "ID"
        node = self._parse_expression_opt()
        ends_in_macro = is_word and self._at > first and self._slice[self._at - 1].type in ("RPAREN", "ID")
        if not (ends_in_macro and self._peek_type() == "RBRACE"):
            self._expect("SEMI")
        return LEAF if node is None else node

    def _parse_compound_statement(self, *, new_scope: bool = True) -> Any:
        first = self._at
        node = super()._parse_compound_statement(new_scope=new_scope)
        self._note("Compound", first)
        return node

    def _parse_iteration_statement(self) -> Any:
        token = self._peek()
        if token.type != "WHILE" or token.value == "while":
            return super()._parse_iteration_statement()
        self._at += 1
        self._expect("LPAREN")
        self._arguments()
        return self._parse_pragmacomp_or_statement()

    def _parse_jump_statement(self) -> Any:
        if self._peek_type() == "GOTO" and self._peek_type(2) == "TIMES":  # GNU's computed goto
            self._at += 2
            self._parse_expression()
            self._expect("SEMI")
            return c_ast.Goto("", None)
        return super()._parse_jump_statement()


def _declaration_kind(nodes: list[Any]) -> str:
    """Return the kind of a declaration."""
    node = nodes[0]
    if isinstance(node, c_ast.FuncDef):
        return "FuncDef"
    if isinstance(node, c_ast.Typedef):
        return "Typedef"
    is_function = any(isinstance(getattr(one, "type", None), c_ast.FuncDecl) for one in nodes)
    return "function declaration" if is_function else "Decl"


def _loop_kind(word: str) -> str:
    """Return the kind of the statement that ``while``, or a macro in its place, begins."""
    if word == "while":
        return "While"
    return "macro loop" if any(part in word.lower() for part in _LOOP_WORDS) else "macro block"
