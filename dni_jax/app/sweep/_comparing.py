"""What a sweep leaves beside its runs: a table, figures, and a page over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dni_jax.app.report import save, write_overview
from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._config import SweepConfig
from dni_jax.app.sweep._figures import gap_figure, size_figure, stability_figure, steps_figure
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._stability import stability_table
from dni_jax.app.sweep._tables import features_table, steps_table, sweep_table
from dni_jax.files import atomic_write


def compare(folder: SweepFolder, config: SweepConfig) -> pd.DataFrame:
    """Write what compares the runs that have come far enough, and give the table of all.

    Leaves ``sweep.csv`` and, as far as runs differ in that way, ``known_by_size.png``, ``known_by_step.png``,
    ``loss_by_size.png``, ``stability.csv``, ``known_over_seeds.png``; and ``sweep.html``.
    """
    paths = [folder.path / run.name for run in config.runs]
    begun = [path for path in paths if path.exists()]
    table = sweep_table(begun)
    _write_csv(table, folder.path / "sweep.csv")
    inspected = [path for path in begun if RunFolder(path).relevance.is_file()]
    if not inspected:
        return table
    names = _short_axes(config)
    stability = stability_table(inspected, [name for name in names if name not in ("seed", "text_seed")])
    if len(stability):
        _write_csv(stability, folder.path / "stability.csv")
    shown = {}
    for title, file, figure in _figures(inspected, stability, names):
        save(figure, folder.path / file)
        shown[title] = folder.path / file
    write_overview(inspected, folder.page, figures=shown)
    return table


def _figures(inspected: list[Path], stability: pd.DataFrame, names: list[str]) -> Iterator[tuple[str, str, Figure]]:
    table, features, steps = sweep_table(inspected), features_table(inspected), steps_table(inspected)
    if len(features) and _differ(features["hidden"]):
        yield "What the best neuron for a feature knows, by size", "known_by_size.png", size_figure(features)
    if _differ(table["hidden"]) and table["loss"].notna().any():
        yield "How well networks predict, by size", "loss_by_size.png", gap_figure(table)
    if len(steps) and (steps.groupby("run")["step"].nunique().max() > 1 or "steps" in names):
        yield "What the best neuron for a feature knows, by training step", "known_by_step.png", steps_figure(steps)
    if len(stability):
        groups = [name for name in names if name in stability and _differ(stability[name])]
        figure = stability_figure(stability, groups)
        yield "Whether networks of other seeds know the same", "known_over_seeds.png", figure


def _differ(values: pd.Series) -> bool:
    return len(values.unique()) > 1


def _short_axes(config: SweepConfig) -> list[str]:
    return [path.rpartition(".")[2] for path in config.runs[0].values]


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as aside:
        table.to_csv(aside, index=False)
