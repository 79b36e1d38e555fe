"""From files' texts to a corpus: which are taken, how they are cut, grouped and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dni_jax.languages._base import BaseLanguage, mask_unparsed
from dni_jax.languages._parse_result import ParseResult
from dni_jax.languages._parsing import ParseError
from dni_jax.languages.code._parsed_files import read_texts
from dni_jax.text import SPLITS, Corpus, Vocabulary, concatenate_trees, segment_corpus, split_groups

PIECE = 2_000  # characters that a network reads in one go
_FILES_TO_SPLIT = 10  # with fewer files, pieces are dealt to train, validation and test instead of files
_ENOUGH = 0.98  # of the characters asked for

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TextFile:
    """A file's name and text, or why it cannot be read."""

    name: str
    text: str
    error: str = ""

    @classmethod
    def decoded(cls, name: str, content: bytes) -> TextFile:
        r"""Read UTF-8 text; line ends become ``\\n``."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return cls(name, "", f"expected UTF-8 text, got {error}")
        return cls(name, text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True)
class Chosen:
    """The files that make a corpus, and those that cannot be read, with the reason."""

    files: tuple[TextFile, ...]
    failed: dict[str, str]

    @property
    def texts(self) -> list[str]:
        """The files' texts."""
        return [file.text for file in self.files]


def choose(files: Iterable[TextFile], max_chars: int | None) -> Chosen:
    """Take files in their order until there are `max_chars` characters.

    One that would go past is left out, but the first is always taken. Empty files are left out.
    """
    if max_chars is not None and max_chars < 1:
        raise ValueError(f"expected max_chars of at least 1, or None for everything, got {max_chars}")
    chosen: list[TextFile] = []
    failed: dict[str, str] = {}
    total = 0
    for file in files:
        if file.error:
            failed[file.name] = file.error
            continue
        if not file.text or (max_chars is not None and chosen and total + len(file.text) > max_chars):
            continue
        chosen.append(file)
        total += len(file.text)
        if max_chars is not None and total >= _ENOUGH * max_chars:
            break
    return Chosen(tuple(chosen), failed)


def read_chosen(language: BaseLanguage, chosen: Chosen, skip_unparsable: bool, progress: Progress) -> list[ParseResult]:
    """Parse the chosen files.

    Raises
    ------
    ParseError
        Where one does not parse and such are not to be skipped; names the file.
    """
    texts = chosen.texts
    total, done = sum(map(len, texts)), 0
    results = []
    for file, result in zip(chosen.files, read_texts(language, texts), strict=True):
        if not skip_unparsable:
            refuse(file, result)
        language.warn_if_ambiguous(result)
        results.append(result)
        done += len(file.text)
        progress(done, total)
    return results


def refuse(file: TextFile, result: ParseResult) -> None:
    """Raise where a file does not parse."""
    if result.error:
        raise ParseError(
            f"{file.name}: {result.error}\n"
            "(skip_unparsable=True, or --skip-unparsable, keeps what does not parse as text without labels)"
        )


def assemble(
    language: str,
    texts: Sequence[str],
    results: Sequence[ParseResult],
    max_symbols: int,
    seed: int,
    coverage: dict[str, Any],
) -> Corpus:
    """Lay texts end to end, cut them into pieces, group and split them; complete the coverage."""
    trees = concatenate_trees([result.trees for result in results])
    whole = mask_unparsed(Corpus.from_strings(texts, trees=trees, language=language), results)
    vocabulary = Vocabulary.from_text(whole.text, max_symbols)
    pieces = segment_corpus(whole, PIECE)
    sizes = np.diff(pieces.offsets)
    groups, split = pieces.groups, split_groups(pieces.groups, sizes, seed)
    # A few large files may leave a single one, or none, to be tested on.
    by_file = len(texts) >= _FILES_TO_SPLIT and len(np.unique(groups[split == SPLITS.index("test")])) > 1
    if not by_file:
        groups = np.arange(len(pieces), dtype=np.int32)
        split = split_groups(groups, sizes, seed)
    known = np.isin(whole.text, [ord(c) for c in vocabulary.characters])
    return replace(
        pieces,
        vocabulary=vocabulary,
        groups=groups,
        split=split,
        coverage={**coverage, "replaced": int((~known).sum()), "groups": "files" if by_file else "pieces"},
    )
