"""Real C source code: pycparser's parse trees with exact character ranges, macros unexpanded, headers not needed."""

from dni_jax.languages.code.c._language import CLanguage
from dni_jax.languages.code.c._loading import load_c

__all__ = ["CLanguage", "load_c"]
