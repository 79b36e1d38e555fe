"""Languages: grammars that sample and parse text, with probabilities and features."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._builtin import describe, get, list_languages
from dni_jax.languages._language import Language
from dni_jax.languages._parsing import AmbiguityWarning, ParseError
from dni_jax.languages._shift_reduce import ParserStates

if TYPE_CHECKING:
    from dni_jax.languages.code import (
        CLanguage,
        cache_folder,
        clear_cache,
        find_files,
        load_c,
        load_text,
        read_files,
        standard_library_files,
    )

__all__ = [
    "AmbiguityWarning",
    "BaseLanguage",
    "CLanguage",
    "Language",
    "ParseError",
    "ParserStates",
    "cache_folder",
    "clear_cache",
    "describe",
    "find_files",
    "get",
    "list_languages",
    "load_c",
    "load_text",
    "read_files",
    "standard_library_files",
]


def __getattr__(name: str) -> Any:
    """Import `dni_jax.languages.code` on first use; languages defined by a grammar do not need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("dni_jax.languages.code"), name)
