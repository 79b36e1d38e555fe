"""The one derivation that an LALR parser finds for a text: its tokens and its probability, in linear time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from lark import Lark
from lark.exceptions import LarkError

from dni_jax.languages._grammar import Grammar
from dni_jax.languages._lexing import StuckError, Tokens, make_tokenizer
from dni_jax.languages._parse_table import END, ParseTable

Token = tuple[str, int, int]  # name, start, end

_NEGLIGIBLE = 45.0  # exp(-45) is below the precision of float64
_TOKENS = 100_000  # probabilities of tokens that are remembered


@dataclass(frozen=True)
class Derivation:
    """How a parser reads a text.

    Attributes
    ----------
    tokens
        The name, the start and the end of each token; ignored text belongs to none.
    log_weight
        The sum of the logs of the weights of the rules reduced.
    """

    tokens: Sequence[Token]
    log_weight: float


# Texts that grammars ignore between tokens, the most usual first.
_SEPARATORS = (" ", "\n", "\t", ",", ";")


def find_separator(lark: Lark) -> str | None:
    """Return a character that the grammar ignores between tokens, or None."""
    ignored = [terminal.pattern.to_regexp() for terminal in lark.terminals if terminal.name in lark.ignore_tokens]
    flags = lark.lexer_conf.g_regex_flags
    return next((one for one in _SEPARATORS if any(re.fullmatch(pattern, one, flags) for pattern in ignored)), None)


class DerivationFinder:
    """Runs a grammar's lexer, and its LALR table if it has one, on sampled text.

    Parameters
    ----------
    lark
        A grammar compiled for Lark's LALR parser.
    grammar
        The same grammar as weighted productions.
    separator
        An ignored character that is drawn after a token if, without it, the lexer would not end the token there.
    """

    def __init__(self, lark: Lark, grammar: Grammar, separator: str | None = None) -> None:
        self._table = ParseTable.of(lark)
        self._tokens: Tokens = make_tokenizer(lark, self._table)
        self._separator = separator
        self._log_weights = _rule_log_weights(lark, grammar)
        self._token_score = TerminalScorer(grammar)
        self._chains: dict[tuple[int, int, str], tuple[int, float]] = {}  # a cache: chains depend on the table only

    def find(self, text: str) -> Derivation | None:
        """Return the derivation of a text, or None if it is not in the language."""
        try:
            return self._run(text)
        except (StuckError, LarkError):
            return None

    def log_probability(self, text: str) -> float:
        """Return the log of the probability of a text's derivation; minus infinity without one.

        Ignored characters are drawn only where `read_back` needs them.
        """
        found = self.find(text)
        if found is None:
            return -np.inf
        total = found.log_weight
        for name, start, end in found.tokens:
            total += self._token_score(name, text[start:end])
        joined, bare = _join(text, found.tokens)
        return total if joined == text or self.read_back(joined, bare) == text else -np.inf

    def read_back(self, text: str, drawn: Sequence[Token]) -> str | None:
        """Return a text that is read as the tokens drawn, with separators where they are needed; None if there is none.

        A separator is needed after a token where the lexer would otherwise read on.
        """
        if self._separator is None:
            found = self.find(text)
            return text if found is not None and list(found.tokens) == list(drawn) else None
        try:
            whole = self._separate(text, drawn, self._separator)
        except (StuckError, LarkError):
            return None
        found = None if whole is None else self.find(whole)
        if whole is None or found is None:
            return None
        as_drawn = [(name, text[start:end]) for name, start, end in drawn]
        return whole if [(name, whole[start:end]) for name, start, end in found.tokens] == as_drawn else None

    def _separate(self, text: str, drawn: Sequence[Token], separator: str) -> str | None:
        """Parse the tokens drawn one by one; put a separator after one at whose end the lexer reads on."""
        stack, written = [self._table.start], []
        row, insert = 0, False  # whether the next token is followed by a separator
        while row < len(drawn):
            base, gap = drawn[row][1], 0
            end = drawn[row][2]
            rest = text[base:end] + separator + text[end:] if insert else text[base:]
            reads_on = True
            for name, start, end in self._tokens(rest, stack):
                wanted, first, last = drawn[row]
                if (name, start, end) != (wanted, first - base + gap, last - base + gap):
                    reads_on = end > last - base + gap
                    break
                self._shift(stack, name)
                written += [text[first:last], separator if insert else ""]
                row, gap, insert = row + 1, gap + insert, False
                if row == len(drawn):
                    break
            if row < len(drawn) and (insert or not reads_on):
                return None  # the token is read as another one, or goes on with the separator
            insert = True
        return "".join(written)

    def _run(self, text: str) -> Derivation:
        table, weights = self._table, self._log_weights
        actions, sizes, origins = table.actions, table.sizes, table.origins
        stack, total = [table.start], 0.0
        tokens = []
        for token in self._tokens(text, stack):
            tokens.append(token)
            total += self._shift(stack, token[0])
        while stack[-1] != table.end:
            rule = ~actions[stack[-1]].get(END, 0)
            if rule < 0:
                raise StuckError(END)
            total += weights[rule]
            if sizes[rule]:
                del stack[-sizes[rule] :]
            stack.append(actions[stack[-1]][origins[rule]])
        return Derivation(tokens, total)

    def _shift(self, stack: list[int], name: str) -> float:
        """Make the reductions for which a token is the lookahead, shift it, and return the sum of their log weights."""
        actions, sizes, origins = self._table.actions, self._table.sizes, self._table.origins
        chains, weights, total = self._chains, self._log_weights, 0.0
        while (action := actions[stack[-1]].get(name)) is None or action < 0:
            if action is None:
                raise StuckError(name)
            size = sizes[~action]
            if size == 1:  # unit rules come in chains through the levels of precedence, which are cached
                key = (stack[-2], stack[-1], name)
                if key not in chains:
                    chains[key] = self._chain(*key)
                stack[-1], weight = chains[key]
                total += weight
                continue
            total += weights[~action]
            if size:
                del stack[-size:]
            stack.append(actions[stack[-1]][origins[~action]])
        stack.append(action)
        return total

    def _chain(self, below: int, state: int, name: str) -> tuple[int, float]:
        """Reduce unit rules as long as there are any; return the final state and the sum of their log weights."""
        table, total = self._table, 0.0
        while (action := table.actions[state].get(name, 0)) < 0 and table.sizes[~action] == 1:
            total += self._log_weights[~action]
            state = table.actions[below][table.origins[~action]]
        return state, total


def _join(text: str, tokens: Sequence[Token]) -> tuple[str, list[Token]]:
    """Return a text without what is ignored between its tokens, and the tokens in it."""
    joined, found, position = [], [], 0
    for name, start, end in tokens:
        joined.append(text[start:end])
        found.append((name, position, position + end - start))
        position += end - start
    return "".join(joined), found


def _rule_log_weights(lark: Lark, grammar: Grammar) -> list[float]:
    """Return the log of the weight of each of Lark's rules; each symbol's productions are in the rules' order."""
    first = {name: int(np.searchsorted(grammar.left, row)) for row, name in enumerate(grammar.symbols) if name}
    used: dict[str, int] = {}
    logs = []
    for rule in lark.rules:
        name = str(rule.origin.name)
        logs.append(float(np.log(grammar.weight[first[name] + used.get(name, 0)])))
        used[name] = used.get(name, 0) + 1
    return logs


class TerminalScorer:
    """The log of the probability with which a terminal has a certain text.

    The productions of a terminal are those of a regular expression: each is read from left to right, with the weight
    of all ways to have come to each position.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._alternatives: dict[int, list[tuple[float, tuple[str | int, ...]]]] = {}
        for left, parts, weight in zip(grammar.left.tolist(), grammar.right, grammar.weight.tolist(), strict=True):
            if left >= grammar.n_rules:
                self._alternatives.setdefault(left, []).append((float(np.log(weight)), parts))
        self._number = {name: row for row, name in enumerate(grammar.symbols) if name and row >= grammar.n_rules}
        self._score = lru_cache(_TOKENS)(self._compute)

    def __call__(self, name: str, text: str) -> float:
        """Return the log of the probability; 0 for a fixed word."""
        symbol = self._number.get(name)
        return 0.0 if symbol is None else self._score(symbol, text)

    def _compute(self, symbol: int, text: str) -> float:
        return self._read(symbol, {0: 0.0}, text).get(len(text), -np.inf)

    def _read(self, symbol: int, starts: Mapping[int, float], text: str) -> dict[int, float]:
        """Return the log weights of the positions where a symbol that begins at some positions can end."""
        ends: dict[int, float] = {}
        while starts:
            again: dict[int, float] = {}
            for weight, parts in self._alternatives[symbol]:
                repeats = bool(parts) and parts[-1] == symbol
                reached: Mapping[int, float] = {place: value + weight for place, value in starts.items()}
                for part in parts[: len(parts) - repeats]:
                    reached = self._step(part, reached, text)
                _merge(again if repeats else ends, reached)
            # A repeat of something empty comes back to the same place with ever smaller weights.
            starts = {at: value for at, value in again.items() if value > ends.get(at, -np.inf) - _NEGLIGIBLE}
        return ends

    def _step(self, part: str | int, starts: Mapping[int, float], text: str) -> Mapping[int, float]:
        if isinstance(part, str):
            return {at + 1: value for at, value in starts.items() if text[at : at + 1] == part}
        return self._read(part, starts, text)


def _merge(into: dict[int, float], more: Mapping[int, float]) -> None:
    for place, value in more.items():
        into[place] = float(np.logaddexp(into[place], value)) if place in into else value
