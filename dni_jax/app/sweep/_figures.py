"""Figures over the runs of a sweep: what is known against size, against training steps, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dni_jax.plot import PALETTE

_LINES = 12  # features in one panel


def size_figure(features: pd.DataFrame) -> Figure:
    """Draw what the best neuron for each feature knows against the number of neurons, one panel a language.

    Parameters
    ----------
    features
        From `features_table`. Points are means over the runs of one size, bands go from the least to the greatest.
    """
    return _known_figure(features, "hidden", "neurons in a layer", "What the best neuron knows, by size", log=True)


def steps_figure(steps: pd.DataFrame) -> Figure:
    """Draw the same against training steps, one panel a language and size; see `steps_table`."""
    return _known_figure(steps, "step", "training steps", "What the best neuron knows, by training step", log=False)


def gap_figure(table: pd.DataFrame) -> Figure:
    """Draw how far networks are from the best possible loss (without one: their loss) against the number of neurons.

    Parameters
    ----------
    table
        From `sweep_table`; one dot a run, lines go through the means of a language.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axis = figure.subplots()
    has_ideal = bool(table["gap"].notna().any())
    column, words = ("gap", "loss above the best possible") if has_ideal else ("loss", "loss, nats a symbol")
    for colour, (language, rows) in zip(PALETTE, _by_language(table[table[column].notna()]), strict=False):
        axis.plot(rows["hidden"], rows[column], "o", color=colour, markersize=4, alpha=0.6)
        means = rows.groupby("hidden")[column].mean()
        axis.plot(means.index, means, color=colour, label=language)
    if has_ideal:
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    _sizes(axis, table["hidden"])
    axis.set(xlabel="neurons in a layer", ylabel=words, title="How well networks predict unseen text, by size")
    _finished(axis)
    return figure


def stability_figure(stability: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Draw how alike networks of different seeds are in what they know, one row a group of seeds.

    Parameters
    ----------
    stability
        From `stability_table`.
    axes
        Its columns that tell the groups apart.
    """
    names = [", ".join(f"{axis} {row[axis]}" for axis in axes) or "all" for _, row in stability.iterrows()]
    figure = Figure(figsize=(7.5, 1.6 + 0.32 * len(names)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names))[::-1]
    axis.hlines(places, stability["spearman_low"], stability["spearman"], color=PALETTE[0], linewidth=1.5)
    axis.plot(stability["spearman"], places, "o", color=PALETTE[0], label="rank correlation of features, mean of pairs")
    axis.plot(stability["spearman_low"], places, "|", color=PALETTE[0], label="least pair")
    k = stability["k"].max()
    axis.plot(stability["overlap"], places, "D", color=PALETTE[1], label=f"share of the {k} best-known in common")
    axis.set_yticks(places, names)
    axis.set_xlim(min(0.0, float(stability["spearman_low"].min())) - 0.05, 1.05)
    axis.set(title="The same features known, over seeds")
    _finished(axis)
    return figure


def _known_figure(table: pd.DataFrame, along: str, words: str, title: str, log: bool) -> Figure:
    known = table.assign(shown=np.where(table["kind"] == "binary", table["strength"] / 2 + 0.5, table["strength"]))
    panels = list(_by_language(known))
    if along != "hidden":
        panels = [(f"{name}, {size} neurons", rows) for name, every in panels for size, rows in every.groupby("hidden")]
    figure = Figure(figsize=(8.0, 4.2 * len(panels)), layout="constrained")
    for axis, (language, rows) in zip(figure.subplots(len(panels), 1, squeeze=False).ravel(), panels, strict=True):
        last = rows[rows[along] == rows[along].max()].groupby("feature")["shown"].mean()
        spread = rows.groupby(["feature", along])["shown"].mean().groupby("feature")
        moved = (spread.max() - spread.min()).reindex(last.index).fillna(0.0)
        # Those that change most along the axis: a symbol that every network knows says nothing.
        for place, name in enumerate(moved.sort_values(ascending=False, kind="stable").index[:_LINES]):
            curve = rows[rows["feature"] == name].groupby(along)["shown"].agg(["mean", "min", "max"])
            style, colour = ("-", "--")[place // len(PALETTE)], PALETTE[place % len(PALETTE)]
            axis.plot(curve.index, curve["mean"], style, color=colour, marker=".", label=name)
            axis.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.12, linewidth=0)
        if log:
            _sizes(axis, rows[along])
        axis.set(xlabel=words, ylabel="AUC (or R²) of the best neuron", title=language)
        _finished(axis)
    figure.suptitle(f"{title}: the features for which it changes most")
    return figure


def _by_language(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    names = table["language"].where(table["grammar"].isna(), table["grammar"])
    for name, rows in table.groupby(names, sort=False):
        yield str(name), rows


def _sizes(axis: Axes, sizes: pd.Series) -> None:
    ticks = sorted(sizes.unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [str(size) for size in ticks])
    axis.minorticks_off()


def _finished(axis: Axes) -> None:
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
