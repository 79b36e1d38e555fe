"""Scores of all pairs as one labelled dataset, filled part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

_OF_REGRESSIONS = ("r2", "pearson")


class Part(NamedTuple):
    """The features of one kind, how they are scored, and what by.

    Attributes
    ----------
    kind, columns
        The kind, and which features are of it.
    probe
        What they are scored with.
    headline
        The metric that is their ``score``.
    fitting
        The metrics asked for that fit.
    """

    kind: str
    columns: np.ndarray
    probe: str
    headline: str
    fitting: tuple[str, ...]

    @property
    def asked(self) -> tuple[str, ...]:
        """All metrics to compute."""
        return tuple(dict.fromkeys((self.headline, *self.fitting)))

    @property
    def classifies(self) -> bool:
        """Whether the labels are classes, not numbers."""
        return self.headline == "accuracy"


def regression_of(probe: str) -> str:
    """The probe that scores continuous features beside this one."""
    return "ridge" if probe == "ridge" else "ols"


def parts_of(kinds: Sequence[str], probe: str, metrics: Sequence[str]) -> list[Part]:
    """Split the features by kind; of a kind without a feature there is no part."""
    parts = []
    for kind, its_probe, headline in (("binary", probe, "accuracy"), ("continuous", regression_of(probe), "r2")):
        columns = np.flatnonzero([its == kind for its in kinds])
        headline = "r2" if its_probe == "ols" else headline
        fitting = tuple(name for name in metrics if (name in _OF_REGRESSIONS) == (headline == "r2"))
        if len(columns):
            parts.append(Part(kind, columns, its_probe, headline, fitting))
    return parts


@dataclass(frozen=True)
class Table:
    """Arrays ``(neuron, feature, fold)`` by name, NaN where nothing was put, and the baseline ``(feature, fold)``."""

    arrays: dict[str, np.ndarray]
    baseline: np.ndarray

    @classmethod
    def empty(cls, n_neurons: int, kinds: Sequence[str], n_folds: int, metrics: Sequence[str]) -> Table:
        """Make a table that nothing was put into."""
        shape = (n_neurons, len(kinds), n_folds)
        arrays = {name: np.full(shape, np.nan, np.float32) for name in dict.fromkeys(("score", *metrics))}
        return cls(arrays, np.full(shape[1:], np.nan, np.float32))

    def put(self, part: Part, scores: Mapping[str, Any], neurons: slice = slice(None)) -> None:
        """Put in the scores of one part, of some neurons."""
        for name in part.fitting:
            self.arrays[name][neurons, part.columns] = scores[name]
        self.arrays["score"][neurons, part.columns] = scores[part.headline]
        self.baseline[part.columns] = scores["baseline"]

    def dataset(
        self, names: Sequence[str], kinds: Sequence[str], shares: Sequence[float], attrs: Mapping[str, Any]
    ) -> xr.Dataset:
        """Give the dataset of `dni_jax.inspect`."""
        dims = ("neuron", "feature", "fold")
        return xr.Dataset(
            {name: (dims, array) for name, array in self.arrays.items()} | {"baseline": (dims[1:], self.baseline)},
            coords={
                "neuron": np.arange(len(self.arrays["score"])),
                "feature": list(names),
                "fold": np.arange(self.baseline.shape[1]),
                "kind": ("feature", list(kinds)),
                "share": ("feature", list(shares)),
            },
            attrs=dict(attrs),
        )
