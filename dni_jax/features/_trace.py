"""Features from procedures that read a string symbol by symbol, such as automata, parsers and simulations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.features._cache import compute_once
from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.text import Corpus, join_segments, to_string

Procedure = Callable[[Iterator[str]], Iterable[Any]]

# The declared values of each field, or None for numbers.
_Fields = dict[str, tuple[Hashable, ...] | None]

_Columns = dict[str, np.ndarray]

_WHOLE = ""  # the field of a procedure that yields single values


def trace(
    function: Procedure,
    name: str | None = None,
    *,
    fields: Sequence[str] | Mapping[str, Sequence[Hashable] | None] | None = None,
    values: Sequence[Hashable] | None = None,
    kind: str | None = None,
) -> Feature | FeatureLibrary:
    """Make features of a procedure that reads symbols one by one; each value that it yields is a label.

    The procedure runs once on each string, for all of its features. It must yield exactly one value after each symbol
    that it takes, so that no label depends on later symbols. It is stopped after the last symbol. Segments of a text
    that follow each other in the corpus are read as one string. Segments whose beginning is missing have unknown labels
    and are masked.

    Parameters
    ----------
    function
        A generator function, or any function that returns an iterator: takes an iterator of characters, yields values.
    name
        The name of the features; None takes the name of the function.
    fields
        If each value is a dict, an object with attributes, a tuple or a list: the keys, the attributes, or names for
        the parts in order. Each makes a feature ``name:field``. A mapping can also list the values of fields that are
        not numbers; see `values`.
    values
        If the values are not numbers, such as the states of an automaton: all values that can occur. Each makes a
        binary feature ``name=value`` (or ``name:field=value``).
    kind
        ``"binary"`` or ``"continuous"`` for a procedure that yields numbers; None: determined by the labels.

    Returns
    -------
    A `Feature`, or a `FeatureLibrary` if `fields` or `values` are given.

    Raises
    ------
    ValueError
        If the arguments contradict each other. When labels are computed, if the procedure fails, takes a symbol before
        it has yielded a value for the last one, yields a value too early or too few values, or yields values other than
        finite numbers or those declared; names the string and the character.

    Examples
    --------
    A finite automaton; then a stack of brackets:

    >>> corpus = Corpus.from_strings(["1011", "(1[0])"])
    >>> def odd(symbols):
    ...     state = False
    ...     for symbol in symbols:
    ...         state ^= symbol == "1"
    ...         yield state
    >>> trace(odd).label(corpus)["odd"].tolist()
    [1, 1, 0, 1, 0, 1, 1, 1, 1, 1]
    >>> def brackets(symbols):
    ...     stack = []
    ...     for symbol in symbols:
    ...         if symbol in "([":
    ...             stack.append(symbol)
    ...         yield {"depth": len(stack), "inner": stack[-1] if stack else "none"}
    ...         if symbol in ")]":
    ...             stack.pop()
    >>> labels = trace(brackets, fields={"depth": None, "inner": ["(", "[", "none"]}).label(corpus)
    >>> labels.names
    ('brackets:depth', 'brackets:inner=(', 'brackets:inner=[', 'brackets:inner=none')
    >>> labels["brackets:depth"].tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0]
    """
    name = _function_name(function) if name is None else name
    declared = _declared(name, fields, values, kind)
    key = object()  # shared by the features of this call, and by no others

    def columns(corpus: Corpus) -> _Columns:
        return compute_once(corpus, key, lambda corpus: _columns(name, function, declared, corpus))

    features = []
    for field, allowed in declared.items():
        label = f"{name}:{field}" if field else name
        if allowed is None:
            features.append(_number_feature(label, columns, field, kind))
        else:
            features += [_value_feature(f"{label}={value}", columns, field, row) for row, value in enumerate(allowed)]
    return features[0] if fields is None and values is None else FeatureLibrary(tuple(features))


def _function_name(function: Procedure) -> str:
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(f"expected a name for the trace, got a function without one ({function!r}): pass name=")
    return str(name)


def _declared(
    name: str,
    fields: Sequence[str] | Mapping[str, Sequence[Hashable] | None] | None,
    values: Sequence[Hashable] | None,
    kind: str | None,
) -> _Fields:
    if fields is not None and values is not None:
        raise ValueError(f"trace {name!r}: expected fields= or values=, got both: write fields={{field: values}}")
    if kind is not None and not (fields is None and values is None):
        raise ValueError(f"trace {name!r}: expected kind= for a trace of single numbers only, got {kind!r} as well")
    if isinstance(fields, str) or isinstance(values, str):
        raise ValueError(f"trace {name!r}: expected a list, got the string {fields or values!r}")
    if fields is None:
        declared: _Fields = {_WHOLE: None if values is None else tuple(values)}
    elif isinstance(fields, Mapping):
        declared = {field: None if allowed is None else tuple(allowed) for field, allowed in fields.items()}
    else:
        declared = dict.fromkeys(fields)
    if not declared or any(allowed is not None and len(allowed) == 0 for allowed in declared.values()):
        raise ValueError(
            f"trace {name!r}: expected at least one field, and at least one value in each list of values, got none"
        )
    return declared


def _number_feature(name: str, columns: Callable[[Corpus], _Columns], field: str, kind: str | None) -> Feature:
    return Feature(name, lambda corpus: columns(corpus)[field], kind, "", _is_known)


def _value_feature(name: str, columns: Callable[[Corpus], _Columns], field: str, row: int) -> Feature:
    return Feature(name, lambda corpus: columns(corpus)[field] == row, "binary", "", _is_known)


def _is_known(corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Return where the corpus has all of the text before a character."""
    offsets, begins, _ = join_segments(corpus)
    return np.repeat(begins, np.diff(offsets))


def _columns(name: str, function: Procedure, declared: _Fields, corpus: Corpus) -> _Columns:
    """Run the procedure on every string whose beginning is in the corpus; return one column per field."""
    offsets, begins, _ = join_segments(corpus)
    if not begins.any():
        raise ValueError(f"trace {name!r}: expected strings from their beginning, got only later segments of strings")
    text = to_string(corpus.text)
    columns: dict[str, list[np.ndarray]] = {field: [] for field in declared}
    for (first, last), known in zip(itertools.pairwise(offsets.tolist()), begins, strict=True):
        where = _Place(f"trace {name!r}", corpus, first)
        yielded = _run(function, text[first:last], where) if known else None
        for field, allowed in declared.items():
            if yielded is None:
                columns[field].append(np.zeros(last - first, np.int8))
                continue
            values = yielded if field == _WHOLE else _select_field(yielded, field, list(declared), where)
            columns[field].append(_to_numbers(values, where) if allowed is None else _to_codes(values, allowed, where))
    return {field: np.concatenate(parts) for field, parts in columns.items()}


class _Place:
    """Makes errors that name the string and the character where they happened."""

    def __init__(self, what: str, corpus: Corpus, first: int) -> None:
        self._what, self._corpus, self._first = what, corpus, first

    def error(self, character: int, problem: str, hint: str = "") -> ValueError:
        position = min(self._first + character, self._corpus.n_positions - 1)
        string = int(np.searchsorted(self._corpus.offsets, position, side="right")) - 1
        inside = position - int(self._corpus.offsets[string])
        excerpt = self._corpus.strings[string]
        excerpt = excerpt if len(excerpt) <= 40 else excerpt[max(inside - 20, 0) : inside + 20]
        return ValueError(f"{self._what}: {problem}, at character {inside} of string {string} ({excerpt!r}){hint}")


class _AheadError(Exception):
    """The procedure takes a symbol before it has yielded a value for the last one."""


class _Symbols:
    """An iterator over the characters of a string that notes how many were taken and answered."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.taken, self.answered, self.ahead = 0, 0, False

    def __iter__(self) -> _Symbols:
        return self

    def __next__(self) -> str:
        if self.taken > self.answered:
            self.ahead = True
            raise _AheadError
        if self.taken == len(self._text):
            raise StopIteration
        self.taken += 1
        return self._text[self.taken - 1]


def _run(function: Procedure, text: str, where: _Place) -> list[Any]:
    """Return the value that the procedure yields after each character."""
    symbols = _Symbols(text)
    values: list[Any] = []
    early = False
    try:
        for value in function(symbols):
            early = symbols.taken == symbols.answered
            if early or symbols.ahead:
                break
            values.append(value)
            symbols.answered += 1
            if len(values) == len(text):
                break
    except Exception as error:
        if not symbols.ahead:
            problem = f"its function fails with {type(error).__name__}: {error}"
            raise where.error(max(symbols.taken - 1, 0), problem) from error
    if symbols.ahead:
        problem = "a call for the next symbol before the value of this one"
        hint = ": a label must not depend on later symbols"
    elif early:
        problem = "a value before the symbol was taken"
        hint = ": take one for each value, with next(symbols) or in a for loop"
    elif len(values) < len(text):
        problem = f"{len(values)} values for {len(text)} symbols"
        hint = ": the procedure must not end before its symbols do"
    else:
        return values
    raise where.error(len(values), f"expected one value after each symbol, got {problem}", hint)


def _select_field(yielded: list[Any], field: str, names: list[str], where: _Place) -> list[Any]:
    """Return one field of each value."""
    place, selected = names.index(field), []
    for character, value in enumerate(yielded):
        try:
            if isinstance(value, Mapping):
                selected.append(value[field])
            elif isinstance(value, (tuple, list)):
                if len(value) != len(names):
                    raise LookupError(field)
                selected.append(value[place])
            else:
                selected.append(getattr(value, field))
        except (LookupError, AttributeError) as error:
            raise where.error(character, f"expected values with the fields {names}, got {value!r}") from error
    return selected


def _to_numbers(column: list[Any], where: _Place) -> np.ndarray:
    """Convert numbers to an array."""
    try:
        array = np.asarray(column)
    except ValueError:
        array = np.asarray(column, object)
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        number = (bool, int, float, np.bool_, np.integer, np.floating)
        character = next((row for row, value in enumerate(column) if not isinstance(value, number)), 0)
        raise where.error(
            character,
            f"expected numbers or bools, got {column[character]!r}",
            ": declare other values with values=[...] or fields=[...]",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        character = int(np.flatnonzero(~np.isfinite(array))[0])
        raise where.error(character, f"expected finite numbers, got {array[character]}")
    return array


def _to_codes(column: list[Any], values: tuple[Hashable, ...], where: _Place) -> Int[np.ndarray, " L"]:
    """Convert values to their indices among those declared."""
    number = {value: row for row, value in enumerate(values)}
    try:
        return np.asarray([number[value] for value in column], np.int32)
    except (KeyError, TypeError) as error:
        character = next(row for row, value in enumerate(column) if value not in values)
        raise where.error(character, f"expected one of the values {list(values)}, got {column[character]!r}") from error
