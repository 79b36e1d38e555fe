"""The languages that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib import import_module, resources
from typing import NamedTuple

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._c_expressions import c_expressions
from dni_jax.languages._language import Language


def _packaged(file: str) -> str:
    return (resources.files("dni_jax.languages") / file).read_text(encoding="utf-8")


def parentheses() -> Language:
    """Nested parentheses, four levels deep, with equal weights (Lin & Wu 2017): ``0(1((3(44))2))``."""
    return Language("parentheses", _packaged("parentheses.lark"), start="e0")


def arithmetic() -> Language:
    """Arithmetic with single digits in running text (Lin & Wu 2017): ``3+(4*2), 7, (1-5)/2``."""
    weights = {"_text": [1, 3], "e": [8, 1, 1, 2, 1, 1]}
    return Language("arithmetic", _packaged("arithmetic.lark"), start="_text", weights=weights)


def _from_code(name: str) -> Callable[[], BaseLanguage]:
    """Return the maker of a language of `dni_jax.languages.code`, which is imported when it is called."""
    return lambda: getattr(import_module("dni_jax.languages.code"), name)()


class _Entry(NamedTuple):
    make: Callable[[], BaseLanguage]
    about: str


_LANGUAGES = {
    "parentheses": _Entry(parentheses, "Nested parentheses, four levels deep, with equal weights (Lin & Wu 2017)."),
    "arithmetic": _Entry(arithmetic, "Arithmetic with single digits in running text (Lin & Wu 2017)."),
    "python": _Entry(_from_code("python"), "Python's own standard library, parsed by Lark's Python grammar."),
    "c": _Entry(
        _from_code("CLanguage"), "C source code as people write it, parsed by pycparser with macros unexpanded."
    ),
    "c_expressions": _Entry(
        c_expressions, "C expressions, sampled from a grammar that a shift-reduce parser can read."
    ),
}


def list_languages() -> tuple[str, ...]:
    """The names of the built-in languages."""
    return tuple(_LANGUAGES)


def describe(name: str) -> str:
    """One line on a built-in language."""
    return _LANGUAGES[name].about


@cache
def get(name: str) -> BaseLanguage:
    """Give a built-in language by name.

    Raises
    ------
    ValueError
        Where there is no such language; lists those there are.

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
            "for a language of your own use Language.from_lark, or --grammar on the command line"
        )
    return _LANGUAGES[name].make()
