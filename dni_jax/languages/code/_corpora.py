"""Corpora of text files: choose files, parse them, cut them into segments, group and split them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dni_jax.languages._base import BaseLanguage, mask_unparsed
from dni_jax.languages._parsing import ParseError, ParseResult
from dni_jax.languages.code._files import TextFile
from dni_jax.languages.code._parallel import parse_texts
from dni_jax.text import SPLITS, Corpus, Vocabulary, concatenate_trees, segment_corpus, split_groups

SEGMENT = 2_000  # characters that a network reads at a time, at most
_FEW, _SEGMENTS = 5_000, 20  # a text of so many characters or more is cut into at least so many segments
_FILES_TO_SPLIT = 10  # with fewer files, the splits consist of segments instead of files
_ENOUGH = 0.98  # of the requested characters

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ChosenFiles:
    """The files that make a corpus, and the errors of those that cannot be read, by name."""

    files: tuple[TextFile, ...]
    failed: dict[str, str]

    @property
    def texts(self) -> list[str]:
        """The files' texts."""
        return [file.text for file in self.files]


def choose_files(files: Iterable[TextFile], max_chars: int | None, language: BaseLanguage) -> ChosenFiles:
    """Take files in their order until they have `max_chars` characters.

    A file that would exceed the number is left out, unless it is the first, which is cut: after a line, where its
    beginning parses. Empty files are left out, and so is a first file of which no beginning parses.
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
        if max_chars is not None and len(file.text) > max_chars:
            beginning = cut_text(language, file.text, max_chars)
            if not beginning:
                failed[file.name] = (
                    f"expected at most {max_chars:,} characters (--characters), got {len(file.text):,}, of which no "
                    "beginning parses: raise the number, or split the file"
                )
                continue
            file = TextFile(file.name, beginning)
        chosen.append(file)
        total += len(file.text)
        if max_chars is not None and total >= _ENOUGH * max_chars:
            break
    return ChosenFiles(tuple(chosen), failed)


def cut_text(language: BaseLanguage, text: str, most: int) -> str:
    r"""Return the longest beginning of a text that parses, of a few that have at most so many characters.

    Beginnings end before a line that is not indented, or else before any line, or else anywhere. The result is empty
    if none of those tried parses. A language that parses a text in parts needs to parse only some of them.

    Examples
    --------
    >>> from dni_jax.languages import Language
    >>> sums = Language.from_lark('start: sum*\nsum: /[0-9]/ ("+" /[0-9]/)* ";"\n%ignore /\\s/')
    >>> cut_text(sums, "1+2;\n3 +\n  4;\n5;", 12)
    '1+2;\n'
    """
    lines = [found.end() for found in re.finditer(r"\n", text[:most])]
    flush = [end for end in lines if not text[end : end + 1].isspace()]
    tried: list[int] = []
    for ends in (flush, lines, [most]):
        # The last ones, and some that are further and further away: the cut may lie in a long string or list.
        near = [ends[-step] for step in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256) if step <= len(ends)]
        tried += [end for end in near if end not in tried]
    for end in tried:
        result = language.try_parse(text[:end])
        if not result.error or result.unparsed.tolist() != [[0, end]]:
            return text[:end]
    return ""


def parse_files(
    language: BaseLanguage, chosen: ChosenFiles, skip_unparsable: bool, progress: Progress
) -> list[ParseResult]:
    """Parse the chosen files.

    Raises
    ------
    ParseError
        If a file does not parse and `skip_unparsable` is False; the message names the file.
    """
    texts = chosen.texts
    total, done = sum(map(len, texts)), 0
    results = []
    for file, result in zip(chosen.files, parse_texts(language, texts), strict=True):
        if not skip_unparsable:
            raise_if_failed(file, result)
        language.warn_if_ambiguous(result)
        results.append(result)
        done += len(file.text)
        progress(done, total)
    return results


def raise_if_failed(file: TextFile, result: ParseResult) -> None:
    """Raise a `ParseError` if a file does not parse."""
    if result.error:
        raise ParseError(
            f"{file.name}: {result.error}\n"
            "(skip_unparsable=True, or --skip-unparsable, keeps what does not parse as text without labels)"
        )


def make_corpus(
    language: str,
    texts: Sequence[str],
    results: Sequence[ParseResult],
    max_symbols: int,
    seed: int,
    coverage: dict[str, Any],
) -> Corpus:
    """Make a corpus of parsed texts, cut into segments, grouped and split by file if there are enough files."""
    trees = concatenate_trees([result.trees for result in results])
    whole = mask_unparsed(Corpus.from_strings(texts, trees=trees, language=language), results)
    vocabulary = Vocabulary.from_text(whole.text, max_symbols)
    segments = segment_corpus(whole, SEGMENT)
    sizes = np.diff(segments.offsets)
    groups, split = segments.groups, split_groups(segments.groups, sizes, seed)
    # If a few large files hold most of the text, the test split may consist of one file, or of none.
    by_file = len(texts) >= _FILES_TO_SPLIT and len(np.unique(groups[split == SPLITS.index("test")])) > 1
    if not by_file and len(segments) < _SEGMENTS and whole.n_positions >= _FEW:
        # So few would leave one to test on, which cannot be divided into folds.
        segments = segment_corpus(whole, whole.n_positions // _SEGMENTS)
        sizes = np.diff(segments.offsets)
    if not by_file:
        groups = np.arange(len(segments), dtype=np.int32)
        split = split_groups(groups, sizes, seed)
    known = np.isin(whole.text, [ord(c) for c in vocabulary.characters])
    return replace(
        segments,
        vocabulary=vocabulary,
        groups=groups,
        split=split,
        coverage={**coverage, "replaced": int((~known).sum()), "groups": "files" if by_file else "segments"},
    )


def load_text(
    language: BaseLanguage,
    files: Sequence[str | Path],
    *,
    max_chars: int | None = None,
    max_symbols: int = 128,
    seed: int = 0,
    skip_unparsable: bool = False,
    parser_states: bool = False,
    progress: Progress = lambda done, total: None,
) -> Corpus:
    r"""Read and parse text files into a corpus.

    Files are taken in random order until they have `max_chars` characters. A file that would exceed the number is
    left out, unless it is the first, of which a beginning that parses is read. Each file is cut, after line breaks
    where possible, into segments of at most 2,000 characters (fewer, if the text has less than 20 times as many) that
    share one group. With fewer than ten files, or if a few files hold most of the text, each segment is a group of its
    own. Line ends are read as ``\\n``; all but the `max_symbols` most frequent symbols are read as U+FFFD.

    Long texts are parsed on all cores. Parsed texts are kept in the user's cache folder (``$DNI_JAX_CACHE``, else
    ``$XDG_CACHE_HOME/dni_jax``, else ``~/.cache/dni_jax``; at most 1 GiB), so that a second run does not parse again;
    `dni_jax.languages.clear_cache` empties it.

    Parameters
    ----------
    language
        Parses the files.
    files
        Their paths.
    max_chars
        How many characters to read at most; None reads everything.
    max_symbols
        The size of the vocabulary.
    seed
        Decides the order of the files and the split.
    skip_unparsable
        Whether a file that does not parse is kept as text without labels (``Corpus.parsed`` is False there) and
        listed in the coverage, instead of raising an error.
    parser_states
        Whether to record the states of the language's shift-reduce parser, as `Language.add_parser_states` does.
    progress
        Called with the number of characters parsed so far and the number to parse.

    Returns
    -------
    Corpus whose ``coverage`` has ``files`` (parsed or failed), ``files_parsed``, ``characters`` (of these files),
    ``characters_parsed``, ``replaced`` (characters read as U+FFFD), ``groups`` ("files" or "segments") and
    ``failed``: an error message for each file that does not parse, cannot be read, or is not UTF-8 text.

    Raises
    ------
    ParseError
        If a file does not parse and `skip_unparsable` is False: file, line, column, context, what was expected.
    ValueError
        If no file could be read and parsed; the message has the first error.

    Examples
    --------
    >>> import tempfile
    >>> from dni_jax.languages import Language
    >>> file = Path(tempfile.mkdtemp()) / "words.txt"
    >>> _ = file.write_text("one two")
    >>> corpus = load_text(Language.from_lark('start: W (" " W)*\nW: /[a-z]+/', name="words"), [file])
    >>> corpus.strings, corpus.coverage["characters_parsed"]
    (('one two',), 7)
    """
    order = np.random.default_rng(seed).permutation(len(files))
    chosen = choose_files((TextFile.read(Path(files[row]), max_chars) for row in order), max_chars, language)
    results = parse_files(language, chosen, skip_unparsable, progress)
    unparsed = {file.name: one.error for file, one in zip(chosen.files, results, strict=True) if one.error}
    failed = chosen.failed | unparsed
    characters_parsed = sum(len(file.text) - one.n_unparsed for file, one in zip(chosen.files, results, strict=True))
    if characters_parsed == 0:
        name, reason = next(iter(failed.items()), ("no file", "all are empty"))
        raise ValueError(f"expected text that {language.name} parses, got none in {len(files)} files; {name}: {reason}")
    texts = chosen.texts
    coverage = {
        "files": len(texts) + len(chosen.failed),
        "files_parsed": len(texts) - len(unparsed),
        "characters": sum(map(len, texts)),
        "characters_parsed": characters_parsed,
        "failed": failed,
    }
    corpus = make_corpus(language.name, texts, results, max_symbols, seed, coverage)
    return language.add_parser_states(corpus) if parser_states else corpus
