"""One external declaration at a time: C's declarations and statements, with what macros make of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycparser import c_ast

from dni_jax.languages.code.c._expressions import ExpressionParser
from dni_jax.languages.code.c._noting import LEAF, DeclarationError, Note
from dni_jax.languages.code.c._tokens import STRING, Token

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
    """A parser that gives, for one external declaration, each node's kind and tokens."""

    def record(
        self, tokens: list[Token], is_function: bool, known: Mapping[str, bool], guessed: set[str]
    ) -> tuple[list[Note], list[tuple[int, int]]]:
        """Parse one declaration.

        Parameters
        ----------
        tokens
            The declaration's.
        is_function
            Whether it defines a function.
        known, guessed
            Names of types.

        Returns
        -------
        ``(kind, first, last)`` for each node, children before parents, and ``(first, last)`` for each macro's argument
        that is no C: indices of tokens, `last` exclusive.

        Raises
        ------
        DeclarationError
            Where the declaration does not parse.
        """
        self._begin(tokens, known, guessed)
        try:
            kind = self._outermost(is_function)
            if self._at < len(tokens):
                self._parse_error("", None)
        except DeclarationError:
            raise
        except (ValueError, TypeError, AttributeError, AssertionError, IndexError, RecursionError) as error:
            # pycparser trusts that its input is C.
            raise DeclarationError(f"{type(error).__name__}: {error}", self._at) from error
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
        return _declared(nodes) if nodes else None

    # Declarations

    def _parse_declaration(self) -> Any:
        first = self._at
        nodes = super()._parse_declaration()
        self._note(_declared(nodes), first)
        return nodes

    def _parse_struct_declaration(self) -> Any:
        first = self._at
        if self._peek_type() == "ID" and self._peek_type(2) in ("LPAREN", "SEMI"):  # members made by a macro
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
            if kind == "RBRACE" or not (comma or kind in ("ID", STRING)):  # macros need no comma between them
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
            self._note(_loop(token.value), first)
        elif kind == "ID" and isinstance(node, c_ast.Label):
            self._note("Label", first)
        return node

    def _extend_cases(self) -> None:
        """Let each case of the switch whose body is noted last reach to the next one."""
        body = len(self._notes) - 1
        if self._notes[body][0] != "Compound":
            return
        _, first, end = self._notes[body]
        covered = end  # what begins behind this token is not the switch's own
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


def _declared(nodes: list[Any]) -> str:
    """The kind of what a declaration declares."""
    node = nodes[0]
    if isinstance(node, c_ast.FuncDef):
        return "FuncDef"
    if isinstance(node, c_ast.Typedef):
        return "Typedef"
    is_function = any(isinstance(getattr(one, "type", None), c_ast.FuncDecl) for one in nodes)
    return "function declaration" if is_function else "Decl"


def _loop(word: str) -> str:
    """The kind of what a word in place of ``while`` begins."""
    if word == "while":
        return "While"
    return "macro loop" if any(part in word.lower() for part in _LOOP_WORDS) else "macro block"
