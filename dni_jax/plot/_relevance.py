"""Sorted relevance curves (Figures 2 and 3 of Lin & Wu 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from dni_jax.characters import display_name
from dni_jax.features import check_feature_name
from dni_jax.plot._style import PALETTE, STYLES, new_axes, place_legend, remove_frame

_N_DEFAULT = len(PALETTE)  # curves drawn if no features are named
_LABELS = {"score": "held-out accuracy", "auc": "held-out AUC"}
_CHANCE = {"auc": 0.5, "auc_within_symbol": 0.5, "balanced_accuracy": 0.5, "mcc": 0.0, "r2": 0.0, "pearson": 0.0}


def relevance(
    relevance: xr.Dataset,
    features: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    metric: str = "score",
) -> Axes:
    """Draw the scores of all neurons for some features, the best neuron first.

    Each feature has a solid line, and a dotted line of the same color for what is possible without any neuron: the
    accuracy of the majority class, .5 for the AUC, 0 for R². A feature without values of the metric (a continuous one
    has no AUC) is drawn by its R², as its label then says.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`.
    features
        Their names. None takes the eight whose best neuron is farthest above the dotted line. Of features with equal
        curves, such as a feature and its opposite, only the first is taken.
    ax
        Axes to draw into; None makes a new figure.
    metric
        ``"score"``, ``"auc"``, or another variable with one value for each neuron and feature.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        If there is no such feature or metric, or the relevance is of several networks.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(2)", "10", "3(4)"] * 5)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> states = labels.values + np.arange(corpus.n_positions * 2).reshape(-1, 2) % 7 / 10
    >>> found = dni.inspect(states, labels, "ols", folds=2, groups=corpus.string_ids)
    >>> ax = plot.relevance(found, "digit", ax=Figure().subplots(), metric="auc")
    >>> [line.get_label() for line in ax.get_lines() if line.get_linestyle() == "-"]
    ['digit']
    """
    names = _default_features(relevance, metric) if features is None else _named_features(relevance, features, metric)
    axis = new_axes(ax, 7.5, 3.7)
    curves = [_curve(relevance, name, metric) for name in names]
    for place, (name, (values, baseline, by_r2)) in enumerate(zip(names, curves, strict=True)):
        color, style = PALETTE[place % len(PALETTE)], STYLES[place // len(PALETTE) % len(STYLES)]
        ranks, label = np.arange(1, len(values) + 1), display_name(name) + (" (R²)" if by_r2 else "")
        marker = "o" if len(values) == 1 else None
        axis.plot(ranks, np.sort(values)[::-1], style, color=color, label=label, linewidth=1.6, marker=marker)
        if np.isfinite(baseline):
            axis.axhline(baseline, color=color, linestyle=":", linewidth=1)
    others = ", or R²" if any(by_r2 for *_, by_r2 in curves) else ""
    axis.set(xlabel="neurons, best first", ylabel=_LABELS.get(metric, metric) + others)
    if names:
        axis.plot([], [], ":", color="#7F7F7F", linewidth=1, label="without any neuron")
        place_legend(axis)
    remove_frame(axis)
    return axis


def rank_features(relevance: xr.Dataset, metric: str = "score") -> list[str]:
    """Return the features for which some neuron is better than the baseline, the largest difference first.

    Parameters
    ----------
    relevance, metric
        As for `relevance`.
    """
    _check_metric(relevance, metric)
    lifts = {}
    for name in map(str, relevance["feature"].values):
        values, baseline, _ = _curve(relevance, name, metric)
        best = values[np.isfinite(values)].max(initial=-np.inf)
        lifts[name] = float(best - (baseline if np.isfinite(baseline) else 0.0))
    return sorted((name for name in lifts if lifts[name] > 1e-9), key=lambda name: -lifts[name])


def _curve(relevance: xr.Dataset, name: str, metric: str) -> tuple[Float[np.ndarray, " N"], float, bool]:
    """Return the scores of a feature by neuron, the baseline (NaN if there is none), and whether both are R²."""
    continuous = str(relevance["kind"].sel(feature=name).values) == "continuous"
    values = _by_neuron(relevance, name, metric)
    missing = continuous and not np.isfinite(values).any()
    if missing:
        values = _by_neuron(relevance, name, "score")
    if missing or metric in ("score", "accuracy"):
        baseline = float(relevance["baseline"].sel(feature=name).mean())
    else:
        baseline = _CHANCE.get(metric, np.nan)
    return values, baseline, missing or (continuous and metric == "score")


def _by_neuron(relevance: xr.Dataset, name: str, metric: str) -> Float[np.ndarray, " N"]:
    values = relevance[metric].sel(feature=name)
    return (values.mean("fold") if "fold" in values.dims else values).values


def _default_features(relevance: xr.Dataset, metric: str) -> list[str]:
    """Return the first features of `rank_features` that have different curves."""
    first: dict[bytes, str] = {}
    for name in rank_features(relevance, metric):
        values, baseline, _ = _curve(relevance, name, metric)
        first.setdefault(np.append(values, baseline).astype(np.float32).round(5).tobytes(), name)
    return list(first.values())[:_N_DEFAULT]


def _named_features(relevance: xr.Dataset, features: str | Sequence[str], metric: str) -> list[str]:
    _check_metric(relevance, metric)
    names = [features] if isinstance(features, str) else list(features)
    for name in names:
        check_feature_name(name, relevance["feature"].values.tolist())
    return names


def _check_metric(relevance: xr.Dataset, metric: str) -> None:
    if "model" in relevance.dims:
        raise ValueError(
            f"expected the relevance of one network, got that of {relevance.sizes['model']}: "
            "choose one with relevance.isel(model=0)"
        )
    metrics = [str(name) for name in relevance if {"neuron", "feature"} <= set(relevance[name].dims)]
    if metric not in metrics:
        raise ValueError(f"expected a metric of this relevance, {metrics}, got {metric!r}")
