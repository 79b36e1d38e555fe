"""Parse text into flat trees with Lark: each reduction is recorded as it happens, and no tree object is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int
from lark import Lark, Token, Tree
from lark.exceptions import GrammarError, LarkError, UnexpectedEOF, UnexpectedInput
from lark.grammar import Rule
from lark.lexer import PatternStr
from lark.parsers.earley_forest import ForestToParseTree
from lark.parsers.lalr_analysis import LALR_Analyzer

from dni_jax.languages._grammar import fixed_words, is_visible, node_kind, node_kinds, token_kind
from dni_jax.languages._nesting import BRACKETS, match_brackets, paired_brackets
from dni_jax.text import NodeKind, ParseTrees

_EXPECTED = 12  # expected terminals shown in an error
_COPIED = 8  # lists shorter than this are copied into the next one, longer ones are nested in it

# Nodes from left to right: their numbers, and lists of the same kind. A list is flattened once, when the node above it
# is complete: copying it at every step of a repetition would take time quadratic in the repetition's length.
_Nodes = list[Any]
# A subtree under construction: first and last character (-1: no character yet) and its topmost nodes.
_Subtree = tuple[int, int, _Nodes]


class ParseError(ValueError):
    """A text is not in the language; the message says where, what is there, and what was expected.

    Attributes
    ----------
    position
        The character at which parsing stopped; None if it is unknown.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class AmbiguityWarning(UserWarning):
    """A parsed text has several derivations, and Lark has chosen one of them."""


@dataclass(eq=False)
class _Record:
    """The nodes in the order of their completion, each with its children from left to right."""

    rule: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    outside: list[tuple[int, int, int]] = field(default_factory=list)
    brackets: set[tuple[int, str]] = field(default_factory=set)

    def add(self, rule: int, part: _Subtree) -> _Subtree:
        self.rule.append(rule)
        self.start.append(part[0])
        self.end.append(part[1])
        self.children.append(_flatten(part[2]))
        return part[0], part[1], [len(self.rule) - 1]

    def place(self, nodes: _Nodes, position: int) -> None:
        """Set the position of nodes that cover no character."""
        waiting = _flatten(nodes)
        for row in waiting:
            self.start[row] = self.end[row] = position
            waiting += self.children[row]


def _flatten(nodes: _Nodes) -> list[int]:
    """Return the numbers in nested lists, from left to right."""
    if all(type(one) is int for one in nodes):  # most lists are short and flat
        return list(nodes)
    found: list[int] = []
    stack = [iter(nodes)]
    while stack:
        for one in stack[-1]:
            if isinstance(one, int):
                found.append(one)
            else:
                stack.append(iter(one))
                break
        else:
            stack.pop()
    return found


class _Resolver(ForestToParseTree):
    """Lark's choice of one derivation, recording whether there were several."""

    is_ambiguous = False

    def visit_symbol_node_in(self, node: Any) -> Any:
        # Everything below a node with one derivation is visited, so the topmost node with several derivations is too.
        self.is_ambiguous |= node.is_ambiguous
        return super().visit_symbol_node_in(node)

    visit_intermediate_node_in = visit_symbol_node_in


def is_lalr(lark: Lark) -> bool:
    """Return whether a grammar has an LALR(1) table without conflicts, some of which Lark resolves silently."""
    try:
        LALR_Analyzer(lark.parser.parser_conf, strict=True).compute_lalr()
    except GrammarError:
        return False
    return True


def build_lark(grammar: str, start: str, parser: str | None, options: Mapping[str, Any]) -> Lark:
    """Compile a grammar for the parser named, or for LALR if there is no conflict and Earley otherwise.

    Raises
    ------
    ValueError
        If Lark refuses the grammar; the message has Lark's explanation.
    """
    settings = {"start": start, "keep_all_tokens": True, "maybe_placeholders": False, **options}
    try:
        lark = _build(grammar, parser, settings)
    except (OSError, AssertionError) as error:  # what Lark raises for a relative import without a file to start from
        raise ValueError(
            f"expected a grammar whose %import statements lead to files, got: {error or 'an import without a file'}: "
            "relative ones start from the grammar's own file (options={'source_path': file})"
        ) from error
    except (LarkError, re.error) as error:
        if "\n" not in grammar and grammar.endswith((".lark", ".g")):
            hint = f"pass pathlib.Path({grammar!r}).read_text()"
            raise ValueError(f"expected the text of a grammar, got {grammar!r}: {hint}") from None
        raise ValueError(
            f"expected a grammar that Lark accepts, got: {error}\n"
            f"(it starts from the rule {start!r}; start=, or --start, names another)"
        ) from error
    if not lark.options.regex:
        _check_terminals(lark)
    return lark


def _build(grammar: str, parser: str | None, settings: Mapping[str, Any]) -> Lark:
    if parser is not None:
        forest = {} if parser == "lalr" else {"ambiguity": "forest"}
        return Lark(grammar, parser=parser, **{**forest, **settings})
    try:
        lark = Lark(grammar, parser="lalr", **settings)
        if is_lalr(lark):
            return lark
    except GrammarError:
        pass  # Earley may accept the grammar; if it does not, its error is reported
    return Lark(grammar, parser="earley", **{"ambiguity": "forest", **settings})


def _check_terminals(lark: Lark) -> None:
    """Raise a ValueError for a terminal that cannot be one of the groups of a lexer's regular expression."""
    for terminal in lark.terminals:
        try:
            re.compile(f"(?P<{terminal.name}>{terminal.pattern.to_regexp()})", lark.options.g_regex_flags)
        except re.error as error:
            raise ValueError(
                f"expected terminals that Python's re can read inside a larger pattern, got {terminal.name} = "
                f"{terminal.pattern}: {error}: flags belong after the slash (/./s), and numbered groups cannot be "
                "referred to (name them: (?P<x>...) and (?P=x))"
            ) from error


class Parser:
    """A Lark parser that fills flat trees.

    In addition to the grammar's own nodes, each matched pair of brackets in the grammar's fixed words becomes a node
    of kind ``brackets``, and an LALR parser's lexer records the nodes of `token_spans`.

    Parameters
    ----------
    grammar, start, parser, options
        As for `build_lark`.
    token_spans
        The name of a kind and a regular expression for each of some terminals: each match inside such a token becomes
        a node. This records comments, for example, which the lexer drops.
    """

    def __init__(
        self,
        grammar: str,
        start: str,
        parser: str | None = None,
        options: Mapping[str, Any] | None = None,
        token_spans: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self._record = _Record()
        self.was_ambiguous = False  # the last text parsed; always False with LALR
        self.lark = build_lark(grammar, start, parser, options or {})
        terminals = {terminal.name: terminal for terminal in self.lark.terminals}
        # Lark's lexers read their callbacks when they scan their first text, so callbacks can be added until then.
        callbacks = self.lark.lexer_conf.callbacks
        for name, (kind, pattern) in (token_spans or {}).items():
            callbacks[name] = self._span_recorder(kind, pattern)
        seen = [kind for kind, _ in (token_spans or {}).values()] if self.is_lalr else []
        more = [NodeKind(name, name) for name in seen]
        self.kinds = tuple(dict.fromkeys([*node_kinds(self.lark), *more]))
        self._number = {kind: row for row, kind in enumerate(self.kinds)}
        kinds = {name: token_kind(terminal) for name, terminal in terminals.items()}
        self._known = frozenset(terminals)
        self._token = {name: self._number[kind] for name, kind in kinds.items() if kind is not None}
        words = fixed_words(self.lark)
        brackets = paired_brackets(words.values())
        self._bracketed = {name: word for name, word in words.items() if set(word) & set(brackets)}
        self._brackets = frozenset(brackets)
        self._has_layout = "postlex" in (options or {})
        inner = self.lark.parser.parser
        reductions = inner.parser.callbacks if self.is_lalr else inner.callbacks
        for rule in self.lark.rules:
            number = self._number[node_kind(rule, terminals)] if is_visible(rule) else None
            reductions[rule] = self._reduction(rule, number)

    @property
    def is_lalr(self) -> bool:
        """Whether the parser is LALR, not Earley."""
        return bool(self.lark.options.parser == "lalr")

    def _span_recorder(self, kind: str, pattern: str) -> Callable[[Token], Token]:
        find = re.compile(pattern, re.DOTALL).finditer

        def record(token: Token) -> Token:
            first = token.start_pos or 0
            number = self._number[NodeKind(kind, kind)]
            self._record.outside += [(number, first + m.start(), first + m.end()) for m in find(token)]
            return token

        return record

    def _reduction(self, rule: Rule, number: int | None) -> Callable[[list[Any]], _Subtree]:
        leaf = self._leaf

        def reduce(children: list[Any]) -> _Subtree:
            record = self._record
            start, end = -1, -1
            nodes: _Nodes = []
            waiting: _Nodes = []  # nodes without characters; they are placed once the subtree has a first character
            for child in children:
                first, last, inner = leaf(child) if isinstance(child, Token) else child
                if first >= 0:
                    start = first if start < 0 else start
                    end = last
                elif end >= 0:
                    record.place(inner, end)
                else:
                    waiting.append(inner)
                if len(inner) < _COPIED:
                    nodes += inner
                else:
                    nodes.append(inner)
            if start >= 0 and waiting:
                record.place(waiting, start)
            part = (start, end, nodes)
            return part if number is None else record.add(number, part)

        def only_child(children: list[Any]) -> _Subtree:
            child = children[0]
            return leaf(child) if isinstance(child, Token) else child

        return only_child if number is None and len(rule.expansion) == 1 else reduce

    def _leaf(self, token: Token) -> _Subtree:
        name = token.type
        if self._has_layout and name.startswith("_") and not name.startswith("__"):
            return -1, -1, []  # line ends and indents; "__ANON_1" is Lark's name of an unnamed terminal
        first = token.start_pos or 0
        if name in self._bracketed:
            self._record.brackets |= {(first + i, c) for i, c in enumerate(token) if c in self._brackets}
        part: _Subtree = (first, first + len(token), [])
        if name in self._token:
            return self._record.add(self._token[name], part)
        return part

    def parse(self, text: str, explain: bool = True) -> ParseTrees:
        """Parse one string. What was expected at an error takes a while to find out; without `explain` it is not said.

        Raises
        ------
        ParseError
            If the text is not in the language.
        """
        self._record = _Record()
        self.was_ambiguous = False
        try:
            root: Any = self.lark.parse(text)
            if self.lark.options.ambiguity == "forest":
                root = self._resolve(root)
        except UnexpectedInput as error:
            place = error.pos_in_stream
            known = place if place is not None and place >= 0 else None
            message = _explain(error, text, self._display) if explain else "does not parse"
            raise ParseError(message, known) from error
        except (LarkError, AssertionError) as error:
            raise ParseError(f"does not parse: {error}") from error
        _, _, found = self._leaf(root) if isinstance(root, Token) else root
        nodes = _flatten(found)
        self._record.place([row for row in nodes if self._record.start[row] < 0], 0)
        self._match_brackets()
        return _to_trees(self._record, nodes, self.kinds)

    def _resolve(self, forest: Any) -> Any:
        """Return Lark's choice among the derivations of a text."""
        earley = self.lark.parser.parser
        prioritizer = earley.forest_sum_visitor and earley.forest_sum_visitor()
        resolver = _Resolver(Tree, earley.callbacks, prioritizer, resolve_ambiguity=True, use_cache=False)
        root = resolver.transform(forest)
        self.was_ambiguous = resolver.is_ambiguous
        return root

    def _match_brackets(self) -> None:
        if not self._record.brackets:
            return
        found = sorted(self._record.brackets)
        characters = np.asarray([ord(c) for _, c in found])
        number = self._number[BRACKETS]
        for first, last in zip(*match_brackets(characters, np.zeros(len(found), np.int64)), strict=True):
            self._record.outside.append((number, found[first][0], found[last][0] + 1))

    def _display(self, terminal: str) -> str:
        """Return a terminal as it is written in a grammar."""
        if terminal == "$END":
            return "the end of the text"
        pattern = self.lark.get_terminal(terminal).pattern if terminal in self._known else None
        if isinstance(pattern, PatternStr):
            return repr(pattern.value)
        return str(pattern.value) if pattern is not None and terminal.startswith("__") else terminal


def _explain(error: UnexpectedInput, text: str, display: Callable[[str], str]) -> str:
    """Describe where the text leaves the language, what is there, and what was expected."""
    token = getattr(error, "token", None)
    place = error.pos_in_stream
    at_end = isinstance(error, UnexpectedEOF) or (token is not None and token.type == "$END")
    if at_end or place is None or place < 0:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        where = f"the text ends too early (line {line}, column {column}), after {text[-40:]!r}"
        context = "\n"
    else:
        found = "" if token is None else f" at {str(token)!r}"
        where = f"does not parse{found} (line {error.line}, column {error.column})"
        context = f":\n{error.get_context(text)}"
    wanted = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None)
    names = sorted({display(str(name)) for name in wanted or ()})
    some = ", ".join(names[:_EXPECTED]) + (f" or {len(names) - _EXPECTED} others" if len(names) > _EXPECTED else "")
    return f"{where}{context}expected {some or 'something else'}"


def _to_trees(record: _Record, roots: list[int], kinds: tuple[NodeKind, ...]) -> ParseTrees:
    """Return completed nodes in pre-order; nodes that the lexer recorded follow as roots."""
    order: list[int] = []
    parent: list[int] = []
    depth: list[int] = []
    stack = [(row, -1, 0) for row in reversed(roots)]
    while stack:
        row, above, level = stack.pop()
        if record.children[row]:
            here = len(order)
            stack += [(child, here, level + 1) for child in reversed(record.children[row])]
        order.append(row)
        parent.append(above)
        depth.append(level)
    rows = np.asarray(order, np.int64)
    extra = np.asarray(sorted(record.outside, key=lambda span: span[1:]), np.int32).reshape(-1, 3)
    return ParseTrees(
        kinds,
        rule=np.concatenate([np.asarray(record.rule, np.int32)[rows], extra[:, 0]]),
        start=np.concatenate([np.asarray(record.start, np.int32)[rows], extra[:, 1]]),
        end=np.concatenate([np.asarray(record.end, np.int32)[rows], extra[:, 2]]),
        parent=np.concatenate([np.asarray(parent, np.int32), np.full(len(extra), -1, np.int32)]),
        depth=np.concatenate([np.asarray(depth, np.int32), np.zeros(len(extra), np.int32)]),
        offsets=np.asarray([0, len(rows) + len(extra)], np.int64),
    )


@dataclass(frozen=True, eq=False)
class ParseResult:
    """One text, parsed as far as possible.

    Attributes
    ----------
    trees
        The nodes of the text, as the trees of one string.
    unparsed
        int64 ``(n, 2)``: first and last character (exclusive) of each segment that could not be parsed.
    counts
        How many characters, functions and so on there are, and how many of them parsed.
    error
        The first syntax error and its place; empty if there is none.
    """

    trees: ParseTrees
    unparsed: Int[np.ndarray, "n 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every character was parsed."""
        return len(self.unparsed) == 0

    @property
    def n_unparsed(self) -> int:
        """How many characters were not parsed."""
        return int((self.unparsed[:, 1] - self.unparsed[:, 0]).sum())

    @classmethod
    def failed(cls, kinds: tuple[NodeKind, ...], length: int, error: str) -> ParseResult:
        """Return the result for a text of `length` characters of which nothing parses."""
        nothing = np.zeros(0, np.int32)
        trees = ParseTrees(kinds, nothing, nothing, nothing, nothing, nothing, np.zeros(2, np.int64))
        return cls(trees, np.asarray([[0, length]], np.int64), error=error)
