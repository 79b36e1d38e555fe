"""The contract of all engines: ``init(spec, sample) -> stats``, ``update(stats, ...) -> stats``, ``score(stats)``.

Stats are what an engine keeps of the positions that it has seen. One update with all positions, and many updates with
some each, lead to the same scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dni_jax.probes._spec import ProbeSpec


class Scores(dict[str, np.ndarray]):
    """Scores by metric, float64 (N, F, K), and "baseline" (F, K).

    Attributes
    ----------
    attrs : dict
        The probe, the engine and the settings.
    lines : dict of float64 arrays (N, F, K)
        "weight" and "bias" of the fitted probes, where an engine has fitted them.
    """

    def __init__(
        self, scores: dict[str, np.ndarray], attrs: dict[str, Any], lines: dict[str, np.ndarray] | None = None
    ) -> None:
        super().__init__(scores)
        self.attrs = attrs
        self.lines = lines or {}


LINES = ("weight", "bias")
# Positions that are counted or summed at a time, and those that levels are chosen from.
CHUNK = 65_536
_SAMPLE = 200_000


class Sample(NamedTuple):
    """What is known of the data before the first update.

    Attributes
    ----------
    hidden, labels, folds : arrays (t, N), (t, F) and (t,)
        Some positions, as for `update`. Levels and grids are chosen from them.
    n_folds : int
        Number of folds K.
    length : int
        The most positions of an update, where it is known: updates are padded to it, so that one program serves all.
    ranges : two float arrays (N,), optional
        Smallest and largest state of each neuron in all the data, where they are known.
    """

    hidden: Any
    labels: np.ndarray
    folds: np.ndarray
    n_folds: int
    length: int = 0
    ranges: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of neurons, features and folds (N, F, K)."""
        return self.hidden.shape[1], self.labels.shape[1], self.n_folds

    @property
    def used(self) -> Any:
        """Equally spaced states in use, 200,000 to 400,000 at most."""
        used = np.flatnonzero(self.folds >= 0)
        if len(used) == 0:
            raise ValueError("expected positions in use to choose levels from, got none: all of them are left out")
        return self.hidden[used[:: max(1, len(used) // _SAMPLE)]]


class Engine(NamedTuple):
    """Three functions that keep statistics of positions and score them.

    Attributes
    ----------
    name : {"exact", "binned"}
    init : (spec, sample) -> stats
        Stats of no position; `spec` must be resolved.
    update : (stats, hidden, labels, folds) -> stats
        Stats of these positions, too. An engine may reuse the memory of the stats that it is passed: they must not be
        used afterwards.
    score : (stats) -> Scores
        Fits the probe that leaves each fold out, and scores it on the fold. ``lines`` holds the fits.
    """

    name: str
    init: Callable[[ProbeSpec, Sample], Any]
    update: Callable[[Any, Any, Any, Any], Any]
    score: Callable[[Any], Scores]


def make_scores(
    spec: ProbeSpec,
    arrays: dict[str, Float[np.ndarray, "A N F K"]],
    baseline: Float[np.ndarray, "F K"],
    attrs: dict[str, Any],
) -> Scores:
    """Return the result of an engine; without several alphas their axis is dropped."""
    if not spec.several:
        arrays = {name: array[0] for name, array in arrays.items()}
    scores = {name: arrays[name] for name in spec.names} | {"baseline": baseline}
    lines = {name: arrays[name] for name in LINES if name in arrays}
    return Scores(scores, {**spec.describe(), **attrs}, lines)
