"""A grammar's LALR table as plain numbers, with readable names."""

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
    """The LALR table of a grammar: what a shift-reduce parser does in each of its states.

    Attributes
    ----------
    actions
        For a state and a symbol's name in Lark: the next state (for a shift, or after a reduction), or ``~rule``, which
        is negative, for a reduction.
    start, end
        The first state, and the state in which a text can end.
    sizes, origins
        The number of parts of each of Lark's rules, and the non-terminal that it makes.
    kind
        int ``(rules,)``: an index into `kinds`.
    kinds
        The distinct rules, named as in `dni_jax.text.NodeKind`.
    symbols
        The names of the terminals (fixed words in quotes) and then of the non-terminals.
    n_terminals
        How many of the symbols are terminals.
    symbol
        int ``(states + 1,)``: the symbol that leads to each state, -1 for the first one; also -1 in the last row.
    expected
        int ``(states,)``: an index into `expected_sets`.
    expected_sets
        The distinct sets of terminals for which a state has an action; ``$END`` is the end of the text.
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
        """Return the table of a grammar that Lark has compiled for its LALR parser."""
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
        expected_sets = sorted(set(wanted.values()))  # the order must not depend on how Lark numbers states
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
    def reachable(self) -> tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int]]:
        """What can be the last rule, the top of the stack, the symbol below it, and the expected set after a token."""
        steps = {(state, to) for state, row in self.actions.items() for to in row.values() if to >= 0}
        shifts = [(state, to) for state, to in steps if 0 <= self.symbol[to] < self.n_terminals]
        # A rule can be the last one before a shift only if a state that follows its non-terminal can shift.
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
    """Return a distinct name for each terminal, including those a lexer declares, and then for each non-terminal."""
    in_rows = {name for row in actions.values() for name in row} - {END, *non_terminals}
    symbols = dict.fromkeys([*(terminal.name for terminal in lark.terminals), *sorted(in_rows), *non_terminals])
    displayed = {name: _display(lark, name) for name in symbols}
    texts = list(displayed.values())
    return {name: text if texts.count(text) == 1 else name for name, text in displayed.items()}


def _display(lark: Lark, name: str) -> str:
    """Return a symbol as it is displayed in a grammar: fixed words in quotes."""
    found = [terminal.pattern for terminal in lark.terminals if terminal.name == name]
    if found and isinstance(found[0], PatternStr):
        return json.dumps(found[0].value, ensure_ascii=False) + "".join(sorted(found[0].flags))
    if found and name.startswith("__"):
        return f"/{found[0].value}/"
    return name.strip("_")
