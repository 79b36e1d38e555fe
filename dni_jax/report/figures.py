"""Figures of a run: sorted relevance (Figures 2 and 3 of Lin & Wu 2017) and effect curves (Figure 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dni_jax.files import written_aside

# Okabe & Ito's palette, told apart by colour-blind readers too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
_LINES = 8  # features in one panel

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
    with written_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=130, bbox_inches="tight")


def relevance_figure(relevance: xr.Dataset) -> Figure:
    """Draw every neuron's score, best first, for the features that are best known.

    One panel a family of features. A solid line is a feature, the dotted line of its colour its baseline: the
    majority class' accuracy, or 0 for R^2.
    """
    mean = relevance[["score", "baseline"]].mean("fold")
    lift = (mean["score"].max("neuron") - mean["baseline"]).where(lambda gap: gap > 1e-9)
    panels = []
    for title, belongs in _PANELS:
        names = [str(n) for n in relevance["feature"].values if belongs(str(n)) and np.isfinite(lift.sel(feature=n))]
        names = sorted(sorted(names, key=lambda n: -float(lift.sel(feature=n)))[:_LINES])
        if names:
            panels.append((title, names))
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12.5, 3.7 * rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, 2, squeeze=False).ravel()) if panels else []
    for axis, (title, names) in zip(axes, panels, strict=False):
        for colour, name in zip(PALETTE, names, strict=False):
            scores = np.sort(mean["score"].sel(feature=name).values)[::-1]
            label = f"{name} (R²)" if str(relevance["kind"].sel(feature=name).values) == "continuous" else name
            axis.plot(np.arange(1, len(scores) + 1), scores, color=colour, label=label, linewidth=1.6)
            axis.axhline(float(mean["baseline"].sel(feature=name)), color=colour, linestyle=":", linewidth=1)
        axis.set(title=title, xlabel="neurons, best first", ylabel="held-out accuracy, or R²")
        axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axis.spines[["top", "right"]].set_visible(False)
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
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    return figure


_MEASURES = {"type_accuracy": "right class of next character", "loss_on": "nats a character where it holds"}
_NAMES = {"ablate": "silenced (Rm-Neuron)", "clamp": "set to 1", "oracle": "driven by labels (Oracle)"}


def _effect_panel(axis: Axes, effects: Mapping[str, xr.Dataset], name: str, measure: str) -> None:
    for colour, (kind, dataset) in zip(PALETTE, effects.items(), strict=False):
        one = dataset.sel(feature=name, measure=measure)
        intact = float(one["intact"])
        ks = [0, *one["k"].values.tolist()]
        label = f"top k {_NAMES.get(kind, kind)}"
        _curve(axis, ks, intact, one, "top_effect", colour, label, "-")
        if kind == "ablate":
            _curve(axis, ks, intact, one, "random_effect", PALETTE[-1], "random k silenced", "--")
    axis.set_xticks(ks)
    axis.spines[["top", "right"]].set_visible(False)


def _curve(
    axis: Axes, ks: list[int], intact: float, one: Any, prefix: str, colour: str, label: str, style: str
) -> None:
    middle = [intact, *(intact + one[prefix].values)]
    low = [intact, *(intact + one[f"{prefix}_low"].values)]
    high = [intact, *(intact + one[f"{prefix}_high"].values)]
    axis.plot(ks, middle, style, color=colour, marker="o", markersize=3, label=label)
    axis.fill_between(ks, low, high, color=colour, alpha=0.15, linewidth=0)
