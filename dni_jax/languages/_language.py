"""A language: one definition that samples strings, parses text, gives probabilities and knows its features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from dni_jax.features import FeatureLibrary, Violation, default_library
from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._fingerprints import fingerprint
from dni_jax.languages._grammar import Grammar, Weights, compile_grammar
from dni_jax.languages._parsing import ParseError, Parser, ParseResult
from dni_jax.languages._prefixes import Prefixes, violations
from dni_jax.languages._probability import log_probability
from dni_jax.languages._sampling import sample
from dni_jax.languages._shift_reduce import ParserStates, ShiftReduce
from dni_jax.languages._state_features import observed, state_library, states_of
from dni_jax.text import Corpus, NodeKind, Vocabulary

_LALR_PACE, _EARLEY_PACE = 250_000, 10_000  # characters a second, of Lark's two parsers


@dataclass(frozen=True, eq=False)
class Language(BaseLanguage):
    """A language defined by a Lark grammar and weights for its productions.

    Make one with `Language.from_lark`, or take a built-in one with ``dni.languages.get(name)``.

    Attributes
    ----------
    name
        What the language is called in results.
    grammar
        The grammar in Lark's notation. A rule whose name starts with ``_`` and a ``?rule`` with a single part make
        no nodes, as in Lark; terminals that are written as fixed words make none either.
    start
        The start rule.
    weights
        For a rule's name, a positive weight for each of its productions in the grammar's order; rules without weights
        get equal ones, lowered for productions with many non-terminals until strings stay finite on average.
    parser
        ``"lalr"`` or ``"earley"``; None takes LALR where the grammar has no conflict and Earley otherwise.
    options
        Further options of ``lark.Lark`` (``postlex``, ``lexer``, ...).
    token_spans
        For a terminal's name, a kind's name and a regular expression: each match inside such a token becomes a node.
    library
        Makes the features; None takes `dni_jax.features.default_library`.
    final_newline
        Whether a text must end in a line break to parse; one is then added where it is missing.
    """

    name: str
    grammar: str
    start: str = "start"
    weights: Weights = field(default_factory=dict)
    parser: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    token_spans: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    library: Callable[[], FeatureLibrary] | None = None
    final_newline: bool = False

    @classmethod
    def from_lark(
        cls,
        grammar: str,
        *,
        weights: Weights | None = None,
        start: str = "start",
        name: str = "grammar",
        **more: Any,
    ) -> Language:
        """Define a language by a Lark grammar; see the attributes for the arguments.

        Raises
        ------
        ValueError
            Where Lark refuses the grammar, with Lark's explanation.

        Examples
        --------
        >>> language = Language.from_lark('start: "a" start "b" | "ab"', weights={"start": [1, 2]})
        >>> language.parse("aabb").symbols
        ('start',)
        >>> language.sample(3, seed=0).strings
        ('ab', 'aaabbb', 'aabb')
        """
        language = cls(name=name, grammar=grammar, start=start, weights=weights or {}, **more)
        _ = language.engine
        return language

    def __repr__(self) -> str:
        return f"Language({self.name}, start={self.start!r}, {'LALR' if self.engine.is_lalr else 'Earley'})"

    def _about(self) -> dict[str, Any]:
        parser = {"start": self.start, "parser": "LALR" if self.engine.is_lalr else "Earley"}
        return parser | super()._about()

    @cached_property
    def engine(self) -> Parser:
        """The Lark parser that fills flat trees."""
        return Parser(self.grammar, self.start, self.parser, self.options, self.token_spans)

    @cached_property
    def productions(self) -> Grammar:
        """The weighted productions over characters.

        Raises
        ------
        ValueError
            Where the grammar can only parse: its lexer declares terminals or uses look-around.
        """
        return compile_grammar(self.engine.lark, self.start, self.weights)

    def sample(
        self, n_strings: int, seed: int = 0, max_length: int | None = None, max_depth: int | None = None
    ) -> Corpus:
        """Draw strings with their derivation trees; the vocabulary holds every character of the language.

        Parameters
        ----------
        n_strings
            How many strings.
        seed
            The same seed gives the same corpus.
        max_length, max_depth
            Strings with more characters, or with deeper derivations, are drawn anew, as are empty ones: the
            distribution is the grammar's conditioned on that. ``corpus.coverage["accepted"]`` is the share kept.

        Raises
        ------
        ValueError
            Where a bound is out of reach, or the language can only be parsed.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> get("parentheses").sample(2, seed=1).strings
        ('((2((4)3333))11)', '((222(33()33)2))')
        """
        if n_strings < 1:
            raise ValueError(f"expected n_strings of at least 1, got {n_strings}")
        drawn = sample(self.productions, n_strings, seed, max_length, max_depth)
        return Corpus.from_flat(
            drawn.text,
            drawn.offsets,
            trees=drawn.trees,
            vocabulary=Vocabulary(self.characters or ()),
            language=self.name,
            coverage={"accepted": drawn.accepted},
            seed=seed,
        )

    @property
    def kinds(self) -> tuple[NodeKind, ...]:
        """The kinds of nodes of the language's trees."""
        return self.engine.kinds

    @property
    def characters_per_second(self) -> int:
        """About how many characters are parsed in a second."""
        return _LALR_PACE if self.engine.is_lalr else _EARLEY_PACE

    @cached_property
    def fingerprint(self) -> str | None:
        """A text that changes with the grammar and everything that takes part in parsing; None where it is unknown."""
        return fingerprint(self.engine.lark, self.options, self.token_spans, self.final_newline)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is built on demand: Lark's parsers do not travel to other processes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def try_parse(self, text: str) -> ParseResult:
        """Parse a text; where it is ambiguous, Lark's resolution is taken, and ``counts["ambiguous"]`` is 1."""
        whole = text + "\n" if self.final_newline and not text.endswith("\n") else text
        try:
            trees = self.engine.parse(whole)
        except ParseError as error:
            return ParseResult.failed(self.kinds, len(text), str(error))
        return ParseResult(trees, counts={"ambiguous": int(self.engine.was_ambiguous)})

    def features(self) -> FeatureLibrary:
        """Give the features that fit this language."""
        if self.library is not None:
            return self.library()
        return default_library(self.engine.kinds, self.characters)

    @cached_property
    def prefixes(self) -> Prefixes:
        """The test of which texts begin a string of the language.

        Raises
        ------
        ValueError
            Where the grammar can only parse: its lexer declares terminals or uses look-around.
        """
        return Prefixes(self.productions)

    def violations(self) -> Violation:
        """Give the feature that holds from where a text is no longer the beginning of any string of the language.

        The test is exact, for every grammar that samples, ambiguous ones included; it also knows where a string must
        not end. Labels of pieces of strings whose beginning is not in the corpus are masked.

        Raises
        ------
        ValueError
            Where the grammar can only parse.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> wrong = get("parentheses").violations()
        >>> corpus = Corpus.from_strings(["0(1((3(4", "0(12)", "((((44)3)"])
        >>> wrong.label(corpus).columns[0].tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        >>> wrong.unfinished(corpus).tolist()
        [True, True, True]
        """
        try:
            return violations(self.prefixes, self.name)
        except ValueError as error:
            raise ValueError(
                f"expected a language that samples, which tells what begins no string, got {self.name} ({error}): "
                "what is wrong in its text is for a feature of your own to tell"
            ) from error

    @cached_property
    def shift_reduce(self) -> ShiftReduce:
        """The parser whose states can be noted.

        Raises
        ------
        ValueError
            Where the grammar is not LALR.
        """
        return ShiftReduce(self.engine, "\n" if self.final_newline else "")

    def parser_states(self, text: str | Corpus) -> ParserStates:
        r"""Give the states of a shift-reduce parser after every character of a text, or of a corpus' strings.

        Raises
        ------
        ValueError
            Where the grammar is not LALR, the text does not parse (a `ParseError`), or a corpus holds pieces of strings
            without a record of the states.

        Examples
        --------
        >>> language = Language.from_lark('?start: start "+" atom | atom\n?atom: /[0-9]+/ | "(" start ")"')
        >>> states = language.parser_states("(12+3)")
        >>> states.stack_size.tolist(), states.reductions.tolist()
        ([1, 1, 2, 3, 4, 3], [0, 0, 0, 2, 0, 2])
        >>> [states.rules[row].name for row in states.reduced[3:]]
        ['start -> atom', 'start -> atom', 'start -> start + atom']
        >>> [states.symbols[row] for row in states.top]
        ['"("', '"("', '/[0-9]+/', '"+"', '/[0-9]+/', '")"']
        """
        return self.shift_reduce.states(text) if isinstance(text, str) else states_of(self.shift_reduce, text)

    def add_parser_states(self, corpus: Corpus) -> Corpus:
        """Give the same corpus with the parser's states noted among its records, where `corpora.cut` leaves them be.

        Raises
        ------
        ValueError
            As `parser_states`.
        """
        return observed(self.shift_reduce, corpus)

    def state_features(self) -> FeatureLibrary:
        """Give features of what a shift-reduce parser has done at each character; see `ParserStates` for the timing.

        Returns
        -------
        FeatureLibrary with, in this order:

        - ``stack size`` (continuous, as counted) and ``stack size=0`` ... ``stack size=7``;
        - ``reductions`` (continuous, at this character) and ``reductions>0``;
        - ``reduced:x``: the last rule reduced makes x, for each non-terminal or alias; for each rule, too, where there
          are at most 64. Rules that another reduction always follows at once are left out;
        - ``top:x``: the last token is an x; ``below:x``: it came to lie on an x (where there are at most 64 such);
        - ``expected:x``: the parser has an action for the terminal x; ``$END`` is the end of the text. Terminals that
          are always or never expected are left out.

        Labels come from a corpus' record of the states (see `add_parser_states`), or from parsing its strings.

        Raises
        ------
        ValueError
            Where the grammar is not LALR. When labels are computed, as `parser_states`.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> language = get("c_expressions")
        >>> labels = language.state_features().label(language.corpus(["a = b*c"]))
        >>> labels["stack size"].tolist(), labels["expected:$END"].tolist()
        ([1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 1, 0, 1, 0, 1])
        """
        return state_library(self.shift_reduce)

    @cached_property
    def characters(self) -> tuple[str, ...] | None:
        """The characters that sampled strings are made of; None for a language that can only be parsed."""
        try:
            grammar = self.productions
        except ValueError:
            return None
        return tuple(sorted({part for right in grammar.right for part in right if isinstance(part, str)}))

    def log_probability(self, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
        """Exact natural log of each string's probability; see `dni_jax.languages._probability.log_probability`."""
        return log_probability(self.productions, strings)

    def ideal_cross_entropy(self, corpus: Corpus) -> float:
        """Cross entropy, in nats per symbol, of the best possible predictor on these very strings.

        Every character and the boundary behind each string counts as one symbol, as in training: the sum of the
        predictor's log-probabilities telescopes to the log-probability of the strings.
        """
        total = -self.log_probability(corpus.strings).sum()
        return float(total / (corpus.n_positions + len(corpus)))
