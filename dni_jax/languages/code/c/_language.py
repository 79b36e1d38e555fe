"""C as a language: parsed by pycparser, macros unexpanded."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from dni_jax.features import FeatureLibrary
from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._nesting import tree_from_spans
from dni_jax.languages._parsing import ParseResult
from dni_jax.languages.code.c._declarations import (
    BASE,
    Declaration,
    collect_typedefs,
    guess_typedefs,
    split_declarations,
)
from dni_jax.languages.code.c._features import KINDS, NUMBER_OF, c_library
from dni_jax.languages.code.c._lexer import (
    CHARACTER,
    NUMBER,
    STRING,
    Blanked,
    Segment,
    Token,
    blank,
    merge_segments,
    tokenize,
)
from dni_jax.languages.code.c._pycparser import DeclarationError, Note
from dni_jax.languages.code.c._recorder import Recorder
from dni_jax.languages.code.c._rewriting import rewrite
from dni_jax.text import NodeKind

_LITERALS = {NUMBER: "number", CHARACTER: "character", STRING: "string", "ID": "identifier"}
_LEAVES = {kind: NUMBER_OF[name] for kind, name in _LITERALS.items()}
_BRACKETS = {
    "LPAREN": ("RPAREN", NUMBER_OF["parentheses"]),
    "LBRACKET": ("RBRACKET", NUMBER_OF["square brackets"]),
    "LBRACE": ("RBRACE", NUMBER_OF["braces"]),
}
_CLOSING = frozenset(closing for closing, _ in _BRACKETS.values())
_TERMINATOR = NUMBER_OF["terminator"]
_DECLARING = frozenset(("FuncDef", "Decl", "Typedef", "function declaration"))
_PUNCTUATION = frozenset((*_BRACKETS, *_CLOSING, "SEMI"))

Rows = list[tuple[int, int, int]]


class CParser:
    """Parses C texts.

    Parameters
    ----------
    typedefs
        Names of types, in addition to the base set.
    harvested
        Names that are treated as types if a declaration does not parse otherwise.
    """

    def __init__(self, typedefs: frozenset[str], harvested: frozenset[str]) -> None:
        self._known = dict.fromkeys(BASE | typedefs, True)
        self._more = dict.fromkeys(BASE | typedefs | harvested, True)
        self._recorder = Recorder()

    def parse(self, text: str) -> ParseResult:
        """Parse a text, one external declaration at a time."""
        blanked = blank(text)
        tokens = tokenize(blanked.text)
        leaves = [(_LEAVES.get(token.type, -1), token.start, token.end) for token in tokens]
        punctuation = [(token.type, token.start, token.end) for token in tokens if token.type in _PUNCTUATION]
        rewritten = rewrite(tokens, blanked.text)
        parsed = _Parsed(text, leaves, punctuation)
        own = collect_typedefs([blanked.text])
        for declaration in split_declarations(rewritten, blanked.text):
            part = rewritten[declaration.first : declaration.last]
            names = guess_typedefs(rewritten, declaration.first, declaration.last) | own
            try:
                parsed.add(declaration, part, *self._record(part, declaration, names))
            except DeclarationError as failure:
                parsed.fail(declaration, part, failure)
        return parsed.result(blanked)

    def _record(self, part: list[Token], declaration: Declaration, names: set[str]) -> tuple[list[Note], list[Segment]]:
        try:
            return self._recorder.record(part, declaration.is_function, self._known, names)
        except DeclarationError as first:
            try:
                return self._recorder.record(part, declaration.is_function, self._more, names)
            except DeclarationError:
                raise first from None  # names treated as types by mistake would make the second message misleading


@dataclass(eq=False)
class _Parsed:
    """The nodes of a text, collected declaration by declaration, and the segments that do not parse."""

    text: str
    leaves: Rows
    punctuation: list[tuple[str, int, int]]
    nodes: Rows = field(default_factory=list)
    brackets: Rows = field(default_factory=list)
    unparsed: list[Segment] = field(default_factory=list)
    functions: list[tuple[int, int, bool]] = field(default_factory=list)
    n_declarations: int = 0
    n_failed: int = 0
    error: str = ""
    _leaf: int = 0
    _mark: int = 0

    def add(self, declaration: Declaration, part: list[Token], notes: list[Note], opaque: list[Segment]) -> None:
        """Add the nodes of a declaration that parses."""
        first, last, leaves, marks = self._next(part)
        self.nodes += [leaf for leaf in leaves if leaf[0] >= 0]
        self._add_punctuation(marks)
        starts, ends = [token.start for token in part], [token.end for token in part]
        self.nodes += [(NUMBER_OF[kind], starts[begin], ends[end - 1]) for kind, begin, end in notes]
        if notes and notes[-1][0] in _DECLARING:
            # Attributes that were dropped before the first remaining token belong to the declaration too.
            self.nodes[-1] = (self.nodes[-1][0], first, last)
        self.unparsed += [(part[begin].start, part[end - 1].end) for begin, end in opaque]
        self._count(declaration, first, last, True)

    def fail(self, declaration: Declaration, part: list[Token], failure: DeclarationError) -> None:
        """Record a declaration that does not parse."""
        first, last, _, _ = self._next(part)
        self.unparsed.append((first, last))
        self._count(declaration, first, last, False)
        if not self.error:
            self.error = _explain(self.text, part, failure)

    def _next(self, part: list[Token]) -> tuple[int, int, Rows, list[tuple[str, int, int]]]:
        """Return the range of the next declaration and its tokens before rewriting."""
        last = part[-1].end
        leaf = bisect_left(self.leaves, last, self._leaf, key=lambda row: row[1])
        mark = bisect_left(self.punctuation, last, self._mark, key=lambda row: row[1])
        leaves, marks = self.leaves[self._leaf : leaf], self.punctuation[self._mark : mark]
        self._leaf, self._mark = leaf, mark
        return leaves[0][1], last, leaves, marks

    def _add_punctuation(self, marks: list[tuple[str, int, int]]) -> None:
        """Match brackets; a semicolon ends a statement unless it is directly inside parentheses."""
        opened: list[tuple[str, int, int]] = []
        for kind, start, end in marks:
            if kind == "SEMI":
                if not opened or opened[-1][0] == "RBRACE":
                    self.nodes.append((_TERMINATOR, start, end))
            elif kind in _BRACKETS:
                closing, number = _BRACKETS[kind]
                opened.append((closing, number, start))
            elif opened and opened[-1][0] == kind:
                _, number, begin = opened.pop()
                self.brackets.append((number, begin, end))

    def _count(self, declaration: Declaration, first: int, last: int, parses: bool) -> None:
        self.n_declarations += 1
        self.n_failed += not parses
        if declaration.is_function:
            self.functions.append((first, last, parses))

    def result(self, blanked: Blanked) -> ParseResult:
        """Return the result for the whole text."""
        length = len(self.text)
        unparsed = _join_segments(self.text, merge_segments([*self.unparsed, *blanked.dead]))
        known = np.ones(length, bool)
        for first, last in unparsed:
            known[first:last] = False
        outside = [*self.brackets, *_spans("comment", blanked.comments), *_spans("preprocessor", blanked.directives)]
        tree = tree_from_spans(KINDS, _columns(self.nodes), _columns(outside))
        return ParseResult(
            tree,
            np.asarray(unparsed, np.int64).reshape(-1, 2),
            self._counts(known, blanked.dead),
            self.error,
        )

    def _counts(self, known: np.ndarray, dead: Iterable[Segment]) -> Mapping[str, int]:
        compiled = np.ones(len(known), bool)
        for first, last in dead:
            compiled[first:last] = False
        spans = [slice(first, last) for first, last, _ in self.functions]
        return {
            "functions": len(self.functions),
            "functions_parsed": sum(parses for _, _, parses in self.functions),
            "characters": sum(int(compiled[span].sum()) for span in spans),
            "characters_parsed": sum(int(known[span].sum()) for span in spans),
            "declarations": self.n_declarations,
            "declarations_parsed": self.n_declarations - self.n_failed,
            "all_characters": len(known),
            "all_characters_parsed": int(known.sum()),
            "dead_characters": int((~compiled).sum()),
        }


def _join_segments(text: str, spans: Iterable[Segment]) -> list[Segment]:
    """Join segments that only white space separates: between two unparsed segments it has no labels either."""
    joined: list[Segment] = []
    for first, last in spans:
        if joined and not text[joined[-1][1] : first].strip():
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _spans(name: str, spans: tuple[Segment, ...]) -> Iterator[tuple[int, int, int]]:
    return ((NUMBER_OF[name], first, last) for first, last in spans)


def _columns(rows: Rows) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    table = np.asarray(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _explain(text: str, part: list[Token], failure: DeclarationError) -> str:
    """Describe where a declaration does not parse, what is there, and what was expected."""
    at_end = failure.token >= len(part)
    place = part[-1].end if at_end else part[failure.token].start
    line, column = text.count("\n", 0, place) + 1, place - (text.rfind("\n", 0, place) + 1) + 1
    begin, end = text.rfind("\n", 0, place) + 1, text.find("\n", place)
    context = text[begin : end if end >= 0 else len(text)].expandtabs(1)
    where = "the declaration ends too early" if at_end else f"does not parse at {part[failure.token].value!r}"
    reason = str(failure) or "expected the declaration to end here"
    return f"{where} (line {line}, column {column}):\n{context}\n{' ' * (column - 1)}^\n{reason}"


_CHARACTERS_PER_SECOND = 800_000


@dataclass(frozen=True, eq=False)
class CLanguage(BaseLanguage):
    """C source code as people write it, without headers and with macros unexpanded.

    Comments, preprocessor lines and dead branches are blanked; then pycparser parses one external declaration at a
    time. The symbols of nodes are pycparser's class names, and names in small letters where it has no class. The
    language cannot be sampled; `dni_jax.languages.load_c` reads files.

    Attributes
    ----------
    name
        What the language is called in results.
    typedefs
        Names of types, in addition to a base set and to those recognized from their position.
    harvested
        Names treated as types only in declarations that do not parse otherwise.

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
        """Roughly how many characters are parsed per second."""
        return _CHARACTERS_PER_SECOND

    @property
    def fingerprint(self) -> str:
        """A text that depends on the names of types."""
        return repr(("c", sorted(self.typedefs), sorted(self.harvested)))

    @cached_property
    def _parser(self) -> CParser:
        return CParser(self.typedefs, self.harvested)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the parser, which another process builds for itself."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def try_parse(self, text: str) -> ParseResult:
        """Parse a text one declaration at a time; what does not parse, or is not compiled, has no nodes."""
        return self._parser.parse(text)

    def features(self) -> FeatureLibrary:
        """Return the features of C."""
        return c_library()
