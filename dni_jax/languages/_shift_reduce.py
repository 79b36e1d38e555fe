"""A shift-reduce parser whose loop is observed: what it has done when it has read up to each character."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from lark.exceptions import LarkError

from dni_jax.languages._lexing import StuckError, tokenizer
from dni_jax.languages._parse_table import END, ParseTable
from dni_jax.languages._parsing import ParseError, Parser
from dni_jax.text import NodeKind

_EVENTS = 1_000_000  # numbers are collected before they become an array
_FIELDS = 6  # of an event: place, state, state beneath, stack size, last rule, number of reductions


@dataclass(frozen=True, eq=False)
class ParserStates:
    """The state of a shift-reduce parser after every character.

    A token is shifted at its last character (the lexer's longest match says where that is). The reductions that it
    calls for as look-ahead come before, at that same character. Characters inside a token and ignored text (spaces,
    comments) repeat the state before them. What the end of the text calls for belongs to no character and is left
    out. So every entry is what the parser has done when it has read up to its character. Tokens that a lexer adds
    without characters of their own (indents) are shifted where the lexer then stands.

    Attributes
    ----------
    stack_size
        int ``(L,)``: the symbols on the stack; 0 before the first token is complete.
    reduced
        int ``(L,)``: the last rule that was reduced, an index into `rules`; -1 before the first reduction.
    reductions
        int ``(L,)``: how many reductions happened at this character.
    top
        int ``(L,)``: the top of the stack, an index into `symbols`: always the last token, because reductions wait for
        the next one; -1 where the stack is empty.
    below
        int ``(L,)``: what lies beneath the top, an index into `symbols`: what was complete when the last token came;
        -1 where there is nothing.
    expected
        int ``(L,)``: the terminals that the parse table has an action for, an index into `expected_sets`. As in every
        LALR parser some of them may still turn out wrong after further reductions.
    rules
        The grammar's rules, Lark's helpers for repeats among them.
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
        """Write the states as lines, one a character: stack size, top of the stack, reductions, last rule."""
        lines = []
        for row, character in enumerate(text):
            stack = " ".join(self.symbols[index] for index in (self.below[row], self.top[row]) if index >= 0)
            last = self.rules[self.reduced[row]].name if self.reduced[row] >= 0 else ""
            lines.append(f"{character!r:5}{self.stack_size[row]:3} {stack:24}{self.reductions[row]:3} {last}".rstrip())
        return "\n".join(lines)


class ShiftReduce:
    """Runs a grammar's LALR table and notes what happens.

    Parameters
    ----------
    engine
        The parser whose grammar is meant.
    ending
        Added to a text that does not end with it, as for parsing.

    Raises
    ------
    ValueError
        Where the grammar is parsed with Earley's algorithm: there is no table then.
    """

    def __init__(self, engine: Parser, ending: str = "") -> None:
        if not engine.is_lalr:
            raise ValueError(
                "expected a grammar with an LALR table, got one that is parsed with Earley's algorithm, which has no "
                "parser states: give parser='lalr' if Lark may settle every conflict by shifting "
                "(Language.from_lark(grammar, parser='lalr', ...)), or write the grammar in levels of precedence"
            )
        self.table = ParseTable.of(engine.lark)
        self._engine, self._ending = engine, ending
        grammar = f"{engine.lark.options.start} {engine.lark.source_grammar}"
        self.fingerprint = hashlib.sha256(grammar.encode()).hexdigest()[:8]
        self._tokens = tokenizer(engine.lark, self.table)
        self._chains: dict[tuple[int, int, str], tuple[int, int, int]] = {}  # found before: the table's, not a text's

    def states(self, text: str) -> ParserStates:
        """Give the states after each character of one text.

        Raises
        ------
        ParseError
            Where the text is not in the language, as from parsing it.
        """
        events: list[int] = []
        self._run(text, 0, events)
        return self._spread(np.asarray(events).reshape(-1, _FIELDS), len(text))

    def observe(self, strings: Sequence[str], read: np.ndarray | None = None) -> ParserStates:
        """Give the states after each character of many strings, end to end; each is parsed on its own.

        Strings that are not `read` keep the parser's first state throughout.

        Raises
        ------
        ParseError
            Where a string is not in the language; names the string.
        """
        base, chunks = 0, []
        events: list[int] = []
        for number, text in enumerate(strings):
            if read is not None and not read[number]:
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
            self._engine.parse(complete)  # which says what is wrong, and where
            raise RuntimeError(f"the observed parser fails where Lark's does not, on {text[:200]!r}") from error

    def _loop(self, text: str, base: int, limit: int, events: list[int]) -> None:
        """Parse; append an event for the beginning of the text and one for each token that ends before the limit."""
        actions, sizes, origins, chains = self.table.actions, self.table.sizes, self.table.origins, self._chains
        stack, last = [self.table.start], -1
        events += (base, stack[0], -1, 0, -1, 0)
        for name, end in self._tokens(text, stack):
            count = 0
            while (action := actions[stack[-1]].get(name)) is None or action < 0:
                if action is None:
                    raise StuckError(name)
                size = sizes[~action]
                if size == 1:  # one after the other, mostly, through the levels of precedence
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

    def _chain(self, beneath: int, state: int, name: str) -> tuple[int, int, int]:
        """Reduce rules of a single part as long as there are any: the state then, the last rule, and their number."""
        table, count, rule = self.table, 0, -1
        while (action := table.actions[state].get(name, 0)) < 0 and table.sizes[~action] == 1:
            count, rule = count + 1, ~action
            state = table.actions[beneath][table.origins[rule]]
        return state, rule, count

    def _finish(self, stack: list[int]) -> None:
        """Check that the text may end here."""
        table = self.table
        while stack[-1] != table.end:
            rule = ~table.actions[stack[-1]].get(END, 0)
            if rule < 0:
                raise StuckError(END)
            if table.sizes[rule]:
                del stack[-table.sizes[rule] :]
            stack.append(table.actions[stack[-1]][table.origins[rule]])

    def _spread(self, events: Int[np.ndarray, "n 6"], length: int) -> ParserStates:
        """Let every event last until the next one."""
        place, state, beneath, size, rule, count = events.T
        table, lasts = self.table, np.diff(np.append(place, length))
        counts = np.bincount(place, weights=count, minlength=length)[:length]
        kind = np.append(table.kind, -1)[rule]
        return ParserStates(
            stack_size=np.repeat(_small(size), lasts),
            reduced=np.repeat(_small(kind, len(table.kinds)), lasts),
            reductions=_small(counts.astype(np.int64)),
            top=np.repeat(_small(table.symbol[state], len(table.symbols)), lasts),
            below=np.repeat(_small(table.symbol[beneath], len(table.symbols)), lasts),
            expected=np.repeat(_small(table.expected[state], len(table.expected_sets)), lasts),
            rules=table.kinds,
            symbols=table.symbols,
            expected_sets=table.expected_sets,
        )


def _small(values: Int[np.ndarray, " n"], most: int | None = None) -> Int[np.ndarray, " n"]:
    """Store in as few bytes as hold `most`, or else the largest value there is."""
    limit = most if most is not None else int(values.max(initial=0))
    return values.astype(np.min_scalar_type(-limit - 1))
