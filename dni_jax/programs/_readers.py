"""One program that reads many texts side by side, a symbol of each at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dni_jax.programs._interpreter import Interpreter, Node, StepError
from dni_jax.programs._program import Program
from dni_jax.text import BOUNDARY

_UNKNOWN = -1


class ReadError(ValueError):
    """A program failed in one of the texts.

    Attributes
    ----------
    text
        Its number.
    """

    def __init__(self, problem: str, text: int) -> None:
        super().__init__(problem)
        self.text = text


class Readers:
    """The places of a program in B texts that grow together.

    Where the program's states can be compared, steps are looked up in an array, for all texts at once.

    Parameters
    ----------
    program
        What reads.
    n
        How many texts.
    symbols
        The symbol of each code. The one of the boundary is not read: it begins a new string.

    Examples
    --------
    >>> from dni_jax.programs import depth
    >>> readers = Readers(depth(), 2, ("", "(", ")"))
    >>> readers.read(np.asarray([1, 1])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    >>> readers.read(np.asarray([1, 0])).tolist()
    [[2.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, program: Program, n: int, symbols: Sequence[str]) -> None:
        self.program = program
        self._interpreter, self._symbols = Interpreter(program), symbols
        self._nodes = [self._interpreter.start] * n  # of each text, or of each row of the table
        self._width = len(program.columns) + 1
        self._looks_up = program.has_hashable_states
        if self._looks_up:
            self._nodes = [self._interpreter.start]
            self._numbers = {id(self._interpreter.start): 0}
            self._at = np.zeros(n, np.int32)
            self._following = np.full((1, len(symbols)), _UNKNOWN, np.int32)
            self._following[:, BOUNDARY] = 0
            self._rows = np.zeros((1, self._width), np.float32)

    def read(self, codes: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B d1"]:
        """Read one symbol of each text.

        Returns
        -------
        What the program says after it, and 1, last; zeros after a boundary.

        Raises
        ------
        ReadError
            Where the program fails.
        """
        return self._look_up(codes) if self._looks_up else self._step(codes)

    def _look_up(self, codes: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B d1"]:
        following = self._following[self._at, codes]
        for text in np.flatnonzero(following == _UNKNOWN).tolist():
            node, code = int(self._at[text]), int(codes[text])
            if self._following[node, code] == _UNKNOWN:
                self._following[node, code] = self._number(self._take(self._nodes[node], code, text))
            following[text] = self._following[node, code]
        self._at = following
        return self._rows[following]

    def _step(self, codes: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B d1"]:
        said = np.zeros((len(codes), self._width), np.float32)
        rows, read = [], []
        for text, code in enumerate(codes.tolist()):
            if code == BOUNDARY:
                self._nodes[text] = self._interpreter.start
                continue
            node = self._nodes[text] = self._take(self._nodes[text], code, text)
            rows.append(node.row)
            read.append(text)
        if read:
            said[read, :-1], said[read, -1] = rows, 1.0
        return said

    def _take(self, node: Node, code: int, text: int) -> Node:
        try:
            return self._interpreter.step(node, self._symbols[code])
        except StepError as error:
            raise ReadError(str(error), text) from error

    def _number(self, node: Node) -> int:
        """Return the number of a node, which gets one, and a row in the table, when it is new."""
        number = self._numbers.setdefault(id(node), len(self._nodes))
        if number == len(self._nodes):
            self._nodes.append(node)
            if number == len(self._rows):
                more = np.full_like(self._following, _UNKNOWN)
                more[:, BOUNDARY] = 0
                self._following = np.concatenate([self._following, more])
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[number, :-1], self._rows[number, -1] = node.row, 1.0
        return number
