"""A corpus: strings stored end to end, with their codes, parse trees, groups and split."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer

from dni_jax.html import Markup, card, code, facts, symbols, table
from dni_jax.text._ragged import concatenate_ranges, exclusive_sum, offsets_from_lengths, row_ids
from dni_jax.text._trees import ParseTrees
from dni_jax.text._vocabulary import Vocabulary, to_code_points, to_string

SPLITS = ("train", "validation", "test")
_HASHED_AT_ONCE = 1 << 20  # characters
_SHOWN, _WIDTH = 5, 80  # strings, and characters of each, shown in a notebook


@dataclass(frozen=True, eq=False)
class Corpus:
    """Strings of one language.

    All characters of the corpus form one axis of positions T: the characters of the first string, then those of the
    second, and so on. States, labels and folds use this axis. The network reads a boundary symbol before each string
    that begins (``begins``) and predicts one after each string that ends (``ends``). The boundary has no position.

    Attributes
    ----------
    text
        uint32 ``(T,)``: the code points.
    offsets
        int64 ``(S + 1,)``: string ``s`` is ``text[offsets[s]:offsets[s + 1]]``.
    vocabulary
        The symbols; the same for all splits.
    trees
        The parse trees; None if nothing was parsed.
    groups
        int32 ``(S,)``: strings with the same number belong together (to one file, say); no group is divided between
        folds.
    split
        int8 ``(S,)``: 0 train, 1 validation, 2 test.
    begins, ends
        bool ``(S,)``: False where a string is a segment whose text continues before, or after, it.
    language
        The language's name.
    coverage
        How much was read, parsed and left out, as counts.
    parsed
        bool ``(T,)``: False where a character could not be parsed. Such a character has no labels and counts in no
        score, but the network reads it. None if every character was parsed.
    records
        Further values of every character, by name: arrays ``(T,)``. They hold what cannot be computed from segments
        of a string, such as a parser's states.
    """

    text: Integer[np.ndarray, " T"]
    offsets: Int[np.ndarray, " S1"]
    vocabulary: Vocabulary
    trees: ParseTrees | None
    groups: Int[np.ndarray, " S"]
    split: Int[np.ndarray, " S"]
    begins: Bool[np.ndarray, " S"]
    ends: Bool[np.ndarray, " S"]
    language: str = "text"
    coverage: Mapping[str, Any] = field(default_factory=dict)
    parsed: Bool[np.ndarray, " T"] | None = None
    records: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_strings(
        cls,
        strings: Sequence[str],
        *,
        trees: ParseTrees | None = None,
        groups: Sequence[int] | None = None,
        vocabulary: Vocabulary | None = None,
        language: str = "text",
        seed: int = 0,
    ) -> Corpus:
        """Make a corpus of whole strings, split at random into 80 : 10 : 10 by group.

        Raises
        ------
        ValueError
            If there is no string, an empty one, or one string in place of a list.

        Examples
        --------
        >>> corpus = Corpus.from_strings(["0(1)", "00(1)", "(11)"])
        >>> len(corpus), corpus.n_positions, corpus.strings[1]
        (3, 13, '00(1)')
        """
        if isinstance(strings, str):
            raise ValueError(f"expected a list of strings, got one string, {strings[:20]!r}: write [text]")
        if not strings:
            raise ValueError("expected at least one string, got an empty corpus")
        lengths = np.asarray([len(string) for string in strings], np.int64)
        if (lengths == 0).any():
            raise ValueError(
                f"expected strings of at least one character, got an empty one at index {lengths.argmin()}"
            )
        text = to_code_points("".join(strings))
        return cls.from_flat(
            text,
            offsets_from_lengths(lengths),
            trees=trees,
            groups=None if groups is None else np.asarray(groups, np.int32),
            vocabulary=vocabulary,
            language=language,
            seed=seed,
        )

    @classmethod
    def from_flat(
        cls,
        text: Integer[np.ndarray, " T"],
        offsets: Int[np.ndarray, " S1"],
        *,
        trees: ParseTrees | None,
        groups: Int[np.ndarray, " S"] | None = None,
        vocabulary: Vocabulary | None = None,
        language: str = "text",
        coverage: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Corpus:
        """Make a corpus of strings that are stored end to end already."""
        n_strings = len(offsets) - 1
        groups = np.arange(n_strings, dtype=np.int32) if groups is None else groups
        whole = np.ones(n_strings, bool)
        return cls(
            text=text,
            offsets=offsets,
            vocabulary=vocabulary or Vocabulary.from_text(text),
            trees=trees,
            groups=groups,
            split=split_groups(groups, np.diff(offsets), seed),
            begins=whole,
            ends=whole,
            language=language,
            coverage=coverage or {},
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {int((self.split == i).sum())}" for i, name in enumerate(SPLITS))
        return (
            f"Corpus({self.language}: {len(self):,} strings, {self.n_positions:,} characters, "
            f"{len(self.vocabulary)} symbols; {sizes})"
        )

    def _repr_html_(self) -> str:
        unparsed = 0 if self.parsed is None else int((~self.parsed).sum())
        rows: dict[str, Any] = {
            "strings": len(self),
            "characters": self.n_positions,
            "symbols": symbols(self.vocabulary.characters),
            "parse trees": "none" if self.trees is None else f"{len(self.trees.rule):,} nodes",
        }
        if unparsed:
            rows["not parsed"] = f"{unparsed:,} characters ({unparsed / self.n_positions:.2%}): without labels"
        lengths = np.diff(self.offsets)
        sizes = [
            (name, int((self.split == n).sum()), int(lengths[self.split == n].sum())) for n, name in enumerate(SPLITS)
        ]
        first = [(s, SPLITS[self.split[s]], self._excerpt(s)) for s in range(min(_SHOWN, len(self)))]
        split = table(["split", "strings", "characters"], sizes)
        return card(f"Corpus of {self.language}", facts(rows), split, table(["", "split", "string"], first, len(self)))

    def _excerpt(self, string: int) -> Markup:
        first, last = self.offsets[string : string + 2].tolist()
        return code(to_string(self.text[first : min(last, first + _WIDTH)]), last - first)

    @property
    def n_positions(self) -> int:
        """The number of characters T."""
        return len(self.text)

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """The strings."""
        whole = to_string(self.text)
        bounds = self.offsets.tolist()
        return tuple(whole[first:last] for first, last in itertools.pairwise(bounds))

    @cached_property
    def text_digest(self) -> bytes:
        """16 bytes that tell texts apart; the same for the same characters, however they are cut into strings."""
        digest = hashlib.blake2b(digest_size=16)
        for first in range(0, len(self.text), _HASHED_AT_ONCE):
            digest.update(self.text[first : first + _HASHED_AT_ONCE].astype(np.uint32).tobytes())
        return digest.digest()

    @cached_property
    def flat_codes(self) -> Int[np.ndarray, " T"]:
        """int32 ``(T,)``: the codes of all characters."""
        return self.vocabulary.encode(self.text)

    @cached_property
    def string_ids(self) -> Int[np.ndarray, " T"]:
        """int32 ``(T,)``: the string of each position."""
        return row_ids(self.offsets).astype(np.int32)

    @cached_property
    def position_in_string(self) -> Int[np.ndarray, " T"]:
        """int64 ``(T,)``: the number of characters before each position in its string."""
        return np.arange(self.n_positions) - self.offsets[self.string_ids]

    @cached_property
    def position_groups(self) -> Int[np.ndarray, " T"]:
        """int32 ``(T,)``: the group of each position."""
        return self.groups[self.string_ids]

    @cached_property
    def mask(self) -> Bool[np.ndarray, "S L"]:
        """bool ``(S, L)``: True where `codes` holds a character, False where it is padding."""
        lengths = np.diff(self.offsets)
        return np.arange(lengths.max())[None, :] < lengths[:, None]

    @cached_property
    def codes(self) -> Int[np.ndarray, "S L"]:
        """int32 ``(S, L)``: the codes string by string, padded with 0."""
        codes = np.zeros(self.mask.shape, np.int32)
        codes[self.mask] = self.flat_codes
        return codes

    def take(self, strings: Int[np.ndarray, " n"]) -> Corpus:
        """Return a corpus of some of the strings, in the order given.

        Raises
        ------
        ValueError
            If no string is chosen.
        """
        if len(strings) == 0:
            raise ValueError("expected at least one string, got none: the corpus is too small for this split")
        lengths = np.diff(self.offsets)[strings]
        positions = concatenate_ranges(self.offsets[strings], lengths)
        return replace(
            self,
            text=self.text[positions],
            offsets=offsets_from_lengths(lengths),
            trees=None if self.trees is None else self.trees.take(strings),
            groups=self.groups[strings],
            split=self.split[strings],
            begins=self.begins[strings],
            ends=self.ends[strings],
            parsed=None if self.parsed is None else self.parsed[positions],
            records={name: record[positions] for name, record in self.records.items()},
        )

    @property
    def train(self) -> Corpus:
        """The strings to train on."""
        return self.take(np.flatnonzero(self.split == 0))

    @property
    def validation(self) -> Corpus:
        """The strings that decide when training stops."""
        return self.take(np.flatnonzero(self.split == 1))

    @property
    def test(self) -> Corpus:
        """The strings used neither for training nor for stopping."""
        return self.take(np.flatnonzero(self.split == 2))

    def shuffle(self, seed: int) -> Corpus:
        """Return the strings in random order."""
        return self.take(np.random.default_rng(seed).permutation(len(self)))

    def head(self, n_positions: int) -> Corpus:
        """Return the first strings, at least one, with at most `n_positions` characters in total."""
        count = int(np.searchsorted(self.offsets, n_positions, side="right")) - 1
        return self.take(np.arange(max(count, 1)))


def check_corpus(value: Any) -> None:
    """Raise a ValueError unless the value is a Corpus.

    Raises
    ------
    ValueError
        With how to make one.
    """
    if not isinstance(value, Corpus):
        raise ValueError(
            f"expected a Corpus, got {type(value).__name__}: make one with dni.Corpus.from_strings(list_of_strings), "
            "language.corpus(list_of_strings) or language.sample(n)"
        )


def split_groups(groups: Int[np.ndarray, " S"], lengths: Int[np.ndarray, " S"], seed: int) -> Int[np.ndarray, " S"]:
    """Assign whole groups to train, validation and test, 80 : 10 : 10 by characters, at least one group each.

    With fewer than three groups everything is training text.

    Parameters
    ----------
    groups, lengths
        The group and the number of characters of each string.
    seed
        Decides which groups.

    Returns
    -------
    int8 ``(S,)``: 0 train, 1 validation, 2 test.
    """
    names, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index, weights=lengths)
    if len(names) < 3:
        return np.zeros(len(groups), np.int8)
    order = np.random.default_rng(seed).permutation(len(names))
    before = exclusive_sum(sizes[order]) / sizes.sum()  # the fraction of the text in the groups before each one
    assigned = np.where(before < 0.1, 2, np.where(before < 0.2, 1, 0)).astype(np.int8)
    if len(np.unique(assigned)) < 3:  # few groups, or one that holds most of the text
        assigned[:] = 0
        assigned[:2] = 2, 1
    split = np.empty(len(names), np.int8)
    split[order] = assigned
    return split[index]
