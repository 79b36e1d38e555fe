"""What a program is: a start, and a pure step from a state and a symbol to the next state and a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any


@dataclass(frozen=True, eq=False)
class Program:
    """A procedure that reads a text symbol by symbol and says a value after each one.

    It keeps nothing to itself: all that it remembers is in the state, so that many texts can be read side by side, also
    while a network writes them.

    Attributes
    ----------
    name
        What it is called in results.
    start
        Returns the state before the first symbol of a string.
    step
        Takes a state and a symbol (one character), returns the state after it and the value to be said: a number, or a
        tuple of numbers with `fields`, or one of `values`. Pure: equal arguments, equal results.
    fields
        Names of the numbers, if each value is a tuple of them.
    values
        All values that can be said, if they are not numbers. Each becomes a column of 0 and 1.
    has_hashable_states
        Whether states can be compared: a step from a state that was seen before is then looked up. States that are
        never equal, or many, are better not kept.

    Raises
    ------
    ValueError
        For `fields` together with `values`, or an empty list of either.

    Examples
    --------
    >>> def flip(state, symbol):
    ...     state ^= symbol == "1"
    ...     return state, state
    >>> odd = Program("odd", start=lambda: 0, step=flip)
    >>> list(odd.read(iter("1011")))
    [1, 1, 0, 1]
    """

    name: str
    start: Callable[[], Any]
    step: Callable[[Any, str], tuple[Any, Any]]
    fields: tuple[str, ...] = ()
    values: tuple[Hashable, ...] = ()
    has_hashable_states: bool = True

    def __post_init__(self) -> None:
        if self.fields and self.values:
            raise ValueError(f"program {self.name!r}: expected fields or values, got both")
        for what in ("fields", "values"):
            names = getattr(self, what)
            if isinstance(names, str) or len(set(names)) < len(names):
                raise ValueError(f"program {self.name!r}: expected {what} as a tuple of different ones, got {names!r}")
            object.__setattr__(self, what, tuple(names))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that values become."""
        if self.values:
            return tuple(f"{self.name}={value}" for value in self.values)
        return tuple(f"{self.name}:{field}" for field in self.fields) or (self.name,)

    def read(self, symbols: Iterable[str]) -> Iterator[Any]:
        """Yield the value after each symbol: a procedure for `dni_jax.trace`, which makes features of it."""
        state = self.start()
        for symbol in symbols:
            state, value = self.step(state, symbol)
            yield value

    def to_row(self, value: Any) -> tuple[float, ...]:
        """Return a value as the numbers of its columns.

        Raises
        ------
        ValueError
            If it is not what the program declares.
        """
        if type(value) in (int, bool) and not self.fields and not self.values:
            return (float(value),)
        if self.values:
            if value not in self.values:
                raise ValueError(f"expected one of the values {list(self.values)}, got {value!r}")
            place = self.values.index(value)
            return tuple(float(place == column) for column in range(len(self.values)))
        row = value if self.fields and isinstance(value, (tuple, list)) else (value,)
        if len(row) != len(self.columns) or not all(_is_finite(number) for number in row):
            what = f"{len(self.fields)} finite numbers" if self.fields else "a finite number"
            raise ValueError(f"expected {what}, got {value!r}: declare other values with values=[...]")
        return tuple(float(number) for number in row)


def _is_finite(number: Any) -> bool:
    return hasattr(number, "__float__") and (isinstance(number, Real) or hasattr(number, "dtype")) and _finite(number)


def _finite(number: Any) -> bool:
    return math.isfinite(float(number))
