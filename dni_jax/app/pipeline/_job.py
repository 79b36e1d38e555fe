"""What every stage of a run works with: its settings, folder, text, features and network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dni_jax import processes
from dni_jax.app.config import RunConfig
from dni_jax.app.run_folder import RunFolder, read_config
from dni_jax.app.texts import describe_corpus, get_features, get_language, load_corpus
from dni_jax.features import FeatureLibrary
from dni_jax.languages import BaseLanguage
from dni_jax.models import TrainedModel, fingerprint_network, load
from dni_jax.text import Corpus

Log = Callable[[str], None]

_FOLDS = 20
_CHARACTERS = {"sampled": (20_000, 10_000), "files": (100_000, 30_000)}  # held out, to inspect and to verify


def ignore(line: str) -> None:
    """Discard a log line."""


@dataclass(frozen=True, eq=False)
class Job:
    """One run in progress.

    Attributes
    ----------
    config
        Settings of the run.
    folder
        Folder for the results.
    language
        Language of the text.
    log
        Called with a line of text at each stage.
    text
        All text of the run, if it is already loaded.
    """

    config: RunConfig
    folder: RunFolder
    language: BaseLanguage
    log: Log = ignore
    text: Corpus | None = None

    @classmethod
    def start(cls, config: RunConfig, log: Log = ignore, text: Corpus | None = None) -> Job:
        """Check a config and claim its folder.

        A run is replaced only after the text of the new one has been read and its settings have been checked.

        Raises
        ------
        ValueError
            If a setting is invalid, or the folder holds something else.
        """
        config.check()
        language = get_language(config)
        if config.force:
            text = cls(config, RunFolder.choose(config), language, log, text).check()
        return cls(config, RunFolder.claim(config), language, log, text)

    @classmethod
    def open(cls, path: str | Path, log: Log = ignore, *, hold: bool = False, **changes: Any) -> Job:
        """Open an existing run, with changes to its settings such as ``inspect=InspectConfig(...)``.

        With `hold`, its folder is locked, to write into it.

        Raises
        ------
        ValueError
            If the folder holds no run, a setting is invalid, or another process works in the folder.
        """
        folder = RunFolder.open(path)
        folder.check_files("config.toml")
        folder = folder.hold() if hold else folder
        config = processes.broadcast(lambda: replace(read_config(folder.path / "config.toml"), **changes))
        config.check()
        return cls(config, folder, get_language(config), log)

    @cached_property
    def corpus(self) -> Corpus:
        """All text: training, validation and test."""
        if self.text is not None:
            return self.text
        corpus = load_corpus(self.config, self.language)
        for line in describe_corpus(corpus):
            self.log(line)
        return corpus

    @cached_property
    def held_out(self) -> Corpus:
        """The test text, shuffled."""
        return self.corpus.test.shuffle(self.config.resolved_text_seed)

    @cached_property
    def inspected(self) -> Corpus:
        """The text to score neurons on."""
        return self.held_out.head(self.config.inspect.inspect_characters or self._default_characters[0])

    @cached_property
    def verified(self) -> Corpus:
        """The text to measure effects on."""
        return self.held_out.head(self.config.verify.verify_characters or self._default_characters[1])

    @property
    def _default_characters(self) -> tuple[int, int]:
        return _CHARACTERS["sampled" if self.config.is_sampled else "files"]

    @cached_property
    def library(self) -> FeatureLibrary:
        """The features to score neurons on."""
        return get_features(self.config, self.language)

    @cached_property
    def model(self) -> TrainedModel:
        """The trained network of the run. Raises a ValueError if there is none."""
        if not self.folder.has(self.folder.model.name):
            path = self.folder.path
            raise ValueError(
                f"expected a trained network in {str(self.folder.model)!r}, got none: dni train --resume --out {path}"
            )
        model = load(self.folder.model)
        self.folder.check_network(fingerprint_network(model))
        return model

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of the trained network, which the run's tables carry."""
        return fingerprint_network(self.model)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.release()

    def check(self) -> Corpus:
        """Read the text, raise a ValueError if a setting does not fit it, and return it."""
        self.check_folds()
        unknown = [name for name in self.config.verify.headlines if name not in self.library.names]
        if unknown:
            raise ValueError(
                f"expected --headlines among the features, got {unknown}: choose from {', '.join(self.library.names)}"
            )
        return self.corpus

    def begin_results(self, *stages: str) -> None:
        """Remove the results of stages that are about to be written again, and write the config that they follow."""
        self.folder.remove_results(*stages)
        self.folder.write_config(self.config)

    def count_folds(self, corpus: Corpus) -> int:
        """Return the number of cross-validation folds for a text."""
        return self.config.inspect.folds or min(_FOLDS, len(np.unique(corpus.groups)))

    def check_folds(self) -> None:
        """Raise a ValueError, before any training, if the held-out text is too small for the folds."""
        groups, folds = len(np.unique(self.inspected.groups)), self.config.inspect.folds or 2
        if groups < folds:
            raise ValueError(
                f"expected at least as many held-out strings (or files) as folds, got {groups} strings for {folds} "
                "folds: lower --folds, raise --inspect-characters, or provide more text"
            )
