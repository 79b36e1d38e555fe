"""A shift-reduce parser that records its state after every character."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from lark.exceptions import LarkError

from dni_jax.languages._lexing import StuckError, make_tokenizer
from dni_jax.languages._parse_table import END, ParseTable
from dni_jax.languages._parsing import ParseError, Parser
from dni_jax.text import NodeKind

_EVENTS = 1_000_000  # numbers in a list before they become an array
_FIELDS = 6  # of an event: position, state, state below, stack size, last rule, number of reductions


@dataclass(frozen=True, eq=False)
class ParserStates:
    """The state of a shift-reduce parser after every character.

    Each entry is what the parser has done when it has read the text up to and including a character. A token is
    shifted at its last character, which the lexer's longest match determines. The reductions for which it is the
    lookahead come first, at the same character. Characters inside a token and ignored text (spaces, comments) repeat
    the state before them. Reductions at the end of the text belong to no character and are left out. Tokens that a
    lexer adds without characters of their own (indents) are shifted at the lexer's current position.

    Attributes
    ----------
    stack_size
        int ``(L,)``: the number of symbols on the stack; 0 before the first token is complete.
    reduced
        int ``(L,)``: the last rule reduced, an index into `rules`; -1 before the first reduction.
    reductions
        int ``(L,)``: how many reductions happened at this character.
    top
        int ``(L,)``: the top of the stack, an index into `symbols`; -1 if the stack is empty. It is always the last
        token, because reductions wait for the next one.
    below
        int ``(L,)``: the symbol below the top, an index into `symbols`; -1 if there is none. It is what was complete
        when the last token came.
    expected
        int ``(L,)``: the terminals for which the parse table has an action, an index into `expected_sets`. As in every
        LALR parser, some of them may turn out to be errors after further reductions.
    rules
        The grammar's rules, including Lark's helpers for repeats.
    symbols
        The grammar's terminals (fixed words in quotes) and then its non-terminals.
    expected_sets
        The distinct sets of expected terminals, sorted, named as in `symbols`; the end of the text is ``$END``.
    """

    stack_size: Int[np.ndarray, " L"]
    reduced: Int[np.ndarray, " L"]
    reductions: Int[np.ndarray, " L"]
    top: Int[np.ndarray, " L"]
    below: Int[np.ndarray, " L"]
    expected: Int[np.ndarray, " L"]
    rules: tuple[NodeKind, ...]
    symbols: tuple[str, ...]
    expected_sets: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.stack_size)

    def show(self, text: str) -> str:
        """Format the states, one line per character: stack size, top of the stack, reductions, last rule."""
        lines = []
        for row, character in enumerate(text):
            stack = " ".join(self.symbols[index] for index in (self.below[row], self.top[row]) if index >= 0)
            last = self.rules[self.reduced[row]].name if self.reduced[row] >= 0 else ""
            lines.append(f"{character!r:5}{self.stack_size[row]:3} {stack:24}{self.reductions[row]:3} {last}".rstrip())
        return "\n".join(lines)


class ShiftReduceParser:
    """Runs a grammar's LALR table and records its states.

    Parameters
    ----------
    engine
        The parser of the grammar.
    ending
        Appended to a text that does not end with it, as in parsing.

    Raises
    ------
    ValueError
        If the grammar is parsed with Earley's algorithm, which has no table.
    """

    def __init__(self, engine: Parser, ending: str = "") -> None:
        if not engine.is_lalr:
            raise ValueError(
                "expected a grammar with an LALR table, got one that is parsed with Earley's algorithm, which has no "
                "parser states: set parser='lalr' to let Lark resolve every conflict by shifting "
                "(Language.from_lark(grammar, parser='lalr', ...)), or write the grammar in levels of precedence"
            )
        self.table = ParseTable.of(engine.lark)
        self._engine, self._ending = engine, ending
        grammar = f"{engine.lark.options.start} {engine.lark.source_grammar}"
        self.fingerprint = hashlib.sha256(grammar.encode()).hexdigest()[:8]
        self._tokens = make_tokenizer(engine.lark, self.table)
        self._chains: dict[tuple[int, int, str], tuple[int, int, int]] = {}  # a cache: chains depend on the table only

    def states(self, text: str) -> ParserStates:
        """Return the states after each character of one text.

        Raises
        ------
        ParseError
            If the text is not in the language.
        """
        events: list[int] = []
        self._run(text, 0, events)
        return self._spread(np.asarray(events).reshape(-1, _FIELDS), len(text))

    def states_of_strings(self, strings: Sequence[str], parsed: np.ndarray | None = None) -> ParserStates:
        """Return the states after each character of many strings, end to end; each string is parsed on its own.

        Where `parsed` (bool ``(S,)``) is False, a string keeps the parser's first state throughout.

        Raises
        ------
        ParseError
            If a string is not in the language; the message has its number.
        """
        base, chunks = 0, []
        events: list[int] = []
        for number, text in enumerate(strings):
            if parsed is not None and not parsed[number]:
                events += (base, self.table.start, -1, 0, -1, 0)
            else:
                self._named(number, text, base, events)
            base += len(text)
            if len(events) > _EVENTS:
                chunks.append(np.asarray(events))
                events = []
        chunks.append(np.asarray(events, np.int64))
        return self._spread(np.concatenate(chunks).reshape(-1, _FIELDS), base)

    def _named(self, number: int, text: str, base: int, events: list[int]) -> None:
        try:
            self._run(text, base, events)
        except ParseError as error:
            raise ParseError(f"string {number}: {error}") from error

    def _run(self, text: str, base: int, events: list[int]) -> None:
        complete = text if text.endswith(self._ending) else text + self._ending
        try:
            self._loop(complete, base, base + len(text), events)
        except (StuckError, LarkError, ParseError, AssertionError) as error:
            self._engine.parse(complete)  # raises a ParseError that says what is wrong, and where
            raise RuntimeError(f"the recording parser fails where Lark's does not, on {text[:200]!r}") from error

    def _loop(self, text: str, base: int, limit: int, events: list[int]) -> None:
        """Parse a text; append an event for its beginning and one for each token that ends before the limit."""
        actions, sizes, origins, chains = self.table.actions, self.table.sizes, self.table.origins, self._chains
        stack, last = [self.table.start], -1
        events += (base, stack[0], -1, 0, -1, 0)
        for name, _, end in self._tokens(text, stack):
            count = 0
            while (action := actions[stack[-1]].get(name)) is None or action < 0:
                if action is None:
                    raise StuckError(name)
                size = sizes[~action]
                if (
                    size == 1
                ):  # a unit rule. These come in chains through the levels of precedence, so a whole chain is cached.
                    key = (stack[-2], stack[-1], name)
                    if key not in chains:
                        chains[key] = self._chain(*key)
                    stack[-1], last, more = chains[key]
                    count += more
                    continue
                last = ~action
                if size:
                    del stack[-size:]
                stack.append(actions[stack[-1]][origins[last]])
                count += 1
            stack.append(action)
            if base + end <= limit:
                events += (base + end - 1, action, stack[-2], len(stack) - 1, last, count)
        self._finish(stack)

    def _chain(self, below: int, state: int, name: str) -> tuple[int, int, int]:
        """Reduce unit rules as long as there are any; return the final state, the last rule, and their number."""
        table, count, rule = self.table, 0, -1
        while (action := table.actions[state].get(name, 0)) < 0 and table.sizes[~action] == 1:
            count, rule = count + 1, ~action
            state = table.actions[below][table.origins[rule]]
        return state, rule, count

    def _finish(self, stack: list[int]) -> None:
        """Check that the text can end here."""
        table = self.table
        while stack[-1] != table.end:
            rule = ~table.actions[stack[-1]].get(END, 0)
            if rule < 0:
                raise StuckError(END)
            if table.sizes[rule]:
                del stack[-table.sizes[rule] :]
            stack.append(table.actions[stack[-1]][table.origins[rule]])

    def _spread(self, events: Int[np.ndarray, "n 6"], length: int) -> ParserStates:
        """Repeat every event up to the next one, so that there is one state per character."""
        place, state, below, size, rule, count = events.T
        table, lasts = self.table, np.diff(np.append(place, length))
        counts = np.bincount(place, weights=count, minlength=length)[:length]
        kind = np.append(table.kind, -1)[rule]
        return ParserStates(
            stack_size=np.repeat(_small(size), lasts),
            reduced=np.repeat(_small(kind, len(table.kinds)), lasts),
            reductions=_small(counts.astype(np.int64)),
            top=np.repeat(_small(table.symbol[state], len(table.symbols)), lasts),
            below=np.repeat(_small(table.symbol[below], len(table.symbols)), lasts),
            expected=np.repeat(_small(table.expected[state], len(table.expected_sets)), lasts),
            rules=table.kinds,
            symbols=table.symbols,
            expected_sets=table.expected_sets,
        )


def _small(values: Int[np.ndarray, " n"], most: int | None = None) -> Int[np.ndarray, " n"]:
    """Convert to the smallest integer type that holds `most`, or else the largest of the values."""
    limit = most if most is not None else int(values.max(initial=0))
    return values.astype(np.min_scalar_type(-limit - 1))
