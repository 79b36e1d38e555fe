"""The text that a config names: sampled from a grammar, or read from files; and how much of it could be used."""

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

_SHOWN = 5  # files that are named one by one


def language_of(config: RunConfig) -> BaseLanguage:
    """Give the language that a config names: a built-in one, or a grammar file.

    Raises
    ------
    ValueError
        Where there is no such language or file, or the grammar cannot do what the config asks for.
    """
    if config.grammar is None:
        language = languages.get(config.language)
    else:
        path = Path(config.grammar)
        if not path.is_file():
            raise ValueError(f"expected a Lark grammar file, got {config.grammar!r}, which does not exist")
        language = Language.from_lark(path.read_text(encoding="utf-8"), start=config.start, name=path.stem)
    if config.parser_states:
        language.state_features()  # refuses a grammar that is not LALR before anything is trained
    return language


def library_of(config: RunConfig, language: BaseLanguage) -> FeatureLibrary:
    """Give the features that a config asks for: the language's, and those of its parser's states."""
    library = language.features()
    return library | language.state_features() if config.parser_states else library


def read_corpus(config: RunConfig, language: BaseLanguage) -> Corpus:
    """Sample strings, or read and parse files.

    Raises
    ------
    ValueError
        Where there is no text, it does not parse, or there is too little for training, validation and test.
    """
    if config.is_sampled:
        corpus = language.sample(config.strings, config.draws_text)
    else:
        with bar(f"parsing {language.name}", config.characters) as advance:
            corpus = _read(config, language, lambda done, total: advance(done, str))
    if len(np.unique(corpus.split)) < 3:
        raise ValueError(
            f"expected text for training, validation and test, got {len(np.unique(corpus.groups))} "
            + ("strings: give more --strings" if config.is_sampled else "pieces of 2,000 characters: give more text")
        )
    return corpus


def _read(config: RunConfig, language: BaseLanguage, progress: Callable[[int, int], None]) -> Corpus:
    options: dict[str, Any] = {"max_chars": config.characters, "seed": config.draws_text, "progress": progress}
    if config.is_c:
        assert config.text is not None
        glob = "**/*.c" if config.glob == RunConfig.glob else config.glob
        return languages.load_c(config.text, glob, typedefs=config.typedefs, **options)
    if config.text is None:
        files, skip = languages.standard_library_files(), True
    else:
        files, skip = languages.find_files(config.text, config.glob), config.skip_unparsable
    return languages.load_text(language, files, skip_unparsable=skip, parser_states=config.parser_states, **options)


def describe(corpus: Corpus) -> list[str]:
    """Say in a few lines what the text is, and what of it could not be used."""
    lines, coverage = [f"text: {corpus}"], corpus.coverage
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
            f"  {(~corpus.parsed).sum():,} characters could not be parsed: the network reads them, no score counts them"
        )
    no_c = "some macros' arguments are no C"
    problems = {one["file"]: one["problem"] or no_c for one in coverage.get("worst", ())} | coverage["failed"]
    lines += [f"  {name}: {reason.splitlines()[0]}" for name, reason in list(problems.items())[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more, in summary.json")
    if coverage["replaced"]:
        lines.append(f"  {coverage['replaced']} characters outside the symbol table are read as U+FFFD")
    if coverage["groups"] == "segments":
        lines.append("  few files hold most of the text: segments of it, not files, are split and cross-validated")
    return lines
