"""The languages that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module, resources
from typing import NamedTuple

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._language import Language

# One weight per production, in the grammar's order. Most strings have 5 to 35 characters, one in a hundred has 300.
_C_EXPRESSION_WEIGHTS = {
    "expression": [80, 1],
    "assignment": [25, 1, 3, 2],
    "conditional": [400, 9, 1],
    "or": [14, 1],
    "and": [10, 1],
    "bit_or": [30, 1],
    "bit_xor": [60, 1],
    "bit_and": [30, 1],
    "equality": [160, 19, 1],
    "comparison": [8, 1],
    "shift": [30, 1],
    "sum": [4, 2, 1],
    "product": [9, 2, 1, 1],
    "addend": [9, 2, 1, 1],
    "_divisor": [1, 1, 40],
    "unary": [2, 1, 60],
    "sign": [6, 1],
    "plain": [1, 40],
    "dereference": [9, 1],
    "solid": [800, 30, 10, 9, 1, 10],
    "sizeof": [1, 1],
    "postfix": [60, 30, 3, 1],
    "_target": [20, 1],
    "chain": [100, 5, 4, 2, 4, 5, 4],
    "_arguments": [2, 1],
    "type": [6, 4, 2, 1, 1, 2, 4],
    "identifier": [20, 1],
    "constant": [30, 2, 1, 1, 3, 2, 1],
}


def c_expressions() -> Language:
    """Return C expressions with all operators and their precedence: ``k = f(a, 2)->x[i] + *p++ * 3``."""
    return Language(
        "c_expressions", _read_grammar("c_expressions.lark"), start="expression", weights=_C_EXPRESSION_WEIGHTS
    )


def _read_grammar(file: str) -> str:
    return (resources.files("dni_jax.languages") / file).read_text(encoding="utf-8")


def parentheses() -> Language:
    """Return nested parentheses, four levels deep, with equal weights (Lin & Wu 2017): ``0(1((3(44))2))``."""
    return Language("parentheses", _read_grammar("parentheses.lark"), start="e0")


def arithmetic() -> Language:
    """Return arithmetic with single digits in running text (Lin & Wu 2017): ``3+(4*2), 7, (1-5)/2``."""
    weights = {"_text": [1, 3], "e": [8, 1, 1, 2, 1, 1]}
    return Language("arithmetic", _read_grammar("arithmetic.lark"), start="_text", weights=weights)


def arithmetic_long() -> Language:
    """Return arithmetic whose expressions are never single digits, with many sums: ``3+1+4, 2*(5), 8+1``.

    So are the texts that Lin & Wu (2017) print.
    """
    weights = {"_text": [1, 9], "whole": [2, 6, 1, 2, 2], "e": [13, 1, 3, 2, 1, 1]}
    return Language("arithmetic_long", _read_grammar("arithmetic_long.lark"), start="_text", weights=weights)


def _from_code(name: str) -> Callable[[], BaseLanguage]:
    """Return a function that imports `dni_jax.languages.code` and makes one of its languages."""
    return lambda: getattr(import_module("dni_jax.languages.code"), name)()


class _Entry(NamedTuple):
    make: Callable[[], BaseLanguage]
    description: str


_LANGUAGES = {
    "parentheses": _Entry(parentheses, "Nested parentheses, four levels deep, with equal weights (Lin & Wu 2017)."),
    "arithmetic": _Entry(arithmetic, "Arithmetic with single digits in running text (Lin & Wu 2017)."),
    "python": _Entry(_from_code("python"), "Python's own standard library, parsed by Lark's Python grammar."),
    "c": _Entry(
        _from_code("CLanguage"), "C source code as people write it, parsed by pycparser with macros unexpanded."
    ),
    "c_expressions": _Entry(
        c_expressions, "C expressions, sampled from a grammar that a shift-reduce parser can parse."
    ),
    "arithmetic_long": _Entry(arithmetic_long, "Arithmetic without single digits as expressions, with many sums."),
}


def list_languages() -> tuple[str, ...]:
    """Return the names of the built-in languages."""
    return tuple(_LANGUAGES)


def describe(name: str) -> str:
    """Return a one-line description of a built-in language."""
    return _LANGUAGES[name].description


@cache
def get(name: str) -> BaseLanguage:
    """Return a built-in language by name.

    Raises
    ------
    ValueError
        If there is no such language; the message lists those there are.

    Examples
    --------
    >>> get("parentheses")
    Language(parentheses, start='e0', Earley)
    """
    if name not in _LANGUAGES:
        close = get_close_matches(name, _LANGUAGES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"expected one of the built-in languages ({', '.join(_LANGUAGES)}), got {name!r}{hint}: "
            "for your own language use Language.from_lark, or --grammar on the command line"
        )
    return _LANGUAGES[name].make()
