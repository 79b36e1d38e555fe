"""The comparison of a sweep's runs: tables, figures and an HTML overview in the sweep's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dni_jax.app.report import save, write_overview
from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._config import SweepConfig
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._tables import features_table, stability_table, steps_table, sweep_table
from dni_jax.characters import display_name
from dni_jax.files import atomic_write
from dni_jax.plot import PALETTE, fit_text, fit_tick_labels, place_legend, remove_frame

_MAX_CURVES = 12  # features in one panel


def compare_runs(folder: SweepFolder, config: SweepConfig) -> pd.DataFrame:
    """Write the comparison of a sweep's runs, and return the table of all started runs.

    Writes ``sweep.csv`` and, once runs are inspected, ``sweep.html``. Depending on the axes of the sweep, also writes
    ``known_by_size.png``, ``known_by_step.png``, ``loss_by_size.png``, ``stability.csv`` and ``known_over_seeds.png``.
    """
    paths = [folder.path / run.name for run in config.runs]
    started = [path for path in paths if path.exists()]
    table = sweep_table(started)
    _write_csv(table, folder.path / "sweep.csv")
    inspected = [path for path in started if RunFolder(path).relevance.is_file()]
    if not inspected:
        return table
    names = _short_axes(config)
    stability = stability_table(inspected, [name for name in names if name not in ("seed", "text_seed")])
    if len(stability):
        _write_csv(stability, folder.path / "stability.csv")
    figures = {}
    for title, file, figure in _make_figures(inspected, stability, names):
        save(figure, folder.path / file)
        figures[title] = folder.path / file
    write_overview(inspected, folder.page, figures=figures)
    return table


def _make_figures(
    inspected: list[Path], stability: pd.DataFrame, names: list[str]
) -> Iterator[tuple[str, str, Figure]]:
    table, features, steps = sweep_table(inspected), features_table(inspected), steps_table(inspected)
    if len(features) and _differ(features["hidden"]):
        yield "Score of the best neuron for each feature, by size", "known_by_size.png", size_figure(features)
    if _differ(table["hidden"]) and table["loss"].notna().any():
        yield "Loss on held-out text, by size", "loss_by_size.png", gap_figure(table)
    if len(steps) and (steps.groupby("run")["step"].nunique().max() > 1 or "steps" in names):
        yield "Score of the best neuron for each feature, by training step", "known_by_step.png", steps_figure(steps)
    if len(stability):
        groups = [name for name in names if name in stability and _differ(stability[name])]
        figure = stability_figure(stability, groups)
        yield "Agreement between seeds", "known_over_seeds.png", figure


def _differ(values: pd.Series) -> bool:
    return len(values.unique()) > 1


def _short_axes(config: SweepConfig) -> list[str]:
    return [path.rpartition(".")[2] for path in config.runs[0].values]


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as aside:
        table.to_csv(aside, index=False)


def size_figure(features: pd.DataFrame) -> Figure:
    """Draw the score of the best neuron for each feature against the number of neurons, one panel per language.

    Parameters
    ----------
    features
        From `features_table`. Curves are means over the runs of one size, bands span minimum to maximum.
    """
    return _score_figure(features, "hidden", "neurons per layer", "Best neuron by size", log=True)


def steps_figure(steps: pd.DataFrame) -> Figure:
    """Draw the same against training steps, one panel per language and size; see `steps_table`."""
    return _score_figure(steps, "step", "training steps", "Best neuron by training step", log=False)


def gap_figure(table: pd.DataFrame) -> Figure:
    """Draw the gap to the best possible loss (if it is unknown: the loss) against the number of neurons.

    Parameters
    ----------
    table
        From `sweep_table`. Dots are runs, lines connect the means of a language.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axis = figure.subplots()
    has_ideal = bool(table["gap"].notna().any())
    column, label = ("gap", "loss above the best possible") if has_ideal else ("loss", "loss (nats per symbol)")
    for color, (language, rows) in zip(PALETTE, _by_language(table[table[column].notna()]), strict=False):
        axis.plot(rows["hidden"], rows[column], "o", color=color, markersize=4, alpha=0.6)
        means = rows.groupby("hidden")[column].mean()
        axis.plot(means.index, means, color=color, label=language)
    if has_ideal:
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    _format_sizes(axis, table["hidden"])
    axis.set(xlabel="neurons per layer", ylabel=label, title="Loss on held-out text, by size")
    _format_axis(axis)
    return figure


def stability_figure(stability: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Draw how well networks of different seeds agree on features, one row per group of seeds.

    Parameters
    ----------
    stability
        From `stability_table`.
    axes
        Its columns that distinguish the groups.
    """
    names = [", ".join(f"{axis} {row[axis]}" for axis in axes) or "all" for _, row in stability.iterrows()]
    figure = Figure(figsize=(7.5, 1.6 + 0.32 * len(names)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names))[::-1]
    axis.hlines(places, stability["spearman_low"], stability["spearman"], color=PALETTE[0], linewidth=1.5)
    axis.plot(
        stability["spearman"], places, "o", color=PALETTE[0], label="rank correlation of features, mean over pairs"
    )
    axis.plot(stability["spearman_low"], places, "|", color=PALETTE[0], label="minimum over pairs")
    k = stability["k"].max()
    axis.plot(stability["overlap"], places, "D", color=PALETTE[1], label=f"fraction of the {k} best features in common")
    axis.set_yticks(places, names)
    fit_tick_labels(axis.yaxis)
    axis.set_xlim(min(0.0, float(stability["spearman_low"].min())) - 0.05, 1.05)
    axis.set(title="Agreement of seeds on features")
    _format_axis(axis)
    return figure


def _score_figure(table: pd.DataFrame, along: str, label: str, title: str, log: bool) -> Figure:
    scores = table.assign(shown=np.where(table["kind"] == "binary", table["strength"] / 2 + 0.5, table["strength"]))
    panels = list(_by_language(scores))
    if along != "hidden":
        panels = [(f"{name}, {size} neurons", rows) for name, every in panels for size, rows in every.groupby("hidden")]
    figure = Figure(figsize=(8.0, 4.2 * len(panels)), layout="constrained")
    for axis, (language, rows) in zip(figure.subplots(len(panels), 1, squeeze=False).ravel(), panels, strict=True):
        last = rows[rows[along] == rows[along].max()].groupby("feature")["shown"].mean()
        spread = rows.groupby(["feature", along])["shown"].mean().groupby("feature")
        change = (spread.max() - spread.min()).reindex(last.index).fillna(0.0)
        # Show the features that change most; one that every network encodes is uninformative.
        for place, name in enumerate(change.sort_values(ascending=False, kind="stable").index[:_MAX_CURVES]):
            curve = rows[rows["feature"] == name].groupby(along)["shown"].agg(["mean", "min", "max"])
            style, color = ("-", "--")[place // len(PALETTE)], PALETTE[place % len(PALETTE)]
            axis.plot(curve.index, curve["mean"], style, color=color, marker=".", label=display_name(name))
            axis.fill_between(curve.index, curve["min"], curve["max"], color=color, alpha=0.12, linewidth=0)
        if log:
            _format_sizes(axis, rows[along])
        axis.set(xlabel=label, ylabel="AUC (or R²) of the best neuron", title=language)
        _format_axis(axis)
    figure.suptitle(f"{title}: the features that change most")
    return figure


def _by_language(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    names = table["language"].where(table["grammar"].isna(), table["grammar"])
    for name, rows in table.groupby(names, sort=False):
        yield str(name), rows


def _format_sizes(axis: Axes, sizes: pd.Series) -> None:
    ticks = sorted(sizes.unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [str(size) for size in ticks])
    axis.minorticks_off()


def _format_axis(axis: Axes) -> None:
    place_legend(axis)
    fit_text(axis.title)
    remove_frame(axis)
