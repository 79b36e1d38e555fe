"""External declarations of a C file, and which identifiers in them name types."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dni_jax.files import read_text
from dni_jax.languages.code.c._lexer import NUMBER, STRING, Token, names
from dni_jax.languages.code.c._rewriting import BASE_TYPES, QUALIFIERS

_DECLARES = BASE_TYPES | QUALIFIERS | {"ID"}
_TAGGED = frozenset({"STRUCT", "UNION", "ENUM"})


@dataclass(frozen=True)
class Declaration:
    """The tokens ``first:last`` of a file, and whether they define a function."""

    first: int
    last: int
    is_function: bool


def split_declarations(tokens: list[Token], text: str) -> list[Declaration]:
    """Split a file's rewritten tokens at brace depth 0.

    Examples
    --------
    >>> from dni_jax.languages.code.c._lexer import tokenize
    >>> text = "int a; int f(void) { g(); } struct s { int x; } y;"
    >>> [(one.last, one.is_function) for one in split_declarations(tokenize(text), text)]
    [(3, False), (14, True), (23, False)]
    """
    found: list[Declaration] = []
    first = braces = parentheses = 0
    is_function = False
    before = ""
    count = len(tokens)
    for index, token in enumerate(tokens):
        kind = token.type
        ends = False
        if kind == "LBRACE":
            if braces == 0:
                is_function = before == "RPAREN" and parentheses == 0
                if (
                    index == first
                ):  # a body after the declarations of its parameters (K&R style), or after something unknown
                    is_function = True
                    first = _old_style(tokens, found, first)
            braces += 1
        elif kind == "RBRACE":
            braces = max(braces - 1, 0)
            ends = braces == 0 and is_function
        elif braces == 0:
            if kind == "LPAREN":
                parentheses += 1
            elif kind == "RPAREN":
                parentheses = max(parentheses - 1, 0)
                ends = parentheses == 0 and index + 1 < count and _is_lone_macro(tokens, first, index, text)
            elif kind == "SEMI":
                ends = True
        before = kind
        if ends:
            found.append(Declaration(first, index + 1, is_function))
            first, is_function, parentheses = index + 1, False, 0
    if first < count:
        found.append(Declaration(first, count, is_function))
    return found


def _old_style(tokens: list[Token], found: list[Declaration], first: int) -> int:
    """Remove the declarations that belong to the header of a K&R definition; return where the definition begins."""
    for number in range(len(found) - 1, -1, -1):
        one = found[number]
        if tokens[one.last - 1].type != "SEMI":
            break
        inside = tokens[one.first : one.last]
        pairs = itertools.pairwise(inside)
        if any(left.type == "RPAREN" and right.type in _DECLARES | _TAGGED for left, right in pairs):
            del found[number:]
            return one.first
    return first


def _is_lone_macro(tokens: list[Token], first: int, last: int, text: str) -> bool:
    """Return whether ``NAME(...)`` ends here without a semicolon and nothing else is on its lines."""
    if tokens[first].type != "ID" or tokens[first + 1].type != "LPAREN":
        return False
    following = tokens[last + 1]
    if following.type not in _DECLARES or "\n" not in text[tokens[last].end : following.start]:
        return False
    depth = 0
    for token in tokens[first + 1 : last]:
        depth += (token.type == "LPAREN") - (token.type == "RPAREN")
        if depth == 0:
            return False
    return True


_NUMBERED = "{0}8 {0}16 {0}32 {0}64 __{0}8 __{0}16 __{0}32 __{0}64"
_BITS = " ".join(
    f"int{n}_t uint{n}_t int_least{n}_t uint_least{n}_t int_fast{n}_t uint_fast{n}_t" for n in (8, 16, 32, 64)
)
# Common types of the C and POSIX libraries, of GNU and of Linux.
BASE = frozenset(
    f"""
    {_BITS} intptr_t uintptr_t intmax_t uintmax_t size_t ssize_t ptrdiff_t wchar_t wint_t char16_t char32_t max_align_t
    va_list __builtin_va_list __gnuc_va_list __label__ __auto_type bool FILE fpos_t time_t clock_t jmp_buf sig_atomic_t
    div_t ldiv_t mbstate_t locale_t off_t off64_t loff_t pid_t uid_t gid_t mode_t dev_t ino_t nlink_t blksize_t
    blkcnt_t clockid_t timer_t suseconds_t useconds_t socklen_t in_addr_t in_port_t sa_family_t sigset_t DIR
    pthread_t pthread_mutex_t pthread_cond_t pthread_key_t pthread_attr_t pthread_once_t
    {_NUMBERED.format("u")} {_NUMBERED.format("s")} __le16 __le32 __le64 __be16 __be32 __be64 __sum16 __wsum __poll_t
    uint ulong ushort uchar u_char u_short u_int u_long u_int8_t u_int16_t u_int32_t u_int64_t unchar
    uint8 uint16 uint32 uint64 int8 int16 int32 int64 i8 i16 i32 i64 f32 f64
    atomic_t atomic64_t atomic_long_t spinlock_t raw_spinlock_t rwlock_t seqlock_t seqcount_t wait_queue_head_t
    wait_queue_entry_t gfp_t pgprot_t pte_t pmd_t pud_t p4d_t pgd_t pfn_t ktime_t cpumask_t cpumask_var_t nodemask_t
    dma_addr_t phys_addr_t resource_size_t sector_t umode_t kuid_t kgid_t fmode_t irqreturn_t pgoff_t local_t
    cycles_t siginfo_t kernel_siginfo_t acpi_status acpi_handle compat_ulong_t compat_uptr_t compat_size_t
    """.split()
)

_STATEMENT_START = names("SEMI LBRACE RBRACE")
_ENDS_A_DECLARATOR = names("SEMI EQUALS COMMA LBRACKET RPAREN LPAREN COLON")
_NO_CAST_BEFORE = names("ID IF WHILE FOR SWITCH SIZEOF TYPEOF _ALIGNOF RPAREN RBRACKET")
_CAN_BE_CAST = frozenset(("ID", NUMBER, "CHAR_CONST", STRING, "LBRACE", "LNOT", "NOT", "SIZEOF"))
_STARS = names("TIMES CONST VOLATILE RESTRICT")
_SPECIFIER = BASE_TYPES | QUALIFIERS


def guess_typedefs(tokens: Sequence[Token], first: int, last: int) -> set[str]:
    """Guess which identifiers in the declaration ``tokens[first:last]`` name types, from the tokens around them.

    Examples
    --------
    >>> from dni_jax.languages.code.c._lexer import tokenize
    >>> code = tokenize("my_t *f(a_t x, b_t *y) { c_t *z = (d_t *)x; (e_t)z; return x * y; }")
    >>> sorted(guess_typedefs(code, 0, len(code)))
    ['a_t', 'b_t', 'c_t', 'd_t', 'e_t', 'my_t']
    """
    names: set[str] = set()
    types = ["SEMI", *(token.type for token in tokens[first:last]), "SEMI", "SEMI", "SEMI", "SEMI", "SEMI"]
    head, parentheses, braces = True, 0, 0  # before a function's body or an initializer everything declares
    for place in range(1, last - first + 1):
        kind = types[place]
        if kind == "ID":
            if tokens[first + place - 1].value not in names and _is_type(types, place, head, parentheses > 0 == braces):
                names.add(tokens[first + place - 1].value)
        elif kind == "LPAREN":
            parentheses += 1
        elif kind == "RPAREN":
            parentheses -= 1
        elif kind == "EQUALS" or (kind == "LBRACE" and parentheses == 0 and types[place - 1] == "RPAREN"):
            head = False
        braces += (kind == "LBRACE") - (kind == "RBRACE")
    return names


def _is_type(types: list[str], place: int, head: bool, listed: bool) -> bool:
    before, after = types[place - 1], types[place + 1]
    if before in ("PERIOD", "ARROW", "STRUCT", "UNION", "ENUM", "GOTO"):
        return False
    if after == "ID" or after == "CONST":
        return True
    if after == "TIMES":
        return _points(types, place, before, head)
    if after == "LPAREN":
        declares = head or before in _STATEMENT_START
        return declares and types[place + 2 : place + 6] == ["TIMES", "ID", "RPAREN", "LPAREN"]
    if after == "RPAREN" and before == "LPAREN" and types[place - 2] not in _NO_CAST_BEFORE:
        return types[place + 2] in _CAN_BE_CAST and not (types[place + 2] == "LBRACE" and types[place - 2] == "WHILE")
    if before in ("CONST", "VOLATILE"):
        return after in ("COMMA", "RPAREN") and types[place - 2] not in ("TIMES", *BASE_TYPES)
    return head and listed and before in ("LPAREN", "COMMA") and after in ("COMMA", "RPAREN", "LBRACKET")


def _points(types: list[str], place: int, before: str, head: bool) -> bool:
    """Return whether ``ID *`` begins the type of a pointer rather than a product."""
    after = place + 1
    while types[after] in _STARS:
        after += 1
    last = types[after]
    if last in ("RPAREN", "COMMA"):
        return True
    if last == "ID" and types[after + 1] in _ENDS_A_DECLARATOR:
        in_a_for = before == "LPAREN" and types[place - 2] == "FOR"
        return head or in_a_for or before in _STATEMENT_START or before in _SPECIFIER
    return last == "LPAREN" and (head or before in _STATEMENT_START) and types[after + 1] == "TIMES"


_TYPEDEF = re.compile(r"\btypedef\b([^;{}]*(?:\{[^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}[^;{}]*)?);")
_POINTER_TO_FUNCTION = re.compile(r"\(\s*\*+\s*(?:const\s+)?(\w+)\s*\)")
_BRACKETED = re.compile(r"\([^()]*\)|\{[^{}]*\}|\[[^\[\]]*\]")
_LAST_WORD = re.compile(r"(\w+)\s*$")


def collect_typedefs(texts: Iterable[str]) -> frozenset[str]:
    """Collect the names that blanked texts declare with ``typedef``.

    Examples
    --------
    >>> sorted(collect_typedefs(["typedef struct { int x; } point; typedef int (*call)(void), row[3];"]))
    ['call', 'point', 'row']
    """
    names: set[str] = set()
    for text in texts:
        if "typedef" not in text:
            continue
        for match in _TYPEDEF.finditer(text):
            body, before = _POINTER_TO_FUNCTION.sub(r" \1 ", match.group(1)), ""
            while body != before:
                body, before = _BRACKETED.sub(" ", body), body
            names.update(found.group(1) for part in body.split(",") if (found := _LAST_WORD.search(part)))
    return frozenset(names)


def read_typedefs(typedefs: Iterable[str] | str | Path | None) -> frozenset[str]:
    """Return the names given, or those in a file with one name per line.

    Raises
    ------
    ValueError
        If the file cannot be read, or a name is not an identifier.
    """
    if typedefs is None:
        return frozenset()
    if isinstance(typedefs, str | Path):
        try:
            names = read_text(typedefs).split()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"expected a file with one name of a type per line, or the names, got {str(typedefs)!r}: {error}"
            ) from error
    else:
        names = list(typedefs)
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise ValueError(f"expected names of types, got {wrong[0]!r}: one name per line and nothing else")
    return frozenset(names)
