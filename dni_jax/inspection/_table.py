"""Scores of all pairs as one labeled dataset, filled group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dni_jax import processes
from dni_jax.probes import ProbeSpec
from dni_jax.states import ChunkedActivations

_OF_REGRESSIONS = ("r2", "pearson")


class FeatureGroup(NamedTuple):
    """The features of one kind, and how they are scored.

    Attributes
    ----------
    kind, columns
        The kind, and which features are of it.
    spec
        The probe and all metrics to compute.
    headline
        The metric that is their ``score``.
    kept
        The metrics that become variables.
    """

    kind: str
    columns: np.ndarray
    spec: ProbeSpec
    headline: str
    kept: tuple[str, ...]


def group_features(kinds: Sequence[str], spec: ProbeSpec, metrics: Sequence[str]) -> list[FeatureGroup]:
    """Split the features by kind; a kind without a feature has no group.

    Classes are weighed only where there are classes.
    """
    groups = []
    for kind, probe, headline in (("binary", spec.probe, "accuracy"), ("continuous", spec.continuous, "r2")):
        columns = np.flatnonzero([its == kind for its in kinds])
        headline = "r2" if probe == "ols" else headline
        kept = tuple(name for name in metrics if (name in _OF_REGRESSIONS) == (headline == "r2"))
        computed = tuple(dict.fromkeys((headline, *kept)))
        weight = spec.class_weight if headline == "accuracy" else None
        own = spec.with_probe(probe, metrics=computed, class_weight=weight)
        if len(columns):
            groups.append(FeatureGroup(kind, columns, own, headline, kept))
    return groups


@dataclass(frozen=True)
class Table:
    """Arrays by name, NaN where nothing was put.

    Attributes
    ----------
    arrays
        float32 ``(neuron, feature, fold)`` by metric, and ``score``.
    baseline
        float32 ``(feature, fold)``.
    margins
        float64 ``(neuron, feature)`` by name: the half-widths of intervals, where reading may stop early.
    """

    arrays: dict[str, np.ndarray]
    baseline: np.ndarray
    margins: dict[str, np.ndarray]

    @classmethod
    def empty(
        cls, n_neurons: int, n_features: int, n_folds: int, metrics: Sequence[str], with_margins: bool = False
    ) -> Table:
        """Make a table without values."""
        names, shape = tuple(dict.fromkeys(("score", *metrics))), (n_neurons, n_features, n_folds)
        arrays = {name: np.full(shape, np.nan, np.float32) for name in names}
        margins = {name: np.full(shape[:2], np.nan) for name in names if with_margins}
        return cls(arrays, np.full(shape[1:], np.nan, np.float32), margins)

    def put(
        self,
        group: FeatureGroup,
        scores: Mapping[str, Any],
        margins: Mapping[str, Any],
        neurons: slice = slice(None),
        first: int = 0,
    ) -> None:
        """Fill in one group's scores and margins, of some neurons; `first` is added to its columns."""
        columns = group.columns + first
        for name, metric in (("score", group.headline), *((name, name) for name in group.kept)):
            self.arrays[name][neurons, columns] = scores[metric]
            if metric in margins:
                self.margins[name][neurons, columns] = margins[metric]
        self.baseline[columns] = scores["baseline"]

    def gathered(self, n_neurons: int) -> Table:
        """Return the neurons of all processes."""
        arrays, margins = (
            {name: processes.all_gather(array, n_neurons) for name, array in part.items()}
            for part in (self.arrays, self.margins)
        )
        return Table(arrays, self.baseline, margins)

    def dataset(
        self,
        names: Sequence[str],
        kinds: Sequence[str],
        shares: Sequence[float],
        states: ChunkedActivations,
        attrs: Mapping[str, Any],
    ) -> xr.Dataset:
        """Return the dataset of `dni_jax.inspect`; a population's neurons get a dimension of models."""
        dims: tuple[str, ...] = ("neuron", "feature", "fold")
        models: tuple[int, ...] = ()
        coords: dict[str, Any] = {"feature": list(names), "fold": np.arange(self.baseline.shape[1])}
        coords |= {"kind": ("feature", list(kinds)), "share": ("feature", list(shares))}
        n_models, baseline = states.n_models, self.baseline
        if n_models is not None:
            dims, models = ("model", *dims), (n_models,)
            coords |= {"model": np.arange(n_models)}
            coords |= {name: ("model", list(values)) for name, values in states.members.items()}
            baseline = np.broadcast_to(baseline, (n_models, *baseline.shape)).copy()
        shape = (*models, states.n_neurons // (n_models or 1))
        variables: dict[str, Any] = {
            name: (dims, array.reshape(*shape, *array.shape[1:])) for name, array in self.arrays.items()
        }
        variables["baseline"] = (tuple(dim for dim in dims if dim != "neuron"), baseline)
        for name, array in self.margins.items():
            variables[f"{name}_margin"] = (dims[:-1], array.reshape(*shape, *array.shape[1:]))
        return xr.Dataset(variables, coords={"neuron": np.arange(shape[-1]), **coords}, attrs=dict(attrs))
