"""What all languages have in common."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from dni_jax.features import FeatureLibrary, Violation
from dni_jax.html import Markup, card, code, facts, symbols, table
from dni_jax.languages._parsing import AmbiguityWarning, ParseError, ParseResult
from dni_jax.languages._shift_reduce import ParserStates
from dni_jax.programs import Program
from dni_jax.text import Corpus, NodeKind, ParseTrees, concatenate_trees

_ROWS = 30  # kinds of nodes shown in a notebook


class BaseLanguage(ABC):
    """A language that parses text and has features; some can be sampled too.

    Attributes
    ----------
    name
        What the language is called in results.
    """

    name: str

    @property
    @abstractmethod
    def kinds(self) -> tuple[NodeKind, ...]:
        """The kinds of nodes of the language's trees."""

    @property
    @abstractmethod
    def characters_per_second(self) -> int:
        """Roughly how many characters are parsed per second, to decide whether more processes are faster."""

    @property
    @abstractmethod
    def fingerprint(self) -> str | None:
        """A text that changes with everything that changes the trees; None, if unknown, prevents caching."""

    @abstractmethod
    def try_parse(self, text: str) -> ParseResult:
        """Parse a text as far as possible, without raising an error if it does not parse."""

    @abstractmethod
    def features(self) -> FeatureLibrary:
        """Return the features of this language."""

    def _repr_html_(self) -> str:
        return card(f"Language {self.name}", facts(self._summary()), self._rules())

    def _summary(self) -> dict[str, Any]:
        """Return what a notebook shows above the rules."""
        rows: dict[str, Any] = {"kinds of nodes": len(self.kinds), "samples": self.characters is not None}
        if self.characters is not None:
            rows |= {"symbols": symbols(self.characters), "an example": code(self.sample(1, seed=0).strings[0])}
        return rows

    def _rules(self) -> Markup:
        """Return the table of the kinds of nodes."""
        return table(["node", "symbol"], [(kind.name, kind.symbol) for kind in self.kinds[:_ROWS]], len(self.kinds))

    @property
    def characters(self) -> tuple[str, ...] | None:
        """The characters of sampled strings; None for a language that cannot be sampled."""
        return None

    def parse(self, text: str) -> ParseTrees:
        """Parse one string. If it is ambiguous, the parser chooses a derivation, with a warning the first time.

        Raises
        ------
        ParseError
            (a ``ValueError``) if the text is not in the language: line, column, context, what was expected.
        """
        result = self.try_parse(text)
        if result.error:
            raise ParseError(result.error)
        self.warn_if_ambiguous(result)
        return result.trees

    def warn_if_ambiguous(self, result: ParseResult) -> None:
        """Warn, once, if a text has several derivations."""
        if result.counts.get("ambiguous"):
            _ = self._ambiguity_warning

    @cached_property
    def _ambiguity_warning(self) -> bool:
        warnings.warn(
            f"a text of the language {self.name} is ambiguous: Lark has chosen one of its derivations, and labels that "
            "depend on the choice are arbitrary; make the grammar unambiguous, give its rules priorities, or use "
            "sampled text, whose derivations are known",
            AmbiguityWarning,
            stacklevel=4,
        )
        return True

    def corpus(self, strings: Sequence[str], seed: int = 0, *, skip_unparsable: bool = False) -> Corpus:
        """Parse strings into a corpus.

        Parameters
        ----------
        strings
            What to parse.
        seed
            Decides the split.
        skip_unparsable
            Whether strings that do not parse are kept without labels (``Corpus.parsed`` is False there) and counted
            in ``Corpus.coverage``: ``strings``, ``strings_parsed``, ``characters``, ``characters_parsed``, ``failed``.

        Raises
        ------
        ParseError
            If a string is not in the language and `skip_unparsable` is False; the message has its number.
        """
        bad = strings if isinstance(strings, str) else next((one for one in strings if not isinstance(one, str)), None)
        if bad is not None:
            raise ValueError(f"expected a list of strings, got {bad!r}: for one string, language.corpus([string])")
        results = []
        for number, string in enumerate(strings):
            results.append(self.try_parse(string))
            if results[-1].error and not skip_unparsable:
                raise ParseError(f"string {number}: {results[-1].error}")
            self.warn_if_ambiguous(results[-1])
        trees = concatenate_trees([result.trees for result in results]) if results else None
        corpus = Corpus.from_strings(strings, trees=trees, language=self.name, seed=seed)
        if not skip_unparsable:
            return corpus if all(result.is_complete for result in results) else mask_unparsed(corpus, results)
        corpus = mask_unparsed(corpus, results)
        failed = {f"string {number}": one.error for number, one in enumerate(results) if one.error}
        coverage = {
            "strings": len(corpus),
            "strings_parsed": len(corpus) - len(failed),
            "characters": corpus.n_positions,
            "characters_parsed": corpus.n_positions if corpus.parsed is None else int(corpus.parsed.sum()),
            "failed": failed,
        }
        return replace(corpus, coverage=coverage)

    def sample(
        self, n_strings: int, seed: int = 0, max_length: int | None = None, max_depth: int | None = None
    ) -> Corpus:
        """Sample strings with their derivation trees.

        Raises
        ------
        ValueError
            If the language cannot be sampled.
        """
        self._raise_cannot_sample()

    def log_probability(self, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
        """Return the exact natural log of each string's probability, for a language that can be sampled."""
        self._raise_cannot_sample()

    def ideal_cross_entropy(self, corpus: Corpus) -> float:
        """Return the cross entropy of the best possible predictor, for a language that can be sampled."""
        self._raise_cannot_sample()

    def estimate_ideal_cross_entropy(self, corpus: Corpus, seconds: float = 10.0, seed: int = 0) -> tuple[float, float]:
        """Return the cross entropy of the best possible predictor and its standard error, likewise."""
        self._raise_cannot_sample()

    def violations(self) -> Violation:
        """Return the feature that a text is a prefix of no string, for a language that can be sampled."""
        self._raise_cannot_sample()

    def program(self, says: str = "expected") -> Program:
        """Return a program that parses text symbol by symbol, for a language that can be sampled."""
        self._raise_cannot_sample()

    def parser_states(self, text: str | Corpus) -> ParserStates:
        """Return a shift-reduce parser's states after every character, for a language with an LALR grammar."""
        self._raise_no_states()

    def add_parser_states(self, corpus: Corpus) -> Corpus:
        """Record a shift-reduce parser's states in a corpus, for a language with an LALR grammar."""
        self._raise_no_states()

    def state_features(self) -> FeatureLibrary:
        """Return features of a shift-reduce parser's states, for a language with an LALR grammar."""
        self._raise_no_states()

    def _raise_no_states(self) -> NoReturn:
        raise ValueError(
            f"expected a language with an LALR grammar, got {self.name}, which has no LALR parser states: "
            'use Language.from_lark(grammar), or "c_expressions" for C'
        )

    def _raise_cannot_sample(self) -> NoReturn:
        raise ValueError(
            f"expected a language that can be sampled and has probabilities, got {self.name}, which only parses: "
            f"read files with dni.languages.load_{'c' if self.name == 'c' else 'text'}, or strings with "
            f"language.corpus(strings)"
        )


def mask_unparsed(corpus: Corpus, results: Sequence[ParseResult]) -> Corpus:
    """Return a corpus of whole strings with ``parsed`` set to False where their results could not parse."""
    if all(result.is_complete for result in results):
        return corpus
    parsed = np.ones(corpus.n_positions, bool)
    for base, result in zip(corpus.offsets[:-1].tolist(), results, strict=True):
        for first, last in result.unparsed.tolist():
            parsed[base + first : base + last] = False
    return replace(corpus, parsed=parsed)
