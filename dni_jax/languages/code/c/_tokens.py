"""C tokens with their absolute places, named as pycparser's parser names them."""

from __future__ import annotations

import re


def words(text: str) -> list[str]:
    """Give the words of a text in their order."""
    return text.split()


def names(text: str) -> frozenset[str]:
    """Give the words of a text as a set."""
    return frozenset(text.split())


_OPERATORS = {
    "...": "ELLIPSIS", "<<=": "LSHIFTEQUAL", ">>=": "RSHIFTEQUAL", "++": "PLUSPLUS", "--": "MINUSMINUS",
    "->": "ARROW", "&&": "LAND", "||": "LOR", "<<": "LSHIFT", ">>": "RSHIFT", "<=": "LE", ">=": "GE", "==": "EQ",
    "!=": "NE", "*=": "TIMESEQUAL", "/=": "DIVEQUAL", "%=": "MODEQUAL", "+=": "PLUSEQUAL", "-=": "MINUSEQUAL",
    "&=": "ANDEQUAL", "|=": "OREQUAL", "^=": "XOREQUAL", "=": "EQUALS", "+": "PLUS", "-": "MINUS", "*": "TIMES",
    "/": "DIVIDE", "%": "MOD", "|": "OR", "&": "AND", "~": "NOT", "^": "XOR", "!": "LNOT", "<": "LT", ">": "GT",
    "?": "CONDOP", "(": "LPAREN", ")": "RPAREN", "[": "LBRACKET", "]": "RBRACKET", "{": "LBRACE", "}": "RBRACE",
    ",": "COMMA", ".": "PERIOD", ";": "SEMI", ":": "COLON",
}  # fmt: skip

_WORDS = words(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void "
    "volatile while __int128"
)
_C11 = words("_Bool _Complex _Noreturn _Thread_local _Static_assert _Atomic _Alignof _Alignas _Generic")
_OTHER_SPELLINGS = {
    "__const": "CONST",
    "__const__": "CONST",
    "__inline": "INLINE",
    "__inline__": "INLINE",
    "__restrict": "RESTRICT",
    "__restrict__": "RESTRICT",
    "__signed": "SIGNED",
    "__signed__": "SIGNED",
    "__typeof": "TYPEOF",
    "__typeof__": "TYPEOF",
    "__volatile": "VOLATILE",
    "__volatile__": "VOLATILE",
    "typeof": "TYPEOF",
    "typeof_unqual": "TYPEOF",
}
_TYPES = {
    **_OPERATORS,
    **{word: word.upper() for word in [*_WORDS, *_C11]},
    **_OTHER_SPELLINGS,
}

WRITTEN = {
    **{kind: repr(text) for text, kind in _OPERATORS.items()},
    **{word.upper(): repr(word) for word in _WORDS},
    "ID": "an identifier",
}

NUMBER, CHARACTER, STRING, IDENTIFIER, ILLEGAL = "INT_CONST_DEC", "CHAR_CONST", "STRING_LITERAL", "ID", "ILLEGAL"

_TOKEN = re.compile(
    r"(?P<ID>[^\W\d][\w$]*(?![\w$\"']))"
    r"|(?P<NUMBER>\.?\d(?:[eEpP][+-]|[\w.])*)"
    r"|(?P<STRING>(?:L|u8|u|U)?\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<CHARACTER>(?:L|u8|u|U)?'(?:[^'\\\n]|\\.)+')"
    r"|(?P<WORD>[^\W\d][\w$]*)"
    rf"|(?P<OPERATOR>{'|'.join(map(re.escape, _OPERATORS))})"
    r"|(?P<ILLEGAL>\\(?!\n)|[^\s\\])",
    re.DOTALL,
)
_BY_GROUP = {"NUMBER": NUMBER, "STRING": STRING, "CHARACTER": CHARACTER, "ILLEGAL": ILLEGAL}


class Token:
    """One token: its type in pycparser's names, its text, and where it stands (``end`` exclusive).

    Rewriting gives a token another type; `value` stays the text at ``start:end`` unless the token was made up.
    """

    __slots__ = ("end", "start", "type", "value")

    def __init__(self, type: str, value: str, start: int, end: int) -> None:
        self.type = type
        self.value = value
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Token({self.type}, {self.value!r}, {self.start}:{self.end})"


def tokenize(text: str) -> list[Token]:
    """Cut blanked C text into tokens; what is no C gets the type ``ILLEGAL``.

    Examples
    --------
    >>> tokenize("a += 0x1F;")
    [Token(ID, 'a', 0:1), Token(PLUSEQUAL, '+=', 2:4), Token(INT_CONST_DEC, '0x1F', 5:9), Token(SEMI, ';', 9:10)]
    """
    tokens = []
    types = _TYPES
    for match in _TOKEN.finditer(text):
        value = match.group()
        kind = types.get(value) or _BY_GROUP.get(match.lastgroup or "", IDENTIFIER)
        tokens.append(Token(kind, value, match.start(), match.end()))
    return tokens
