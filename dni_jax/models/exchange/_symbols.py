"""The symbols of an imported network: its codes, and how a string becomes a sequence of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int


class Units(NamedTuple):
    """One string as its network reads it.

    Attributes
    ----------
    codes
        int32 ``(n,)``.
    ends
        int64 ``(n,)``: the last character of each unit, counted in the string.
    """

    codes: Int[np.ndarray, " n"]
    ends: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Symbols:
    """What each code stands for.

    Attributes
    ----------
    codes
        The code of each symbol's text.
    n_codes
        How many codes the network reads.
    unknown
        The code of everything else; None: it is refused.
    split
        How a string is cut into symbols: ``split(string)`` returns their texts in order, and what is between them
        (spaces) is not read. None: into characters.
    tokenizer
        A Hugging Face tokenizer, or a function ``string -> (codes, offsets)``; it then does all of this.
    """

    codes: Mapping[str, int]
    n_codes: int
    unknown: int | None = None
    split: Callable[[str], Sequence[str]] | None = None
    tokenizer: Any = None

    @property
    def reads_characters(self) -> bool:
        """Whether every unit is one character."""
        return self.split is None and self.tokenizer is None

    @property
    def names(self) -> tuple[str | None, ...]:
        """The text of each code; None for a code without one (padding, begin, end)."""
        texts: list[str | None] = [None] * self.n_codes
        for text, code in self.codes.items():
            if 0 <= code < self.n_codes:
                texts[code] = text
        return tuple(texts)

    def read(self, string: str, number: int) -> Units:
        """Return a string's units; `number` is the string's, for the message.

        Raises
        ------
        ValueError
            For a symbol without a code, and a tokenizer whose offsets leave the string.
        """
        if self.tokenizer is not None:
            return _tokens(self.tokenizer, string, number, self.n_codes)
        if self.split is None:
            texts, ends = list(string), np.arange(len(string))
        else:
            texts, ends = _split(self.split, string, number)
        codes = np.asarray([self.codes.get(text, -1) for text in texts], np.int32)
        if (codes < 0).any():
            if self.unknown is None:
                first = int((codes < 0).argmax())
                raise ValueError(
                    f"expected symbols that the network has a code for, got {texts[first]!r} at character "
                    f"{ends[first]} of "
                    f"string {number}: remove it from the text, or name the code of unknown symbols with unknown="
                )
            codes[codes < 0] = self.unknown
        return Units(codes, ends)


def make_symbols(
    characters: Any, n_codes: int, unknown: int | None, split: Callable[[str], Sequence[str]] | None
) -> Symbols:
    """Return the symbols that a user describes.

    Parameters
    ----------
    characters
        The symbols in the order of the codes, ``None`` for a code without text; a dict ``{symbol: code}``; or a
        tokenizer.
    n_codes
        How many codes the network reads.
    unknown, split
        See `Symbols`.

    Raises
    ------
    ValueError
        For codes out of range, symbols that occur twice, and symbols of several characters without `split`.
    """
    if unknown is not None and not 0 <= unknown < n_codes:
        raise ValueError(f"expected unknown to be a code from 0 to {n_codes - 1}, got {unknown}")
    if isinstance(characters, Mapping):
        codes = {str(text): int(code) for text, code in characters.items()}
        outside = {text: code for text, code in codes.items() if not 0 <= code < n_codes}
        if outside or len(set(codes.values())) < len(codes):
            wrong = f"got {outside}" if outside else "got a code that two symbols share"
            raise ValueError(f"expected each symbol to have a code of its own from 0 to {n_codes - 1}, {wrong}")
        return Symbols(codes, n_codes, unknown, split)
    if callable(characters) or (hasattr(characters, "encode") and not isinstance(characters, (str, Sequence))):
        if split is not None or unknown is not None:
            raise ValueError("expected neither split= nor unknown= with a tokenizer, which does both, got one of them")
        return Symbols({}, n_codes, tokenizer=characters)
    texts = list(characters)
    if len(texts) != n_codes:
        raise ValueError(
            f"expected as many characters as the network has symbols, got {len(texts)} characters, {n_codes} input "
            "symbols: write None for a code that stands for no character"
        )
    named = [text for text in texts if text is not None]
    if len(set(named)) < len(named):
        raise ValueError("expected different symbols, got the same one twice")
    return Symbols({text: code for code, text in enumerate(texts) if text is not None}, n_codes, unknown, split)


def _split(split: Callable[[str], Sequence[str]], string: str, number: int) -> tuple[list[str], np.ndarray]:
    texts, ends, start = list(split(string)), [], 0
    for text in texts:
        place = string.find(text, start)
        if place < 0 or not text:
            raise ValueError(
                f"expected split to cut string {number} into parts of it, in order, got {text!r}, which does not "
                "follow "
                f"character {start}"
            )
        start = place + len(text)
        ends.append(start - 1)
    return texts, np.asarray(ends, np.int64)


def _tokens(tokenizer: Any, string: str, number: int, n_codes: int) -> Units:
    """Return a tokenizer's tokens that hold characters; special tokens are named by begin= and end=."""
    if hasattr(tokenizer, "encode_batch"):  # the tokenizers package
        found = tokenizer.encode(string, add_special_tokens=False)
        codes, offsets = found.ids, found.offsets
    elif hasattr(tokenizer, "convert_tokens_to_ids"):  # transformers
        found = tokenizer(string, add_special_tokens=False, return_offsets_mapping=True)
        codes, offsets = found["input_ids"], found["offset_mapping"]
    else:
        codes, offsets = tokenizer(string)
    codes, offsets = np.asarray(codes, np.int32).reshape(-1), np.asarray(offsets, np.int64).reshape(-1, 2)
    if len(codes) != len(offsets) or (len(codes) and not 0 <= codes.min() <= codes.max() < n_codes):
        raise ValueError(
            f"expected a tokenizer that returns codes from 0 to {n_codes - 1} and as many offsets, got {len(codes)} "
            "codes "
            f"and {len(offsets)} offsets of string {number}"
        )
    inside = offsets[:, 1] > offsets[:, 0]
    ends = offsets[inside, 1] - 1
    if len(ends) and (ends.max() >= len(string) or (np.diff(ends) < 0).any()):
        raise ValueError(
            f"expected offsets from left to right inside string {number}, of {len(string)} characters, got ends "
            f"{ends + 1}"
        )
    return Units(codes[inside], ends)
