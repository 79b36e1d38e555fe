"""Settings as frozen dataclasses: one definition for Python, the config file and the command line's flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Attributes
    ----------
    hidden
        Number of LSTM neurons.
    steps
        Number of gradient steps.
    batch
        Texts read side by side in one step.
    window
        Characters of each text in one step; gradients reach back that far, states flow on beyond.
    learning_rate
        Adam's rate at the start; it falls to a hundredth along a cosine.
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
    steps: int = 1_200
    batch: int = 32
    window: int = 64
    learning_rate: float = 1e-2
    clip: float = 1.0
    evaluate_every: int = 100
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "steps", "batch", "window", "evaluate_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
