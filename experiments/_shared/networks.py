"""Networks that several experiments share: of two languages, in two training settings, of several sizes and seeds."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import dni_jax as dni
from dni_jax.files import atomic_write

FOLDER = Path("runs/experiments/inspection")  # of networks and measurements, unless told otherwise

STRINGS = {"parentheses": 30_000, "arithmetic_long": 6_000}  # about half a million characters each
# "default" is dni_jax's own training. "last" is what Keras' example of generating text did in 2017, which the authors
# are likely to have used: windows of 40 characters from the zero state, loss on the last one, RMSprop.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "last": {
        "window_start": "zero",
        "loss_on": "last",
        "window": 40,
        "batch": 64,
        "optimizer": "rmsprop",
        "learning_rate": 0.01,
        "schedule": "constant",
        "warmup": 0,
        "clip": 1e6,
    },
}


@dataclass(frozen=True)
class Plan:
    """What networks that differ in their seed only have in common."""

    language: str
    setting: str
    hidden: int
    steps: int

    @property
    def name(self) -> str:
        """Name of the folder of these networks."""
        return f"{self.language}-{self.setting}-{self.hidden}-{self.steps}"


@dataclass(frozen=True)
class Case:
    """A network, and the text that it has not seen: one part to score neurons on, another to measure effects on."""

    language: dni.languages.BaseLanguage
    model: dni.models.TrainedModel
    scored: dni.Corpus
    verified: dni.Corpus


@cache
def corpus_of(language: str) -> dni.Corpus:
    """Sample the text that all networks of a language share."""
    return dni.languages.get(language).sample(STRINGS[language], seed=0)


def loss_text(language: str) -> dni.Corpus:
    """Return the text that losses are measured on: some of the test text."""
    return corpus_of(language).test.head(20_000)


@cache
def ideal_of(language: str) -> float:
    """Return the best possible loss on that text, nats per symbol."""
    return dni.languages.get(language).ideal_cross_entropy(loss_text(language))


def unseen(language: str, scored: int, verified: int) -> tuple[dni.Corpus, dni.Corpus]:
    """Split off two parts of the test text, of so many characters each."""
    test = corpus_of(language).test
    first = test.head(scored)
    return first, test.take(np.arange(len(first), len(test))).head(verified)


def train(plan: Plan, seeds: Sequence[int], folder: Path) -> None:
    """Train the networks that are not there yet as one population; a training run that was killed goes on."""
    missing = [seed for seed in seeds if not (folder / plan.name / str(seed) / "network").exists()]
    if not missing:
        return
    checkpoints = folder / "training" / f"{plan.name}-{'-'.join(map(str, missing))}"
    settings = SETTINGS[plan.setting] | {"hidden": plan.hidden, "steps": plan.steps}
    population = dni.train_population(corpus_of(plan.language), missing, checkpoints=checkpoints, **settings)
    for seed, model in zip(missing, population, strict=True):
        model.save(folder / plan.name / str(seed) / "network")


def kept(path: Path, measure: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows in a file, which is made by measuring if it is not there: whole, or not at all."""
    if not path.exists():
        rows = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(json.dumps(rows), encoding="utf-8")
    return list(json.loads(path.read_text(encoding="utf-8")))
