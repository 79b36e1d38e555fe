"""Texts sampled from an imported network, symbol by symbol, each read as the network reads any text."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from dni_jax.characters import UNKNOWN
from dni_jax.interventions import Bound, Intervention
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._reading import initial_carries_of, lay_prefixes
from dni_jax.text import Corpus

_END = "\n"  # shown where a string ends
_FLOOR = 1e-30  # of a probability whose logarithm is taken


def write_texts(
    model: ImportedModel,
    intervention: Intervention | None,
    uniforms: Float[np.ndarray, "length n"],
    temperature: float,
    prime: str,
) -> list[str]:
    """Sample n texts of so many symbols each; see `dni_jax.generate`.

    The network reads everything again for each symbol: a readout may depend on all that was read, and a window moves.

    Raises
    ------
    ValueError
        For a network that does not predict the next symbol, reads backwards, or has nothing to begin with.
    """
    length, n = uniforms.shape
    primed = _check(model, prime, length)
    bound = model.bind(intervention, len(primed) + length)
    initial = initial_carries_of(model.reading, model.stack, Corpus.from_strings(["-"]))
    texts = np.concatenate([np.tile(primed, (n, 1)), np.zeros((n, length), np.int32)], axis=1)
    starts = np.zeros(n, np.int64)  # where each text's current string begins
    stops = np.full(n, texts.shape[1])
    for step, draws in enumerate(uniforms):
        place = len(primed) + step
        chances = _next_chances(model, texts[:, :place], starts, bound, initial, temperature)
        texts[:, place] = _sample(chances, draws, temperature)
        ended = texts[:, place] == model.reading.end
        if model.reading.before:
            starts = np.where(ended, place + 1, starts)
        else:  # there is nothing that another string could begin with
            stops = np.where(ended, np.minimum(stops, place), stops)
    return [_spell(model, row[:stop]) for row, stop in zip(texts, stops.tolist(), strict=True)]


def _check(model: ImportedModel, prime: str, length: int) -> Int[np.ndarray, " P"]:
    """Return the codes of `prime`."""
    readout, reading = model.readout, model.reading
    if readout is None:
        raise ValueError(
            "expected a network with an output to generate with, got one without a head: pass readout=, a function of "
            "its states, when you import it"
        )
    if readout.per != "symbol" or readout.output == "values":
        raise ValueError(
            f"expected a network that predicts the next symbol, got {readout.output} per {readout.per}: such a network "
            "can be verified, with targets="
        )
    if not model.stack.reads_forward:
        raise ValueError(
            f"expected a network that reads from left to right, got {model!r}: what it predicts depends on the symbols "
            "that would come later"
        )
    if callable(model.symbols.tokenizer) and not hasattr(model.symbols.tokenizer, "decode"):
        raise ValueError(
            "expected symbols with a text, or a tokenizer with decode(codes), to generate with, got a function that "
            "only encodes: pass the tokenizer itself, or a dict {symbol: code} with split="
        )
    if callable(reading.initial_state) or any(np.ndim(each) > 1 for each in jax.tree.leaves(reading.initial_state)):
        raise ValueError(
            "expected an initial_state that is the same for all strings to generate with, got one for each string of a "
            "corpus: take the network over with the state that the texts are to begin from"
        )
    if not prime and not reading.before:
        raise ValueError("expected prime= for a network without a code that begins strings, got none")
    primed = model.symbols.read(prime, 0).codes if prime else np.zeros(0, np.int32)
    most = len(reading.before) + len(primed) + length - 1
    if reading.length is not None and most > reading.length:
        raise ValueError(
            f"expected texts of at most length={reading.length} symbols, as the network was trained with, got {most} "
            "to read: generate fewer"
        )
    return primed


def _next_chances(
    model: ImportedModel,
    texts: Int[np.ndarray, "n t"],
    starts: Int[np.ndarray, " n"],
    bound: Bound,
    initial: Any,
    temperature: float,
) -> Float[np.ndarray, "n V"]:
    """Return the probabilities of the next symbol of each text, from the string that it is in."""
    rows = lay_prefixes(model.reading, texts, starts)
    part = model.run_rows(rows, initial, rows.bound(bound), with_outputs=True)
    outputs = np.asarray(part.outputs, np.float64)  # one for each text: only its last symbol counts
    if outputs.shape[1] != model.stack.n_symbols:
        raise ValueError(
            f"expected an output for each of the {model.stack.n_symbols} symbols to generate with, got "
            f"{outputs.shape[1]}: the network predicts something else than its next symbol"
        )
    if model.readout is not None and model.readout.output == "probabilities":
        outputs = np.log(np.maximum(outputs, _FLOOR))
    scaled = outputs / (temperature or 1.0)
    chances = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def _sample(
    chances: Float[np.ndarray, "n V"], draws: Float[np.ndarray, " n"], temperature: float
) -> Int[np.ndarray, " n"]:
    if temperature == 0:
        return chances.argmax(axis=1)
    below = (chances.cumsum(axis=1) <= draws[:, None]).sum(axis=1)
    # Rounding may leave the last sum below 1: then the last symbol that is possible at all.
    last = chances.shape[1] - 1 - (chances[:, ::-1] > 0).argmax(axis=1)
    return np.minimum(below, last)


def _spell(model: ImportedModel, codes: Int[np.ndarray, " t"]) -> str:
    """Return a text: its strings, each ended by a line break."""
    end = model.reading.end
    cuts = np.flatnonzero(codes == end) if end is not None else np.zeros(0, np.int64)
    parts = np.split(codes, cuts)
    return _END.join(_join(model, part if place == 0 else part[1:]) for place, part in enumerate(parts))


def _join(model: ImportedModel, codes: Int[np.ndarray, " t"]) -> str:
    symbols = model.symbols
    if symbols.tokenizer is not None:
        return str(symbols.tokenizer.decode(codes.tolist()))
    names = symbols.names
    texts = [UNKNOWN if (text := names[code]) is None else text for code in codes.tolist()]
    return ("" if symbols.split is None else " ").join(texts)
