"""Programs that are made of procedures, and the depth of brackets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from dni_jax.programs._program import Program

Procedure = Callable[[Iterator[str]], Iterable[Any]]


def depth(opening: str = "([{", closing: str = ")]}", name: str = "depth") -> Program:
    """Return the program that counts open brackets; a bracket lies inside its own pair.

    A closing bracket without a partner leaves the depth at 0.

    Examples
    --------
    >>> list(depth().read(iter("0(1(2))")))
    [0, 1, 1, 2, 2, 2, 1]
    """

    def step(is_open: int, symbol: str) -> tuple[int, int]:
        if symbol in opening:
            return is_open + 1, is_open + 1
        if symbol in closing:
            return max(is_open - 1, 0), is_open
        return is_open, is_open

    return Program(name, lambda: 0, step)


def from_trace(
    function: Procedure,
    name: str | None = None,
    *,
    fields: Sequence[str] = (),
    values: Sequence[Hashable] = (),
) -> Program:
    """Return the program of a procedure that reads symbols and yields a value after each, as for `dni_jax.trace`.

    A procedure keeps its state to itself, so that it cannot go back to an earlier one: a text that branches off from
    another one is read again from its beginning. It must be deterministic.

    Parameters
    ----------
    function
        A generator function, or any function that returns an iterator: takes an iterator of characters, yields values.
    name
        None takes the name of the function.
    fields, values
        As in `Program`.

    Raises
    ------
    ValueError
        For a function without a name. When it runs: if the procedure fails, takes a symbol before it has yielded a
        value for the last one, yields a value too early, or ends before the text does; names the string and the
        character.

    Examples
    --------
    >>> def odd(symbols):
    ...     state = False
    ...     for symbol in symbols:
    ...         state ^= symbol == "1"
    ...         yield state
    >>> program = from_trace(odd)
    >>> before, _ = program.step(program.start(), "1")
    >>> program.step(before, "0")[1], program.step(before, "1")[1]
    (True, False)
    """
    own = getattr(function, "__name__", "<lambda>") if name is None else name
    if own == "<lambda>":
        raise ValueError(f"expected a name for the program, got a function without one ({function!r}): pass name=")

    def step(reading: _Reading, symbol: str) -> tuple[_Reading, Any]:
        live = reading.take()
        value = live.send(symbol)
        return _Reading(function, reading, symbol, live), value

    return Program(
        own, lambda: _Reading(function, None, "", _Live(function)), step, tuple(fields), tuple(values), False
    )


class _Reading:
    """A place in a text: the symbols that led there, and the procedure that waits there, if none has gone on."""

    __slots__ = ("_before", "_function", "_live", "_symbol")

    def __init__(self, function: Procedure, before: _Reading | None, symbol: str, live: _Live) -> None:
        self._function, self._before, self._symbol = function, before, symbol
        self._live: _Live | None = live

    def take(self) -> _Live:
        """Return a procedure that has read up to here: the one that waits, or else a new one that reads it again."""
        live, self._live = self._live, None
        if live is not None:
            return live
        symbols: list[str] = []
        place: _Reading | None = self
        while place is not None and place._before is not None:
            symbols.append(place._symbol)
            place = place._before
        again = _Live(self._function)
        for symbol in reversed(symbols):
            again.send(symbol)
        return again


class _AheadError(Exception):
    """The procedure takes a symbol before it has yielded a value for the last one."""


class _Live:
    """A running procedure, which is handed one symbol at a time."""

    def __init__(self, function: Procedure) -> None:
        self._waiting: list[str] = []
        self._n_values = 0
        self._ahead = False
        self._values = iter(function(self))

    def __iter__(self) -> _Live:
        return self

    def __next__(self) -> str:
        if not self._waiting:
            self._ahead = True
            raise _AheadError
        return self._waiting.pop()

    def send(self, symbol: str) -> Any:
        """Return the value that the procedure yields after one more symbol."""
        self._waiting.append(symbol)
        try:
            value = next(self._values)
        except _AheadError:
            value = None
        except StopIteration:
            if not self._ahead:
                raise ValueError(
                    f"expected one value after each symbol, got {self._n_values} values for {self._n_values + 1} "
                    "symbols: the procedure must not end before its symbols do"
                ) from None
        if self._ahead:
            raise ValueError(
                "expected one value after each symbol, got a call for the next symbol before the value of this one: "
                "what a program says must not depend on later symbols"
            )
        if self._waiting:
            raise ValueError(
                "expected one value after each symbol, got a value before the symbol was taken: take one for each "
                "value, with next(symbols) or in a for loop"
            )
        self._n_values += 1
        return value
