"""A few thousand characters of a run's text with every state and label, small enough for a web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, Int8, UInt8

from dni_jax.app.report._stretches import Stretches, chosen_stretches, stretches_of
from dni_jax.features import Labels
from dni_jax.files import atomic_write
from dni_jax.inspection import best_per_feature
from dni_jax.text import Corpus, to_string

_LEVELS = 127  # of an int8 on either side of 0
_SHADES = 255  # of a uint8
_BEST = 3  # neurons of each feature that stay where not all can


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Stretches of text with the states and labels of their characters.

    All stretches lie end to end on one axis T, as in a `Corpus`.

    Attributes
    ----------
    text
        uint32 ``(T,)``: the code points.
    offsets
        int64 ``(S + 1,)``: stretch ``s`` is ``text[offsets[s]:offsets[s + 1]]``.
    strings, starts
        int64 ``(S,)``: the string of the corpus that each stretch is from, and the place in it where it starts.
    hidden, scale
        int8 ``(T, N)`` and float32 ``(N,)``: the states, ``hidden * scale``. The scale is a neuron's greatest absolute
        state in the excerpt over 127.
    neurons, n_neurons
        int64 ``(N,)``: the numbers of the neurons kept; and how many the network has.
    labels
        uint8 ``(T, F)``: 0 or 1 of a binary feature; of a continuous one ``low + labels / 255 * (high - low)``.
    low, high
        float32 ``(F,)``: the range of a continuous feature over the whole corpus; 0 and 1 of a binary one.
    names, kinds
        The features' names, and ``"binary"`` or ``"continuous"``.
    known
        bool ``(T,)``: False where a character could not be labelled, or has no state.
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
            f"Excerpt({len(self.text):,} characters in {len(self)} stretches, {len(self.neurons)} of "
            f"{self.n_neurons} neurons, {len(self.names)} features)"
        )

    @property
    def stretches(self) -> tuple[str, ...]:
        """The text of each stretch."""
        whole = to_string(self.text)
        return tuple(whole[a:b] for a, b in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True))

    def save(self, path: str | Path) -> None:
        """Write all of it as ``.npz``; the file appears whole or not at all."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        with atomic_write(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Excerpt:
        """Read what `save` has written.

        Raises
        ------
        ValueError
            Where the file is missing or is no excerpt.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                arrays: dict[str, Any] = {name: held[name] for name in cls.__dataclass_fields__}
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
    most_neurons: int = 256,
    most_in_a_stretch: int = 240,
) -> Excerpt:
    """Choose some text that shows what the network knows, and pack its states and labels.

    Short strings are taken whole, long ones in stretches that end with a line. At most half of the characters are
    chosen to give as many features as possible two examples each; the others are spread evenly over the corpus.

    Parameters
    ----------
    corpus
        Text that the network was not trained on.
    states
        ``Activations`` of the corpus, or an array ``(T, N)``.
    labels
        Of the same corpus.
    characters
        How many to take at most; at least one stretch is taken, whatever its length.
    relevance
        From `dni_jax.inspect`. With it features count by how well they are known, and the best three neurons of each
        stay where not all can.
    most_neurons
        Keep at most so many neurons; a network with more needs `relevance`.
    most_in_a_stretch
        Strings longer than this are cut.

    Raises
    ------
    ValueError
        Where corpus, states and labels do not fit each other, states are not finite, a limit is below 1, or there are
        more neurons than can be kept and no `relevance` to choose by.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(1)", "00(1(2))"])
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> states = np.linspace(-1, 1, corpus.n_positions)[:, None] * [1.0, 0.5]
    >>> excerpt = make_excerpt(corpus, states, labels, characters=12)
    >>> excerpt
    Excerpt(7 characters in 2 stretches, 2 of 2 neurons, 1 features)
    >>> excerpt.stretches, excerpt.labels[:4, 0].tolist()
    (('0(1)', '(1)'), [1, 0, 1, 0])
    """
    hidden = np.asarray(getattr(states, "hidden", states))
    _check(corpus, hidden, labels, characters, most_neurons, most_in_a_stretch)
    parts = stretches_of(corpus, most_in_a_stretch)
    known = labels.mask if getattr(states, "mask", None) is None else labels.mask & states.mask
    weights = _weights(labels, relevance)
    chosen = chosen_stretches(parts, [_on(c, k) & known for c, k in _columns(labels)], weights, characters)
    kept = _kept_neurons(hidden.shape[1], labels, relevance, most_neurons)
    return _packed(corpus, hidden, labels, known, parts.take(chosen), kept)


def best_neurons(relevance: xr.Dataset, most: int) -> Int[np.ndarray, " N"]:
    """Give the best neuron of every feature, then the second and third ones; at most so many, by number."""
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
        raise ValueError(f"expected characters, most_neurons and most_in_a_stretch of at least 1, got {limits}")


def _columns(labels: Labels) -> list[tuple[np.ndarray, str]]:
    return list(zip(labels.columns, labels.kinds, strict=True))


def _on(column: np.ndarray, kind: str) -> np.ndarray:
    """Where a feature holds; a continuous one, above the middle of its range."""
    if kind == "binary":
        return column == 1
    return column > (float(column.min()) + float(column.max())) / 2


def _weights(labels: Labels, relevance: xr.Dataset | None) -> Float[np.ndarray, " F"]:
    """How much an example of each feature is worth: as much as is known of it."""
    if relevance is None:
        return np.ones(len(labels))
    best = best_per_feature(relevance, 1, by="auc").set_index("feature")["strength"]
    return np.asarray([max(float(best.get(name, 0.0)), 0.0) for name in labels.names])


def _kept_neurons(n_neurons: int, labels: Labels, relevance: xr.Dataset | None, most: int) -> Int[np.ndarray, " N"]:
    if n_neurons <= most:
        return np.arange(n_neurons)
    if relevance is None:
        raise ValueError(
            f"expected relevance= to choose {most} of {n_neurons} neurons by, got none: pass what dni.inspect found, "
            "or raise most_neurons"
        )
    return best_neurons(relevance, most)


def _packed(
    corpus: Corpus,
    hidden: np.ndarray,
    labels: Labels,
    known: Bool[np.ndarray, " T"],
    parts: Stretches,
    kept: Int[np.ndarray, " N"],
) -> Excerpt:
    at = parts.positions
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
        offsets=parts.offsets,
        strings=parts.strings,
        starts=parts.places,
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
