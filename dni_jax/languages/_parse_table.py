"""A grammar's LALR table in plain numbers, with names for people."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from lark import Lark
from lark.lexer import PatternStr
from lark.parsers.lalr_analysis import Shift

from dni_jax.languages._grammar import node_kind
from dni_jax.text import NodeKind

END = "$END"


@dataclass(frozen=True, eq=False)
class ParseTable:
    """What a shift-reduce parser does in each of its states.

    Attributes
    ----------
    actions
        For a state and a symbol's name in Lark: the next state (a shift, or the way on from a reduction) or, negative,
        ``~rule`` for a reduction.
    start, end
        The first state, and the one in which a text may end.
    sizes, origins
        For each of Lark's rules the number of its parts and the non-terminal it makes.
    kind
        int ``(rules,)``: an index into `kinds`.
    kinds
        The distinct rules as people write them.
    symbols
        The names of the terminals (fixed words in quotes) and then of the non-terminals.
    n_terminals
        How many of the symbols are terminals.
    symbol
        int ``(states + 1,)``: the symbol that leads to each state, -1 for the first one; also -1 in the last row.
    expected
        int ``(states,)``: an index into `expected_sets`.
    expected_sets
        The distinct sets of terminals that some state has an action for; ``$END`` is the end of the text.
    """

    actions: Mapping[int, Mapping[str, int]]
    start: int
    end: int
    sizes: tuple[int, ...]
    origins: tuple[str, ...]
    kind: Int[np.ndarray, " rules"]
    kinds: tuple[NodeKind, ...]
    symbols: tuple[str, ...]
    n_terminals: int
    symbol: Int[np.ndarray, " states_and_none"]
    expected: Int[np.ndarray, " states"]
    expected_sets: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, lark: Lark) -> ParseTable:
        """Read the table of a grammar that Lark has compiled for its LALR parser."""
        table = lark.parser.parser.parser.parse_table
        (start,) = lark.options.start
        number = {rule: row for row, rule in enumerate(lark.rules)}
        actions = {
            state: {str(name): arg if action is Shift else ~number[arg] for name, (action, arg) in row.items()}
            for state, row in table.states.items()
        }
        origins = tuple(str(rule.origin.name) for rule in lark.rules)
        terminals = {terminal.name: terminal for terminal in lark.terminals}
        kinds = [node_kind(rule, terminals) for rule in lark.rules]
        distinct = tuple(dict.fromkeys(kinds))
        non_terminals = dict.fromkeys(origins)
        names = _names(lark, actions, non_terminals)
        places = {name: row for row, name in enumerate(names)}
        symbol = np.full(len(actions) + 1, -1)
        for row in actions.values():
            for name, action in row.items():
                if action >= 0:
                    symbol[action] = places[name]
        wanted = {
            state: tuple(sorted(names.get(name, name) for name in row if name not in non_terminals))
            for state, row in actions.items()
        }
        expected_sets = sorted(set(wanted.values()))  # in an order that does not depend on Lark's numbers of states
        set_number = {one: row for row, one in enumerate(expected_sets)}
        return cls(
            actions=actions,
            start=table.start_states[start],
            end=table.end_states[start],
            sizes=tuple(len(rule.expansion) for rule in lark.rules),
            origins=origins,
            kind=np.asarray([distinct.index(kind) for kind in kinds]),
            kinds=distinct,
            symbols=tuple(names.values()),
            n_terminals=len(names) - len(non_terminals),
            symbol=symbol,
            expected=np.asarray([set_number[wanted[state]] for state in range(len(wanted))]),
            expected_sets=tuple(expected_sets),
        )

    @cached_property
    def seen(self) -> tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int]]:
        """What a text can show: last rules, tops of the stack, symbols beneath them, expected sets."""
        steps = {(state, to) for state, row in self.actions.items() for to in row.values() if to >= 0}
        shifts = [(state, to) for state, to in steps if 0 <= self.symbol[to] < self.n_terminals]
        # A rule is the last one before a shift if some state that follows its non-terminal can shift.
        origins = set(self.origins)
        ready = {state for state, _ in shifts}
        stops = {name for row in self.actions.values() for name, to in row.items() if name in origins and to in ready}
        return (
            frozenset(int(kind) for kind, origin in zip(self.kind, self.origins, strict=True) if origin in stops),
            frozenset(int(self.symbol[to]) for _, to in shifts),
            frozenset(int(self.symbol[state]) for state, _ in shifts) - {-1},
            frozenset(int(self.expected[state]) for state in [self.start, *(to for _, to in shifts)]),
        )


def _names(lark: Lark, actions: Mapping[int, Mapping[str, int]], non_terminals: Collection[str]) -> dict[str, str]:
    """Give all terminals (those declared for a lexer, too) and then the non-terminals, with a distinct name each."""
    in_rows = {name for row in actions.values() for name in row} - {END, *non_terminals}
    symbols = dict.fromkeys([*(terminal.name for terminal in lark.terminals), *sorted(in_rows), *non_terminals])
    written = {name: _written(lark, name) for name in symbols}
    texts = list(written.values())
    return {name: text if texts.count(text) == 1 else name for name, text in written.items()}


def _written(lark: Lark, name: str) -> str:
    """Show a symbol as a person would write it: fixed words in quotes."""
    found = [terminal.pattern for terminal in lark.terminals if terminal.name == name]
    if found and isinstance(found[0], PatternStr):
        return json.dumps(found[0].value, ensure_ascii=False) + "".join(sorted(found[0].flags))
    if found and name.startswith("__"):
        return f"/{found[0].value}/"
    return name.strip("_")
