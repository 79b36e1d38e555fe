"""From C text to tokens: comments, preprocessor lines and dead branches are blanked, the rest is tokenized."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Segment = tuple[int, int]

_QUOTED = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'"
_COMMENT_OR_QUOTED = re.compile(rf"(//(?:[^\\\n]|\\.)*|/\*.*?(?:\*/|\Z))|{_QUOTED}", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*(?:#|%:)[ \t]*([A-Za-z]*)((?:[^\\\n]|\\[^\n]|\\\n)*)", re.MULTILINE)
_NOT_NEWLINE = re.compile(r"[^\n]")
_NEVER = re.compile(r"[\s(]*0(?:[\s)]*$|\s*&&)")
_CPLUSPLUS = re.compile(r"[\s(]*(?:defined\s*\(?\s*)?__cplusplus\b")


@dataclass(frozen=True)
class Blanked:
    """A C text without comments, preprocessor lines and branches that are not compiled.

    Attributes
    ----------
    text
        As long as the original, with the same line breaks, and spaces in place of everything in the segments below.
    comments, directives, dead
        First and last character (exclusive) of comments, of preprocessor lines (with their continuations), and of
        branches that are not compiled: ``#else`` and ``#elif`` after a branch that was taken, ``#if 0``,
        ``#ifdef __cplusplus``. A dead branch lies between two directives.
    """

    text: str
    comments: tuple[Segment, ...]
    directives: tuple[Segment, ...]
    dead: tuple[Segment, ...]


def blank(text: str) -> Blanked:
    r"""Replace comments, preprocessor lines and dead branches by spaces.

    Examples
    --------
    >>> blank("int a; /* x */\n#define A 1\nint b;").text
    'int a;        \n           \nint b;'
    """
    comments = tuple(match.span() for match in _COMMENT_OR_QUOTED.finditer(text) if match.group(1) is not None)
    # A line break inside a comment does not end a preprocessor line.
    joined = _replaced(text, comments, lambda part: " " * len(part))
    found = [
        (match.start(), match.end(), match.group(1), match.group(2))
        for match in _DIRECTIVE.finditer(joined)
        if match.group(1) or not match.group(2).strip() or "#" not in match.group(2)
    ]
    directives = tuple((first, last) for first, last, _, _ in found)
    dead = tuple(_dead_branches(found, len(text)))
    return Blanked(_blanked(text, [*comments, *directives, *dead]), comments, directives, dead)


def _replaced(text: str, segments: Iterable[Segment], by: object) -> str:
    parts, place = [], 0
    for first, last in segments:
        parts += [text[place:first], by(text[first:last])]  # type: ignore[operator]
        place = last
    return "".join([*parts, text[place:]])


def _blanked(text: str, segments: Iterable[Segment]) -> str:
    return _replaced(text, merge_segments(segments), lambda part: _NOT_NEWLINE.sub(" ", part))


def merge_segments(segments: Iterable[Segment]) -> list[Segment]:
    """Join segments that overlap or touch; the result is sorted.

    Examples
    --------
    >>> merge_segments([(5, 7), (0, 3), (2, 4)])
    [(0, 4), (5, 7)]
    """
    result: list[Segment] = []
    for first, last in sorted(segments):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def _dead_branches(directives: Iterable[tuple[int, int, str, str]], length: int) -> Iterator[Segment]:
    """Follow the conditional directives and yield the text between them that is not compiled."""
    stack: list[list[bool]] = []  # for each open #if: whether a branch was taken, whether the current one is compiled
    since = -1
    for first, last, name, condition in directives:
        was_live = all(live for _, live in stack)
        if name in ("if", "ifdef", "ifndef"):
            live = _may_hold(name, condition)
            stack.append([live, live])
        elif not stack:
            continue
        elif name in ("elif", "else"):
            taken = stack[-1][0]
            live = not taken and (name == "else" or _may_hold("if", condition))
            stack[-1] = [taken or live, live]
        elif name == "endif":
            stack.pop()
        is_live = all(live for _, live in stack)
        if was_live and not is_live:
            since = last
        elif is_live and not was_live:
            yield since, first
    if since >= 0 and not all(live for _, live in stack):
        yield since, length


def _may_hold(name: str, condition: str) -> bool:
    """Return False if a condition is known to be false: 0, or being C++."""
    if name == "ifndef":
        return True
    if name == "ifdef":
        return not _CPLUSPLUS.match(condition)
    return not (_NEVER.match(condition) or _CPLUSPLUS.match(condition))


def words(text: str) -> list[str]:
    """Return the words of a text in their order."""
    return text.split()


def names(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
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

_DIGRAPHS = {"<:": "LBRACKET", ":>": "RBRACKET", "<%": "LBRACE", "%>": "RBRACE"}
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
    **_DIGRAPHS,
    **{word: word.upper() for word in [*_WORDS, *_C11]},
    **_OTHER_SPELLINGS,
}

DISPLAY = {
    **{kind: repr(text) for text, kind in _OPERATORS.items()},
    **{word.upper(): repr(word) for word in _WORDS},
    "ID": "an identifier",
}

NUMBER, CHARACTER, STRING, IDENTIFIER, ILLEGAL = "INT_CONST_DEC", "CHAR_CONST", "STRING_LITERAL", "ID", "ILLEGAL"

_TOKEN = re.compile(
    r"(?P<ID>[^\W\d][\w$]*(?![\w$\"']))"
    r"|(?P<NUMBER>\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)"
    r"|(?P<STRING>(?:L|u8|u|U)?\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<CHARACTER>(?:L|u8|u|U)?'(?:[^'\\\n]|\\.)+')"
    r"|(?P<WORD>[^\W\d][\w$]*)"
    rf"|(?P<OPERATOR>{'|'.join(map(re.escape, [*_DIGRAPHS, *_OPERATORS]))})"
    r"|(?P<ILLEGAL>\\(?!\n)|[^\s\\])",
    re.DOTALL,
)
_BY_GROUP = {"NUMBER": NUMBER, "STRING": STRING, "CHARACTER": CHARACTER, "ILLEGAL": ILLEGAL}


class Token:
    """One token: its type in pycparser's names, its text, and its place in the file (``end`` exclusive).

    Rewriting can change a token's type. `value` remains the text at ``start:end``, except in tokens that are inserted.
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
    """Split blanked C text into tokens; characters that are not C get the type ``ILLEGAL``.

    Examples
    --------
    >>> tokenize("a += 0x1F;")
    [Token(ID, 'a', 0:1), Token(PLUSEQUAL, '+=', 2:4), Token(INT_CONST_DEC, '0x1F', 5:9), Token(SEMI, ';', 9:10)]
    """
    if "\\\n" in text:
        return _tokenize_spliced(text)
    tokens = []
    types = _TYPES
    for match in _TOKEN.finditer(text):
        value = match.group()
        kind = types.get(value) or _BY_GROUP.get(match.lastgroup or "", IDENTIFIER)
        tokens.append(Token(kind, value, match.start(), match.end()))
    return tokens


def _tokenize_spliced(text: str) -> list[Token]:
    """Split text whose lines are spliced by backslashes; a token may go on after one, as in C itself."""
    places: list[int] = []
    spliced, at = [], 0
    for part in text.split("\\\n"):
        spliced.append(part)
        places += range(at, at + len(part))
        at += len(part) + 2
    tokens = tokenize("".join(spliced))
    return [Token(one.type, one.value, places[one.start], places[one.end - 1] + 1) for one in tokens]
