"""What every stage of a run works with: its settings, its folder, its text."""

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
from dni_jax.app.texts import describe, language_of, library_of, read_corpus
from dni_jax.features import FeatureLibrary
from dni_jax.languages import BaseLanguage
from dni_jax.models import TrainedModel, load
from dni_jax.text import Corpus

Say = Callable[[str], None]

_FOLDS = 20
_HELD_OUT = {"sampled": (20_000, 10_000), "text": (100_000, 30_000)}


def silent(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, eq=False)
class Job:
    """One run at work.

    Attributes
    ----------
    config
        What was asked for.
    folder
        Where the results go.
    language
        What the config names.
    say
        Takes one line of text at each stage.
    given
        All text, where it has been read already.
    """

    config: RunConfig
    folder: RunFolder
    language: BaseLanguage
    say: Say = silent
    given: Corpus | None = None

    @classmethod
    def begin(cls, config: RunConfig, say: Say = silent, text: Corpus | None = None) -> Job:
        """Check a config and claim its folder; `text` is what it names, where that has been read already.

        Raises
        ------
        ValueError
            For anything in the config that cannot be done, or a folder that holds something else.
        """
        config.check()
        language = language_of(config)
        return cls(config, RunFolder.claim(config), language, say, text)

    @classmethod
    def of(cls, path: str | Path, say: Say = silent, **parts: Any) -> Job:
        """Go on with a run in a folder; `parts` of its settings (``inspect=InspectConfig(...)``) may be others.

        Raises
        ------
        ValueError
            Where there is no run, or it cannot be done as asked.
        """
        folder = RunFolder.of(path)
        config = processes.broadcast(lambda: replace(read_config(folder.path / "config.toml"), **parts))
        config.check()
        return cls(config, folder, language_of(config), say)

    @cached_property
    def corpus(self) -> Corpus:
        """All text, in its three parts."""
        if self.given is not None:
            return self.given
        corpus = read_corpus(self.config, self.language)
        for line in describe(corpus):
            self.say(line)
        return corpus

    @cached_property
    def held_out(self) -> Corpus:
        """Text that the network has not learnt from, in an order of its own."""
        return self.corpus.test.shuffle(self.config.draws_text)

    @cached_property
    def inspected(self) -> Corpus:
        """The text that neurons are scored on."""
        return self.held_out.head(self.config.inspect.inspect_characters or self._usual[0])

    @cached_property
    def verified(self) -> Corpus:
        """The text that overridden networks read."""
        return self.held_out.head(self.config.verify.verify_characters or self._usual[1])

    @property
    def _usual(self) -> tuple[int, int]:
        return _HELD_OUT["sampled" if self.config.is_sampled else "text"]

    @cached_property
    def library(self) -> FeatureLibrary:
        """What is asked."""
        return library_of(self.config, self.language)

    @cached_property
    def model(self) -> TrainedModel:
        """The network that the run has trained.

        Raises
        ------
        ValueError
            Where it has not.
        """
        if not self.folder.has(self.folder.model.name):
            path = self.folder.path
            raise ValueError(
                f"expected a trained network in {str(self.folder.model)!r}, got none: dni train --resume --out {path}"
            )
        return load(self.folder.model)

    def folds(self, corpus: Corpus) -> int:
        """Into how many folds a text is dealt."""
        return self.config.inspect.folds or min(_FOLDS, len(np.unique(corpus.groups)))

    def check_folds(self) -> None:
        """Refuse before training what would be refused after it."""
        groups, folds = len(np.unique(self.inspected.groups)), self.config.inspect.folds or 2
        if groups < folds:
            raise ValueError(
                f"expected at least as many held-out strings (or files) as folds, got {groups} strings for {folds} "
                "folds: lower --folds, raise --inspect-characters, or give more text"
            )
