"""One page that compares several runs: loss, what single neurons know, and links to the reports."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from dni_jax.app.report._colors import LEVELS
from dni_jax.app.report._feature_table import describe
from dni_jax.app.report._numbers import MISSING, decimals
from dni_jax.app.report._page import NAME, render
from dni_jax.app.report._run_files import RunFiles
from dni_jax.app.report._verdicts import knowledge, use
from dni_jax.files import atomic_write

_SCRIPTS = ("theme.js", "overview.js")


class Cell(NamedTuple):
    """The best neuron of one run for a feature: score, level of the color, tooltip, link.

    ``distinct`` is False if the feature has the same labels as an earlier one.
    """

    score: str
    level: int
    tooltip: str
    link: str
    distinct: bool


def write_overview(
    folders: Sequence[str | Path], path: str | Path, figures: Mapping[str, str | Path] | None = None
) -> Path:
    """Write one page that compares several runs.

    The page has a table of the runs (loss, lower bound, number of features known and used) and a colored table of the
    best neuron's AUC (R² for continuous features) for every feature and run, with links to the ``report.html`` of
    each run.

    Parameters
    ----------
    folders
        The folders of the runs; each needs ``config.toml`` and ``relevance.parquet``.
    path
        Where to write the page.
    figures
        PNG files by caption; they are included in the page above the table of features.

    Returns
    -------
    The path of the page.

    Raises
    ------
    ValueError
        If no folder is given, or a folder is not that of a run (see `write_report`), or a figure is not a PNG file.

    Examples
    --------
    >>> write_overview([], "overview.html")
    Traceback (most recent call last):
    ValueError: expected the folder of at least one run, got none
    """
    if not folders:
        raise ValueError("expected the folder of at least one run, got none")
    path = Path(path)
    runs = [RunFiles.read(folder) for folder in folders]
    links = [_link(run.path, path.parent) for run in runs]
    names = list(dict.fromkeys(str(row["feature"]) for run in runs for row in run.findings))
    known = [{str(row["feature"]): row for row in run.findings} for run in runs]
    features: list[dict[str, Any]] = [
        {
            "name": name,
            "meaning": describe(name),
            "cells": [_cell(k.get(name), at) for k, at in zip(known, links, strict=True)],
        }
        for name in names
    ]
    page = render(
        "overview.html.jinja",
        _SCRIPTS,
        runs=[_run(run, link) for run, link in zip(runs, links, strict=True)],
        figures={caption: _embed(Path(file)) for caption, file in (figures or {}).items()},
        features=[one for one in features if any(cell is not None and cell.distinct for cell in one["cells"])],
    )
    with atomic_write(path) as temporary:
        temporary.write_bytes(page)
    return path


def _embed(file: Path) -> str:
    """Return a PNG file as a data URL."""
    content = file.read_bytes() if file.is_file() else b""
    if not content.startswith(b"\x89PNG"):
        raise ValueError(f"expected a figure (PNG) in {str(file)!r}, got {'another file' if content else 'none'}")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _link(folder: Path, start: Path) -> str:
    relative = Path(os.path.relpath((folder / NAME).resolve(), start.resolve()))
    return quote(relative.as_posix())


def _run(run: RunFiles, link: str) -> dict[str, Any]:
    states = [knowledge(row) for row in run.findings]
    summary = run.summary or {}
    ideal, unigram = summary.get("ideal"), summary.get("unigram")
    reference = ideal if ideal is not None else unigram
    return {
        "name": run.path.resolve().name,
        "link": link,
        "language": run.language,
        "network": f"{run.config.get('cell', 'network')}, {run.relevance.sizes['neuron']} neurons",
        "seed": run.config.get("seed", ""),
        "loss": decimals(summary.get("loss"), 4),
        "reference": MISSING
        if reference is None
        else f"{reference:.4f} ({'best possible' if ideal is not None else 'symbol frequencies'})",
        "known": f"{states.count('known')} of {sum(state not in ('same', 'constant') for state in states)}",
        "used": MISSING
        if run.effects is None
        else str(sum(use(row) == "used" for row in run.findings if not row["same_as"])),
    }


def _cell(row: dict[str, Any] | None, link: str) -> Cell | None:
    if row is None or knowledge(row) == "constant":
        return None
    continuous = row["kind"] == "continuous"
    score = row["score"] if continuous else row["auc"]
    if score != score:
        return None
    level = LEVELS + round(min(max(float(row["strength"]), 0.0), 1.0) * LEVELS)
    tooltip = f"neuron {row['neurons'][0]}, {'R²' if continuous else 'AUC'} {score:.3f}, {knowledge(row)}"
    tooltip += f", {use(row)}" if use(row) else ""
    return Cell(
        f"{score:.3f}", level, tooltip, f"{link}#feature={quote(str(row['feature']), safe='')}", not row["same_as"]
    )
