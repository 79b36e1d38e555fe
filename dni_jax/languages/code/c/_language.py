"""C as a language: parsed by pycparser, macros unexpanded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dni_jax.features import FeatureLibrary
from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._parse_result import ParseResult
from dni_jax.languages.code.c._kinds import KINDS
from dni_jax.languages.code.c._library import c_library
from dni_jax.languages.code.c._source import CReader
from dni_jax.text import NodeKind

_PACE = 800_000  # characters a second


@dataclass(frozen=True, eq=False)
class CLanguage(BaseLanguage):
    """C source code as people write it: headers and macros are not needed, and not expanded.

    Comments, preprocessor lines and dead branches are blanked, then each external declaration is parsed by pycparser
    for itself. Nodes have pycparser's class names as symbols; what it has no class for has names in small letters.
    The language cannot be sampled: `dni_jax.languages.load_c` reads files.

    Attributes
    ----------
    name
        What the language is called in results.
    typedefs
        Names of types, beside a base set and those that can be told from where they stand.
    harvested
        Names taken for types only in declarations that do not parse without them.

    Examples
    --------
    >>> corpus = CLanguage().corpus(["int f(int x) { return x + 1; }"])
    >>> CLanguage().features().select(["range:return"]).label(corpus)["range:return"].sum()
    np.int64(13)
    """

    name: str = "c"
    typedefs: frozenset[str] = frozenset()
    harvested: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"CLanguage({len(self.typedefs)} typedefs)" if self.typedefs else "CLanguage()"

    @property
    def kinds(self) -> tuple[NodeKind, ...]:
        """The kinds of nodes of C's trees."""
        return KINDS

    @property
    def characters_per_second(self) -> int:
        """About how many characters are parsed in a second."""
        return _PACE

    @property
    def fingerprint(self) -> str:
        """A text that changes with the names of types."""
        return repr(("c", sorted(self.typedefs), sorted(self.harvested)))

    @cached_property
    def _reader(self) -> CReader:
        return CReader(self.typedefs, self.harvested)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the reader out: another process makes its own."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def try_parse(self, text: str) -> ParseResult:
        """Parse a text declaration by declaration; what does not parse, or is not compiled, has no nodes."""
        return self._reader.parse(text)

    def features(self) -> FeatureLibrary:
        """Give the features of C."""
        return c_library()
