"""Sorted relevance curves (Figures 2 and 3 of Lin & Wu 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes

from dni_jax.features import check_feature_name
from dni_jax.plot._style import PALETTE, STYLES, axes_of, place_legend

MANY = len(PALETTE)  # curves in one drawing that is asked for without names
_LABELS = {"score": "held-out accuracy", "auc": "held-out AUC"}
_AT_CHANCE = {"auc": 0.5, "auc_within_symbol": 0.5, "balanced_accuracy": 0.5, "mcc": 0.0, "r2": 0.0, "pearson": 0.0}


def relevance(
    relevance: xr.Dataset,
    features: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    metric: str = "score",
) -> Axes:
    """Draw every neuron's score for some features, the best neuron first.

    A solid line is a feature; the dotted line of its colour is what can be had without looking at any neuron: the
    majority class' accuracy, .5 for the AUC, 0 for R². A feature for which the metric is not known at all (the AUC of a
    continuous one) is drawn by its R², and its name says so.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`.
    features
        Their names; None takes the eight that a neuron knows best, measured from the dotted line; a feature with the
        same curve as another one, such as its opposite, is left out.
    ax
        Axes to draw into; None makes a figure of its own.
    metric
        ``"score"``, ``"auc"``, or another variable with one value a neuron and feature.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        For a feature or a metric that is not there, or the relevance of several networks.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(2)", "10", "3(4)"] * 5)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> states = labels.values + np.arange(corpus.n_positions * 2).reshape(-1, 2) % 7 / 10
    >>> found = dni.inspect(states, labels, folds=2, groups=corpus.string_of)
    >>> ax = plot.relevance(found, "digit", ax=Figure().subplots(), metric="auc")
    >>> [line.get_label() for line in ax.get_lines() if line.get_linestyle() == "-"]
    ['digit']
    """
    names = _distinct(relevance, metric)[:MANY] if features is None else _named(relevance, features, metric)
    axis = axes_of(ax, 7.5, 3.7)
    curves = [curve(relevance, name, metric) for name in names]
    for place, (name, (values, baseline, by_r2)) in enumerate(zip(names, curves, strict=True)):
        colour, style = PALETTE[place % len(PALETTE)], STYLES[place // len(PALETTE) % len(STYLES)]
        ranks, label = np.arange(1, len(values) + 1), f"{name} (R²)" if by_r2 else name
        marker = "o" if len(values) == 1 else None
        axis.plot(ranks, np.sort(values)[::-1], style, color=colour, label=label, linewidth=1.6, marker=marker)
        if np.isfinite(baseline):
            axis.axhline(baseline, color=colour, linestyle=":", linewidth=1)
    others = ", or R²" if any(by_r2 for *_, by_r2 in curves) else ""
    axis.set(xlabel="neurons, best first", ylabel=_LABELS.get(metric, metric) + others)
    if names:
        axis.plot([], [], ":", color="#7F7F7F", linewidth=1, label="without any neuron")
        place_legend(axis)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def curve(relevance: xr.Dataset, name: str, metric: str = "score") -> tuple[Float[np.ndarray, " N"], float, bool]:
    """Give a feature's scores by neuron, what they are compared with (or NaN), and whether they are R² instead."""
    continuous = str(relevance["kind"].sel(feature=name).values) == "continuous"
    values = _by_neuron(relevance, name, metric)
    absent = continuous and not np.isfinite(values).any()
    if absent:
        values = _by_neuron(relevance, name, "score")
    if absent or metric in ("score", "accuracy"):
        baseline = float(relevance["baseline"].sel(feature=name).mean())
    else:
        baseline = _AT_CHANCE.get(metric, np.nan)
    return values, baseline, absent or (continuous and metric == "score")


def rank_features(relevance: xr.Dataset, metric: str = "score") -> list[str]:
    """Give the features that some neuron knows more about than the baseline, the best known first."""
    _check(relevance, metric)
    lifts = {}
    for name in map(str, relevance["feature"].values):
        values, baseline, _ = curve(relevance, name, metric)
        best = values[np.isfinite(values)].max(initial=-np.inf)
        lifts[name] = float(best - (baseline if np.isfinite(baseline) else 0.0))
    return sorted((name for name in lifts if lifts[name] > 1e-9), key=lambda name: -lifts[name])


def _distinct(relevance: xr.Dataset, metric: str) -> list[str]:
    """Give `rank_features` without the features whose curve is that of a better or earlier one."""
    first: dict[bytes, str] = {}
    for name in rank_features(relevance, metric):
        values, baseline, _ = curve(relevance, name, metric)
        first.setdefault(np.append(values, baseline).astype(np.float32).round(5).tobytes(), name)
    return list(first.values())


def _by_neuron(relevance: xr.Dataset, name: str, metric: str) -> Float[np.ndarray, " N"]:
    values = relevance[metric].sel(feature=name)
    return (values.mean("fold") if "fold" in values.dims else values).values


def _named(relevance: xr.Dataset, features: str | Sequence[str], metric: str) -> list[str]:
    _check(relevance, metric)
    names, known = [features] if isinstance(features, str) else list(features), relevance["feature"].values.tolist()
    for name in names:
        check_feature_name(name, known)
    return names


def _check(relevance: xr.Dataset, metric: str) -> None:
    if "model" in relevance.dims:
        raise ValueError(
            f"expected the relevance of one network, got that of {relevance.sizes['model']}: "
            "choose one with relevance.isel(model=0)"
        )
    there = [str(name) for name in relevance if {"neuron", "feature"} <= set(relevance[name].dims)]
    if metric not in there:
        raise ValueError(f"expected a metric of this relevance, {there}, got {metric!r}")
