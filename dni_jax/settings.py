"""Settings of training, as plain dataclasses: the command line reads them before JAX is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

# Settings under the names that files of earlier versions hold.
RENAMED_SETTINGS = {"products": "matmul_dtype"}
# Measures of `dni_jax.verify`, likewise, in tables of effects.
RENAMED_MEASURES = {
    "mass": "class_probability",
    "mass_on": "class_probability_on",
    "mass_off": "class_probability_off",
}


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with names of earlier versions replaced by today's."""
    return {RENAMED_SETTINGS.get(name, name): value for name, value in settings.items()}


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
    matmul_dtype
        What the operands of matrix products are rounded to; bfloat16 is for accelerators. Sums stay float32.
    steps
        Number of gradient steps; by default 1,200, with more than 32 symbols 4,000.
    batch
        Texts read in parallel in one step.
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
        Steps between two evaluations on the validation text; each also saves a checkpoint.
    patience
        Training stops after so many evaluations without a better validation loss.
    seed
        Decides the initial weights and the order of the text.
    """

    hidden: int = 128
    layers: int = 1
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    matmul_dtype: Literal["float32", "bfloat16"] = "float32"
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
        check_counts(self, "hidden", "layers", "steps", "batch", "window", "evaluate_every", "patience")
        if self.warmup < 0:
            raise ValueError(f"expected warmup of at least 0 steps, got {self.warmup}")
        check_choices(self)
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
    matmul_dtype: Literal["float32", "bfloat16"] = "float32"
    schedule: str = "cosine"
    warmup: int = 20


def check_counts(config: Any, *names: str) -> None:
    """Refuse named settings below 1."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")


def check_choices(config: Any) -> None:
    """Refuse settings that are none of their type's literals."""
    for name, kind in get_type_hints(type(config)).items():
        if get_origin(kind) is Literal and getattr(config, name) not in get_args(kind):
            raise ValueError(f"expected {name} to be one of {', '.join(get_args(kind))}, got {getattr(config, name)!r}")
