"""C source code as people write it: pycparser's nodes with exact ranges, without headers or macro expansion."""

from dni_jax.languages.code.c._language import CLanguage
from dni_jax.languages.code.c._loading import load_c

__all__ = ["CLanguage", "load_c"]
