"""The settings of a run as frozen dataclasses, which define Python arguments, config files and flags at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional, arg

from dni_jax.settings import Described, ProbeName, TrainConfig, check_choices, check_counts, with_new_names

_FILE_LANGUAGES = ("python", "c")  # read from files instead of sampled from a grammar


@dataclass(frozen=True)
class InspectConfig:
    """Settings of the inspection, which scores neurons on features.

    Attributes
    ----------
    inspect_characters
        Number of held-out characters to score neurons on. Default: 20,000 for sampled text, 100,000 for files.
    probe
        Classifier for binary features. Continuous features are scored by least squares.
    folds
        Number of cross-validation folds. Strings (or files) are never split. Default: 20, or the number of held-out
        files if that is smaller.
    """

    inspect_characters: Described[int | None] = None
    probe: ProbeName = "svm"
    folds: Described[int | None] = None

    def check(self) -> None:
        """Raise a ValueError that names the first invalid setting."""
        check_counts(self, "inspect_characters")
        check_choices(self)
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"expected folds of at least 2, got {self.folds}")


@dataclass(frozen=True)
class VerifyConfig:
    """Settings of the verification, which overrides neurons and measures the effect.

    Attributes
    ----------
    verify_characters
        Number of held-out characters to measure effects on. Default: 10,000 for sampled text, 30,000 for files.
    random_sets
        Number of random sets of neurons to compare each top set with.
    headlines
        Features whose top neurons are also set to 1 and driven by the labels. The top neurons of every feature are
        ablated. Default: three common features of the language.
    """

    verify_characters: Described[int | None] = None
    random_sets: int = 64
    headlines: Described[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raise a ValueError that names the first invalid setting."""
        check_counts(self, "verify_characters", "random_sets")


@dataclass(frozen=True)
class Hosts:
    """Settings of a run that several processes share.

    Attributes
    ----------
    distributed
        Join other processes that work on the same run. SLURM, Open MPI, TPU pods and Kubernetes are detected;
        elsewhere, set the three options below.
    coordinator
        Address of process 0 that every process can reach, with a free port: 10.0.0.1:12345.
    processes
        Number of processes.
    process_id
        Index of this process, starting at 0.
    """

    distributed: bool = False
    coordinator: Described[str | None] = None
    processes: Described[int | None] = None
    process_id: Described[int | None] = None

    def check(self) -> None:
        """Raise a ValueError that names the first invalid setting."""
        is_set = [getattr(self, name) is not None for name in ("coordinator", "processes", "process_id")]
        if any(is_set) and not (all(is_set) and self.distributed):
            raise ValueError(
                "expected --coordinator, --processes and --process-id together, along with --distributed, got "
                f"coordinator {self.coordinator}, processes {self.processes}, process_id {self.process_id}"
            )
        if self.coordinator is not None and not self.coordinator.rpartition(":")[2].isdigit():
            raise ValueError(f"expected --coordinator HOST:PORT, got {self.coordinator!r}")
        if self.processes is not None and not 0 <= (self.process_id or 0) < self.processes:
            raise ValueError(
                f"expected --process-id from 0 to --processes - 1, got {self.process_id} of {self.processes} processes"
            )


@dataclass(frozen=True)
class OutputConfig:
    """What a command prints.

    Attributes
    ----------
    quiet
        Print only the result, no progress.
    json
        Print the result as one JSON object. Progress goes to standard error.
    """

    quiet: bool = False
    json: bool = False


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run.

    Attributes
    ----------
    language
        A built-in language: parentheses, arithmetic, c_expressions, python (reads the standard library, or --text) or
        c (--text names a file, a folder or a tar archive).
    grammar
        Path of a Lark grammar to use instead of a built-in language.
    start
        Start rule of the grammar.
    text
        A file or folder with text in the language. Default: text is sampled from the grammar.
    glob
        Pattern of the files to read in a folder. Default for C: all files that end in .c.
    skip_unparsable
        Keep text that does not parse, without labels, instead of stopping. Always on for C and the standard library.
    typedefs
        A file with names of C types, one per line. Few are needed.
    parser_states
        Add features of a shift-reduce parser: stack size, rule reduced, tokens expected. Needs an LALR grammar.
    strings
        Number of strings to sample.
    characters
        Number of characters to read from files.
    symbols
        Size of the vocabulary: the most frequent characters in the files; all others are
        read as one. Raise it for text in a script of many characters. Default: 128.
    text_seed
        Seed for drawing the text and its held-out part. Default: the training seed. Runs with the same text seed
        differ only in their networks.
    inspect_every
        Steps between two inspections during training. Default: inspect only the trained network.
    out
        Folder for the results. Default: the first free one of runs/NAME, runs/NAME-2, ...
    force
        Replace an existing run in that folder.
    resume
        Continue the run in that folder (without --out: the latest runs/NAME).
    train
        Settings of the training.
    inspect
        Settings of the inspection.
    verify
        Settings of the verification.
    hosts
        Settings of a run that several processes share.
    """

    language: Positional[Annotated[str, arg(metavar="LANGUAGE")]] = "parentheses"
    grammar: Described[str | None] = None
    start: str = "start"
    text: Described[str | None] = None
    glob: str = "**/*"
    skip_unparsable: bool = False
    typedefs: Described[str | None] = None
    parser_states: bool = False
    strings: int = 60_000
    characters: int = 1_200_000
    symbols: Described[int | None] = None
    text_seed: Described[int | None] = None
    inspect_every: Described[int | None] = None
    out: Described[str | None] = None
    force: bool = False
    resume: bool = False
    train: TrainConfig = field(default_factory=TrainConfig)
    inspect: InspectConfig = field(default_factory=InspectConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    hosts: Hosts = field(default_factory=Hosts)

    def check(self) -> None:
        """Raise a ValueError that names the first invalid setting."""
        for part in (self.train, self.inspect, self.verify, self.hosts):
            part.check()
        check_counts(self, "strings", "characters", "symbols", "inspect_every")
        if self.symbols is not None and self.is_sampled:
            raise ValueError(
                "expected --symbols only with text from files, got it with sampled text, which has its own"
            )
        if self.grammar is not None and self.language != RunConfig.language:
            raise ValueError(f"expected a language or --grammar, got both: {self.language} and {self.grammar}")
        if self.skip_unparsable and self.text is None:
            raise ValueError("expected --text along with --skip-unparsable, got none: sampled text always parses")
        reads = self.grammar is not None or self.language in _FILE_LANGUAGES
        if self.text is not None and not reads:
            raise ValueError(
                f"expected --grammar FILE.lark or one of the languages {', '.join(_FILE_LANGUAGES)} along with --text, "
                f"got --text {self.text}"
            )
        if self.is_c and self.text is None:
            raise ValueError("expected --text PATH of C source code (a file, folder or tar archive) for c, got none")
        if self.typedefs is not None and not self.is_c:
            raise ValueError(f"expected --typedefs with the language c only, got it with {self.name}")

    @property
    def resolved_text_seed(self) -> int:
        """The seed that the text is drawn with: `text_seed`, or else the training seed."""
        return self.train.seed if self.text_seed is None else self.text_seed

    @property
    def is_c(self) -> bool:
        """Whether the text is C source code."""
        return self.grammar is None and self.language == "c"

    @property
    def is_sampled(self) -> bool:
        """Whether the text is drawn from the grammar, rather than read from files."""
        return self.text is None and (self.grammar is not None or self.language not in _FILE_LANGUAGES)

    @property
    def name(self) -> str:
        """The name of the language, or of the grammar file."""
        return str(self.language) if self.grammar is None else Path(self.grammar).stem


def config_from_dict(settings: Mapping[str, Any]) -> RunConfig:
    """Build a config from the nested dictionary that its TOML file holds.

    Parameters
    ----------
    settings
        Settings by name. Those of ``train``, ``inspect`` and ``verify`` are in nested dictionaries. Missing settings
        have their defaults.

    Raises
    ------
    ValueError
        If a setting does not exist or has a value of the wrong type.

    Examples
    --------
    >>> config_from_dict({"language": "arithmetic", "train": {"hidden": 64}}).train.hidden
    64
    """
    nested = dict(settings)
    for part, kind in (("inspect", InspectConfig), ("verify", VerifyConfig)):  # format 1 kept them at the top level
        own = {one.name for one in fields(kind)} & set(nested)
        nested[part] = {name: nested.pop(name) for name in own} | dict(nested.get(part, {}))
    return _build(RunConfig, nested)


def _build(kind: type[Any], settings: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    if kind is TrainConfig:
        settings = with_new_names(settings)
    unknown = sorted(set(settings) - set(hints))
    if unknown:
        near = get_close_matches(unknown[0], hints, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(hints)}"
        raise ValueError(f"expected the name of a setting, got {prefix}{unknown[0]}: {hint}")
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ValueError(f"expected a table [{name}] of settings, got {value!r}")
            values[name] = _build(hints[name], value, f"{name}.")
        else:
            values[name] = _convert(f"{prefix}{name}", value, hints[name])
    return kind(**values)


def _convert(name: str, value: Any, hint: Any) -> Any:
    """Convert a value from a file to the type of its setting, without truncating numbers or parsing text."""
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
