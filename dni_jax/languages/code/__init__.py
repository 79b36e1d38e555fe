"""Source code: C and Python, text files and archives, and the cache of parsed texts."""

from dni_jax.languages.code._cache import cache_folder, clear_cache
from dni_jax.languages.code._corpora import load_text
from dni_jax.languages.code._files import find_files, read_files
from dni_jax.languages.code._python import python, standard_library_files
from dni_jax.languages.code.c import CLanguage, load_c

__all__ = [
    "CLanguage",
    "cache_folder",
    "clear_cache",
    "find_files",
    "load_c",
    "load_text",
    "python",
    "read_files",
    "standard_library_files",
]
