"""A language defined by a grammar: it samples strings, parses text, and has probabilities and features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from dni_jax.features import FeatureLibrary, Violation, default_library
from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._derivations import DerivationFinder, Token, find_separator
from dni_jax.languages._fingerprints import fingerprint
from dni_jax.languages._grammar import Grammar, Weights, compile_grammar
from dni_jax.languages._ideal import estimate_cross_entropy
from dni_jax.languages._parsing import AmbiguityWarning, ParseError, Parser, ParseResult, is_lalr
from dni_jax.languages._prefixes import Prefixes, make_program, make_violation
from dni_jax.languages._probability import estimate_seconds, log_nonempty_probability, log_probability
from dni_jax.languages._sampling import ReadBack, drop_kinds, has_same_shape, sample
from dni_jax.languages._shift_reduce import ParserStates, ShiftReduceParser
from dni_jax.languages._state_features import add_parser_states, state_library, states_of
from dni_jax.programs import Program
from dni_jax.text import Corpus, NodeKind, ParseTrees, Vocabulary

_LALR_SPEED, _EARLEY_SPEED = 250_000, 10_000  # characters per second
_READ_BACK = 0.99  # a smaller fraction of texts that are read back as drawn deserves a warning
_TRIED = 300  # texts drawn to see whether the grammar's tokens need separators; and their longest


@dataclass(frozen=True, eq=False)
class Language(BaseLanguage):
    """A language defined by a Lark grammar and weights for its productions.

    Make one with `Language.from_lark`, or get a built-in one with ``dni.languages.get(name)``.

    Attributes
    ----------
    name
        What the language is called in results.
    grammar
        The grammar in Lark's notation. As in Lark, a rule whose name starts with ``_`` and a ``?rule`` with a single
        part make no nodes, and neither do terminals that are fixed words.
    start
        The start rule.
    weights
        For a rule's name, a positive weight for each of its productions in the grammar's order. Rules without weights
        get equal ones, lowered for recursive productions until strings have a finite mean length.
    parser
        ``"lalr"`` or ``"earley"``; None uses LALR if the grammar has no conflict and Earley otherwise.
    options
        Further options of ``lark.Lark`` (``postlex``, ``lexer``, ...).
    token_spans
        The name of a kind and a regular expression for each of some terminals: each match inside such a token becomes
        a node.
    library
        Makes the features; None uses `dni_jax.features.default_library`.
    final_newline
        Whether a text must end in a line break to parse. If it is missing, it is added.
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
            If Lark refuses the grammar; the message has Lark's explanation.

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

    def _summary(self) -> dict[str, Any]:
        parser = {"start": self.start, "parser": "LALR" if self.engine.is_lalr else "Earley"}
        return parser | super()._summary()

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
            If the grammar can only parse: its lexer declares terminals or uses lookaround.
        """
        return compile_grammar(self.engine.lark, self.start, self.weights)

    def sample(
        self, n_strings: int, seed: int = 0, max_length: int | None = None, max_depth: int | None = None
    ) -> Corpus:
        """Sample strings with their derivation trees; the vocabulary has every character of the language.

        A text can be drawn that the parser reads otherwise: a name that is a keyword, two tokens that run together.
        With an LALR parser, an ignored character such as a space is put between tokens where the lexer needs it, and a
        text that is still read otherwise is rejected. ``corpus.coverage["read_back"]`` is the fraction of texts that
        are read back as drawn. Where it is below 0.99, an `AmbiguityWarning` says so.

        Parameters
        ----------
        n_strings
            How many strings.
        seed
            The same seed gives the same corpus.
        max_length, max_depth
            Strings with more characters or deeper derivations are rejected, as are empty ones: the distribution is
            the grammar's, conditioned on this. ``corpus.coverage["accepted"]`` is the fraction of strings accepted.

        Raises
        ------
        ValueError
            If the bounds are out of reach, or the language cannot be sampled.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> get("parentheses").sample(2, seed=1).strings
        ('((2((4)3333))11)', '((222(33()33)2))')
        """
        if n_strings < 1:
            raise ValueError(f"expected n_strings of at least 1, got {n_strings}")
        drawn = sample(self.productions, n_strings, seed, max_length, max_depth, self._read_back)
        coverage = {"accepted": drawn.accepted}
        if drawn.read_back is not None:
            coverage |= {"read_back": drawn.read_back, "separated": drawn.separated}
            if drawn.read_back < _READ_BACK:
                self._warn_misread(drawn.read_back)
        return Corpus.from_flat(
            drawn.text,
            drawn.offsets,
            trees=drawn.trees,
            vocabulary=Vocabulary(self.characters or ()),
            language=self.name,
            coverage=coverage,
            seed=seed,
        )

    def _warn_misread(self, read_back: float) -> None:
        warnings.warn(
            f"{1 - read_back:.0%} of the texts drawn from the grammar {self.name} were rejected, because its own "
            "parser reads them otherwise than they were drawn (a name that is a keyword, a number that runs into the "
            "next): the others follow the grammar's distribution, conditioned on this; to reject fewer, let the "
            "grammar tell its tokens apart, ignore spaces between them (%ignore), or use parser='earley'",
            AmbiguityWarning,
            stacklevel=3,
        )

    @cached_property
    def _read_back(self) -> ReadBack | None:
        """Returns a text as the parser must read it; None for a grammar whose parser is not LALR."""
        if self._derivations is None:
            return None
        return self._make_read_back(self._derivations)

    def _make_read_back(self, derivations: DerivationFinder) -> ReadBack:
        has_conflicts = self.parser is not None and not is_lalr(self.engine.lark)

        def read_back(
            text: str, tokens: Sequence[Token], drawn: Callable[[], ParseTrees]
        ) -> tuple[str, ParseTrees | None] | None:
            whole = derivations.read_back(text, tokens)
            if whole is None or (whole == text and not has_conflicts):
                return None if whole is None else (whole, None)
            trees = drop_kinds(self.engine.parse(whole), self.productions.kinds)
            if has_conflicts and not has_same_shape(trees, drawn()):
                return None
            return whole, None if whole == text else trees

        return read_back

    @cached_property
    def separator(self) -> str | None:
        """A character that sampled texts have between tokens where the lexer needs it; None if it never does.

        Whether it ever does is decided on texts drawn with a fixed seed.
        """
        character = find_separator(self.engine.lark)
        if character is None or not self.engine.is_lalr:
            return None
        try:
            read_back = self._make_read_back(DerivationFinder(self.engine.lark, self.productions, character))
            drawn = sample(self.productions, _TRIED, 0, max_length=_TRIED, read_back=read_back)
        except ValueError:
            return None  # cannot be sampled, or only within bounds of its own
        return character if drawn.separated else None

    @property
    def kinds(self) -> tuple[NodeKind, ...]:
        """The kinds of nodes of the language's trees."""
        return self.engine.kinds

    @property
    def characters_per_second(self) -> int:
        """Roughly how many characters are parsed per second."""
        return _LALR_SPEED if self.engine.is_lalr else _EARLEY_SPEED

    @cached_property
    def fingerprint(self) -> str | None:
        """A text that changes with the grammar and everything else that parsing depends on; None if unknown."""
        return fingerprint(self.engine.lark, self.options, self.token_spans, self.final_newline)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is built on demand: Lark's parsers cannot be pickled."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def try_parse(self, text: str) -> ParseResult:
        """Parse a text; if it is ambiguous, Lark chooses a derivation and ``counts["ambiguous"]`` is 1."""
        whole = text + "\n" if self.final_newline and not text.endswith("\n") else text
        try:
            trees = self.engine.parse(whole)
        except ParseError as error:
            return ParseResult.failed(self.kinds, len(text), str(error))
        return ParseResult(trees, counts={"ambiguous": int(self.engine.was_ambiguous)})

    def features(self) -> FeatureLibrary:
        """Return the features of this language."""
        if self.library is not None:
            return self.library()
        return default_library(self.engine.kinds, self.characters)

    @cached_property
    def prefixes(self) -> Prefixes:
        """The test of which texts are prefixes of strings of the language.

        Raises
        ------
        ValueError
            If the grammar can only parse: its lexer declares terminals or uses lookaround.
        """
        grammar = self.productions
        if self.separator is not None:
            grammar = compile_grammar(self.engine.lark, self.start, self.weights, self.separator)
        return Prefixes(grammar)

    def violations(self) -> Violation:
        """Return the feature that a text, up to each character, is a prefix of no string of the language.

        The test is exact for every grammar that can be sampled, including ambiguous ones, read character by character:
        a name that is a keyword is no violation. Where sampled texts have spaces between some tokens (see `sample`),
        one may follow every token. The test also finds strings that end too early. Labels of segments whose
        string begins outside the corpus are masked.

        Raises
        ------
        ValueError
            If the grammar can only parse.

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
            return make_violation(self.prefixes, self.name)
        except ValueError as error:
            raise ValueError(
                f"expected a language that can be sampled, whose prefixes are known, got {self.name} ({error}): "
                "define a feature of your own for what is wrong in its text"
            ) from error

    def program(self, says: str = "expected") -> Program:
        """Return a program that parses text of the language as it is read or written, symbol by symbol.

        Parameters
        ----------
        says
            ``"expected"``: for each character, and for the end, whether it may come next (0 or 1). ``"state"``: which
            state the text is in, where texts with the same continuations share one; for languages of at most 64.

        Raises
        ------
        ValueError
            If the grammar can only parse, or has more states.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> program = get("parentheses").program()
        >>> program.fields
        ('(', ')', '0', '1', '2', '3', '4', 'end')
        >>> list(program.read("0("))
        [(1, 0, 1, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0, 0, 0)]
        """
        return make_program(self.prefixes, self.name, says)

    @cached_property
    def shift_reduce(self) -> ShiftReduceParser:
        """The parser whose states can be recorded.

        Raises
        ------
        ValueError
            If the grammar is not LALR.
        """
        return ShiftReduceParser(self.engine, "\n" if self.final_newline else "")

    def parser_states(self, text: str | Corpus) -> ParserStates:
        r"""Return the states of a shift-reduce parser after every character of a text, or of a corpus' strings.

        Raises
        ------
        ValueError
            If the grammar is not LALR, the text does not parse (a `ParseError`), or a corpus has segments of strings
            and no record of the states.

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
        """Return the corpus with the parser's states among its records, so that its strings can be cut afterwards.

        Raises
        ------
        ValueError
            As `parser_states`.
        """
        return add_parser_states(self.shift_reduce, corpus)

    def state_features(self) -> FeatureLibrary:
        """Return features of the states of a shift-reduce parser after each character (see `ParserStates`).

        Returns
        -------
        FeatureLibrary with, in this order:

        - ``stack size`` (continuous, as counted) and ``stack size=0`` ... ``stack size=7``;
        - ``reductions`` (continuous, at this character) and ``reductions>0``;
        - ``reduced:x``: the last rule reduced makes x, for each non-terminal or alias; also for each rule if there are
          at most 64. Rules that are always followed by another reduction at once are left out;
        - ``top:x``: the last token is an x; ``below:x``: it was shifted onto an x (if there are at most 64 such x);
        - ``expected:x``: the parser has an action for the terminal x; ``$END`` is the end of the text. Terminals that
          are always or never expected are left out.

        Labels are computed from the states recorded by `add_parser_states`, or else by parsing the strings.

        Raises
        ------
        ValueError
            If the grammar is not LALR; when labels are computed, as `parser_states`.

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
        """The characters of sampled strings; None for a language that cannot be sampled."""
        try:
            grammar = self.productions
        except ValueError:
            return None
        drawn = {part for right in grammar.right for part in right if isinstance(part, str)}
        return tuple(sorted(drawn | ({self.separator} if self.separator else set())))

    @cached_property
    def _derivations(self) -> DerivationFinder | None:
        """Finds the one derivation of a text that an LALR parser finds; None for a grammar of Earley's parser."""
        if not self.engine.is_lalr:
            return None
        return DerivationFinder(self.engine.lark, self.productions, self.separator)

    def log_probability(self, strings: Sequence[str]) -> Float[np.ndarray, " S"]:
        """Return the exact natural log of each string's probability, float64 ``(S,)``.

        The probability is conditioned on the string not being empty; it is zero, and its log minus infinity, for a
        string that is never sampled. With an LALR parser it is the probability of the one derivation that the parser
        finds, in time linear in the length; texts that are drawn but read otherwise (see `sample`) are not subtracted,
        so that the sum over all strings is below 1 by their share. With Earley's parser the probability is the sum over
        all derivations, in time cubic in the length.
        """
        if self._derivations is None:
            return log_probability(self.productions, strings)
        values = [self._derivations.log_probability(string) for string in strings]
        return np.asarray(values, float) - log_nonempty_probability(self.productions)

    def ideal_cross_entropy(self, corpus: Corpus) -> float:
        """Return the cross entropy, in nats per symbol, of the best possible predictor on these strings.

        Every character and the boundary after each string count as one symbol, as in training. The conditional
        probabilities of the symbols multiply to the probability of the string, conditioned on its being read back as
        drawn: that share is ``corpus.coverage["read_back"]``, where it is known.
        """
        total = -self._sampled_log_probability(corpus)(corpus.strings).sum()
        return float(total / (corpus.n_positions + len(corpus)))

    def _sampled_log_probability(self, corpus: Corpus) -> Callable[[Sequence[str]], Float[np.ndarray, " S"]]:
        share = float(np.log(corpus.coverage.get("read_back", 1.0)))
        return lambda strings: self.log_probability(strings) - share

    def estimate_ideal_cross_entropy(self, corpus: Corpus, seconds: float = 10.0, seed: int = 0) -> tuple[float, float]:
        """Return `ideal_cross_entropy` and its standard error, from as many strings as some seconds suffice for.

        If all strings suffice, the value is exact and the error 0. Otherwise the strings are a random sample, and the
        error says how far the value is likely to be from that of all strings.

        Raises
        ------
        ValueError
            If `seconds` is not positive.

        Examples
        --------
        >>> from dni_jax.languages import get
        >>> language = get("parentheses")
        >>> corpus = language.sample(50, seed=0)
        >>> language.estimate_ideal_cross_entropy(corpus) == (language.ideal_cross_entropy(corpus), 0.0)
        True
        """
        if seconds <= 0:
            raise ValueError(f"expected a positive number of seconds, got {seconds}")
        lengths = np.diff(corpus.offsets)
        needed = 0.0 if self._derivations is not None else float(estimate_seconds(self.productions, lengths).sum())
        return estimate_cross_entropy(
            self._sampled_log_probability(corpus), corpus, min(1.0, seconds / max(needed, 1e-9)), seed
        )
