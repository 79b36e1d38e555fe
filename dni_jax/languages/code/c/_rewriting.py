"""Rewrite tokens of C with macros into C that pycparser can parse."""

from __future__ import annotations

import re

from dni_jax.languages.code.c._lexer import NUMBER, STRING, Token, names

# Dropped everywhere.
_ALWAYS = names(
    "__extension__ __force __init __initconst __initdata __iomem __kernel __nocast __percpu __private __rcu __safe "
    "__thread __user __always_inline __always_unused __maybe_unused __must_check __noreturn __read_mostly "
    "__ro_after_init __packed noinline notrace asmlinkage"
)
# Dropped together with their arguments.
_WITH_ARGUMENTS = names(
    "__attribute__ __attribute __declspec __aligned __section __printf __scanf __acquires __releases __must_hold "
    "__cond_acquires __alloc_size __counted_by __assume_aligned __alias __no_sanitize __malloc __realloc_size "
    "__compiletime_error __compiletime_warning __nonstring _Pragma __pragma"
)
_ASSEMBLER = names("asm __asm __asm__ __ASM")
_AFTER_ASSEMBLER = names("VOLATILE GOTO INLINE")
_TYPE_LIKE = re.compile(r"__(?:[usf]\d+|[bl]e\d+|w?sum\d*|kernel_\w+|builtin\w*|virtio\d+|auto_type|label__|\w+_t)$")

BASE_TYPES = names(
    "VOID CHAR SHORT INT LONG FLOAT DOUBLE SIGNED UNSIGNED _BOOL _COMPLEX __INT128 STRUCT UNION ENUM TYPEOF"
)
QUALIFIERS = names("CONST VOLATILE RESTRICT _ATOMIC STATIC EXTERN INLINE TYPEDEF REGISTER AUTO _NORETURN _THREAD_LOCAL")
_TAGGED = frozenset(("STRUCT", "UNION", "ENUM"))
_DECLARATOR_ENDS = names("SEMI EQUALS COMMA LBRACKET LPAREN RPAREN COLON")
_BEFORE_A_NAME = names("PERIOD ARROW GOTO")
_ENDS_A_DECLARATOR = names("SEMI LBRACE EQUALS COMMA")
_BEGINS_A_HEAD = names("SEMI RBRACE")
_ALIGNMENT = re.compile(r"____\w*aligned")
_LAYOUT = re.compile("align|pack|layout|section|mostly", re.IGNORECASE)
_SPECIFIER_WORDS = BASE_TYPES | QUALIFIERS | {"ID"}


def closing_parentheses(tokens: list[Token]) -> dict[int, int]:
    """Return the index of the closing parenthesis for the index of each opening one."""
    opened, found = [], {}
    for index, token in enumerate(tokens):
        if token.type == "LPAREN":
            opened.append(index)
        elif token.type == "RPAREN" and opened:
            found[opened.pop()] = index
    return found


def drop_attributes(tokens: list[Token]) -> list[Token]:
    """Drop attributes: those known by name, then those in places where only an attribute can be."""
    return _drop_unknown_attributes(_drop_known_attributes(tokens))


def _drop_known_attributes(tokens: list[Token]) -> list[Token]:
    partner = closing_parentheses(tokens)
    remaining: list[Token] = []
    index, count = 0, len(tokens)
    while index < count:
        token = tokens[index]
        if token.type == "LBRACKET" and index + 1 < count and tokens[index + 1].type == "LBRACKET":
            index = _after_brackets(tokens, index)  # [[nodiscard]] of C23 and C++
            continue
        index += 1
        if token.type == "ENUM":
            remaining.append(token)
            index = _keep_tag(tokens, index, remaining)
            continue
        if token.type != "ID":
            remaining.append(token)
            continue
        if remaining and remaining[-1].type == "LPAREN" and _is_calling_convention(tokens, index - 1):
            continue
        following = tokens[index].type if index < count else ""
        if token.value in _WITH_ARGUMENTS and following == "LPAREN":
            index = partner.get(index, index - 1) + 1
        elif token.value in _ASSEMBLER and (following == "LPAREN" or following in _AFTER_ASSEMBLER):
            while index < count and tokens[index].type in _AFTER_ASSEMBLER:
                index += 1
            index = partner.get(index, index - 1) + 1
        elif token.value not in _ALWAYS:
            remaining.append(token)
    return remaining


def _after_brackets(tokens: list[Token], index: int) -> int:
    """Return the index after the bracket that closes the one at an index."""
    depth = 0
    for place in range(index, len(tokens)):
        depth += (tokens[place].type == "LBRACKET") - (tokens[place].type == "RBRACKET")
        if depth == 0:
            return place + 1
    return len(tokens)


def _keep_tag(tokens: list[Token], index: int, remaining: list[Token]) -> int:
    """Keep the tag after ``enum``, drop ``: unsigned char``, its underlying type, and return the next index."""
    types = [token.type for token in tokens[index : index + 8]] + ["SEMI"]
    tag = types[0] == "ID"
    if types[tag] == "COLON":
        last = tag + 1
        while types[last] in BASE_TYPES | QUALIFIERS | {"ID"}:
            last += 1
        if last > tag + 1 and types[last] in ("LBRACE", "SEMI"):
            remaining += tokens[index : index + tag]
            return index + last
    return index


def _is_calling_convention(tokens: list[Token], index: int) -> bool:
    """Return whether the word at an index is as in ``int (__stdcall *name)(int)``."""
    if not _looks_like_an_attribute(tokens[index].value):
        return False
    types = [token.type for token in tokens[index + 1 : index + 8]]
    stars = next((place for place, kind in enumerate(types) if kind not in ("TIMES", "CONST", "VOLATILE")), 0)
    rest = types[stars:]
    return stars > 0 and (rest[:3] == ["ID", "RPAREN", "LPAREN"] or rest[:2] == ["RPAREN", "LPAREN"])


def _drop_unknown_attributes(tokens: list[Token]) -> list[Token]:
    """Examine sequences of words: apart from the type and the declarator's name, each identifier is an attribute."""
    remaining: list[Token] = []
    partner = closing_parentheses(tokens)
    index, count, depth = 0, len(tokens), 0
    head = True  # outside braces and initializers
    while index < count:
        kind = tokens[index].type
        if kind not in _SPECIFIER_WORDS:
            depth += (kind == "LBRACE") - (kind == "RBRACE")
            head = depth == 0 and kind != "EQUALS" and (head or kind in _BEGINS_A_HEAD)
            remaining.append(tokens[index])
            index += 1
            continue
        last = index + 1
        while last < count and tokens[last].type in _SPECIFIER_WORDS:
            last += 1
        sequence = tokens[index:last]
        before = remaining[-1].type if remaining else ""
        after = tokens[last].type if last < count else ""
        if (
            head
            and before == "RPAREN"
            and after == "LPAREN"
            and _ends_in_attributes(tokens, sequence, partner.get(last))
        ):
            index = partner[last] + 1  # f(..) __THROW __nonnull ((1));
            continue
        if not _follow_a_declarator(sequence, before, after, head):
            if after == "LPAREN" and last + 1 < count and tokens[last + 1].type == "TIMES":
                after = ""  # the name is inside the parentheses, after the star
            remaining += (
                sequence if len(sequence) == 1 or before in _BEFORE_A_NAME else _specifiers(sequence, before, after)
            )
        index = last
    return remaining


def _ends_in_attributes(tokens: list[Token], sequence: list[Token], last: int | None) -> bool:
    """Return whether words after a function's parameters, and the arguments of the last, can only be attributes."""
    if last is None or not all(_looks_like_an_attribute(token.value) for token in sequence):
        return False
    following = tokens[last + 1] if last + 1 < len(tokens) else None
    return following is not None and (
        following.type in _ENDS_A_DECLARATOR or (following.type == "ID" and _looks_like_an_attribute(following.value))
    )


def _looks_like_an_attribute(word: str) -> bool:
    return (word.startswith("__") and not _TYPE_LIKE.match(word)) or (word.isupper() and len(word) > 2)


def _follow_a_declarator(sequence: list[Token], before: str, after: str, head: bool) -> bool:
    """Return whether words after a closing bracket are attributes of what it closes."""
    if after not in _ENDS_A_DECLARATOR or not all(_looks_like_an_attribute(token.value) for token in sequence):
        return False
    if before == "RBRACE":
        return all(_LAYOUT.search(token.value) for token in sequence)
    return before == "RBRACKET" or (before == "RPAREN" and head)


def _specifiers(sequence: list[Token], before: str, after: str) -> list[Token]:
    """Keep the type in a sequence of words and, if one is expected, the name."""
    has_type = before == "TIMES"
    words: list[int] = []
    dropped: set[int] = set()
    tag = False
    for place, token in enumerate(sequence):
        if token.type in BASE_TYPES:
            has_type = True
            tag = token.type in _TAGGED
        elif token.type == "ID":
            if not tag:
                (dropped.add if _ALIGNMENT.match(token.value) else words.append)(place)
            tag = False
    wanted = (not has_type) + (after in _DECLARATOR_ENDS)
    if len(words) > wanted:
        remaining = words[-1:] if after == "LPAREN" else []  # the function's name
        others = [place for place in words if place not in remaining]
        remaining += sorted(others, key=lambda place: (_looks_like_an_attribute(sequence[place].value), -place))
        dropped.update(set(words) - set(remaining[:wanted]))
    return [token for place, token in enumerate(sequence) if place not in dropped]


# Type of a macro that opens a block; the parser distinguishes it from C's own loops by the token's text.
MACRO_BLOCK = "WHILE"
_STATEMENT_STARTS = names("SEMI LBRACE RBRACE COLON RPAREN ELSE DO")
_STATEMENT_WORDS = names("ID IF FOR WHILE SWITCH CASE DEFAULT RETURN CONTINUE BREAK GOTO DO PLUSPLUS MINUSMINUS LBRACE")
_OPERANDS = frozenset(("ID", "RPAREN", "RBRACKET", NUMBER, "CHAR_CONST", STRING))
_SPECIFIERS = BASE_TYPES | QUALIFIERS
_STORAGE = names("STATIC EXTERN REGISTER AUTO")
_AFTER_A_NAME = names("SEMI EQUALS COMMA LBRACKET")


def rewrite(tokens: list[Token], text: str) -> list[Token]:
    """Rewrite a file's tokens so that pycparser can parse them; remaining tokens keep their places in the file.

    Attributes and assembler are dropped. A macro before a statement becomes a loop, and an identifier next to a string
    becomes a string. ``a ?: b`` gets a number without characters; ``A ... B`` and ``&&label`` get other operators.
    ``static`` is dropped before ``DEFINE_X(..)``, and so are the arguments of a macro that is a function's head.

    Examples
    --------
    >>> from dni_jax.languages.code.c._lexer import tokenize
    >>> text = "static int __init f(void) { return x ?: 1; }"
    >>> [token.value for token in rewrite(tokenize(text), text)]
    ['static', 'int', 'f', '(', 'void', ')', '{', 'return', 'x', '?', '', ':', '1', ';', '}']
    """
    return _Rewriter(drop_attributes(tokens), text).run()


class _Rewriter:
    """One pass from left to right over a file's tokens."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._closing = closing_parentheses(tokens)
        self._kept: list[Token] = []
        self._depth = 0
        self._initializers: list[bool] = []  # for each open brace, whether it is an initializer

    def run(self) -> list[Token]:
        index, count = 0, len(self._tokens)
        while index < count:
            kind = self._tokens[index].type
            if kind == "ID":
                index = self._rewrite_identifier(index)
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

    def _rewrite_identifier(self, index: int) -> int:
        """Rewrite an identifier and return the index of the next token."""
        token = self._tokens[index]
        following = self._type(index + 1)
        if following != "LPAREN":
            if self._before() == NUMBER:  # a unit
                return index + 1
            if following in _AFTER_A_NAME and self._before() in _STORAGE and not self._is_typed():
                self._kept.append(Token("INT", "", token.start, token.start))  # static counter = 0;
            if following == STRING or self._before() == STRING:
                token.type = STRING
            self._kept.append(token)
            return index + 1
        last = self._closing.get(index + 1)
        if last is None:
            self._kept.append(token)
            return index + 1
        after = self._type(last + 1)
        if after == STRING or self._before() == STRING:
            token.type = STRING
            self._kept.append(token)
            return last + 1
        if self._before() == "RBRACKET":  # an attribute of an array
            return last + 1
        if self._depth == 0:
            return self._at_file_level(index, last, after)
        if self._before() in QUALIFIERS and after in ("SEMI", "EQUALS") and not self._is_typed():
            self._drop_qualifiers()
        elif self._opens_a_block(token, after):
            token.type = MACRO_BLOCK
        self._kept.append(token)
        return index + 1

    def _opens_a_block(self, token: Token, after: str) -> bool:
        """Return whether a macro call is where ``while (..)`` could be: before a statement, or after that of ``do``."""
        if self._before() not in _STATEMENT_STARTS or self._initializers[-1]:
            return False
        if after == "SEMI":
            return self._before() == "RBRACE" and token.value.startswith("while_")
        return after in _STATEMENT_WORDS or (after in ("LPAREN", "TIMES") and "for_each" in token.value)

    def _is_typed(self) -> bool:
        """Return whether there is a type among the words before."""
        back = 1
        while self._before(back) in QUALIFIERS:
            back += 1
        return self._before(back) in BASE_TYPES or self._before(back) == "ID"

    def _is_on_a_line(self, index: int) -> bool:
        """Return whether the next token is on the same line."""
        return "\n" not in self._text[self._tokens[index].end : self._tokens[index + 1].start]

    def _drop_qualifiers(self) -> None:
        while self._before() in QUALIFIERS:
            self._kept.pop()

    def _at_file_level(self, index: int, last: int, after: str) -> int:
        token = self._tokens[index]
        if self._before() == "RPAREN" and after in ("SEMI", "LBRACE"):  # an attribute of a function
            return last + 1
        typed = self._is_typed() or self._before() in ("TIMES", "RPAREN")
        self._kept.append(token)
        if typed:
            return index + 1
        if after in ("SEMI", "EQUALS"):
            self._kept.pop()
            self._drop_qualifiers()
            self._kept.append(token)
        elif after == "LBRACE":  # a macro that makes the head of a function; its arguments need not be parameters
            self._kept.append(self._tokens[index + 1])
            return last
        elif after in ("ID", "TIMES") and self._type(last + 2) != "ID" and self._is_on_a_line(last):
            return last + 1  # a macro that makes a type
        elif self._is_old_style(index, last):
            self._kept.insert(-1, Token("INT", "", token.start, token.start))  # it has no type, which means int
        elif (after in _SPECIFIERS or after == "ID") and (self._before(2) in QUALIFIERS or self._is_on_a_line(last)):
            self._kept.pop()
            return last + 1
        return index + 1

    def _is_old_style(self, index: int, last: int) -> bool:
        """Return whether ``name(a, b)`` is followed by declarations of its parameters and a body, as in K&R's C."""
        names = [token.type for token in self._tokens[index + 2 : last]]
        if not names or names[::2] != ["ID"] * len(names[::2]) or set(names[1::2]) > {"COMMA"}:
            return False
        for place in range(last + 1, len(self._tokens)):
            if self._type(place) == "LBRACE":
                return self._type(place - 1) == "SEMI"
            if self._type(place) in ("EQUALS", "RBRACE"):
                return False
        return False

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

    def _is_nested_function(self) -> bool:
        """Return whether ``int g(int b)`` in a function's body, whose brace comes next, begins a function of GNU C."""
        depth = 0
        for back in range(1, len(self._kept) + 1):
            kind = self._before(back)
            depth += (kind == "RPAREN") - (kind == "LPAREN")
            if depth == 0:
                named = self._before(back + 1) == "ID"
                type_end = self._before(back + 2)
                typed = type_end in BASE_TYPES or (type_end == "ID" and self._before(back + 3) in _STATEMENT_STARTS)
                return named and (typed or (type_end == "TIMES" and self._before(back + 3) in BASE_TYPES))
        return False

    def _open(self, index: int) -> None:
        if self._depth and self._before() == "RPAREN" and not self._initializers[-1] and self._is_nested_function():
            start = self._tokens[index].start
            self._kept.append(Token("SEMI", "", start, start))  # read as a declaration and a block
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
