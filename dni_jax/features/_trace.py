"""Features from procedures that read a string symbol by symbol: an automaton, a parser, a simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.features._feature import Feature, FeatureLibrary
from dni_jax.features._joining import runs
from dni_jax.features._reading import compute_once
from dni_jax.text import Corpus, to_string

Procedure = Callable[[Iterator[str]], Iterable[Any]]

# A field's declared values, or None for numbers.
_Fields = dict[str, tuple[Hashable, ...] | None]

_Columns = dict[str, np.ndarray]

_WHOLE = ""  # the field of a procedure that yields one value


def trace(
    function: Procedure,
    name: str | None = None,
    *,
    fields: Sequence[str] | Mapping[str, Sequence[Hashable] | None] | None = None,
    values: Sequence[Hashable] | None = None,
    kind: str | None = None,
) -> Feature | FeatureLibrary:
    """Make features of a procedure that consumes symbols one by one: each value that it yields is one label.

    The procedure runs anew on each string, once for all its features. It must yield exactly one value after each
    symbol that it takes, so that no label knows what comes later; what it would do behind the last symbol is not
    asked for. Pieces of a text that demonstrably follow each other are read as one string; the labels of others, whose
    beginning is missing, are not known and masked.

    Parameters
    ----------
    function
        A generator function, or any that returns an iterator: takes an iterator of characters, yields values.
    name
        How the features are called; None takes the function's name.
    fields
        Where each value is a dict, a dataclass or another object with attributes, a tuple or a list: the keys, the
        attributes, or names for the parts in their order. Each makes a feature ``name:field``. As a mapping it may
        also give the values that a field takes, for those that are no numbers; see `values`.
    values
        Where the values are no numbers, such as the states of an automaton: all that can occur. Each makes a binary
        feature ``name=value`` (``name:field=value``).
    kind
        ``"binary"`` or ``"continuous"`` for a procedure that yields numbers; None decides by the labels.

    Returns
    -------
    A `Feature`; with `fields` or `values` a `FeatureLibrary`.

    Raises
    ------
    ValueError
        For contradictory arguments. When labels are computed: where the procedure fails, takes a symbol before the
        label of the last one is given, gives labels too early or too few, or yields something else than was declared
        or than finite numbers; names the string and the place.

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
    name = _name(function) if name is None else name
    declared = _declared(name, fields, values, kind)
    key = object()  # the features made here share what is worked out for a corpus; others do not

    def columns(corpus: Corpus) -> _Columns:
        return compute_once(corpus, key, lambda corpus: _columns(name, function, declared, corpus))

    features = []
    for field, its in declared.items():
        label = f"{name}:{field}" if field else name
        if its is None:
            features.append(_number_feature(label, columns, field, kind))
        else:
            features += [_value_feature(f"{label}={value}", columns, field, row) for row, value in enumerate(its)]
    return features[0] if fields is None and values is None else FeatureLibrary(tuple(features))


def _name(function: Procedure) -> str:
    name = getattr(function, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(f"expected a name for the trace, got a function without one ({function!r}): give name=")
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
        declared = {field: None if its is None else tuple(its) for field, its in fields.items()}
    else:
        declared = dict.fromkeys(fields)
    if not declared or any(its is not None and len(its) == 0 for its in declared.values()):
        raise ValueError(f"trace {name!r}: expected at least one field, and one value where values are given, got none")
    return declared


def _number_feature(name: str, columns: Callable[[Corpus], _Columns], field: str, kind: str | None) -> Feature:
    return Feature(name, lambda corpus: columns(corpus)[field], kind, "", _begun)


def _value_feature(name: str, columns: Callable[[Corpus], _Columns], field: str, row: int) -> Feature:
    return Feature(name, lambda corpus: columns(corpus)[field] == row, "binary", "", _begun)


def _begun(corpus: Corpus) -> Bool[np.ndarray, " T"]:
    """Whether the text in front of each character is there."""
    offsets, begins, _ = runs(corpus)
    return np.repeat(begins, np.diff(offsets))


def _columns(name: str, function: Procedure, declared: _Fields, corpus: Corpus) -> _Columns:
    """Run the procedure on every string that begins in the corpus; give a column a field."""
    offsets, begins, _ = runs(corpus)
    if not begins.any():
        raise ValueError(f"trace {name!r}: expected strings from their beginning on, got only pieces of longer ones")
    text = to_string(corpus.text)
    parts: dict[str, list[np.ndarray]] = {field: [] for field in declared}
    for (first, last), begun in zip(itertools.pairwise(offsets.tolist()), begins, strict=True):
        where = _Place(f"trace {name!r}", corpus, first)
        given = _run(function, text[first:last], where) if begun else None
        for field, its in declared.items():
            if given is None:
                parts[field].append(np.zeros(last - first, np.int8))
                continue
            column = given if field == _WHOLE else _picked(given, field, list(declared), where)
            parts[field].append(_numbers(column, where) if its is None else _codes(column, its, where))
    return {field: np.concatenate(those) for field, those in parts.items()}


class _Place:
    """Words an error with the string and the character where it happened."""

    def __init__(self, what: str, corpus: Corpus, first: int) -> None:
        self._what, self._corpus, self._first = what, corpus, first

    def error(self, character: int, problem: str, hint: str = "") -> ValueError:
        position = min(self._first + character, self._corpus.n_positions - 1)
        string = int(np.searchsorted(self._corpus.offsets, position, side="right")) - 1
        inside = position - int(self._corpus.offsets[string])
        shown = self._corpus.strings[string]
        shown = shown if len(shown) <= 40 else shown[max(inside - 20, 0) : inside + 20]
        return ValueError(f"{self._what}: {problem}, at character {inside} of string {string} ({shown!r}){hint}")


class _AheadError(Exception):
    """The procedure takes a symbol before it has given the label of the last one."""


class _Symbols:
    """The characters of a string, handed out one at a time."""

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
    """Give the procedure's value after each character."""
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
        hint = ": a label must not know what comes later"
    elif early:
        problem = "a value before the symbol was taken"
        hint = ": take one for each value, with next(symbols) or in a for loop"
    elif len(values) < len(text):
        problem = f"{len(values)} values for {len(text)} symbols"
        hint = ": the procedure must not end before its symbols do"
    else:
        return values
    raise where.error(len(values), f"expected one value after each symbol, got {problem}", hint)


def _picked(given: list[Any], field: str, names: list[str], where: _Place) -> list[Any]:
    """Take one field of each value."""
    place, picked = names.index(field), []
    for character, value in enumerate(given):
        try:
            if isinstance(value, Mapping):
                picked.append(value[field])
            elif isinstance(value, (tuple, list)):
                if len(value) != len(names):
                    raise LookupError(field)
                picked.append(value[place])
            else:
                picked.append(getattr(value, field))
        except (LookupError, AttributeError) as error:
            raise where.error(character, f"expected values with the fields {names}, got {value!r}") from error
    return picked


def _numbers(column: list[Any], where: _Place) -> np.ndarray:
    """Bring numbers into an array."""
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
            ": declare what is yielded, with values=[...] or fields=[...]",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        character = int(np.flatnonzero(~np.isfinite(array))[0])
        raise where.error(character, f"expected finite numbers, got {array[character]}")
    return array


def _codes(column: list[Any], values: tuple[Hashable, ...], where: _Place) -> Int[np.ndarray, " L"]:
    """Number the values as declared."""
    number = {value: row for row, value in enumerate(values)}
    try:
        return np.asarray([number[value] for value in column], np.int32)
    except (KeyError, TypeError) as error:
        character = next(row for row, value in enumerate(column) if value not in values)
        raise where.error(character, f"expected one of the values {list(values)}, got {column[character]!r}") from error
