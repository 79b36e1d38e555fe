"""The language, features and text of a run: sampled from a grammar or read from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dni_jax import languages
from dni_jax.app.config import RunConfig
from dni_jax.features import FeatureLibrary
from dni_jax.languages import BaseLanguage, Language
from dni_jax.progress import bar
from dni_jax.text import Corpus

_MAX_LISTED = 5  # unparsed files to name one by one


def get_language(config: RunConfig) -> BaseLanguage:
    """Return the language of a config: a built-in one, or one from a grammar file.

    Raises
    ------
    ValueError
        If the language or file does not exist, or ``parser_states`` is set and the grammar is not LALR.
    """
    if config.grammar is None:
        language = languages.get(config.language)
    else:
        path = Path(config.grammar)
        if not path.is_file():
            raise ValueError(f"expected a Lark grammar file, got {config.grammar!r}, which does not exist")
        places = {"source_path": str(path), "import_paths": [str(path.parent)]}
        grammar = path.read_text(encoding="utf-8")
        language = Language.from_lark(grammar, start=config.start, name=path.stem, options=places)
    if config.parser_states:
        language.state_features()  # raises for a grammar that is not LALR, before any training
    return language


def get_features(config: RunConfig, language: BaseLanguage) -> FeatureLibrary:
    """Return the features of a run: those of its language and, with ``parser_states``, of a parser."""
    library = language.features()
    return library | language.state_features() if config.parser_states else library


def load_corpus(config: RunConfig, language: BaseLanguage) -> Corpus:
    """Sample strings, or read and parse files.

    Raises
    ------
    ValueError
        If there is no text, it does not parse, or there is too little to split into training, validation and test.
    """
    if config.is_sampled:
        corpus = language.sample(config.strings, config.resolved_text_seed)
    else:
        with bar(f"parsing {language.name}", config.characters) as advance:
            corpus = _read_files(config, language, lambda done, total: advance(done, str))
    if len(np.unique(corpus.split)) < 3:
        raise ValueError(
            f"expected text for training, validation and test, got {len(np.unique(corpus.groups))} "
            + (
                "strings: raise --strings"
                if config.is_sampled
                else f"segments of {corpus.n_positions:,} characters: provide at least 5,000"
            )
        )
    return corpus


def _read_files(config: RunConfig, language: BaseLanguage, progress: Callable[[int, int], None]) -> Corpus:
    options: dict[str, Any] = {"max_chars": config.characters, "seed": config.resolved_text_seed, "progress": progress}
    if config.symbols is not None:
        options["max_symbols"] = config.symbols
    if config.is_c:
        assert config.text is not None
        glob = "**/*.c" if config.glob == RunConfig.glob else config.glob
        return languages.load_c(config.text, glob, typedefs=config.typedefs, **options)
    if config.text is None:
        files, skip = languages.standard_library_files(), True
    else:
        files, skip = languages.find_files(config.text, config.glob), config.skip_unparsable
    return languages.load_text(language, files, skip_unparsable=skip, parser_states=config.parser_states, **options)


def describe_corpus(corpus: Corpus) -> list[str]:
    """Describe a text in a few lines: its size, how much of it was parsed, and why the rest was not."""
    lines, coverage = [f"text: {corpus}"], corpus.coverage
    if coverage.get("read_back", 1.0) < 1:
        lines.append(
            f"  {1 - coverage['read_back']:.2%} of the texts drawn were rejected: the parser reads them otherwise"
        )
    if "files" not in coverage:
        return lines
    lines.append(f"files: {coverage['files_parsed']} of {coverage['files']} parsed")
    if "functions" in coverage:
        lines.append(
            f"functions: {coverage['functions_parsed']:,} of {coverage['functions']:,} parsed, "
            f"{coverage['characters_parsed'] / max(coverage['characters'], 1):.1%} of their characters"
        )
    if corpus.parsed is not None:
        lines.append(
            f"  {(~corpus.parsed).sum():,} characters were not parsed: the network reads them, but scores exclude them"
        )
    macros = "some macro arguments are not valid C"
    problems = {one["file"]: one["problem"] or macros for one in coverage.get("worst", ())} | coverage["failed"]
    lines += [f"  {name}: {reason.splitlines()[0]}" for name, reason in list(problems.items())[:_MAX_LISTED]]
    if len(problems) > _MAX_LISTED:
        lines.append(f"  and {len(problems) - _MAX_LISTED} more files; see summary.json")
    if coverage["replaced"]:
        share = coverage["replaced"] / max(corpus.n_positions, 1)
        hint = ": --symbols keeps more" if share > 0.01 else ""
        lines.append(f"  {coverage['replaced']} characters outside the symbol table are read as U+FFFD{hint}")
    if coverage["groups"] == "segments":
        lines.append("  a few files hold most of the text: segments instead of files are split and cross-validated")
    return lines
