"""Figures of a run: sorted relevance (Figures 2 and 3 of Lin & Wu 2017) and effect curves (Figure 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dni_jax.files import atomic_write
from dni_jax.plot import PALETTE, place_legend, rank_features
from dni_jax.plot import effects as draw_effects
from dni_jax.plot import relevance as draw_relevance

_LINES = len(PALETTE)  # features in one panel

_PANELS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("nesting", lambda name: name.split("=")[0] in ("depth", "indent")),
    (
        "characters",
        lambda name: name.startswith("symbol:") or not (set(":=") & set(name) or name in ("depth", "indent")),
    ),
    ("range (inside a node)", lambda name: name.startswith("range:")),
    ("impulse (a node's ends)", lambda name: name.startswith("impulse:")),
)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG; the file appears whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png", dpi=130, bbox_inches="tight")


def relevance_figure(relevance: xr.Dataset) -> Figure:
    """Draw every neuron's score, best first, for the features that are best known.

    One panel a family of features. A solid line is a feature, the dotted line of its colour its baseline: the
    majority class' accuracy, or 0 for R^2.
    """
    known, panels = rank_features(relevance), []
    for title, belongs in _PANELS:
        names = sorted([name for name in known if belongs(name)][:_LINES])
        if names:
            panels.append((title, names))
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12.5, 3.7 * rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, 2, squeeze=False).ravel()) if panels else []
    for axis, (title, names) in zip(axes, panels, strict=False):
        draw_relevance(relevance, names, ax=axis).set_title(title)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("How well each neuron alone predicts a feature (dotted: without looking at any neuron)")
    return figure


def effects_figure(effects: Mapping[str, xr.Dataset], features: Sequence[str]) -> Figure:
    """Draw what overriding the k best neurons does, against silencing random neurons.

    One column a feature; above, how often the next character's class is right; below, the loss over the characters
    that the feature holds for. Bands are the 95 % intervals of `dni_jax.verify`.

    Parameters
    ----------
    effects
        Results of `dni_jax.verify` by the intervention's name; all hold the features.
    features
        One panel each.
    """
    figure = Figure(figsize=(4.2 * len(features) + 2, 6.2), layout="constrained")
    axes = figure.subplots(len(_MEASURES), len(features), squeeze=False)
    for row, (measure, words) in zip(axes, _MEASURES.items(), strict=True):
        for axis, name in zip(row, features, strict=True):
            _effect_panel(axis, effects, name, measure)
        row[0].set_ylabel(words)
    for above, below, name in zip(axes[0], axes[-1], features, strict=True):
        above.set_title(name)
        below.set_xlabel("k")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle("The network's predictions with k neurons overridden at every step")
    return figure


def dynamics_figure(dynamics: pd.DataFrame, features: Sequence[str]) -> Figure:
    """Draw how well the best neuron for each feature did while the network learnt.

    Parameters
    ----------
    dynamics
        Rows of ``step``, ``neuron``, ``feature``, ``auc`` and ``score``.
    features
        Those to draw; of more than sixteen, the ones known best in the end. A continuous feature is drawn by its R^2.
    """
    strength = dynamics["auc"].fillna(dynamics["score"])
    best = dynamics.assign(strength=strength).pivot_table("strength", "step", "feature", "max")
    known = [name for name in features if name in best and best[name].notna().all()]
    shown = sorted(known, key=lambda name: -best[name].iloc[-1])[: 2 * _LINES]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for place, name in enumerate(shown):
        style = "-" if place < _LINES else "--"
        axis.plot(best.index, best[name], style, color=PALETTE[place % _LINES], marker=".", label=name)
    axis.set(xlabel="training steps", ylabel="AUC (or R²) of the best neuron", title="What one neuron knows, by step")
    place_legend(axis)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


_MEASURES = {"type_accuracy": "right class of next character", "loss_on": "nats a character where it holds"}
_NAMES = {"ablate": "silenced (Rm-Neuron)", "clamp": "set to 1", "oracle": "driven by labels (Oracle)"}


def _effect_panel(axis: Axes, effects: Mapping[str, xr.Dataset], name: str, measure: str) -> None:
    for colour, (kind, dataset) in zip(PALETTE, effects.items(), strict=False):
        sets, label = ("top", "random") if kind == "ablate" else ("top",), f"top k {_NAMES.get(kind, kind)}"
        draw_effects(dataset, name, measure, axis, sets=sets, color=colour, label=label)
    legend = axis.get_legend()  # the figure has one for all panels
    if legend is not None:
        legend.remove()
    axis.set(xlabel="", ylabel="", title="")
