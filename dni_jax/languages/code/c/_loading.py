"""Corpora of real C source code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dni_jax.languages._parsing import ParseResult
from dni_jax.languages.code._corpora import ChosenFiles, choose_files, make_corpus, parse_files, raise_if_failed
from dni_jax.languages.code._files import read_files
from dni_jax.languages.code._parallel import parse_texts
from dni_jax.languages.code.c._declarations import collect_typedefs, read_typedefs
from dni_jax.languages.code.c._language import CLanguage
from dni_jax.languages.code.c._lexer import blank
from dni_jax.text import Corpus

_WORST = 10  # files listed in the coverage


def load_c(
    path: str | Path,
    glob: str = "**/*.c",
    max_chars: int | None = None,
    seed: int = 0,
    typedefs: Iterable[str] | str | Path | None = None,
    *,
    max_symbols: int = 128,
    skip_unparsable: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    r"""Read C source code into a corpus with pycparser's parse trees; headers are not needed.

    Files are chosen, parsed, cached, cut and grouped as in `load_text`. A declaration that does not parse is masked,
    and so are branches that are not compiled (``#else``, ``#if 0``): ``Corpus.parsed`` is False there, so that they
    are not labeled 0. It is None if everything is parsed. ``dni.languages.get("c").features()`` has the features.

    Parameters
    ----------
    path
        A file, a folder, or a tar archive (``.tar``, ``.tar.gz``, ``.tar.xz``, ...), which is not unpacked.
    glob
        Which files of a folder or archive to read, as for ``Path.glob``.
    max_chars
        How many characters to read at most; None reads everything.
    seed
        Decides the order of the files and the split.
    typedefs
        Names of types, or the path of a file with one per line. Few are needed: most are recognized from their
        position, and a declaration that does not parse is parsed again with all names that the files declare.
    max_symbols
        The size of the vocabulary; rarer symbols are read as U+FFFD.
    skip_unparsable
        Whether declarations that do not parse are masked and counted, instead of raising an error.
    progress
        Called with the number of characters parsed so far and the number to parse.

    Returns
    -------
    Corpus whose ``coverage`` has

    - ``files``, ``files_parsed`` (to the last declaration), ``functions`` and ``functions_parsed``;
    - ``characters`` and ``characters_parsed``: inside functions, without branches that are not compiled;
      ``all_characters`` and ``all_characters_parsed``; ``dead_characters`` in such branches;
    - ``declarations`` and ``declarations_parsed``: at file level, including functions;
    - ``worst``: the files with the most characters that could not be parsed, each with ``file``, ``functions``,
      ``functions_parsed``, ``unparsed`` (characters) and the first ``problem``;
    - ``replaced`` (characters read as U+FFFD), ``groups`` ("files" or "segments"), and ``failed``: an error message
      for each file that cannot be read or is not UTF-8 text.

    Raises
    ------
    ParseError
        If a declaration does not parse and `skip_unparsable` is False.
    ValueError
        If there is nothing at the path, or no text to read.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.c"
    >>> _ = file.write_text("int f(void) { return 1; }\nint broken() { return (; }\n")
    >>> corpus = load_c(file)
    >>> corpus.coverage["functions"], corpus.coverage["functions_parsed"], corpus.parsed.sum()
    (2, 1, np.int64(27))
    """
    names = read_typedefs(typedefs)
    language = CLanguage(typedefs=names)
    chosen = choose_files(read_files(path, glob, seed, max_chars), max_chars, language)
    if not chosen.files:
        reason = next(iter(chosen.failed.items()), (str(path), "all files are empty"))
        raise ValueError(f"expected C source code in {str(path)!r}, got none; {reason[0]}: {reason[1]}")
    results = parse_files(language, chosen, True, progress)
    results = _retry(names, chosen, results)
    if not skip_unparsable:
        for file, result in zip(chosen.files, results, strict=True):
            raise_if_failed(file, result)
    coverage = _coverage(chosen, results)
    return make_corpus(language.name, chosen.texts, results, max_symbols, seed, coverage)


def _retry(names: frozenset[str], chosen: ChosenFiles, results: list[ParseResult]) -> list[ParseResult]:
    """Parse files with errors again, with the names of types that all chosen files declare."""
    places = [place for place, result in enumerate(results) if result.error]
    if not places:
        return results
    more = collect_typedefs(blank(text).text for text in chosen.texts if "typedef" in text)
    language = CLanguage(typedefs=names, harvested=more)
    result = list(results)
    for place, again in zip(places, parse_texts(language, [chosen.texts[place] for place in places]), strict=True):
        if _unparsed(again) < _unparsed(results[place]):
            result[place] = again
    return result


def _unparsed(result: ParseResult) -> int:
    """Return how many characters did not parse, without those in dead branches."""
    counts = result.counts
    return counts["all_characters"] - counts["all_characters_parsed"] - counts["dead_characters"]


def _coverage(chosen: ChosenFiles, results: list[ParseResult]) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    for result in results:
        totals.update(result.counts)
    with_errors = sum(bool(result.error) for result in results)
    ranked = sorted(zip(chosen.files, results, strict=True), key=lambda pair: (-_unparsed(pair[1]), pair[0].name))
    worst = [
        {
            "file": file.name,
            "functions": result.counts["functions"],
            "functions_parsed": result.counts["functions_parsed"],
            "unparsed": _unparsed(result),
            "problem": result.error,
        }
        for file, result in ranked[:_WORST]
        if _unparsed(result)
    ]
    return {
        "files": len(results) + len(chosen.failed),
        "files_parsed": len(results) - with_errors,
        **totals,
        "worst": worst,
        "failed": chosen.failed,
    }
