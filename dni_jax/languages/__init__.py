"""Languages: a grammar that samples and parses, with the probabilities and the features that belong to it."""

from dni_jax.languages.base import BaseLanguage
from dni_jax.languages.builtin import about, get, names
from dni_jax.languages.c import CLanguage, load_c
from dni_jax.languages.cache import cache_folder, clear_cache
from dni_jax.languages.language import Language
from dni_jax.languages.parsing import AmbiguityWarning, ParseError
from dni_jax.languages.python import standard_library_files
from dni_jax.languages.shift_reduce import ParserStates
from dni_jax.languages.textfiles import find_files, load_text

__all__ = [
    "AmbiguityWarning",
    "BaseLanguage",
    "CLanguage",
    "Language",
    "ParseError",
    "ParserStates",
    "about",
    "cache_folder",
    "clear_cache",
    "find_files",
    "get",
    "load_c",
    "load_text",
    "names",
    "standard_library_files",
]
