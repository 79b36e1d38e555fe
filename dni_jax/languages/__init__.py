"""Languages: a grammar that samples and parses, with the probabilities and the features that belong to it."""

from dni_jax.languages.builtin import about, get, names, standard_library_files
from dni_jax.languages.language import Language
from dni_jax.languages.parsing import ParseError
from dni_jax.languages.textfiles import find_files, load_text

__all__ = ["Language", "ParseError", "about", "find_files", "get", "load_text", "names", "standard_library_files"]
