"""Corpora from a person's own files, parsed with a language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages.code._realtext import PIECE, TextFile, assemble, choose, read_chosen
from dni_jax.text import Corpus

__all__ = ["PIECE", "find_files", "load_text"]


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
    language: BaseLanguage,
    files: Sequence[str | Path],
    *,
    max_chars: int | None = None,
    max_symbols: int = 128,
    seed: int = 0,
    skip_unparsable: bool = False,
    parser_states: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    r"""Read and parse text files into a corpus.

    Files are taken in random order until there are `max_chars` characters; one that would go past is left out, but
    the first is always taken. Each becomes pieces of at most 2,000 characters, cut behind line breaks, that share one
    group; fewer than ten files, or files of which a few hold most of the text, are split and grouped by piece.
    Line ends are read as ``\\n``; all but the `max_symbols` most frequent symbols are read as U+FFFD.

    All cores parse where there is enough text to pay for it, and what was parsed is kept in the user's cache folder
    (``$DNI_JAX_CACHE``, else ``$XDG_CACHE_HOME/dni_jax``, else ``~/.cache/dni_jax``; at most 1 GiB,
    `dni_jax.languages.clear_cache` empties it), so that a second run does not parse again.

    Parameters
    ----------
    language
        Parses the files.
    files
        Their paths.
    max_chars
        How many characters to read at most; None reads everything.
    max_symbols
        The size of the symbol table.
    seed
        Decides the order of the files and the split.
    skip_unparsable
        Whether a file that does not parse stays in the corpus as text without labels (``Corpus.parsed`` is False
        there), is counted and named, instead of ending everything with an error.
    parser_states
        Whether to note the states of the language's shift-reduce parser, as `Language.add_parser_states` does.
    progress
        Called with the number of characters parsed and the number to parse.

    Returns
    -------
    Corpus whose ``coverage`` has ``files`` (parsed or failed), ``files_parsed``, ``characters`` (of these files),
    ``characters_parsed``, ``replaced`` (characters read as U+FFFD), ``groups`` ("files" or "pieces") and
    ``failed``: a message for each file that does not parse, and for each that is left out because it cannot be read
    or is not UTF-8 text.

    Raises
    ------
    ParseError
        Where a file does not parse, unless such are skipped: file, line, column, context, what was expected.
    ValueError
        Where no file could be read and parsed; shows the first failure.

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
    chosen = choose(_read([Path(files[row]) for row in order]), max_chars)
    results = read_chosen(language, chosen, skip_unparsable, progress)
    unparsed = {file.name: one.error for file, one in zip(chosen.files, results, strict=True) if one.error}
    failed = chosen.failed | unparsed
    if len(unparsed) == len(chosen.files):
        reason = next(iter(failed.items()), ("no file", "all are empty"))
        raise ValueError(
            f"expected text that {language.name} parses, got none in {len(files)} files; {reason[0]}: {reason[1]}"
        )
    texts = chosen.texts
    coverage = {
        "files": len(texts) + len(chosen.failed),
        "files_parsed": len(texts) - len(unparsed),
        "characters": sum(map(len, texts)),
        "characters_parsed": sum(len(file.text) for file in chosen.files if file.name not in unparsed),
        "failed": failed,
    }
    corpus = assemble(language.name, texts, results, max_symbols, seed, coverage)
    return language.add_parser_states(corpus) if parser_states else corpus


def _read(files: Sequence[Path]) -> Iterator[TextFile]:
    for file in files:
        try:
            yield TextFile.decoded(str(file), file.read_bytes())
        except OSError as error:
            yield TextFile(str(file), "", f"expected a file that can be read, got {error}")
