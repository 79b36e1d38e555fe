"""Words that stand beside C's specifiers and declarators and mean nothing to a C parser: ``__init``, ``__user``."""

from __future__ import annotations

import re

from dni_jax.languages.code.c._tokens import Token, names

# Dropped wherever they stand.
_ALWAYS = names(
    "__extension__ __force __init __initconst __initdata __iomem __kernel __nocast __percpu __private __rcu __safe "
    "__thread __user __always_inline __always_unused __maybe_unused __must_check __noreturn __read_mostly "
    "__ro_after_init __packed noinline notrace asmlinkage"
)
# Dropped together with what stands in the parentheses behind them.
_WITH_ARGUMENTS = names(
    "__attribute__ __attribute __declspec __aligned __section __printf __scanf __acquires __releases __must_hold "
    "__cond_acquires __alloc_size __counted_by __assume_aligned __alias __no_sanitize __malloc __realloc_size "
    "__compiletime_error __compiletime_warning __nonstring _Pragma __pragma"
)
_ASSEMBLER = names("asm __asm __asm__ __ASM")
_BESIDE_ASSEMBLER = names("VOLATILE GOTO INLINE")
_TYPE_LIKE = re.compile(r"__(?:[usf]\d+|[bl]e\d+|w?sum\d*|kernel_\w+|builtin\w*|virtio\d+|auto_type|label__|\w+_t)$")

BASE_TYPES = names(
    "VOID CHAR SHORT INT LONG FLOAT DOUBLE SIGNED UNSIGNED _BOOL _COMPLEX __INT128 STRUCT UNION ENUM TYPEOF"
)
QUALIFIERS = names("CONST VOLATILE RESTRICT _ATOMIC STATIC EXTERN INLINE TYPEDEF REGISTER AUTO _NORETURN _THREAD_LOCAL")
_TAGGED = frozenset(("STRUCT", "UNION", "ENUM"))
_DECLARATOR_ENDS = names("SEMI EQUALS COMMA LBRACKET LPAREN RPAREN COLON")
_NOT_IN_A_RUN = names("PERIOD ARROW GOTO")
_ENDS_A_DECLARATOR = names("SEMI LBRACE EQUALS COMMA")
_BEGINS_A_HEAD = names("SEMI RBRACE")
_ALIGNMENT = re.compile(r"____\w*aligned")
_LAYOUT = re.compile("align|pack|layout|section|mostly", re.IGNORECASE)
_IN_A_RUN = BASE_TYPES | QUALIFIERS | {"ID"}


def closing(tokens: list[Token]) -> dict[int, int]:
    """For the index of each opening parenthesis, the index of the closing one."""
    opened, found = [], {}
    for index, token in enumerate(tokens):
        if token.type == "LPAREN":
            opened.append(index)
        elif token.type == "RPAREN" and opened:
            found[opened.pop()] = index
    return found


def without_attributes(tokens: list[Token]) -> list[Token]:
    """Drop attributes: those known by name, then those that stand where no other word can."""
    return _without_unknown(_without_known(tokens))


def _without_known(tokens: list[Token]) -> list[Token]:
    partner = closing(tokens)
    kept: list[Token] = []
    index, count = 0, len(tokens)
    while index < count:
        token = tokens[index]
        index += 1
        if token.type != "ID":
            kept.append(token)
            continue
        following = tokens[index].type if index < count else ""
        if token.value in _WITH_ARGUMENTS and following == "LPAREN":
            index = partner.get(index, index - 1) + 1
        elif token.value in _ASSEMBLER and (following == "LPAREN" or following in _BESIDE_ASSEMBLER):
            while index < count and tokens[index].type in _BESIDE_ASSEMBLER:
                index += 1
            index = partner.get(index, index - 1) + 1
        elif token.value not in _ALWAYS:
            kept.append(token)
    return kept


def _without_unknown(tokens: list[Token]) -> list[Token]:
    """Evaluation at runs of words: beside a type and a declarator's name, every other identifier is an attribute."""
    kept: list[Token] = []
    index, count, depth = 0, len(tokens), 0
    head = True  # outside of braces and not in an initializer
    while index < count:
        kind = tokens[index].type
        if kind not in _IN_A_RUN:
            depth += (kind == "LBRACE") - (kind == "RBRACE")
            head = depth == 0 and kind != "EQUALS" and (head or kind in _BEGINS_A_HEAD)
            kept.append(tokens[index])
            index += 1
            continue
        last = index + 1
        while last < count and tokens[last].type in _IN_A_RUN:
            last += 1
        run = tokens[index:last]
        before = kept[-1].type if kept else ""
        after = tokens[last].type if last < count else ""
        if not _are_behind_a_declarator(run, before, after, head):
            if after == "LPAREN" and last + 1 < count and tokens[last + 1].type == "TIMES":
                after = ""  # the name stands within, behind the star
            kept += run if len(run) == 1 or before in _NOT_IN_A_RUN else _specifiers(run, before, after)
        index = last
    return kept


def _looks_like_an_attribute(word: str) -> bool:
    return (word.startswith("__") and not _TYPE_LIKE.match(word)) or (word.isupper() and len(word) > 2)


def _are_behind_a_declarator(run: list[Token], before: str, after: str, head: bool) -> bool:
    """Whether words behind a closing bracket are attributes of what it closes."""
    if after not in _ENDS_A_DECLARATOR or not all(_looks_like_an_attribute(token.value) for token in run):
        return False
    if before == "RBRACE":
        return all(_LAYOUT.search(token.value) for token in run)
    return before == "RBRACKET" or (before == "RPAREN" and head)


def _specifiers(run: list[Token], before: str, after: str) -> list[Token]:
    """Keep the type and, where one is expected, the name of a run of words."""
    has_type = before == "TIMES"
    words: list[int] = []
    dropped: set[int] = set()
    tag = False
    for place, token in enumerate(run):
        if token.type in BASE_TYPES:
            has_type = True
            tag = token.type in _TAGGED
        elif token.type == "ID":
            if not tag:
                (dropped.add if _ALIGNMENT.match(token.value) else words.append)(place)
            tag = False
    wanted = (not has_type) + (after in _DECLARATOR_ENDS)
    if len(words) > wanted:
        kept = words[-1:] if after == "LPAREN" else []  # the function's name
        others = [place for place in words if place not in kept]
        kept += sorted(others, key=lambda place: (_looks_like_an_attribute(run[place].value), -place))
        dropped.update(set(words) - set(kept[:wanted]))
    return [token for place, token in enumerate(run) if place not in dropped]
