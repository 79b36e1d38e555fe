"""Languages: grammars that sample and parse text, with probabilities and features."""

from typing import TYPE_CHECKING

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._builtin import describe, get, list_languages
from dni_jax.languages._language import Language
from dni_jax.languages._parsing import AmbiguityWarning, ParseError
from dni_jax.languages._shift_reduce import ParserStates
from dni_jax.lazy import import_on_use

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

# Languages defined by a grammar do not need the parsers of source code.
_CODE = (
    "CLanguage",
    "cache_folder",
    "clear_cache",
    "find_files",
    "load_c",
    "load_text",
    "read_files",
    "standard_library_files",
)
__getattr__, __dir__ = import_on_use(__name__, dict.fromkeys(_CODE, "dni_jax.languages.code"))
