"""How fast this machine fits probes, compared with scikit-learn, and trains, records and generates."""

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
from dni_jax.settings import ProbeName

_OTHERS: dict[ProbeName, Callable[[], Any]] = {
    "svm": lambda: SVC(kernel="linear"),
    "linear_svc": LinearSVC,
    "logistic": LogisticRegression,
    "ridge": RidgeClassifier,
}
_FITS = 5  # fits of scikit-learn per measurement; of the exact SVM, which takes seconds, one


@dataclass(frozen=True)
class ProbeGrid:
    """The probes to fit in a benchmark: one for each neuron, feature and fold.

    Attributes
    ----------
    positions, neurons, features, folds
        Sizes of the data.
    probe
        Name of the probe.
    """

    positions: int = 20_000
    neurons: int = 128
    features: int = 50
    folds: int = 20
    probe: ProbeName = "svm"

    def check(self) -> None:
        """Raise a ValueError for invalid sizes."""
        smallest = {"positions": 2 * max(self.folds, 1), "neurons": 1, "features": 1, "folds": 2}
        for name, low in smallest.items():
            if getattr(self, name) < low:
                raise ValueError(f"expected {name} of at least {low}, got {getattr(self, name)}")
        if self.probe not in _OTHERS:
            raise ValueError(f"expected probe to be one of {tuple(_OTHERS)}, got {self.probe!r}")


@dataclass(frozen=True)
class Rate:
    """One measurement.

    Attributes
    ----------
    task
        What was measured.
    per_second, unit
        Median rate, and its unit.
    seconds
        Duration of each repetition.
    reference
        Software that was measured in alternation; empty without one.
    ratio, ratio_low, ratio_high
        Rate divided by that of the reference: median, minimum and maximum over repetitions. None without a reference.
    """

    task: str
    per_second: float
    unit: str
    seconds: tuple[float, ...]
    reference: str = ""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


def measure_rates(grid: ProbeGrid, repeats: int = 3, log: Callable[[str], None] = lambda line: None) -> list[Rate]:
    """Measure all rates after a warm-up. Every timed call ends with its results on the host.

    Parameters
    ----------
    grid
        The probes to fit.
    repeats
        Number of repetitions.
    log
        Called with a line of text at each stage.

    Raises
    ------
    ValueError
        For invalid sizes.
    """
    grid.check()
    use_all_cores()
    if repeats < 1:
        raise ValueError(f"expected repeats of at least 1, got {repeats}")
    log(f"probing {grid.positions:,} positions: {grid.neurons * grid.features * grid.folds:,} probes ({grid.probe})")
    rates = [_measure_probes(grid, repeats)]
    log(f"a network of {grid.neurons} neurons: training on 64 texts x 64 characters, generating with one neuron held")
    return [*rates, *_measure_network(grid, repeats)]


def _measure_probes(grid: ProbeGrid, repeats: int) -> Rate:
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
    own, others = _alternate(ours, theirs, repeats)
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


def _measure_network(grid: ProbeGrid, repeats: int) -> list[Rate]:
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
        "generating": (texts * length, lambda: generate_each(model, held, texts, length)),
    }
    rates = []
    for task, (count, call) in jobs.items():
        call()
        seconds = tuple(_time(call) for _ in range(repeats))
        rates.append(Rate(task, count / float(np.median(seconds)), "characters/s", seconds))
    return rates


def _alternate(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    own, others = [], []
    for _ in range(repeats):
        own.append(_time(ours))
        others.append(_time(theirs))
    return own, others


def _time(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
