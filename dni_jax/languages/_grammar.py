"""A Lark grammar as weighted productions over characters: the table that sampling and probabilities share."""

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
from dni_jax.languages._regex import Alternative, regex_productions
from dni_jax.text import NodeKind

Weights = Mapping[str, Sequence[int | float]]

_GROWTH = 0.9  # default weights are lowered until `Grammar.growth` is at most this


@dataclass(frozen=True, eq=False)
class Grammar:
    """Weighted context-free productions over characters.

    Attributes
    ----------
    symbols
        The names of the non-terminals; ``""`` for helpers of regular expressions.
    start
        The start symbol's number.
    left
        int32 ``(P,)``: the left side of each production; sorted, so that a symbol's productions are consecutive.
    right
        One tuple per production: characters (str) and non-terminals (int) in order.
    weight
        float64 ``(P,)``: probabilities; they sum to 1 for each symbol.
    kind
        int32 ``(P,)``: index into `kinds` of the node that the production makes; -1 if it makes none.
    kinds
        The kinds of nodes.
    n_rules
        The first symbols are the grammar's rules; terminals and their helpers follow.
    tokens
        For each production of a rule, the name of each terminal and how many parts it has: the characters of a fixed
        word are parts, any other terminal is one. Other productions have none.
    """

    symbols: tuple[str, ...]
    start: int
    left: Int[np.ndarray, " P"]
    right: tuple[tuple[str | int, ...], ...]
    weight: Float[np.ndarray, " P"]
    kind: Int[np.ndarray, " P"]
    kinds: tuple[NodeKind, ...]
    n_rules: int
    tokens: tuple[tuple[tuple[str | None, int], ...], ...]

    @property
    def growth(self) -> float:
        """Spectral radius of `mean_matrix`; below 1, strings have a finite mean length."""
        return float(np.abs(np.linalg.eigvals(self.mean_matrix())).max())

    def mean_matrix(self) -> Float[np.ndarray, "A A"]:
        """Return the expected number of each symbol (columns) in one expansion of each symbol (rows)."""
        matrix = np.zeros((len(self.symbols), len(self.symbols)))
        for row, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            for part in right:
                if isinstance(part, int):
                    matrix[left, part] += self.weight[row]
        return matrix


def is_visible(rule: Rule) -> bool:
    """Return whether a production makes a node: not Lark's helpers and ``_rules``, nor a ``?rule`` with one part."""
    if rule.origin.name.startswith("_"):
        return False
    inlined = rule.options.expand1 and rule.alias is None and len(rule.expansion) == 1
    return not inlined


def node_kind(rule: Rule, terminals: Mapping[str, TerminalDef]) -> NodeKind:
    """Return the kind of a production's node, named as papers write it: ``e0 -> 0 e0``."""
    symbol = str(rule.alias or rule.origin.name)
    parts = [_display(part.name, terminals) if part.is_term else part.name.strip("_") for part in rule.expansion]
    return NodeKind(f"{symbol} -> {' '.join(parts) or 'epsilon'}", symbol)


def _display(name: str, terminals: Mapping[str, TerminalDef]) -> str:
    if name not in terminals:
        return name
    pattern = terminals[name].pattern
    if not isinstance(pattern, PatternStr):
        return pattern.value if name.startswith("__") else name
    return pattern.value if pattern.value.strip() == pattern.value else repr(pattern.value)


def token_kind(terminal: TerminalDef) -> NodeKind | None:
    """Return the kind of a token's node, or None: only named terminals that are not fixed words make nodes."""
    if terminal.name.startswith("_") or isinstance(terminal.pattern, PatternStr):
        return None
    return NodeKind(terminal.name, terminal.name)


def node_kinds(lark: Lark) -> tuple[NodeKind, ...]:
    """Return all kinds of nodes: the visible productions in the grammar's order, the tokens, the brackets."""
    terminals = {terminal.name: terminal for terminal in lark.terminals}
    rules = [node_kind(rule, terminals) for rule in lark.rules if is_visible(rule)]
    tokens = [kind for terminal in lark.terminals if (kind := token_kind(terminal)) is not None]
    brackets = [BRACKETS] if paired_brackets(fixed_words(lark).values()) else []
    return tuple(dict.fromkeys([*rules, *tokens, *brackets]))


def fixed_words(lark: Lark) -> dict[str, str]:
    """Return the texts of the terminals that are fixed words, by name."""
    return {
        t.name: t.pattern.value for t in lark.terminals if isinstance(t.pattern, PatternStr) and not t.pattern.flags
    }


def compile_grammar(lark: Lark, start: str, weights: Weights | None, separator: str | None = None) -> Grammar:
    """Convert a Lark grammar to weighted productions over characters.

    Parameters
    ----------
    lark
        The grammar as compiled by Lark, with EBNF operators expanded.
    start
        The start symbol.
    weights
        For a rule's name, one positive number for each of its productions in the grammar's order. Rules without
        weights get equal ones, lowered for recursive productions until strings have a finite mean length.
    separator
        A character that may follow every token, if any.

    Raises
    ------
    ValueError
        If weights do not fit the rules, or a terminal cannot be sampled.
    """
    groups: dict[str, list[Rule]] = {}
    for rule in lark.rules:
        groups.setdefault(rule.origin.name, []).append(rule)
    chosen = normalize_weights(weights or {}, {name: len(rules) for name, rules in groups.items()})
    compiler = _Compiler({terminal.name: terminal for terminal in lark.terminals})
    for name in groups:
        compiler.number[name] = compiler.add([], name)
    if separator is not None:
        compiler.gap = (compiler.add([(0.5, ()), (0.5, (separator,))]),)
    for name, rules in groups.items():
        weights_of_rule = chosen.get(name, np.full(len(rules), 1.0 / len(rules)))
        for rule, weight in zip(rules, weights_of_rule, strict=True):
            compiler.add_production(rule, float(weight))
    grammar = compiler.assemble(compiler.number[start], node_kinds(lark), len(groups))
    free = np.asarray([grammar.symbols[left] in groups.keys() - chosen.keys() for left in grammar.left])
    return _lower_growth(grammar, free) if free.any() else grammar


@dataclass(eq=False)
class _Compiler:
    """Collects symbols and their productions; a terminal becomes a symbol when a production first uses it."""

    terminals: Mapping[str, TerminalDef]
    number: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    alternatives: list[list[Alternative]] = field(default_factory=list)
    node: list[list[NodeKind | None]] = field(default_factory=list)
    tokens: dict[int, list[tuple[tuple[str | None, int], ...]]] = field(default_factory=dict)
    gap: tuple[int, ...] = ()  # what follows every token

    def add(self, alternatives: list[Alternative], name: str = "") -> int:
        self.names.append(name)
        self.alternatives.append(alternatives)
        self.node.append([])
        return len(self.names) - 1

    def add_production(self, rule: Rule, weight: float) -> None:
        row = self.number[rule.origin.name]
        found = [(symbol, self._parts(symbol.name, symbol.is_term)) for symbol in rule.expansion]
        self.alternatives[row].append((weight, tuple(part for _, parts in found for part in parts)))
        tokens = tuple((str(symbol.name) if symbol.is_term else None, len(parts)) for symbol, parts in found)
        self.tokens.setdefault(row, []).append(tokens)
        self.node[row].append(node_kind(rule, self.terminals) if is_visible(rule) else None)

    def _parts(self, name: str, is_term: bool) -> tuple[str | int, ...]:
        if not is_term:
            return (self.number[name],)
        if name not in self.terminals:
            raise ValueError(
                f"expected terminals that can be sampled, got {name}, which only a lexer makes: parse text instead"
            )
        pattern = self.terminals[name].pattern
        if isinstance(pattern, PatternStr) and not pattern.flags:
            return (*pattern.value, *self.gap)
        if name not in self.number:
            try:
                alternatives = regex_productions(pattern.to_regexp(), self.add)
            except NotImplementedError as error:
                raise ValueError(
                    f"expected terminals that can be sampled, got {name} = {pattern} with {error}: "
                    "write it as rules, or parse text instead"
                ) from error
            self.number[name] = self.add(alternatives, name)
            self.node[self.number[name]] = [token_kind(self.terminals[name])]
        return (self.number[name], *self.gap)

    def assemble(self, start: int, kinds: tuple[NodeKind, ...], n_rules: int) -> Grammar:
        index = {kind: row for row, kind in enumerate(kinds)}
        table = [
            (left, parts, weight, kind)
            for left, (alternatives, nodes) in enumerate(zip(self.alternatives, self.node, strict=True))
            for (weight, parts), kind in zip_longest(alternatives, nodes)
        ]
        tokens = [self.tokens.get(left, [()] * len(made)) for left, made in enumerate(self.alternatives)]
        return Grammar(
            tuple(self.names),
            start,
            np.asarray([left for left, *_ in table], np.int32),
            tuple(parts for _, parts, *_ in table),
            np.asarray([weight for _, _, weight, _ in table]),
            np.asarray([-1 if kind is None else index[kind] for *_, kind in table], np.int32),
            kinds,
            n_rules,
            tuple(one for rows in tokens for one in rows),
        )


def normalize_weights(weights: Weights, sizes: Mapping[str, int]) -> dict[str, Float[np.ndarray, " n"]]:
    """Return weights that sum to 1 for each rule; raise an error for weights that do not fit the grammar."""
    checked = {}
    for name, values in weights.items():
        if name not in sizes:
            raise ValueError(f"expected weights for rules of the grammar ({', '.join(sizes)}), got {name!r}")
        array = np.asarray(values, float)
        if array.shape != (sizes[name],) or not np.isfinite(array).all() or (array <= 0).any():
            raise ValueError(
                f"expected {sizes[name]} positive weights for {name!r} (one per production), got {values!r}"
            )
        checked[name] = array / array.sum()
    return checked


def _lower_growth(grammar: Grammar, free: np.ndarray) -> Grammar:
    """Lower the free weights of recursive productions until strings have a finite mean length."""
    # Strings grow long only through parts that can lead back to the left side: those in the same strongly connected
    # component of the graph of symbols.
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
