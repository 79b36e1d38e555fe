"""Where one external declaration of a C file ends and the next begins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from dni_jax.languages.code.c._attributes import BASE_TYPES, QUALIFIERS
from dni_jax.languages.code.c._tokens import Token

_DECLARES = BASE_TYPES | QUALIFIERS | {"ID"}
_TAGGED = frozenset({"STRUCT", "UNION", "ENUM"})


@dataclass(frozen=True)
class Declaration:
    """The tokens ``first:last`` of a file, and whether they define a function."""

    first: int
    last: int
    is_function: bool


def declarations(tokens: list[Token], text: str) -> list[Declaration]:
    """Split a file's rewritten tokens at brace depth 0.

    Examples
    --------
    >>> from dni_jax.languages.code.c._tokens import tokenize
    >>> text = "int a; int f(void) { g(); } struct s { int x; } y;"
    >>> [(one.last, one.is_function) for one in declarations(tokenize(text), text)]
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
                if index == first:  # a body behind the parameters' declarations (K&R), or behind what nobody knows
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
    """Take back the declarations that belong to a K&R definition's header; returns where it begins."""
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
    """Whether ``NAME(...)`` ends here without a semicolon, alone on its lines."""
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
