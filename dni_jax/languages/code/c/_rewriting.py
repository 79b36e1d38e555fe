"""C as people write it, macros unexpanded, turned token by token into C that pycparser's grammar has."""

from __future__ import annotations

from dni_jax.languages.code.c._attributes import BASE_TYPES, QUALIFIERS, closing, without_attributes
from dni_jax.languages.code.c._tokens import NUMBER, STRING, Token, names

# A word in place of `while`: the parser tells a macro that opens a block from C's own loops by the token's text.
MACRO_BLOCK = "WHILE"
_STATEMENT_STARTS = names("SEMI LBRACE RBRACE COLON RPAREN ELSE DO")
_STATEMENT_WORDS = names("ID IF FOR WHILE SWITCH CASE DEFAULT RETURN CONTINUE BREAK GOTO DO PLUSPLUS MINUSMINUS LBRACE")
_OPERANDS = frozenset(("ID", "RPAREN", "RBRACKET", NUMBER, "CHAR_CONST", STRING))
_SPECIFIERS = BASE_TYPES | QUALIFIERS


def rewrite(tokens: list[Token], text: str) -> list[Token]:
    """Turn a file's tokens into ones that pycparser can parse; what is kept stays where it stands.

    Attributes and assembler are dropped; a macro before a statement becomes a loop; an identifier beside a string a
    string; ``a ?: b`` gets a number without characters; ``A ... B`` and ``&&label`` other operators; ``static`` goes
    from before ``DEFINE_X(..)``, and the arguments from a macro that stands for a function's head.

    Examples
    --------
    >>> from dni_jax.languages.code.c._tokens import tokenize
    >>> text = "static int __init f(void) { return x ?: 1; }"
    >>> [token.value for token in rewrite(tokenize(text), text)]
    ['static', 'int', 'f', '(', 'void', ')', '{', 'return', 'x', '?', '', ':', '1', ';', '}']
    """
    return _Rewriter(without_attributes(tokens), text).run()


class _Rewriter:
    """One pass from left to right over a file's tokens."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._closing = closing(tokens)
        self._kept: list[Token] = []
        self._depth = 0
        self._initializers: list[bool] = []  # for each open brace, whether it lists values

    def run(self) -> list[Token]:
        index, count = 0, len(self._tokens)
        while index < count:
            kind = self._tokens[index].type
            if kind == "ID":
                index = self._word(index)
                continue
            if kind in _RULES:
                _RULES[kind](self, index)
            self._kept.append(self._tokens[index])
            index += 1
        return self._kept

    def _type(self, index: int) -> str:
        return self._tokens[index].type if index < len(self._tokens) else ""

    def _before(self, back: int = 1) -> str:
        return self._kept[-back].type if len(self._kept) >= back else ""

    def _word(self, index: int) -> int:
        """Settle an identifier; give the index to go on with."""
        token = self._tokens[index]
        following = self._type(index + 1)
        if following != "LPAREN":
            if self._before() == NUMBER:  # a unit
                return index + 1
            if following == STRING or self._before() == STRING:
                token.type = STRING
            self._kept.append(token)
            return index + 1
        last = self._closing.get(index + 1)
        if last is None:
            self._kept.append(token)
            return index + 1
        behind = self._type(last + 1)
        if behind == STRING or self._before() == STRING:
            token.type = STRING
            self._kept.append(token)
            return last + 1
        if self._before() == "RBRACKET":  # an attribute of an array
            return last + 1
        if self._depth == 0:
            return self._at_file_level(index, last, behind)
        if self._before() in QUALIFIERS and behind in ("SEMI", "EQUALS") and not self._is_typed():
            self._drop_qualifiers()
        elif self._opens_a_block(token, behind):
            token.type = MACRO_BLOCK
        self._kept.append(token)
        return index + 1

    def _opens_a_block(self, token: Token, behind: str) -> bool:
        """Whether a macro's call stands where ``while (..)`` could, before a statement or behind ``do``'s."""
        if self._before() not in _STATEMENT_STARTS or self._initializers[-1]:
            return False
        if behind == "SEMI":
            return self._before() == "RBRACE" and token.value.startswith("while_")
        return behind in _STATEMENT_WORDS or (behind in ("LPAREN", "TIMES") and "for_each" in token.value)

    def _is_typed(self) -> bool:
        """Whether a type stands among the words before."""
        back = 1
        while self._before(back) in QUALIFIERS:
            back += 1
        return self._before(back) in BASE_TYPES or self._before(back) == "ID"

    def _is_on_a_line(self, index: int) -> bool:
        """Whether the next token stands on the same line."""
        return "\n" not in self._text[self._tokens[index].end : self._tokens[index + 1].start]

    def _drop_qualifiers(self) -> None:
        while self._before() in QUALIFIERS:
            self._kept.pop()

    def _at_file_level(self, index: int, last: int, behind: str) -> int:
        token = self._tokens[index]
        if self._before() == "RPAREN" and behind in ("SEMI", "LBRACE"):  # an attribute of a function
            return last + 1
        typed = self._is_typed() or self._before() in ("TIMES", "RPAREN")
        self._kept.append(token)
        if typed:
            return index + 1
        if behind in ("SEMI", "EQUALS"):
            self._kept.pop()
            self._drop_qualifiers()
            self._kept.append(token)
        elif behind == "LBRACE":  # the head of a function, made by a macro from what need not be parameters
            self._kept.append(self._tokens[index + 1])
            return last
        elif behind in ("ID", "TIMES") and self._type(last + 2) != "ID" and self._is_on_a_line(last):
            return last + 1  # a type made by a macro
        elif (behind in _SPECIFIERS or behind == "ID") and (self._before(2) in QUALIFIERS or self._is_on_a_line(last)):
            self._kept.pop()
            return last + 1
        return index + 1

    def _colon(self, index: int) -> None:
        if self._before() == "CONDOP":
            start = self._tokens[index].start
            self._kept.append(Token(NUMBER, "", start, start))

    def _ellipsis(self, index: int) -> None:
        if self._before() in _OPERANDS:
            self._tokens[index].type = "LOR"

    def _ampersands(self, index: int) -> None:
        if self._before() not in _OPERANDS:
            self._tokens[index].type = "AND"

    def _open(self, index: int) -> None:
        self._depth += 1
        self._initializers.append(self._before() == "EQUALS" or (self._depth > 1 and self._initializers[-1]))

    def _close(self, index: int) -> None:
        if self._depth:
            self._depth -= 1
            self._initializers.pop()


_RULES = {
    "COLON": _Rewriter._colon,
    "ELLIPSIS": _Rewriter._ellipsis,
    "LAND": _Rewriter._ampersands,
    "LBRACE": _Rewriter._open,
    "RBRACE": _Rewriter._close,
}
