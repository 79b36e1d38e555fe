"""A few thousand characters of a run's text with all states and labels, small enough for a web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, Int8, UInt8

from dni_jax.features import Labels
from dni_jax.files import atomic_write
from dni_jax.inspection import best_per_feature
from dni_jax.states import as_activations, read_hidden
from dni_jax.text import Corpus, offsets_from_lengths, to_string

_LEVELS = 127  # of an int8 on either side of 0
_SHADES = 255  # of a uint8
_BEST = 3  # neurons kept for each feature if not all neurons can be
_EXAMPLES = 2  # segments in which each feature should hold
_FOR_EXAMPLES = 0.5  # fraction of the characters that are chosen as examples of features
_NEWLINE = ord("\n")
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Segments of text with the states and labels of their characters.

    All segments form one axis of positions T, as in a `Corpus`.

    Attributes
    ----------
    text
        uint32 ``(T,)``: the code points.
    offsets
        int64 ``(S + 1,)``: segment ``s`` is ``text[offsets[s]:offsets[s + 1]]``.
    strings, starts
        int64 ``(S,)``: the string that each segment is from, and the place in that string where it starts.
    hidden, scale
        int8 ``(T, N)`` and float32 ``(N,)``: the states are ``hidden * scale``. The scale of a neuron is its largest
        absolute state in the excerpt, divided by 127.
    neurons, n_neurons
        int64 ``(N,)``: the neurons kept; and how many the network has.
    labels
        uint8 ``(T, F)``: 0 or 1 for a binary feature; a continuous label is ``low + labels / 255 * (high - low)``.
    low, high
        float32 ``(F,)``: the range of a continuous feature over the whole corpus; 0 and 1 for a binary one.
    names, kinds
        The features' names, and ``"binary"`` or ``"continuous"``.
    known
        bool ``(T,)``: False if a character could not be labeled, or has no state.
    """

    text: np.ndarray
    offsets: Int[np.ndarray, " S1"]
    strings: Int[np.ndarray, " S"]
    starts: Int[np.ndarray, " S"]
    hidden: Int8[np.ndarray, "T N"]
    scale: Float[np.ndarray, " N"]
    neurons: Int[np.ndarray, " N"]
    n_neurons: int
    labels: UInt8[np.ndarray, "T F"]
    low: Float[np.ndarray, " F"]
    high: Float[np.ndarray, " F"]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    known: Bool[np.ndarray, " T"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return (
            f"Excerpt({len(self.text):,} characters in {len(self)} segments, {len(self.neurons)} of "
            f"{self.n_neurons} neurons, {len(self.names)} features)"
        )

    @property
    def segments(self) -> tuple[str, ...]:
        """The text of each segment."""
        whole = to_string(self.text)
        return tuple(whole[a:b] for a, b in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True))

    def save(self, path: str | Path, model: str | None = None) -> None:
        """Write the excerpt as ``.npz``, with the fingerprint of its network. The file appears only when complete."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        arrays |= {} if model is None else {"model": model}
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path, model: str | None = None) -> Excerpt:
        """Read an excerpt that `save` has written.

        Raises
        ------
        ValueError
            If the file is missing, is not an excerpt, or is about another network than `model`.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays: dict[str, Any] = {name: file[name] for name in cls.__dataclass_fields__}
                if model is not None and "model" in file and str(file["model"]) != model:
                    raise ValueError("an excerpt of another network: remove it, and dni report makes it again")
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"expected an excerpt of a run in {str(path)!r}, got: {error}") from error
        arrays |= {name: tuple(arrays[name].tolist()) for name in ("names", "kinds")}
        return cls(**arrays | {"n_neurons": int(arrays["n_neurons"])})


def make_excerpt(
    corpus: Corpus,
    states: Any,
    labels: Labels,
    *,
    characters: int = 4_000,
    relevance: xr.Dataset | None = None,
    max_neurons: int = 256,
    max_segment: int = 240,
) -> Excerpt:
    """Choose text that shows what the network knows, with its states and labels.

    Short strings are kept whole; long ones are cut into segments at line breaks. At most half of the characters are
    chosen so that as many features as possible have two examples; the rest is spread evenly over the corpus.

    Parameters
    ----------
    corpus
        Text on which the network was not trained.
    states
        ``Activations`` of the corpus, or an array ``(T, N)``.
    labels
        Labels of the same corpus.
    characters
        How many to choose at most; at least one segment is chosen, whatever its length.
    relevance
        From `dni_jax.inspect`. If given, features are weighted by how well they are known, and the best three neurons
        of each are kept if not all can be.
    max_neurons
        Keep at most this many neurons; a larger network needs `relevance`.
    max_segment
        Strings with more characters are cut.

    Raises
    ------
    ValueError
        If corpus, states and labels do not fit each other, states are not finite, a limit is below 1, or there are more
        neurons than can be kept and no `relevance` to choose by.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(1)", "00(1(2))"])
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> states = np.linspace(-1, 1, corpus.n_positions)[:, None] * [1.0, 0.5]
    >>> excerpt = make_excerpt(corpus, states, labels, characters=12)
    >>> excerpt
    Excerpt(7 characters in 2 segments, 2 of 2 neurons, 1 features)
    >>> excerpt.segments, excerpt.labels[:4, 0].tolist()
    (('0(1)', '(1)'), [1, 0, 1, 0])
    """
    activations = as_activations(states)
    hidden = read_hidden(activations)
    _check(corpus, hidden, labels, characters, max_neurons, max_segment)
    segments = cut_segments(corpus, max_segment)
    known = labels.mask if activations.mask is None else labels.mask & activations.mask
    weights = _weights(labels, relevance)
    holds = [_holds(column, kind) & known for column, kind in _columns(labels)]
    chosen = choose_segments(segments, holds, weights, characters)
    kept = _choose_neurons(hidden.shape[1], labels, relevance, max_neurons)
    return _pack(corpus, hidden, labels, known, segments.take(chosen), kept)


def best_neurons(relevance: xr.Dataset, most: int) -> Int[np.ndarray, " N"]:
    """Return the best neuron of every feature, then the second and third best, at most `most`, in ascending order."""
    table = best_per_feature(relevance, min(_BEST, relevance.sizes["neuron"]), by="auc")
    table = table.sort_values("strength", ascending=False, kind="stable")
    by_place = [each[place] for place in range(_BEST) for each in table["neurons"] if place < len(each)]
    return np.sort(np.asarray(list(dict.fromkeys(by_place))[:most], np.int64))


def _check(corpus: Corpus, hidden: np.ndarray, labels: Labels, *limits: int) -> None:
    if hidden.ndim != 2 or len(hidden) != corpus.n_positions or len(labels.mask) != corpus.n_positions:
        raise ValueError(
            f"expected states (T, N) and labels of the corpus' {corpus.n_positions} characters, got states of shape "
            f"{hidden.shape} and {len(labels.mask)} labels: record and label this corpus"
        )
    if min(limits) < 1:
        raise ValueError(f"expected characters, max_neurons and max_segment of at least 1, got {limits}")


def _columns(labels: Labels) -> list[tuple[np.ndarray, str]]:
    return list(zip(labels.columns, labels.kinds, strict=True))


def _holds(column: np.ndarray, kind: str) -> np.ndarray:
    """Return where a feature holds; a continuous one holds above the middle of its range."""
    if kind == "binary":
        return column == 1
    return column > (float(column.min()) + float(column.max())) / 2


def _weights(labels: Labels, relevance: xr.Dataset | None) -> Float[np.ndarray, " F"]:
    """Return the weight of an example of each feature: how well its best neuron knows it."""
    if relevance is None:
        return np.ones(len(labels))
    best = best_per_feature(relevance, 1, by="auc").set_index("feature")["strength"]
    return np.asarray([max(float(best.get(name, 0.0)), 0.0) for name in labels.names])


def _choose_neurons(n_neurons: int, labels: Labels, relevance: xr.Dataset | None, most: int) -> Int[np.ndarray, " N"]:
    if n_neurons <= most:
        return np.arange(n_neurons)
    if relevance is None:
        raise ValueError(
            f"expected relevance= to choose {most} of {n_neurons} neurons by, got none: pass the result of "
            "dni.inspect, or raise max_neurons"
        )
    return best_neurons(relevance, most)


def _pack(
    corpus: Corpus,
    hidden: np.ndarray,
    labels: Labels,
    known: Bool[np.ndarray, " T"],
    segments: Segments,
    kept: Int[np.ndarray, " N"],
) -> Excerpt:
    at = segments.positions
    states = hidden[np.ix_(at, kept)].astype(np.float32)
    if not np.isfinite(states[known[at]]).all():
        raise ValueError("expected finite states, got NaN or infinity")
    states = np.where(known[at][:, None], states, 0)
    scale = np.abs(states).max(axis=0) / _LEVELS
    packed = np.rint(states / np.where(scale > 0, scale, 1)).astype(np.int8)
    low, high = np.zeros(len(labels), np.float32), np.ones(len(labels), np.float32)
    values = np.zeros((len(at), len(labels)), np.uint8)
    for place, (column, kind) in enumerate(_columns(labels)):
        if kind == "binary":
            values[:, place] = column[at]
            continue
        low[place], high[place] = column[labels.mask].min(), column[labels.mask].max()
        inside = np.where(known[at], column[at], low[place])
        values[:, place] = np.rint((inside - low[place]) / ((high[place] - low[place]) or 1) * _SHADES)
    return Excerpt(
        text=corpus.text[at],
        offsets=segments.offsets,
        strings=segments.strings,
        starts=segments.places,
        hidden=packed,
        scale=scale,
        neurons=kept,
        n_neurons=hidden.shape[1],
        labels=values,
        low=low,
        high=high,
        names=_strings(labels.names),
        kinds=_strings(labels.kinds),
        known=known[at],
    )


def _strings(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of the strings of a corpus.

    Attributes
    ----------
    first, last
        int64 ``(P,)``: the first position of each segment in the corpus, and the one after its last.
    strings, places
        int64 ``(P,)``: the string of each segment, and the place in that string where it starts.
    """

    first: Int[np.ndarray, " P"]
    last: Int[np.ndarray, " P"]
    strings: Int[np.ndarray, " P"]
    places: Int[np.ndarray, " P"]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Int[np.ndarray, " n"]) -> Segments:
        """Return some of the segments, in the order given."""
        return Segments(self.first[rows], self.last[rows], self.strings[rows], self.places[rows])

    @property
    def lengths(self) -> Int[np.ndarray, " P"]:
        """The number of characters of each segment."""
        return self.last - self.first

    @property
    def offsets(self) -> Int[np.ndarray, " P1"]:
        """``(P + 1,)``: where each segment begins when they are stored end to end, and where the last one ends."""
        return offsets_from_lengths(self.lengths)

    @property
    def positions(self) -> Int[np.ndarray, " T"]:
        """The positions of the corpus that the segments hold, segment by segment."""
        return np.concatenate([np.arange(a, b) for a, b in zip(self.first, self.last, strict=True)])


def cut_segments(corpus: Corpus, most: int) -> Segments:
    r"""Cut strings into segments of at most `most` characters, after the last line break in reach if there is one.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["ab", "cd\nefgh"])
    >>> cut = cut_segments(corpus, 4)
    >>> [corpus.strings[s][p : p + n] for s, p, n in zip(cut.strings, cut.places, cut.lengths)]
    ['ab', 'cd\n', 'efgh']
    """
    rows = []
    for string, (begin, end) in enumerate(zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True)):
        at = begin
        while at < end:
            cut = min(at + most, end)
            if cut < end:
                breaks = np.flatnonzero(corpus.text[at:cut] == _NEWLINE)
                cut = at + int(breaks[-1]) + 1 if len(breaks) else cut
            rows.append((at, cut, string, at - begin))
            at = cut
    first, last, strings, places = np.asarray(rows, np.int64).T
    return Segments(first, last, strings, places)


def choose_segments(
    segments: Segments,
    holds: Sequence[Bool[np.ndarray, " T"]],
    weights: Float[np.ndarray, " F"],
    characters: int,
) -> Int[np.ndarray, " n"]:
    """Choose segments with at most `characters` characters in total, at least one segment, in the order of the text.

    Half of the characters are chosen greedily: each segment is the one that adds the most examples per character,
    where a feature counts by its weight until it has held in two segments. The rest is spread evenly over the text.

    Parameters
    ----------
    segments
        What to choose from.
    holds
        bool ``(T,)`` for each feature: where it holds.
    weights
        ``(F,)``: the weight of an example of each feature.
    characters
        The limit.

    Returns
    -------
    Indices of the segments, in ascending order.
    """
    contains = np.zeros((len(segments), len(holds)))
    for place, on in enumerate(holds):
        before = np.concatenate([[0], np.cumsum(on)])
        contains[:, place] = before[segments.last] > before[segments.first]
    lengths, wanted = segments.lengths, np.full(len(holds), float(_EXAMPLES))
    taken = np.zeros(len(segments), bool)
    left = int(characters * _FOR_EXAMPLES)
    while len(holds):
        gain = np.where(taken | (lengths > left), 0.0, contains @ (weights * (wanted > 0)) / lengths)
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        taken[best] = True
        left -= int(lengths[best])
        wanted -= contains[best]
    room = characters - int(lengths[taken].sum())
    for row in _spread(len(segments)):
        if not taken[row] and (lengths[row] <= room or not taken.any()):
            taken[row] = True
            room -= int(lengths[row])
        if room <= 0:
            break
    return np.flatnonzero(taken)


def _spread(count: int) -> Int[np.ndarray, " P"]:
    """Order 0 ... count - 1 so that every prefix is spread evenly: by multiples of the golden ratio, modulo 1."""
    return np.argsort(np.arange(count) * _GOLDEN % 1, kind="stable")
