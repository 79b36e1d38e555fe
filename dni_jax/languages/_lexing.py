"""The tokens of a text as the grammar's own lexer finds them, one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from copy import copy
from typing import Any

from lark import Lark, Token
from lark.lexer import BasicLexer, ContextualLexer, Lexer, LexerThread

from dni_jax.languages._parse_table import ParseTable

# From a text and the parser's stack to the names of its tokens, their starts and their ends (or how far the lexer has
# read).
Tokens = Callable[[str, list[int]], Iterator[tuple[str, int, int]]]

_Scan = tuple[Callable[[str, int], "re.Match[str] | None"], frozenset[str], dict[str, Callable[[str], str | None]]]


class StuckError(Exception):
    """A text is not in the language; Lark's own parser is then run for the error message."""


def make_tokenizer(lark: Lark, table: ParseTable) -> Tokens:
    """Return a function that finds the tokens of a text as the grammar's own lexer does, without its callbacks."""
    conf = copy(lark.lexer_conf)
    conf.callbacks = dict(lark.options.lexer_callbacks or {})
    conf.skip_validation = True
    if conf.lexer_type == "contextual":
        always = tuple(conf.postlex.always_accept) if conf.postlex else ()
        states: dict[int, Collection[str]] = {state: list(row) for state, row in table.actions.items()}
        lexer: Lexer = ContextualLexer(conf, states, always_accept=always)
    elif conf.lexer_type == "basic":
        lexer = BasicLexer(conf)
    else:
        lexer = lark.parser.lexer.lexer if conf.postlex else lark.parser.lexer
    if conf.postlex is None and not conf.callbacks and type(lexer) in (BasicLexer, ContextualLexer):
        return _scanner(lexer)
    return _lark_tokens(lexer, conf.postlex)


class _Scans(dict[int, _Scan]):
    """For each parser state: a regular expression, the ignored terminals, and fixed words that override a pattern."""

    def __init__(self, lexer: Lexer) -> None:
        super().__init__()
        self._lexer = lexer
        self._made: dict[int, _Scan] = {}

    def __missing__(self, state: int) -> _Scan:
        lexer: Any = self._lexer.lexers[state] if isinstance(self._lexer, ContextualLexer) else self._lexer
        if id(lexer) not in self._made:
            pattern = "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in lexer.scanner.terminals)
            words = {name: unless.scanner.fullmatch for name, unless in lexer.callback.items()}
            match = lexer.re.compile(pattern, lexer.g_regex_flags).match
            self._made[id(lexer)] = (match, lexer.ignore_types, words)
        self[state] = self._made[id(lexer)]
        return self[state]


def _scanner(lexer: Lexer) -> Tokens:
    """Tokenize as Lark's lexers do, without an object per token: several times faster if tokens are short."""
    scans = _Scans(lexer)

    def tokens(text: str, stack: list[int]) -> Iterator[tuple[str, int, int]]:
        position, length = 0, len(text)
        while position < length:
            match, ignored, words = scans[stack[-1]]
            found = match(text, position)
            if found is None:
                raise StuckError(position)
            name, start, position = str(found.lastgroup), position, found.end()
            if name in ignored:
                continue
            if name in words:
                name = words[name](found.group()) or name
            yield name, start, position

    return tokens


class _Position:
    """What a contextual lexer needs to know of a parser: the state on top of its stack."""

    def __init__(self, stack: list[int]) -> None:
        self._stack = stack

    @property
    def position(self) -> int:
        return self._stack[-1]


def _lark_tokens(lexer: Lexer, postlex: Any) -> Tokens:
    """Run any of Lark's lexers; tokens that are added at the end of the text end after it."""

    def tokens(text: str, stack: list[int]) -> Iterator[tuple[str, int, int]]:
        thread: Any = LexerThread.from_text(lexer, text)
        ended: list[bool] = []

        def watched() -> Iterator[Token]:
            yield from thread.lex(_Position(stack))
            ended.append(True)

        for token in watched() if postlex is None else postlex.process(watched()):
            end = len(text) + 1 if ended else thread.state.line_ctr.char_pos
            yield token.type, end if token.start_pos is None else token.start_pos, end

    return tokens
