"""Corpora from a person's own files, parsed with a language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dni_jax.corpora import Corpus, ParseTrees, Vocabulary, cut
from dni_jax.corpora.corpus import split_groups
from dni_jax.corpora.trees import concatenate
from dni_jax.languages.language import Language
from dni_jax.languages.parsing import ParseError

PIECE = 2_000  # characters that a network reads in one go
_FILES_TO_SPLIT = 10  # with fewer files, pieces are dealt to train, validation and test instead of files


def find_files(path: str | Path, glob: str = "**/*") -> list[Path]:
    """List the files under a folder that match, sorted; or the file itself.

    Raises
    ------
    ValueError
        Where there is no such file or folder, or nothing in it matches.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"expected a file or a folder of text, got {str(path)!r}, which does not exist")
    files = sorted(file for file in path.glob(glob) if file.is_file())
    if not files:
        raise ValueError(f"expected files that match {glob!r} under {str(path)!r}, got none: try another --glob")
    return files


def load_text(
    language: Language,
    files: Sequence[str | Path],
    *,
    max_chars: int | None = None,
    max_symbols: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    r"""Read and parse text files into a corpus.

    Files are taken in random order until `max_chars` characters are parsed; one that would go past is left out, but
    the first that parses is always taken. Each becomes pieces of at most 2,000
    characters, cut behind line breaks, that share one group; fewer than ten files are split and grouped by piece.
    Line ends are read as ``\\n``; all but the `max_symbols` most frequent symbols are read as U+FFFD.

    Parameters
    ----------
    language
        Parses the files.
    files
        Their paths.
    max_chars
        How many characters to parse at most; None reads everything.
    max_symbols
        The size of the symbol table.
    seed
        Decides the order of the files and the split.
    progress
        Called with the number of characters read and the number to read.

    Returns
    -------
    Corpus whose ``coverage`` has ``files`` (parsed or failed), ``files_parsed``, ``characters`` (of these files),
    ``characters_parsed``, ``replaced`` (characters read as U+FFFD), ``groups`` ("files" or "pieces") and
    ``failed``: a message for each file that cannot be read, is not UTF-8 text, or does not parse.

    Raises
    ------
    ValueError
        Where no file could be read and parsed; shows the first failure.
    """
    order = np.random.default_rng(seed).permutation(len(files))
    chosen = [Path(files[row]) for row in order]
    total = max_chars or sum(file.stat().st_size for file in chosen if file.is_file())
    texts: list[str] = []
    trees: list[ParseTrees] = []
    failed: dict[str, str] = {}
    seen = 0
    for file, text, problem in _read(chosen):
        if max_chars is not None and sum(map(len, texts)) + len(text) > max_chars and texts:
            continue
        seen += len(text)
        try:
            if problem:
                raise ParseError(problem)
            if text:
                trees.append(language.parse(text))
                texts.append(text)
        except ParseError as error:
            failed[str(file)] = str(error)
        progress(min(seen, total), total)
        if max_chars is not None and sum(map(len, texts)) >= 0.98 * max_chars:
            break
    if not texts:
        reason = next(iter(failed.items()), ("no file", "all are empty"))
        raise ValueError(
            f"expected text that {language.name} parses, got none in {len(files)} files; {reason[0]}: {reason[1]}"
        )
    return _assemble(language, texts, trees, failed, seen, max_symbols, seed)


def _read(files: Sequence[Path]) -> Iterator[tuple[Path, str, str]]:
    for file in files:
        try:
            yield file, file.read_text(encoding="utf-8-sig"), ""
        except UnicodeDecodeError as error:
            yield file, "", f"expected UTF-8 text, got {error}"
        except OSError as error:
            yield file, "", f"expected a file that can be read, got {error}"


def _assemble(
    language: Language,
    texts: list[str],
    trees: list[ParseTrees],
    failed: dict[str, str],
    n_seen: int,
    max_symbols: int,
    seed: int,
) -> Corpus:
    whole = Corpus.from_strings(texts, trees=concatenate(trees), language=language.name)
    vocabulary = Vocabulary.of(whole.text, max_symbols)
    pieces = cut(whole, PIECE)
    by_file = len(texts) >= _FILES_TO_SPLIT
    groups = pieces.groups if by_file else np.arange(len(pieces), dtype=np.int32)
    known = np.isin(whole.text, [ord(c) for c in vocabulary.characters])
    return replace(
        pieces,
        vocabulary=vocabulary,
        groups=groups,
        split=split_groups(groups, np.diff(pieces.offsets), seed),
        coverage={
            "files": len(texts) + len(failed),
            "files_parsed": len(texts),
            "characters": n_seen,
            "characters_parsed": whole.n_positions,
            "replaced": int((~known).sum()),
            "groups": "files" if by_file else "pieces",
            "failed": failed,
        },
    )
