"""Settings of training, as plain dataclasses: the command line reads them before JAX is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tyro.conf import arg

ProbeName = Literal["svm", "linear_svc", "logistic", "ridge"]


def _hint_at_default(default: str) -> str:
    return "" if default in ("None", "") else f"(default: {default})"


T = TypeVar("T")
Described = Annotated[T, arg(help_behavior_hint=_hint_at_default)]  # its description says what None stands for

# Names in files of earlier versions, and the current names: of settings, of measures in tables of effects, and of
# columns in tables of relevance and findings.
RENAMED_SETTINGS = {"products": "matmul_dtype"}
RENAMED_MEASURES = {
    "mass": "class_probability",
    "mass_on": "class_probability_on",
    "mass_off": "class_probability_off",
}
RENAMED_COLUMNS = {"given_symbol": "auc_within_symbol"}


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with names of earlier versions replaced by today's."""
    return {RENAMED_SETTINGS.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training.

    Attributes
    ----------
    hidden
        Number of neurons in each recurrent layer.
    layers
        Number of recurrent layers. Neurons are numbered from the lowest layer up.
    cell
        Kind of recurrent cell. minGRU and RG-LRU are linear in their state; give them at least two layers.
    matmul_dtype
        Precision of the operands of matrix products. Sums stay float32. Use bfloat16 on accelerators.
    steps
        Number of gradient steps. Default: 1,200, or 4,000 with more than 32 symbols.
    batch
        Number of texts per step.
    window
        Number of characters of each text per step. Gradients are truncated there.
    window_start
        State in which a window is read: the one that the window before it ended with (carried), or zero. From zero,
        windows are drawn anywhere in the running text, and a string that begins inside a window begins in the state
        that the one before it has left.
    loss_on
        Which characters of a window are to be predicted: all of them, or only the one after its last (last).
    optimizer
        Adam, or RMSprop as Keras computes it.
    learning_rate
        Peak learning rate of the optimizer. Default: 0.01, or 0.005 with more than 32 symbols.
    schedule
        Decay of the learning rate to a hundredth: along a cosine, along a line, or no decay.
    warmup
        Number of steps in which the learning rate rises from a tenth; at most a tenth of all steps.
    clip
        Maximum norm of the gradient.
    evaluate_every
        Number of steps between evaluations on the validation text. Each also writes a checkpoint.
    patience
        Number of evaluations without improvement after which training stops.
    seed
        Random seed of the initial weights and of the order of the text.
    """

    hidden: int = 128
    layers: int = 1
    cell: Literal["lstm", "gru", "rnn", "mingru", "rglru", "slstm"] = "lstm"
    matmul_dtype: Literal["float32", "bfloat16"] = "float32"
    steps: Described[int | None] = None
    batch: int = 32
    window: int = 64
    window_start: Literal["carried", "zero"] = "carried"
    loss_on: Literal["all", "last"] = "all"
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: Described[float | None] = None
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: int = 20
    clip: float = 1.0
    evaluate_every: int = 100
    patience: int = 5
    seed: int = 0

    def check(self) -> None:
        """Raise a ValueError that names the first invalid setting."""
        check_counts(self, "hidden", "layers", "steps", "batch", "window", "evaluate_every", "patience")
        if self.warmup < 0:
            raise ValueError(f"expected warmup of at least 0 steps, got {self.warmup}")
        check_choices(self)
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"expected {name} above 0, got {value}")

    def plan(self, n_symbols: int) -> TrainPlan:
        """Replace settings that are None by their defaults for a vocabulary of this size.

        Raises
        ------
        ValueError
            If a setting is invalid.
        """
        self.check()
        defaults = (1_200, 1e-2) if n_symbols <= 32 else (4_000, 5e-3)
        settings = asdict(self)
        for name, default in zip(("steps", "learning_rate"), defaults, strict=True):
            settings[name] = default if settings[name] is None else settings[name]
        return TrainPlan(**settings)


@dataclass(frozen=True)
class TrainPlan:
    """`TrainConfig` without open defaults."""

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
    window_start: str = "carried"
    loss_on: str = "all"
    optimizer: str = "adam"


def check_counts(config: Any, *names: str) -> None:
    """Raise a ValueError if a named setting is below 1."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")


def check_choices(config: Any) -> None:
    """Raise a ValueError if a setting is not among the literals of its type."""
    for name, kind in get_type_hints(type(config)).items():
        if get_origin(kind) is Literal and getattr(config, name) not in get_args(kind):
            raise ValueError(f"expected {name} to be one of {', '.join(get_args(kind))}, got {getattr(config, name)!r}")
