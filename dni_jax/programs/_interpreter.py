"""Running programs on text, and next to networks that write."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dni_jax.programs._program import Program
from dni_jax.text import Corpus, join_segments, to_string


class Node:
    """A program's state, the value it said there, and where known symbols lead from it."""

    __slots__ = ("following", "row", "state")

    def __init__(self, state: Any, row: tuple[float, ...]) -> None:
        self.state, self.row = state, row
        self.following: dict[str, Node] = {}


class StepError(ValueError):
    """A program failed at a symbol; the message does not know where in the text that is."""


class Interpreter:
    """Runs a program; looks up steps that it has taken before.

    Examples
    --------
    >>> from dni_jax.programs import depth
    >>> run = Interpreter(depth())
    >>> node = run.step(run.start, "(")
    >>> node.row, run.step(run.start, "(") is node
    ((1.0,), True)
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._nodes: dict[Any, Node] = {}
        self.start = Node(program.start(), ())

    def step(self, node: Node, symbol: str) -> Node:
        """Return the node after a symbol.

        Raises
        ------
        StepError
            Where the program fails or says something that it has not declared.
        """
        return node.following.get(symbol) or self._take(node, symbol)

    def _take(self, node: Node, symbol: str) -> Node:
        try:
            state, value = self.program.step(node.state, symbol)
            row = self.program.to_row(value)
        except StepError:
            raise
        except Exception as error:
            own = isinstance(error, ValueError) and str(error).startswith("expected")
            problem = str(error) if own else f"its step fails with {type(error).__name__}: {error}"
            raise StepError(problem) from error
        if not self.program.has_hashable_states:
            return Node(state, row)
        following = self._nodes.setdefault((state, row), Node(state, row))
        node.following[symbol] = following
        return following


class Said(NamedTuple):
    """What a program says about a text.

    Attributes
    ----------
    values
        float32 ``(T, d)``, one column for each of the program's columns; 0 where it is unknown.
    known
        bool ``(T,)``: False in segments whose string begins outside the corpus.
    """

    values: Float[np.ndarray, "T d"]
    known: Bool[np.ndarray, " T"]


def run(program: Program, corpus: Corpus) -> Said:
    """Run a program on every string of a corpus, about a million characters per second.

    Segments of a text that follow each other are read as one string.

    Raises
    ------
    ValueError
        Where the program fails, or says something that it has not declared: names the string and the character. Where
        no string has its beginning.

    Examples
    --------
    >>> from dni_jax.programs import depth
    >>> run(depth(), Corpus.from_strings(["0(1)", "((2))"])).values[:, 0].tolist()
    [0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0]
    """
    offsets, begins, _ = join_segments(corpus)
    if not begins.any():
        raise ValueError(
            f"program {program.name!r}: expected strings from their beginning, got only later segments of strings"
        )
    interpreter, text = Interpreter(program), to_string(corpus.text)
    unknown = (0.0,) * len(program.columns)
    rows: list[tuple[float, ...]] = []
    for (first, last), is_whole in zip(itertools.pairwise(offsets.tolist()), begins.tolist(), strict=True):
        if not is_whole:
            rows += [unknown] * (last - first)
            continue
        node = interpreter.start
        for symbol in text[first:last]:
            try:
                node = node.following.get(symbol) or interpreter.step(node, symbol)
            except StepError as error:
                raise _located(error, program, corpus, len(rows)) from error
            rows.append(node.row)
    values = np.asarray(rows, np.float32).reshape(len(rows), len(program.columns))
    return Said(values, np.repeat(begins, np.diff(offsets)))


def _located(error: StepError, program: Program, corpus: Corpus, position: int) -> ValueError:
    """Return an error that says where in the corpus a program failed."""
    string = int(corpus.string_ids[position])
    inside = position - int(corpus.offsets[string])
    text = corpus.strings[string]
    excerpt = text if len(text) <= 40 else text[max(inside - 20, 0) : inside + 20]
    where = f"at character {inside} of string {string} ({excerpt!r})"
    return ValueError(f"program {program.name!r}: {error}, {where}")
