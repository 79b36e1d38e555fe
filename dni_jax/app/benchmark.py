"""How fast this machine probes (beside scikit-learn's single fits), trains, records and writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import SVC, LinearSVC

from dni_jax.devices import use_all_cores
from dni_jax.interventions import clamp
from dni_jax.languages import get
from dni_jax.models import TrainConfig, TrainedModel, generate_each, record, train
from dni_jax.probes import make_folds, score_neurons

_OTHERS: dict[str, Callable[[], Any]] = {
    "svm": lambda: SVC(kernel="linear"),
    "linear_svc": LinearSVC,
    "logistic": LogisticRegression,
    "ridge": RidgeClassifier,
}
_FITS = 5  # of scikit-learn in one turn; a single one of the exact SVM, which takes seconds


@dataclass(frozen=True)
class Grid:
    """How many probes.

    Attributes
    ----------
    positions, neurons, features, folds
        The sizes of the grid.
    probe
        Which probe.
    """

    positions: int = 20_000
    neurons: int = 128
    features: int = 50
    folds: int = 20
    probe: str = "svm"

    def check(self) -> None:
        """Refuse sizes that cannot be."""
        least = {"positions": 2 * max(self.folds, 1), "neurons": 1, "features": 1, "folds": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"expected {name} of at least {low}, got {getattr(self, name)}")
        if self.probe not in _OTHERS:
            raise ValueError(f"expected probe to be one of {tuple(_OTHERS)}, got {self.probe!r}")


@dataclass(frozen=True)
class Rate:
    """One measurement.

    Attributes
    ----------
    what
        What was done.
    per_second, unit
        The median rate, and what it counts.
    seconds
        Of each turn.
    beside
        What took turns with it; empty where nothing did.
    ratio, ratio_low, ratio_high
        How many times faster than that: the median of the turns, and their extremes; None without it.
    """

    what: str
    per_second: float
    unit: str
    seconds: tuple[float, ...]
    beside: str = ""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


def measure(grid: Grid, repeats: int = 3, say: Callable[[str], None] = lambda line: None) -> list[Rate]:
    """Time everything, warmed up; every call ends with arrays on the host.

    Parameters
    ----------
    grid
        The probes.
    repeats
        Turns of each.
    say
        Takes a line at each stage.

    Raises
    ------
    ValueError
        For sizes that cannot be.
    """
    grid.check()
    use_all_cores()
    if repeats < 1:
        raise ValueError(f"expected repeats of at least 1, got {repeats}")
    say(f"probing {grid.positions:,} positions: {grid.neurons * grid.features * grid.folds:,} probes ({grid.probe})")
    rates = [_probes(grid, repeats)]
    say(f"a network of {grid.neurons} neurons: trained on 64 texts x 64 characters, writing with a neuron held")
    return [*rates, *_network(grid, repeats)]


def _probes(grid: Grid, repeats: int) -> Rate:
    rng = np.random.default_rng(0)
    hidden = np.tanh(rng.normal(size=(grid.positions, grid.neurons))).astype(np.float32)
    signal = hidden[:, rng.integers(0, grid.neurons, grid.features)] * rng.uniform(0, 3, grid.features)
    labels = signal + rng.normal(size=signal.shape) > rng.uniform(0, 2, grid.features)
    folds = np.asarray(make_folds(grid.positions, grid.folds, scheme="shuffled", seed=0))

    def ours() -> None:
        score_neurons(hidden, labels, folds, probe=grid.probe)

    fits = 1 if grid.probe == "svm" else _FITS

    def theirs() -> None:
        for _ in range(fits):
            n, f, k = (int(rng.integers(size)) for size in (grid.neurons, grid.features, grid.folds))
            train_rows = folds != k
            column = labels[:, f]
            if column[train_rows].any() and not column[train_rows].all():
                fitted = _OTHERS[grid.probe]().fit(hidden[train_rows, n : n + 1], column[train_rows])
                fitted.score(hidden[~train_rows, n : n + 1], column[~train_rows])

    ours()
    n_probes = grid.neurons * grid.features * grid.folds
    own, others = _turns(ours, theirs, repeats)
    ratios = (n_probes / np.asarray(own)) / (fits / np.asarray(others))
    name = type(_OTHERS[grid.probe]()).__name__
    spread = (float(np.median(ratios)), float(ratios.min()), float(ratios.max()))
    return Rate(
        f"probing ({grid.probe})",
        n_probes / float(np.median(own)),
        "probes/s",
        tuple(own),
        f"scikit-learn's {name}",
        *spread,
    )


def _network(grid: Grid, repeats: int) -> list[Rate]:
    language = get("parentheses")
    corpus = language.sample(20_000, seed=0)
    config = TrainConfig(hidden=grid.neurons, steps=100, batch=64, evaluate_every=100)
    read = config.steps * config.batch * config.window if config.steps else 0
    model = TrainedModel.init(corpus.vocabulary, config)
    held = [clamp([0], 1.0)]
    texts, length = 256, 400
    jobs: dict[str, tuple[int, Callable[[], Any]]] = {
        "training": (read, lambda: train(corpus, config=config, progress=False)),
        "recording": (corpus.n_positions, lambda: record(model, corpus)),
        "writing": (texts * length, lambda: generate_each(model, held, texts, length)),
    }
    rates = []
    for what, (count, call) in jobs.items():
        call()
        seconds = tuple(_timed(call) for _ in range(repeats))
        rates.append(Rate(what, count / float(np.median(seconds)), "characters/s", seconds))
    return rates


def _turns(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    own, others = [], []
    for _ in range(repeats):
        own.append(_timed(ours))
        others.append(_timed(theirs))
    return own, others


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
