"""Figures of a run: sorted relevance (Figures 2 and 3 of Lin & Wu 2017), effects (Figure 5), and learning by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dni_jax.characters import display_name
from dni_jax.features import FAMILIES, feature_family
from dni_jax.files import atomic_write
from dni_jax.plot import MEASURE_LABELS, PALETTE, fit_text, place_legend, rank_features, remove_frame
from dni_jax.plot import effects as draw_effects
from dni_jax.plot import relevance as draw_relevance

_LINES = len(PALETTE)  # features in one panel
_TITLES = {"range": "range (inside a node)", "impulse": "impulse (first and last character of a node)"}
_MEASURES = ("type_accuracy", "loss_on")
_INTERVENTIONS = {"ablate": "set to 0 (Rm-Neuron)", "clamp": "set to 1", "oracle": "driven by labels (Oracle)"}


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG. The file appears only when it is complete."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, bbox_inches="tight")


def relevance_figure(relevance: xr.Dataset) -> Figure:
    """Draw the scores of all neurons, best first, for the features that are known best.

    Each family of features has a panel. A feature has a solid line, and a dotted line of the same color for its
    baseline: the accuracy of the majority class, or 0 for R².

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`.
    """
    known, panels = rank_features(relevance), []
    for family in FAMILIES:
        names = sorted([name for name in known if feature_family(name) == family][:_LINES])
        if names:
            panels.append((_TITLES.get(family, family), names))
    if not panels:
        return _empty_figure("No neuron alone predicts a feature better than its baseline")
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12.5, 3.7 * rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, 2, squeeze=False).ravel())
    for axis, (title, names) in zip(axes, panels, strict=False):
        draw_relevance(relevance, names, ax=axis).set_title(title)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("How well each neuron alone predicts a feature (dotted: without any neuron)")
    return figure


def _empty_figure(message: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure = Figure(figsize=(12.5, 3.7), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.text(0.5, 0.5, message, ha="center", va="center", fontsize=14, transform=axis.transAxes)
    return figure


def effects_figure(effects: Mapping[str, xr.Dataset], features: Sequence[str]) -> Figure:
    """Draw the effects of overriding the k best neurons, and of setting random neurons to 0.

    Each feature has a column: above, how often the class of the next character is predicted correctly; below, the loss
    on the characters for which the feature holds. Bands are the 95 % intervals of `dni_jax.verify`.

    Parameters
    ----------
    effects
        Results of `dni_jax.verify` by the name of the intervention; each contains all the features.
    features
        The features to draw.
    """
    figure = Figure(figsize=(4.2 * len(features) + 2, 6.2), layout="constrained")
    axes = figure.subplots(len(_MEASURES), len(features), squeeze=False)
    for row, measure in zip(axes, _MEASURES, strict=True):
        for axis, name in zip(row, features, strict=True):
            _effect_panel(axis, effects, name, measure)
        row[0].set_ylabel(MEASURE_LABELS[measure])
    for above, below, name in zip(axes[0], axes[-1], features, strict=True):
        fit_text(above.set_title(display_name(name)))
        below.set_xlabel("k")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle("Predictions of the network with k neurons overridden at every step")
    return figure


def _effect_panel(axis: Axes, effects: Mapping[str, xr.Dataset], name: str, measure: str) -> None:
    for color, (kind, dataset) in zip(PALETTE, effects.items(), strict=False):
        sets = ("top", "random") if kind == "ablate" else ("top",)
        label = f"top k {_INTERVENTIONS.get(kind, kind)}"
        draw_effects(dataset, name, measure, axis, sets=sets, color=color, label=label)
    legend = axis.get_legend()
    if legend is not None:
        legend.remove()  # the figure has one legend for all panels
    axis.set(xlabel="", ylabel="", title="")


def dynamics_figure(dynamics: pd.DataFrame, features: Sequence[str]) -> Figure:
    """Draw the score of the best neuron for each feature by training step.

    Parameters
    ----------
    dynamics
        Rows of ``step``, ``neuron``, ``feature``, ``auc`` and ``score``.
    features
        The features to draw; of more than sixteen, those that are known best at the end. Continuous features are
        drawn by their R².
    """
    strength = dynamics["auc"].fillna(dynamics["score"])
    best = dynamics.assign(strength=strength).pivot_table("strength", "step", "feature", "max")
    known = [name for name in features if name in best and best[name].notna().all()]
    shown = sorted(known, key=lambda name: -best[name].iloc[-1])[: 2 * _LINES]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for place, name in enumerate(shown):
        style = "-" if place < _LINES else "--"
        axis.plot(best.index, best[name], style, color=PALETTE[place % _LINES], marker=".", label=display_name(name))
    axis.set(xlabel="training steps", ylabel="AUC (or R²) of the best neuron", title="What one neuron knows, by step")
    place_legend(axis)
    remove_frame(axis)
    return figure
