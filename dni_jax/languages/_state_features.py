"""Features from a shift-reduce parser's states (the general featurization of Lin & Wu 2017)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from dni_jax.features import Feature, FeatureLibrary, compute_once
from dni_jax.languages._parse_table import ParseTable
from dni_jax.languages._shift_reduce import ParserStates, ShiftReduceParser
from dni_jax.text import Corpus, join_segments, to_string

_SIZES = 8  # stack size=0 ... stack size=7
_MANY = 64  # with more rules there are features of their symbols only; with more symbols, none of the one below the top

_COLUMNS = ("stack_size", "reduced", "reductions", "top", "below", "expected")

States = Callable[[Corpus], ParserStates]


def add_parser_states(parser: ShiftReduceParser, corpus: Corpus) -> Corpus:
    """Return the corpus with the parser's states among its records.

    Raises
    ------
    ValueError
        If the corpus has segments of strings, or (a ``ParseError``) a string is not in the language.
    """
    states = states_of(parser, corpus)
    recorded = {_record(parser, name): getattr(states, name) for name in _COLUMNS}
    return replace(corpus, records={**corpus.records, **recorded})


def states_of(parser: ShiftReduceParser, corpus: Corpus) -> ParserStates:
    """Return the parser's states from a corpus' records, or parse its strings, once for all features of a library.

    Segments that follow each other (`dni_jax.text.join_segments`) are parsed as one string. If no character of a
    string could be parsed, its states are those of a parser that has read nothing.

    Raises
    ------
    ValueError
        As `add_parser_states`.
    """
    return compute_once(corpus, ("parser states", parser.fingerprint), lambda corpus: _states_of(parser, corpus))


def _states_of(parser: ShiftReduceParser, corpus: Corpus) -> ParserStates:
    if _record(parser, _COLUMNS[0]) in corpus.records:
        columns = {name: corpus.records[_record(parser, name)] for name in _COLUMNS}
        table = parser.table
        return ParserStates(**columns, rules=table.kinds, symbols=table.symbols, expected_sets=table.expected_sets)
    offsets, begins, ends = join_segments(corpus)
    if not (begins.all() and ends.all()):
        raise ValueError(
            f"expected whole strings for a parser, got {int((~(begins & ends)).sum())} segments of longer ones: "
            "record the states before the strings are cut, with language.add_parser_states(corpus) or "
            "load_text(..., parser_states=True)"
        )
    whole = to_string(corpus.text)
    strings = [whole[first:last] for first, last in itertools.pairwise(offsets.tolist())]
    if corpus.parsed is None:
        return parser.states_of_strings(strings)
    return parser.states_of_strings(strings, np.logical_or.reduceat(corpus.parsed, offsets[:-1]))


def _record(parser: ShiftReduceParser, column: str) -> str:
    return f"parser {parser.fingerprint}: {column}"


def state_library(parser: ShiftReduceParser) -> FeatureLibrary:
    """Return the features of `dni_jax.languages.Language.state_features`."""

    def states(corpus: Corpus) -> ParserStates:
        return states_of(parser, corpus)

    table = parser.table
    last, top, below, expected = table.reachable
    features = [_count("stack size", states, "stack_size", "symbols on the parser's stack")]
    for size in range(_SIZES):
        features.append(_member(f"stack size={size}", states, "stack_size", [size], f"{size} symbols on the stack"))
    features += [_count("reductions", states, "reductions", "reductions at this character"), _any_reduction(states)]
    features += _last_rules(table, last, states)
    for row in sorted(top):
        name = table.symbols[row]
        features.append(_member(f"top:{name}", states, "top", [row], f"the last token is {name}"))
    for row in sorted(below) if len(below) <= _MANY else ():
        name = table.symbols[row]
        features.append(_member(f"below:{name}", states, "below", [row], f"the last token was shifted onto {name}"))
    sets = [table.expected_sets[row] for row in expected]
    for name in sorted({name for wanted in sets for name in wanted if not all(name in other for other in sets)}):
        rows = [row for row, wanted in enumerate(table.expected_sets) if name in wanted]
        features.append(_member(f"expected:{name}", states, "expected", rows, f"{name} may follow"))
    return FeatureLibrary(tuple(features))


def _last_rules(table: ParseTable, last: Collection[int], states: States) -> list[Feature]:
    """Return ``reduced:x`` for what the rules make, and for the rules themselves if there are few."""
    kinds = [table.kinds[row] for row in sorted(last)]
    symbols = dict.fromkeys(kind.symbol for kind in kinds)
    several = {symbol for symbol in symbols if sum(kind.symbol == symbol for kind in kinds) > 1}
    names = [*symbols, *(kind.name for kind in kinds if kind.symbol in several and len(kinds) <= _MANY)]
    features = []
    for name in names:
        rows = [row for row, kind in enumerate(table.kinds) if name in (kind.symbol, kind.name)]
        features.append(_member(f"reduced:{name}", states, "reduced", rows, f"the last reduction was to {name}"))
    return features


def _count(name: str, states: States, column: str, description: str) -> Feature:
    return Feature(name, lambda corpus: getattr(states(corpus), column), "continuous", description)


def _any_reduction(states: States) -> Feature:
    return Feature(
        "reductions>0",
        lambda corpus: states(corpus).reductions > 0,
        "binary",
        "the parser reduces at this character",
    )


def _member(name: str, states: States, column: str, rows: Sequence[int], description: str) -> Feature:
    """Return a feature that is 1 where a column of the parser's states has one of some values."""
    wanted = np.asarray(rows)

    def compute(corpus: Corpus) -> Bool[np.ndarray, " T"]:
        return np.isin(getattr(states(corpus), column), wanted)

    return Feature(name, compute, "binary", description)
