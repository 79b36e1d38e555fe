"""Settings as frozen dataclasses: one definition for Python, the config file and the command line's flags."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional, arg

_READ = ("python", "c")  # languages that are read from files, not sampled


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Attributes
    ----------
    hidden
        Number of neurons in each recurrent layer.
    layers
        Number of recurrent layers; neurons are numbered from the lowest up.
    cell
        Kind of recurrent cell.
    products
        Precision of matrix products: bfloat16 rounds their operands, for accelerators.
    steps
        Number of gradient steps; by default 1,200, with more than 32 symbols 4,000.
    batch
        Texts read side by side in one step.
    window
        Characters of each text in one step; gradients reach back that far, states flow on beyond.
    learning_rate
        Adam's highest rate; by default 0.01, with more than 32 symbols 0.005.
    schedule
        How the rate falls to a hundredth: along a cosine, along a line, or not at all.
    warmup
        Steps in which the rate rises from a tenth; at most a tenth of all steps.
    clip
        The gradient's norm is clipped here.
    evaluate_every
        Steps between two looks at the validation text; each also writes a checkpoint.
    patience
        Training stops after so many looks without a better validation loss.
    seed
        Decides the initial weights and the order of the text.
    """

    hidden: int = 128
    layers: int = 1
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    products: Literal["float32", "bfloat16"] = "float32"
    steps: int | None = None
    batch: int = 32
    window: int = 64
    learning_rate: float | None = None
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: int = 20
    clip: float = 1.0
    evaluate_every: int = 100
    patience: int = 5
    seed: int = 0

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        for name in ("hidden", "layers", "steps", "batch", "window", "evaluate_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}")
        if self.warmup < 0:
            raise ValueError(f"expected warmup of at least 0 steps, got {self.warmup}")
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"expected {name} to be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}"
                )
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"expected {name} above 0, got {value}")

    def plan(self, n_symbols: int) -> TrainPlan:
        """Fill in what is None, for a vocabulary of this size.

        Raises
        ------
        ValueError
            For a setting that cannot be.
        """
        self.check()
        defaults = (1_200, 1e-2) if n_symbols <= 32 else (4_000, 5e-3)
        given = asdict(self)
        for name, default in zip(("steps", "learning_rate"), defaults, strict=True):
            given[name] = default if given[name] is None else given[name]
        return TrainPlan(**given)


@dataclass(frozen=True)
class TrainPlan:
    """`TrainConfig` with every number decided."""

    hidden: int
    steps: int
    batch: int
    window: int
    learning_rate: float
    clip: float
    evaluate_every: int
    patience: int
    seed: int
    layers: int = 1
    cell: str = "lstm"
    products: Literal["float32", "bfloat16"] = "float32"
    schedule: str = "cosine"
    warmup: int = 20


@dataclass(frozen=True)
class RunConfig:
    """Which language, how much text, which network, and where the results go.

    Attributes
    ----------
    language
        A built-in language: parentheses, arithmetic, c_expressions, python (the standard library's source, or
        --text), or c (--text names a file, a folder or a tar archive).
    grammar
        A Lark grammar of your own instead.
    start
        The grammar's start rule.
    text
        A file or folder of your own text in that language; without it, text is sampled from the grammar.
    glob
        Which files under a folder of text to read; of C, by default those that end in .c.
    skip_unparsable
        Keep text that does not parse, without labels, instead of stopping; of C and the standard library always.
    typedefs
        A file with names of C's types, one a line; few are needed.
    parser_states
        Ask as well about a shift-reduce parser's states: stack size, rule reduced, tokens expected (LALR grammars).
    strings
        Number of strings to sample.
    characters
        Number of characters of real text to read.
    inspect_characters
        Held-out characters that neurons are scored on; by default 20,000, of real text 100,000.
    verify_characters
        Held-out characters that overridden networks read; by default 10,000, of real text 30,000.
    probe
        Scores binary features; continuous ones are scored by least squares.
    folds
        Folds of the cross-validation, to which whole strings (or files) are dealt; by default 20, or as many as
        there are held-out files.
    inspect_every
        Steps between two looks at what the neurons know while the network learns; by default none.
    random_sets
        Random sets of neurons that each top set is compared with.
    out
        The run's folder; without it, the first free one of runs/NAME, runs/NAME-2, ...
    force
        Replace another run in that folder.
    resume
        Go on with the run in that folder (without --out: the last runs/NAME) where it was cut off.
    train
        How the network is trained.
    """

    language: Positional[Annotated[str, arg(metavar="LANGUAGE")]] = "parentheses"
    grammar: str | None = None
    start: str = "start"
    text: str | None = None
    glob: str = "**/*"
    skip_unparsable: bool = False
    typedefs: str | None = None
    parser_states: bool = False
    strings: int = 60_000
    characters: int = 1_200_000
    inspect_characters: int | None = None
    verify_characters: int | None = None
    probe: Literal["svm", "linear_svc", "logistic", "ridge"] = "svm"
    folds: int | None = None
    inspect_every: int | None = None
    random_sets: int = 64
    out: str | None = None
    force: bool = False
    resume: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        self.train.check()
        sizes = ("strings", "characters", "inspect_characters", "verify_characters", "inspect_every", "random_sets")
        for name in sizes:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}")
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"expected folds of at least 2, got {self.folds}")
        if self.grammar is not None and self.language != RunConfig.language:
            raise ValueError(f"expected a language or --grammar, got both: {self.language} and {self.grammar}")
        if self.skip_unparsable and self.text is None:
            raise ValueError("expected --skip-unparsable beside --text, got it alone: sampled text always parses")
        reads = self.grammar is not None or self.language in _READ
        if self.text is not None and not reads:
            raise ValueError(
                f"expected --grammar FILE.lark (or one of the languages {', '.join(_READ)}) beside --text, "
                f"got --text {self.text}"
            )
        if self.is_c and self.text is None:
            raise ValueError("expected --text PATH of C source code (a file, folder or tar archive) for c, got none")
        if self.typedefs is not None and not self.is_c:
            raise ValueError(f"expected --typedefs beside the language c only, got it with {self.name}")

    @property
    def is_c(self) -> bool:
        """Whether the text is C source code."""
        return self.grammar is None and self.language == "c"

    @property
    def is_sampled(self) -> bool:
        """Whether the text is drawn from the grammar, rather than read from files."""
        return self.text is None and (self.grammar is not None or self.language not in _READ)

    @property
    def name(self) -> str:
        """What the run is about: the language, or the grammar's file name."""
        return str(self.language) if self.grammar is None else Path(self.grammar).stem
