"""A Lark grammar as weighted productions over characters: one table that sampling and probabilities share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
from jaxtyping import Float, Int
from lark import Lark
from lark.grammar import Rule
from lark.lexer import PatternStr, TerminalDef
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dni_jax.languages._nesting import BRACKETS, paired_brackets
from dni_jax.languages._regex import Alternative, productions
from dni_jax.text import NodeKind

Weights = Mapping[str, Sequence[int | float]]

_GROWTH = 0.9  # default weights are tempered until one symbol has at most this many descendants of its own kind


@dataclass(frozen=True, eq=False)
class Grammar:
    """Weighted context-free productions over characters.

    Attributes
    ----------
    symbols
        Names of the non-terminals; helpers of regular expressions have the name ``""``.
    start
        The start symbol's number.
    left
        int32 ``(P,)``: the left side of each production; sorted, so that a symbol's productions stand together.
    right
        One tuple a production: characters (str) and non-terminals (int) in order.
    weight
        float64 ``(P,)``: probabilities; they sum to 1 for each symbol.
    kind
        int32 ``(P,)``: index into `kinds` of the node that the production makes, or -1 if it makes none.
    kinds
        The kinds of nodes.
    n_rules
        The first symbols are the grammar's rules; terminals and their helpers follow.
    """

    symbols: tuple[str, ...]
    start: int
    left: Int[np.ndarray, " P"]
    right: tuple[tuple[str | int, ...], ...]
    weight: Float[np.ndarray, " P"]
    kind: Int[np.ndarray, " P"]
    kinds: tuple[NodeKind, ...]
    n_rules: int

    @property
    def growth(self) -> float:
        """How many descendants of its own kind one symbol has on average; below 1, strings are finite on average."""
        return float(np.abs(np.linalg.eigvals(self.mean_matrix())).max())

    def mean_matrix(self) -> Float[np.ndarray, "A A"]:
        """Expected number of children of each symbol (columns) in one expansion of each symbol (rows)."""
        matrix = np.zeros((len(self.symbols), len(self.symbols)))
        for row, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            for part in right:
                if isinstance(part, int):
                    matrix[left, part] += self.weight[row]
        return matrix


def is_visible(rule: Rule) -> bool:
    """Whether a production makes a node: not for Lark's helpers and ``_rules``, nor for a ``?rule`` with one part."""
    if rule.origin.name.startswith("_"):
        return False
    inlined = rule.options.expand1 and rule.alias is None and len(rule.expansion) == 1
    return not inlined


def node_kind(rule: Rule, terminals: Mapping[str, TerminalDef]) -> NodeKind:
    """Name a production as papers write it: ``e0 -> 0 e0``."""
    symbol = str(rule.alias or rule.origin.name)
    parts = [_written(part.name, terminals) if part.is_term else part.name.strip("_") for part in rule.expansion]
    return NodeKind(f"{symbol} -> {' '.join(parts) or 'epsilon'}", symbol)


def _written(name: str, terminals: Mapping[str, TerminalDef]) -> str:
    if name not in terminals:
        return name
    pattern = terminals[name].pattern
    if not isinstance(pattern, PatternStr):
        return pattern.value if name.startswith("__") else name
    return pattern.value if pattern.value.strip() == pattern.value else repr(pattern.value)


def token_kind(terminal: TerminalDef) -> NodeKind | None:
    """Give the kind of a token's node: only named terminals that are no fixed word make one."""
    if terminal.name.startswith("_") or isinstance(terminal.pattern, PatternStr):
        return None
    return NodeKind(terminal.name, terminal.name)


def node_kinds(lark: Lark) -> tuple[NodeKind, ...]:
    """All kinds of nodes of a grammar: its visible productions in the grammar's order, its tokens, its brackets."""
    terminals = {terminal.name: terminal for terminal in lark.terminals}
    rules = [node_kind(rule, terminals) for rule in lark.rules if is_visible(rule)]
    tokens = [kind for terminal in lark.terminals if (kind := token_kind(terminal)) is not None]
    brackets = [BRACKETS] if paired_brackets(fixed_words(lark).values()) else []
    return tuple(dict.fromkeys([*rules, *tokens, *brackets]))


def fixed_words(lark: Lark) -> dict[str, str]:
    """Give the texts of the terminals that are written as fixed words, by their names."""
    return {
        t.name: t.pattern.value for t in lark.terminals if isinstance(t.pattern, PatternStr) and not t.pattern.flags
    }


def compile_grammar(lark: Lark, start: str, weights: Weights | None) -> Grammar:
    """Write a Lark grammar as weighted productions over characters.

    Parameters
    ----------
    lark
        The grammar, as Lark has compiled it (EBNF written out).
    start
        The start symbol.
    weights
        For a rule's name, one positive number for each of its productions in the grammar's order. A rule without
        weights gets equal ones, lowered for productions with many non-terminals until strings stay finite.

    Raises
    ------
    ValueError
        Where weights do not fit the rules, or a terminal cannot be drawn.
    """
    groups: dict[str, list[Rule]] = {}
    for rule in lark.rules:
        groups.setdefault(rule.origin.name, []).append(rule)
    given = checked_weights(weights or {}, {name: len(rules) for name, rules in groups.items()})
    compiler = _Compiler({terminal.name: terminal for terminal in lark.terminals})
    for name in groups:
        compiler.number[name] = compiler.add([], name)
    for name, rules in groups.items():
        shares = given.get(name, np.full(len(rules), 1.0 / len(rules)))
        for rule, share in zip(rules, shares, strict=True):
            compiler.add_production(rule, float(share))
    grammar = compiler.assemble(compiler.number[start], node_kinds(lark), len(groups))
    free = np.asarray([grammar.symbols[left] in groups.keys() - given.keys() for left in grammar.left])
    return _tempered(grammar, free) if free.any() else grammar


@dataclass(eq=False)
class _Compiler:
    """Collects symbols and their productions; terminals become symbols when a production first names them."""

    terminals: Mapping[str, TerminalDef]
    number: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    alternatives: list[list[Alternative]] = field(default_factory=list)
    node: list[list[NodeKind | None]] = field(default_factory=list)

    def add(self, alternatives: list[Alternative], name: str = "") -> int:
        self.names.append(name)
        self.alternatives.append(alternatives)
        self.node.append([])
        return len(self.names) - 1

    def add_production(self, rule: Rule, share: float) -> None:
        row = self.number[rule.origin.name]
        parts = tuple(part for symbol in rule.expansion for part in self._parts(symbol.name, symbol.is_term))
        self.alternatives[row].append((share, parts))
        self.node[row].append(node_kind(rule, self.terminals) if is_visible(rule) else None)

    def _parts(self, name: str, is_term: bool) -> tuple[str | int, ...]:
        if not is_term:
            return (self.number[name],)
        if name not in self.terminals:
            raise ValueError(
                f"expected terminals that can be drawn, got {name}, which only a lexer makes: parse text instead"
            )
        pattern = self.terminals[name].pattern
        if isinstance(pattern, PatternStr) and not pattern.flags:
            return tuple(pattern.value)
        if name not in self.number:
            try:
                alternatives = productions(pattern.to_regexp(), self.add)
            except NotImplementedError as error:
                raise ValueError(
                    f"expected terminals that can be drawn, got {name} = {pattern} with {error}: "
                    "write it as rules, or parse text instead"
                ) from error
            self.number[name] = self.add(alternatives, name)
            self.node[self.number[name]] = [token_kind(self.terminals[name])]
        return (self.number[name],)

    def assemble(self, start: int, kinds: tuple[NodeKind, ...], n_rules: int) -> Grammar:
        index = {kind: row for row, kind in enumerate(kinds)}
        table = [
            (left, parts, share, kind)
            for left, (alternatives, nodes) in enumerate(zip(self.alternatives, self.node, strict=True))
            for (share, parts), kind in zip_longest(alternatives, nodes)
        ]
        return Grammar(
            tuple(self.names),
            start,
            np.asarray([left for left, *_ in table], np.int32),
            tuple(parts for _, parts, *_ in table),
            np.asarray([share for _, _, share, _ in table]),
            np.asarray([-1 if kind is None else index[kind] for *_, kind in table], np.int32),
            kinds,
            n_rules,
        )


def checked_weights(weights: Weights, sizes: Mapping[str, int]) -> dict[str, Float[np.ndarray, " n"]]:
    """Normalise a user's weights; refuse what does not fit the grammar."""
    checked = {}
    for name, values in weights.items():
        if name not in sizes:
            raise ValueError(f"expected weights for rules of the grammar ({', '.join(sizes)}), got {name!r}")
        array = np.asarray(values, float)
        if array.shape != (sizes[name],) or not np.isfinite(array).all() or (array <= 0).any():
            raise ValueError(f"expected {sizes[name]} positive weights for {name!r} (one a production), got {values!r}")
        checked[name] = array / array.sum()
    return checked


def _tempered(grammar: Grammar, free: np.ndarray) -> Grammar:
    """Lower the free weights of productions that recur, until strings are finite on average."""
    # Only parts from which the left side can come again make strings long.
    rows = list(zip(grammar.left.tolist(), grammar.right, strict=True))
    edges = np.asarray([(left, part) for left, right in rows for part in right if isinstance(part, int)]).reshape(-1, 2)
    size = len(grammar.symbols)
    cycle = connected_components(coo_array((np.ones(len(edges)), edges.T), (size, size)), connection="strong")[1]
    branching = np.asarray(
        [sum(isinstance(part, int) and cycle[part] == cycle[left] for part in right) for left, right in rows]
    )
    for _ in range(60):
        if grammar.growth <= _GROWTH:
            break
        weight = np.where(free, grammar.weight * 0.8**branching, grammar.weight)
        grammar = replace(grammar, weight=weight / np.bincount(grammar.left, weights=weight)[grammar.left])
    return grammar
