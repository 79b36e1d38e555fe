"""Sample strings from a grammar, all at once: derivations grow level by level, positions follow from sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from dni_jax.languages._grammar import Grammar
from dni_jax.languages._nesting import BRACKETS, match_brackets, paired_brackets
from dni_jax.text import (
    NodeKind,
    ParseTrees,
    concatenate_ranges,
    concatenate_trees,
    exclusive_sum,
    offsets_from_lengths,
    to_code_points,
    to_string,
)

_ROUNDS = 100  # rounds of sampling before the bounds are called unreachable
_BATCH = 1_000  # at most this many strings are sampled in a later round, unless more were requested
_UNREAD = 1_000  # if none of so many texts is read as drawn, none ever will be
_NODES = 1_000_000  # a derivation with more nodes is rejected
_FIXED = 1 << 21  # added to the code point of a bracket in a fixed word of the grammar


@dataclass(frozen=True, eq=False)
class _Tables:
    """The productions as arrays: parts >= 0 are non-terminals, part -c - 1 is the character with code point c.

    Brackets in fixed words are marked by `_FIXED`, which distinguishes them from brackets in strings and comments.
    Where a token begins, `token` has its index into `names`; elsewhere it is -1, or -2 inside a fixed word.
    """

    threshold: Float[np.ndarray, " P"]
    size: Int[np.ndarray, " P"]
    first: Int[np.ndarray, " P"]
    part: Int[np.ndarray, " Q"]
    kind: Int[np.ndarray, " P"]
    token: Int[np.ndarray, " Q"]
    names: tuple[str, ...]

    @classmethod
    def of(cls, grammar: Grammar) -> _Tables:
        size = np.asarray([len(right) for right in grammar.right])
        fixed = [right for left, right in zip(grammar.left, grammar.right, strict=True) if left < grammar.n_rules]
        brackets = paired_brackets(part for right in fixed for part in right if isinstance(part, str))
        part = [
            p if isinstance(p, int) else -ord(p) - 1 - _FIXED * (left < grammar.n_rules and p in brackets)
            for left, right in zip(grammar.left.tolist(), grammar.right, strict=True)
            for p in right
        ]
        opens = np.flatnonzero(np.diff(grammar.left, prepend=-1))
        running = np.cumsum(grammar.weight)
        before = np.repeat(running[opens] - grammar.weight[opens], np.diff([*opens, len(size)]))
        # One sorted search chooses productions for all symbols: a number drawn for symbol A lies in [A, A + 1), and so
        # do the cumulative weights of its productions. The last one is exactly A + 1, whatever the rounding.
        threshold = grammar.left + np.minimum(running - before, 1.0)
        threshold[np.append(opens[1:], len(size)) - 1] = grammar.left[np.append(opens[1:], len(size)) - 1] + 1.0
        names = {name: None for tokens in grammar.tokens for name, _ in tokens if name is not None}
        number = {name: row for row, name in enumerate(names)}
        token: list[int] = []
        for right, tokens in zip(grammar.right, grammar.tokens, strict=True):
            for name, count in tokens:
                token += [-1 if name is None else number[name], *[-2] * (count - 1)] if count else []
            token += [-1] * (0 if tokens else len(right))
        first = exclusive_sum(size)
        return cls(
            threshold, size, first, np.asarray(part, np.int64), grammar.kind, np.asarray(token, np.int64), tuple(names)
        )


@dataclass(frozen=True, eq=False)
class _Level:
    """The nodes at one depth of all derivations; the children of one parent are consecutive."""

    string: Int[np.ndarray, " n"]
    parent: Int[np.ndarray, " n"]
    part: Int[np.ndarray, " n"]
    kind: Int[np.ndarray, " n"]
    token: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Strings as they were drawn: code points end to end, offsets ``(S + 1,)``, trees, and the tokens of each string.

    ``tokens[s]`` lists the name, the start and the end of each token of string s, from left to right.
    """

    text: Integer[np.ndarray, " T"]
    offsets: Int[np.ndarray, " S1"]
    trees: ParseTrees
    tokens: Sequence[Sequence[tuple[str, int, int]]]


@dataclass(frozen=True, eq=False)
class Sample:
    """Sampled strings: code points end to end, offsets ``(S + 1,)``, trees, and the fraction of draws accepted.

    `read_back` is the fraction of draws within the bounds that the parser reads back as they were drawn; None if that
    was not checked. `separated` is the fraction of the strings that needed separators for it.
    """

    text: Integer[np.ndarray, " T"]
    offsets: Int[np.ndarray, " S1"]
    trees: ParseTrees
    accepted: float
    read_back: float | None = None
    separated: float = 0.0


# From a drawn string, its tokens and its trees to the string that a parser reads back as drawn and its trees, which are
# None if the string is unchanged. The result is None if there is no such string.
ReadBack = Callable[
    [str, Sequence[tuple[str, int, int]], Callable[[], ParseTrees]], "tuple[str, ParseTrees | None] | None"
]


def drop_kinds(trees: ParseTrees, kinds: tuple[NodeKind, ...]) -> ParseTrees:
    """Return the trees of one string with only the first kinds of nodes; the others must lie outside the tree."""
    rows = trees.rule < len(kinds)
    fields = {name: getattr(trees, name)[rows] for name in ("rule", "start", "end", "parent", "depth")}
    return ParseTrees(kinds, **fields, offsets=np.asarray([0, int(rows.sum())], np.int64))


def has_same_shape(trees: ParseTrees, other: ParseTrees) -> bool:
    """Return whether the trees of one string have the same nodes, wherever these are."""
    return all(np.array_equal(getattr(trees, name), getattr(other, name)) for name in ("rule", "parent", "depth"))


def sample(
    grammar: Grammar,
    n_strings: int,
    seed: int,
    max_length: int | None = None,
    max_depth: int | None = None,
    read_back: ReadBack | None = None,
) -> Sample:
    """Sample strings with their derivation trees.

    Empty strings, strings longer than `max_length` characters and derivations deeper than `max_depth` levels are
    rejected and drawn again, so the result follows the grammar's distribution conditioned on the bounds. So are strings
    for which `read_back` returns None.

    Raises
    ------
    ValueError
        If hardly any draw is within the bounds, or there are no bounds and the mean length is infinite.
    """
    if max_length is None and max_depth is None and grammar.growth >= 1:
        raise ValueError(
            "expected weights under which strings have a finite mean length, got ones under which a symbol produces "
            f"{grammar.growth:.3g} symbols of its kind: lower those of recursive productions, or set max_length"
        )
    rng = np.random.default_rng(seed)
    tables = _Tables.of(grammar)
    samples: list[tuple[np.ndarray, np.ndarray, ParseTrees]] = []
    missing, drawn, within, kept, changed, batch = n_strings, 0, 0, 0, 0, n_strings
    for _ in range(_ROUNDS):
        levels, alive = _derive(grammar, tables, batch, rng, max_length, max_depth)
        found = _assemble(levels, batch, grammar, tables.names if read_back else None)
        fits = alive & (np.diff(found.offsets) > 0)
        if max_length is not None:
            fits &= np.diff(found.offsets) <= max_length
        drawn += batch
        within += int(fits.sum())
        rows = np.flatnonzero(fits)
        text, offsets, trees, rewritten = found.text, found.offsets, found.trees, 0
        if read_back is not None:
            text, offsets, trees, rows, rewritten = _read(found, rows, read_back, max_length)
        kept += len(rows)
        changed += rewritten
        if kept == 0 and read_back is not None and within >= _UNREAD:
            raise ValueError(
                f"expected texts that the grammar's parser reads as they were drawn, got none among {within}: its "
                "lexer takes the longest token everywhere, so let the grammar tell its tokens apart, or use "
                "parser='earley', which tries all tokens"
            )
        if not (len(rows) == len(offsets) - 1 <= missing):
            rows = rows[:missing]
            lengths = np.diff(offsets)[rows]
            text = text[concatenate_ranges(offsets[rows], lengths)]
            offsets, trees = offsets_from_lengths(lengths), trees.take(rows)
        samples.append((text, offsets, trees))
        missing -= len(offsets) - 1
        if missing == 0:
            share = None if read_back is None else kept / within
            return _concatenate(samples, kept / drawn, share, changed / kept)
        batch = min(max(n_strings, _BATCH), 2 * missing * drawn // max(kept, 1) + 1)
    misread = f" ({within - kept} of them are read otherwise than drawn)" if within > 2 * kept else ""
    raise ValueError(
        f"expected {n_strings} strings within max_length={max_length} and max_depth={max_depth}, got only "
        f"{n_strings - missing} in {drawn} draws{misread}: raise the bounds, or lower the weights of recursive "
        "productions"
    )


def _read(
    found: Drawn, rows: Int[np.ndarray, " n"], read_back: ReadBack, max_length: int | None
) -> tuple[np.ndarray, np.ndarray, ParseTrees, Int[np.ndarray, " m"], int]:
    """Keep the strings that a parser reads back as drawn.

    Returns
    -------
    Text, offsets and trees, in which the rows kept are ``m``, and how many of these were rewritten.
    """
    whole = to_string(found.text)
    kept: list[int] = []
    new: dict[int, tuple[str, ParseTrees]] = {}
    for row in rows.tolist():
        string = whole[found.offsets[row] : found.offsets[row + 1]]
        result = read_back(string, found.tokens[row], partial(found.trees.take, np.asarray([row])))
        if result is None or (max_length is not None and len(result[0]) > max_length):
            continue
        kept.append(row)
        if result[1] is not None:
            new[row] = (result[0], result[1])
    if not new:
        return found.text, found.offsets, found.trees, np.asarray(kept, np.int64), 0
    strings = [new[row][0] if row in new else whole[found.offsets[row] : found.offsets[row + 1]] for row in kept]
    trees = concatenate_trees([new[row][1] if row in new else found.trees.take(np.asarray([row])) for row in kept])
    offsets = offsets_from_lengths(np.asarray([len(string) for string in strings], np.int64))
    return to_code_points("".join(strings)), offsets, trees, np.arange(len(kept)), len(new)


def _concatenate(
    samples: list[tuple[np.ndarray, np.ndarray, ParseTrees]], accepted: float, read_back: float | None, separated: float
) -> Sample:
    lengths = np.concatenate([np.diff(offsets) for _, offsets, _ in samples])
    offsets = offsets_from_lengths(lengths)
    text = np.concatenate([text for text, _, _ in samples])
    trees = concatenate_trees([trees for _, _, trees in samples])
    return Sample(text, offsets, trees, accepted, read_back, separated)


def _derive(
    grammar: Grammar,
    tables: _Tables,
    n_strings: int,
    rng: np.random.Generator,
    max_length: int | None,
    max_depth: int | None,
) -> tuple[list[_Level], Bool[np.ndarray, " S"]]:
    """Expand the non-terminals of all strings level by level; strings that exceed a bound are abandoned.

    The work is a few array operations per level, and derivations are shallow compared with their size.

    Returns
    -------
    The levels, and which strings are within the bounds.
    """
    alive = np.ones(n_strings, bool)
    nodes, characters = np.zeros(n_strings, np.int64), np.zeros(n_strings, np.int64)
    most = _NODES if max_length is None else min(_NODES, 10_000 + 100 * max_length)
    levels: list[_Level] = []
    string, parent = np.arange(n_strings), np.full(n_strings, -1)
    part, token = np.full(n_strings, grammar.start), np.full(n_strings, -1)
    while True:
        kind = np.full(len(part), -1)
        levels.append(_Level(string, parent, part, kind, token))
        open_rows = np.flatnonzero((part >= 0) & alive[string])
        if max_depth is not None and len(levels) > max_depth:
            alive[string[open_rows]] = False
            open_rows = open_rows[:0]
        if len(open_rows) == 0:
            return levels, alive
        symbols = part[open_rows]
        rule = np.searchsorted(tables.threshold, symbols + rng.random(len(symbols)), side="right")
        kind[open_rows] = tables.kind[rule]
        size = tables.size[rule]
        parent = np.repeat(open_rows, size)
        string = string[parent]
        chosen = concatenate_ranges(tables.first[rule], size)
        part, token = tables.part[chosen], tables.token[chosen]
        nodes += np.bincount(string, minlength=n_strings)
        alive &= nodes <= most
        if max_length is not None:
            characters += np.bincount(string[part < 0], minlength=n_strings)
            alive &= characters <= max_length


def _assemble(levels: list[_Level], n_strings: int, grammar: Grammar, names: tuple[str, ...] | None) -> Drawn:
    """Return the strings of derivations with pre-order trees, and with their tokens if the names of those are given.

    Lengths and numbers of nodes are summed from the leaves up. Positions and rows follow from the roots down: a node
    starts where its parent does plus the lengths of its elder siblings.
    """
    sizes = [(level.kind >= 0).astype(np.int64) for level in levels]
    lengths = [(level.part < 0).astype(np.int64) for level in levels]
    for upper in range(len(levels) - 2, -1, -1):
        parent, count = levels[upper + 1].parent, len(levels[upper].part)
        lengths[upper] += _sum_by(parent, lengths[upper + 1], count)
        sizes[upper] += _sum_by(parent, sizes[upper + 1], count)
    offsets = offsets_from_lengths(lengths[0])
    starts = _starts(levels, lengths)
    text = np.zeros(offsets[-1], np.uint32)
    for level, start in zip(levels, starts, strict=True):
        leaf = level.part < 0
        text[offsets[level.string[leaf]] + start[leaf]] = -level.part[leaf] - 1
    pairs = _bracket_pairs(text, offsets)
    n_pairs = np.bincount(pairs[0], minlength=n_strings)
    node_offsets = offsets_from_lengths(sizes[0] + n_pairs)
    rows = {name: np.zeros(node_offsets[-1], np.int32) for name in ("rule", "start", "end", "parent", "depth")}
    place = np.zeros(n_strings, np.int64)
    above, depth = np.full(n_strings, -1), np.zeros(n_strings, np.int64)
    for number, level in enumerate(levels):
        visible = level.kind >= 0
        at = node_offsets[level.string[visible]] + place[visible]
        rows["rule"][at] = level.kind[visible]
        rows["start"][at] = starts[number][visible]
        rows["end"][at] = (starts[number] + lengths[number])[visible]
        rows["parent"][at] = above[visible]
        rows["depth"][at] = depth[visible]
        if number + 1 < len(levels):
            parent = levels[number + 1].parent
            above, depth = np.where(visible, place, above)[parent], (depth + visible)[parent]
            place = (place + visible)[parent] + _before(parent, sizes[number + 1])
    if len(pairs[0]):
        at = concatenate_ranges(node_offsets[:-1] + sizes[0], n_pairs)
        rows["rule"][at] = grammar.kinds.index(BRACKETS)
        rows["start"][at], rows["end"][at], rows["parent"][at] = pairs[1], pairs[2] + 1, -1
    tokens = [] if names is None else _tokens(levels, starts, lengths, n_strings, names)
    return Drawn(text & np.uint32(_FIXED - 1), offsets, ParseTrees(grammar.kinds, **rows, offsets=node_offsets), tokens)


def _tokens(
    levels: list[_Level], starts: list[np.ndarray], lengths: list[np.ndarray], n_strings: int, names: tuple[str, ...]
) -> list[list[tuple[str, int, int]]]:
    """Return the name, the start and the end of each token of each string, from left to right."""
    table = []
    for level, start, length in zip(levels, starts, lengths, strict=True):
        first = np.flatnonzero(level.token >= 0)
        if len(first) == 0:
            continue
        # A fixed word's characters are consecutive; each after the first one is marked.
        turns = np.cumsum(level.token != -2)
        count = np.bincount(turns, minlength=turns[-1] + 1)[turns[first]]
        fixed = level.part[first] < 0
        last = start[first] + np.where(fixed, count, length[first])
        table.append(np.stack([level.string[first], start[first], last, level.token[first]]))
    rows = np.concatenate(table, axis=1) if table else np.zeros((4, 0), np.int64)
    rows = rows[:, np.lexsort((rows[1], rows[0]))]
    found: list[list[tuple[str, int, int]]] = [[] for _ in range(n_strings)]
    for string, first, last, name in rows.T.tolist():
        found[string].append((names[name], first, last))
    return found


def _starts(levels: list[_Level], lengths: list[np.ndarray]) -> list[np.ndarray]:
    """Return where each node begins in its string."""
    starts = [np.zeros(len(levels[0].part), np.int64)]
    for level, length in zip(levels[1:], lengths[1:], strict=True):
        starts.append(starts[-1][level.parent] + _before(level.parent, length))
    return starts


def _bracket_pairs(text: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return string, first and last character of each pair of brackets in the grammar's fixed words."""
    where = np.flatnonzero(text >= _FIXED)
    string = np.searchsorted(offsets, where, side="right") - 1
    first, last = match_brackets(text[where].astype(np.int64) - _FIXED, string)
    string = string[first]
    return string, where[first] - offsets[string], where[last] - offsets[string]


def _sum_by(parent: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(parent, weights=values, minlength=count).astype(np.int64)


def _before(parent: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sum of the values of each node's elder siblings."""
    if len(parent) == 0:
        return values
    running = exclusive_sum(values)
    opens = np.flatnonzero(np.diff(parent, prepend=-1))
    return running - np.repeat(running[opens], np.diff(np.append(opens, len(parent))))
