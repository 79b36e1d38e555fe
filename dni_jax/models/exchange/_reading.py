"""How an imported network reads a corpus: begin and end codes, padding, windows, initial states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from dni_jax.interventions import Bound, Drive
from dni_jax.models.cells import Carry
from dni_jax.models.exchange._stack import Stack
from dni_jax.models.exchange._symbols import Symbols
from dni_jax.text import Corpus

_ELEMENTS = 2**23  # of states in one batch
_ROWS = 512  # at most, in one batch


@dataclass(frozen=True, eq=False)
class Reading:
    """The conditions that a network was trained in; outside of them it is another network.

    Attributes
    ----------
    begin, end
        The code read before each string, and the one read (and predicted) after it; None: none.
    prefix
        Further codes read before each string, and before `begin`.
    window
        The network reads only so many symbols at a time: the state at a character is the one after the window that
        ends there, read from the initial state.
    padding, length
        ``"left"`` or ``"right"``: strings are filled up to `length` symbols with `pad`, which the network reads.
    pad
        The code that fills windows and strings.
    masked
        Whether the network leaves `pad` out (Keras' ``mask_zero``): its state stays as it is.
    initial_state
        The state before the first symbol: h as an array that broadcasts to ``(S, N)``, a dict ``{"h": ..., "c": ...}``,
        or a function of the corpus that returns one of these. None: zero.
    """

    begin: int | None = None
    end: int | None = None
    prefix: tuple[int, ...] = ()
    window: int | None = None
    padding: str | None = None
    length: int | None = None
    pad: int | None = None
    masked: bool = False
    initial_state: Any = None

    @property
    def before(self) -> tuple[int, ...]:
        """The codes read before each string."""
        return self.prefix if self.begin is None else (*self.prefix, self.begin)

    def check(self, n_codes: int) -> Reading:
        """Return itself.

        Raises
        ------
        ValueError
            For codes out of range, and options that contradict each other.
        """
        named = {"begin": self.begin, "end": self.end, "pad": self.pad}
        codes = {name: code for name, code in named.items() if code is not None}
        codes |= {f"prefix[{n}]": code for n, code in enumerate(self.prefix)}
        for name, code in codes.items():
            if not 0 <= code < n_codes:
                raise ValueError(f"expected {name} to be a code from 0 to {n_codes - 1}, got {code}")
        if self.padding not in (None, "left", "right"):
            raise ValueError(f"expected padding to be 'left', 'right' or None, got {self.padding!r}")
        if self.window is not None and (self.window < 1 or self.padding == "right" or self.length is not None):
            raise ValueError(
                "expected window of at least 1, which is filled on the left, without length=, got "
                f"window={self.window}, "
                f"padding={self.padding!r}, length={self.length}"
            )
        if self.window is None and (self.padding is None) != (self.length is None):
            raise ValueError(
                f"expected padding= and length= together, got padding={self.padding!r}, length={self.length}: the "
                "number "
                "of symbols that strings were filled up to"
            )
        if (self.length is not None or self.padding is not None) and self.pad is None:
            raise ValueError("expected pad=, the code that fills up strings, with padding=, got none")
        return self


class Rows(NamedTuple):
    """What a network reads, a row for each string (or window).

    Attributes
    ----------
    codes
        int32 ``(B, L)``.
    mask
        bool ``(B, L)``: False where nothing is read.
    positions
        int64 ``(B, L)``: the corpus position that a symbol ends at; -1 for a symbol without one.
    kept
        bool ``(B, L)``: the symbols whose states count; of a window only the last.
    targets
        int32 ``(B, L)``: the next symbol's code; -1 where there is none.
    target_positions
        int64 ``(B, L)``: its position; -1 where it has none.
    strings
        int64 ``(B,)``: the string of each row; -1 for a row that only fills the batch.
    """

    codes: Int[np.ndarray, "B L"]
    mask: Bool[np.ndarray, "B L"]
    positions: Int[np.ndarray, "B L"]
    kept: Bool[np.ndarray, "B L"]
    targets: Int[np.ndarray, "B L"]
    target_positions: Int[np.ndarray, "B L"]
    strings: Int[np.ndarray, " B"]

    @property
    def real(self) -> Bool[np.ndarray, " B"]:
        """Which rows are of a string, and do not only fill the batch."""
        return self.strings >= 0

    @property
    def counted(self) -> Bool[np.ndarray, "B L"]:
        """The symbols whose states count, in rows that are real."""
        return self.kept & self.real[:, None]

    def bound(self, bound: Bound) -> Bound:
        """Return overrides whose drives ``(T, ...)`` are in the order of these rows, time first."""
        return Bound(bound.overrides, tuple(Drive(self._lay(d.value), self._lay(d.when)) for d in bound.drives))

    def _lay(self, values: Any) -> np.ndarray | None:
        if values is None:
            return None
        values = np.asarray(values)
        places = self.positions.T
        rows = values[np.maximum(places, 0)]
        inside = (places >= 0).reshape(places.shape + (1,) * (values.ndim - 1))
        rows = np.where(inside, rows, np.zeros((), rows.dtype))
        return rows[..., None] if rows.ndim == 2 else rows


class _Text(NamedTuple):
    codes: np.ndarray
    positions: np.ndarray
    reads: np.ndarray


def iterate_rows(symbols: Symbols, reading: Reading, corpus: Corpus, n_neurons: int) -> Iterator[Rows]:
    """Yield a corpus in batches of rows of similar length.

    Raises
    ------
    ValueError
        For a symbol without a code, and a string longer than it may be.
    """
    texts = [_text(symbols, reading, corpus, number) for number in range(len(corpus))]
    lengths = np.asarray([len(text.codes) for text in texts])
    if reading.window is not None:
        yield from _windows(texts, reading, n_neurons)
        return
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        # Rows of a batch differ in length by a quarter at most; few lengths keep the number of compiled programs small.
        shortest = max(int(lengths[order[start]]), 8)
        limit = _round_up(shortest)
        n_rows = max(1, min(_ROWS, _ELEMENTS // (limit * n_neurons)))
        stop = start
        while stop < len(order) and stop - start < n_rows and lengths[order[stop]] <= limit:
            stop += 1
        yield _rows([texts[n] for n in order[start:stop]], order[start:stop], limit, _power(stop - start))
        start = stop


def _round_up(length: int) -> int:
    step = max(8, 2 ** (length.bit_length() - 3))
    return -(-length // step) * step


def _power(count: int) -> int:
    """The next power of two: few sizes of batches, each a program of its own."""
    return 1 << (count - 1).bit_length()


def _text(symbols: Symbols, reading: Reading, corpus: Corpus, number: int) -> _Text:
    units = symbols.read(corpus.strings[number], number)
    after = [reading.end] if reading.end is not None and corpus.ends[number] else []
    before = reading.before if corpus.begins[number] else ()
    text = _surround(before, units.codes, corpus.offsets[number] + units.ends, after)
    if reading.length is not None and len(text.codes) > reading.length:
        raise ValueError(
            f"expected strings of at most length={reading.length} symbols, as the network was trained with, got "
            f"{len(text.codes)} in string {number}: cut the corpus with dni_jax.text.segment_corpus"
        )
    return _fill_up(text, reading)


def _surround(
    before: Sequence[int], codes: Int[np.ndarray, " n"], positions: Int[np.ndarray, " n"], after: Sequence[int]
) -> _Text:
    """Return symbols with the codes before and after them, which have no position."""
    codes = np.concatenate([before, codes, after]).astype(np.int32)
    positions = np.concatenate([np.full(len(before), -1), positions, np.full(len(after), -1)]).astype(np.int64)
    return _Text(codes, positions, np.ones(len(codes), bool))


def _fill_up(text: _Text, reading: Reading) -> _Text:
    """Fill a string up to the length that the network was trained with."""
    if reading.length is None:
        return text
    missing = reading.length - len(text.codes)
    left = missing if reading.padding == "left" else 0
    fill = (left, missing - left)
    return _Text(
        np.pad(text.codes, fill, constant_values=reading.pad or 0),
        np.pad(text.positions, fill, constant_values=-1),
        np.pad(text.reads, fill, constant_values=not reading.masked),
    )


def lay_prefixes(reading: Reading, texts: Int[np.ndarray, "n t"], starts: Int[np.ndarray, " n"]) -> Rows:
    """Return rows that end with the last symbol of each text, of which only that one counts.

    Parameters
    ----------
    reading
        How the network reads.
    texts
        Codes.
    starts
        Where each text's last string begins.
    """
    n, end = texts.shape
    laid, last = [], []
    for codes, start in zip(texts, starts.tolist(), strict=True):
        text = _surround(reading.before, codes[start:], np.arange(start, end), ())
        if reading.window is None:
            filled = _fill_up(text, reading)
            last.append(len(text.codes) - 1 if reading.padding == "right" else len(filled.codes) - 1)
        else:
            filled = _Text(*(array[-1] for array in _slide(text, reading)))
            last.append(reading.window - 1)
        laid.append(filled)
    longest = max(len(text.codes) for text in laid)
    fixed = reading.window is not None or reading.length is not None
    rows = _rows(laid, np.arange(n), longest if fixed else _round_up(max(longest, 8)), _power(n))
    kept = np.zeros_like(rows.kept)
    kept[np.arange(n), last] = True
    return rows._replace(kept=kept)


def _rows(texts: Sequence[_Text], strings: np.ndarray, length: int, n_rows: int) -> Rows:
    def filled(fill: Any, dtype: Any) -> np.ndarray:
        return np.full((n_rows, length), fill, dtype)

    rows = Rows(
        filled(0, np.int32),
        filled(False, bool),
        filled(-1, np.int64),
        filled(False, bool),
        filled(-1, np.int32),
        filled(-1, np.int64),
        np.full(n_rows, -1, np.int64),
    )
    rows.strings[: len(strings)] = strings
    for row, text in enumerate(texts):
        n = len(text.codes)
        rows.codes[row, :n], rows.mask[row, :n], rows.positions[row, :n] = text.codes, text.reads, text.positions
        rows.kept[row, :n] = True
        known = _known_targets(text)
        rows.targets[row, : n - 1], rows.target_positions[row, : n - 1] = known[0], known[1]
    return rows


def _known_targets(text: _Text) -> tuple[np.ndarray, np.ndarray]:
    """Return the code after each symbol but the last, -1 where it is padding; and its position."""
    inside = np.flatnonzero(text.positions >= 0)
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, -1)
    places = np.arange(1, len(text.codes))
    # An end code follows the last unit; anything further is padding. Nothing before the first unit is predicted.
    counts = (places >= first) & (places <= last + 1)
    return np.where(counts, text.codes[1:], -1), text.positions[1:]


def _windows(texts: Sequence[_Text], reading: Reading, n_neurons: int) -> Iterator[Rows]:
    width = reading.window or 1
    n_rows = max(1, min(_ROWS, _ELEMENTS // (width * n_neurons)))
    pending: list[tuple[np.ndarray, ...]] = []
    count = 0

    def flush(parts: list[tuple[np.ndarray, ...]]) -> Rows:
        stacked = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        missing = _power(len(stacked[0])) - len(stacked[0])
        fills = (0, False, -1, False, -1, -1, -1)
        padded = [
            np.concatenate([array, np.full((missing, *array.shape[1:]), fill, array.dtype)])
            for array, fill in zip(stacked, fills, strict=True)
        ]
        return Rows(*padded)

    for string, text in enumerate(texts):
        every = _window_rows(text, string, width, reading)
        total = len(every[0])
        start = 0
        while start < total:
            take = min(total - start, n_rows - count)
            pending.append(tuple(array[start : start + take] for array in every))
            count, start = count + take, start + take
            if count == n_rows:
                yield flush(pending)
                pending, count = [], 0
    if pending:
        yield flush(pending)


def _window_rows(text: _Text, string: int, width: int, reading: Reading) -> tuple[np.ndarray, ...]:
    n = len(text.codes)
    codes, positions, mask = _slide(text, reading)
    kept, targets = np.zeros((n, width), bool), np.full((n, width), -1, np.int32)
    target_positions = np.full((n, width), -1, np.int64)
    kept[:, -1] = True
    targets[: n - 1, -1], target_positions[: n - 1, -1] = _known_targets(text)
    wanted = (text.positions >= 0) | (targets[:, -1] >= 0)
    arrays = (codes, mask, positions, kept, targets, target_positions, np.full(n, string, np.int64))
    return tuple(array[wanted] for array in arrays)


def _slide(text: _Text, reading: Reading) -> _Text:
    """Return the windows that end at each symbol, arrays ``(n, window)``."""
    width = reading.window or 1
    fill = (width - 1, 0)
    reads_pad = reading.pad is not None and not reading.masked
    view = np.lib.stride_tricks.sliding_window_view
    return _Text(
        view(np.pad(text.codes, fill, constant_values=reading.pad or 0), width),
        view(np.pad(text.positions, fill, constant_values=-1), width),
        view(np.pad(text.reads, fill, constant_values=reads_pad), width),
    )


def initial_carries_of(reading: Reading, stack: Stack, corpus: Corpus) -> tuple[dict[str, np.ndarray], bool] | None:
    """Return the initial states as arrays ``(S, N)`` or ``(N,)``; and whether there is one for each string.

    Raises
    ------
    ValueError
        For arrays that do not broadcast to ``(S, N)``.
    """
    given = reading.initial_state
    if given is None:
        return None
    if callable(given):
        given = given(corpus)
    given = dict(given) if isinstance(given, Mapping) else {"h": given}
    if not set(given) <= {"h", "c"} or ("c" in given and not stack.has_memory):
        raise ValueError(
            f"expected an initial_state of 'h' {'and c ' if stack.has_memory else ''}only, got {', '.join(given)}"
        )
    arrays = {name: np.asarray(values, np.float32) for name, values in given.items()}
    for name, array in arrays.items():
        if array.shape not in ((stack.n_neurons,), (len(corpus), stack.n_neurons)):
            raise ValueError(
                f"expected an initial_state of shape ({stack.n_neurons},), or ({len(corpus)}, {stack.n_neurons}), a "
                "row a "
                f"string, got shape {array.shape} of {name!r}: all layers' neurons, the lowest layer's first"
            )
    return arrays, any(array.ndim == 2 for array in arrays.values())


def carries_of_rows(
    initial: tuple[dict[str, np.ndarray], bool] | None, stack: Stack, strings: Int[np.ndarray, " B"]
) -> tuple[Carry, ...] | None:
    """Return the initial state of each recurrent layer for some rows."""
    if initial is None:
        return None
    arrays, _ = initial
    places = np.maximum(strings, 0)

    def rows(name: str, span: slice) -> Float[np.ndarray, "B n"]:
        if name not in arrays:
            return np.zeros((len(strings), span.stop - span.start), np.float32)
        array = arrays[name]
        chosen = array[places] if array.ndim == 2 else np.broadcast_to(array, (len(strings), len(array)))
        return np.ascontiguousarray(chosen[:, span])

    carries, first = [], 0
    for layer in stack.recurrent:
        span = slice(first, first + layer.size)
        memory = None
        if layer.has_memory:
            memory = rows("c", span) if layer.projection is None else layer.zero(len(strings)).c
        carries.append(Carry(memory, jnp.asarray(rows("h", span))))
        first = span.stop
    return tuple(carries)
