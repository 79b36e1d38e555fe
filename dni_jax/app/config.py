"""Settings as frozen dataclasses: one definition for Python, the config file and the command line's flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional, arg

from dni_jax.settings import RENAMED_SETTINGS, TrainConfig, check_choices, check_counts

_READ = ("python", "c")  # languages that are read from files, not sampled


@dataclass(frozen=True)
class InspectConfig:
    """How neurons are scored.

    Attributes
    ----------
    inspect_characters
        Held-out characters that neurons are scored on; by default 20,000, of real text 100,000.
    probe
        Scores binary features; continuous ones are scored by least squares.
    folds
        Folds of the cross-validation, to which whole strings (or files) are dealt; by default 20, or as many as
        there are held-out files.
    """

    inspect_characters: int | None = None
    probe: Literal["svm", "linear_svc", "logistic", "ridge"] = "svm"
    folds: int | None = None

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        check_counts(self, "inspect_characters")
        check_choices(self)
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"expected folds of at least 2, got {self.folds}")


@dataclass(frozen=True)
class VerifyConfig:
    """How a ranking is tested by overriding neurons.

    Attributes
    ----------
    verify_characters
        Held-out characters that overridden networks read; by default 10,000, of real text 30,000.
    random_sets
        Random sets of neurons that each top set is compared with.
    headlines
        Features whose neurons are also set to 1, and driven by the labels; every feature's are silenced. By default
        three that readers ask about first.
    """

    verify_characters: int | None = None
    random_sets: int = 64
    headlines: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        check_counts(self, "verify_characters", "random_sets")


@dataclass(frozen=True)
class Hosts:
    """Whether several processes do the run together, and where they find each other.

    Attributes
    ----------
    distributed
        This is one of several processes that do one run; SLURM, Open MPI, a TPU pod or Kubernetes say which, or else
        the three settings below.
    coordinator
        Host and free port of the first process, as every process reaches them: 10.0.0.1:12345.
    processes
        How many there are.
    process_id
        Which of them this is, from 0.
    """

    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        given = [getattr(self, name) is not None for name in ("coordinator", "processes", "process_id")]
        if any(given) and not (all(given) and self.distributed):
            raise ValueError(
                "expected --coordinator, --processes and --process-id together, and beside --distributed, got "
                f"coordinator {self.coordinator}, processes {self.processes}, process_id {self.process_id}"
            )
        if self.coordinator is not None and not self.coordinator.rpartition(":")[2].isdigit():
            raise ValueError(f"expected --coordinator HOST:PORT, got {self.coordinator!r}")
        if self.processes is not None and not 0 <= (self.process_id or 0) < self.processes:
            raise ValueError(
                f"expected --process-id from 0 to --processes - 1, got {self.process_id} of {self.processes} processes"
            )


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
    text_seed
        Draws the text: strings that are sampled, files that are read, which of it is held out; by default the
        training's seed. Runs that share it differ in their networks only.
    inspect_every
        Steps between two looks at what the neurons know while the network learns; by default none.
    out
        The run's folder; without it, the first free one of runs/NAME, runs/NAME-2, ...
    force
        Replace another run in that folder.
    resume
        Go on with the run in that folder (without --out: the last runs/NAME) where it was cut off.
    train
        How the network is trained.
    inspect
        How neurons are scored.
    verify
        How the ranking is tested.
    hosts
        Whether several processes do the run together.
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
    text_seed: int | None = None
    inspect_every: int | None = None
    out: str | None = None
    force: bool = False
    resume: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)
    inspect: InspectConfig = field(default_factory=InspectConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    hosts: Hosts = field(default_factory=Hosts)

    def check(self) -> None:
        """Refuse settings that cannot be; names the setting."""
        for part in (self.train, self.inspect, self.verify, self.hosts):
            part.check()
        check_counts(self, "strings", "characters", "inspect_every")
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
    def draws_text(self) -> int:
        """The seed that the text is drawn with."""
        return self.train.seed if self.text_seed is None else self.text_seed

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


def from_settings(settings: Mapping[str, Any]) -> RunConfig:
    """Read a config from what its file holds.

    Parameters
    ----------
    settings
        By name; those of a part (``train``, ``inspect``, ``verify``) in a table of its own. What is missing has its
        default.

    Raises
    ------
    ValueError
        For a setting that does not exist or has a value of another type; names it.

    Examples
    --------
    >>> from_settings({"language": "arithmetic", "train": {"hidden": 64}}).train.hidden
    64
    """
    moved = dict(settings)
    for part, kind in (("inspect", InspectConfig), ("verify", VerifyConfig)):  # files of format 1 hold them at the top
        own = {one.name for one in fields(kind)} & set(moved)
        moved[part] = {name: moved.pop(name) for name in own} | dict(moved.get(part, {}))
    return _built(RunConfig, moved)


def _built(kind: type[Any], settings: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    if kind is TrainConfig:
        settings = {RENAMED_SETTINGS.get(name, name): value for name, value in settings.items()}
    unknown = sorted(set(settings) - set(hints))
    if unknown:
        near = get_close_matches(unknown[0], hints, n=1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(hints)}"
        raise ValueError(f"expected settings that there are, got {prefix}{unknown[0]}: {there}")
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ValueError(f"expected a table [{name}] of settings, got {value!r}")
            values[name] = _built(hints[name], value, f"{name}.")
        else:
            values[name] = _typed(f"{prefix}{name}", value, hints[name])
    return kind(**values)


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Give a value of a file as a setting's type; numbers are not truncated, words not read as numbers."""
    kinds = [one for one in get_args(hint) if isinstance(one, type)] if get_origin(hint) is UnionType else [hint]
    if get_origin(hint) is tuple and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if get_origin(hint) is Literal or value is None:
        return value  # `check` names the choices
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(isinstance(one, type) and type(value) is one for one in kinds):
        return value
    words = " or ".join(one.__name__ for one in kinds if one is not type(None) and isinstance(one, type)) or "a list"
    raise ValueError(f"expected {name} to be {words}, got {value!r}")
