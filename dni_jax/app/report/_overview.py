"""One page over several runs: how well each network predicts, what its neurons know, and links to each report."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from dni_jax.app.report._colours import LEVELS
from dni_jax.app.report._columns import NONE
from dni_jax.app.report._naming import meaning
from dni_jax.app.report._page import NAME, rendered
from dni_jax.app.report._runfiles import RunFiles
from dni_jax.app.report._verdicts import knowledge, use
from dni_jax.files import atomic_write

_SCRIPTS = ("theme.js", "overview.js")


class Cell(NamedTuple):
    """The best neuron of one run for a feature.

    What is written, the colour's level, what a pointer shows, the link, and whether the labels are no other feature's.
    """

    written: str
    level: int
    about: str
    link: str
    own: bool


def write_overview(
    folders: Sequence[str | Path], path: str | Path, figures: Mapping[str, str | Path] | None = None
) -> Path:
    """Write one page that compares several runs.

    A table of the runs (loss, bound, how many features are known and used), and a table of the best neuron's AUC (R^2
    of continuous features) for every feature and run, coloured. Links lead to the runs' own ``report.html``.

    Parameters
    ----------
    folders
        The runs' folders; each needs ``config.toml`` and ``relevance.parquet``.
    path
        Where to write the page.
    figures
        PNG files by what they show; they are put into the page, above the table of features.

    Returns
    -------
    The page's path.

    Raises
    ------
    ValueError
        Where no folder is given, or one is no run; see `write_report`. For a figure that is missing or no PNG.

    Examples
    --------
    >>> write_overview([], "overview.html")
    Traceback (most recent call last):
    ValueError: expected at least one run's folder to compare, got none
    """
    if not folders:
        raise ValueError("expected at least one run's folder to compare, got none")
    path = Path(path)
    runs = [RunFiles.read(folder) for folder in folders]
    links = [_link(run.path, path.parent) for run in runs]
    names = list(dict.fromkeys(str(row["feature"]) for run in runs for row in run.findings))
    known = [{str(row["feature"]): row for row in run.findings} for run in runs]
    features: list[dict[str, Any]] = [
        {
            "name": name,
            "meaning": meaning(name),
            "cells": [_cell(k.get(name), at) for k, at in zip(known, links, strict=True)],
        }
        for name in names
    ]
    page = rendered(
        "overview.html.jinja",
        _SCRIPTS,
        runs=[_run(run, link) for run, link in zip(runs, links, strict=True)],
        figures={words: _embedded(Path(file)) for words, file in (figures or {}).items()},
        features=[one for one in features if any(cell is not None and cell.own for cell in one["cells"])],
    )
    with atomic_write(path) as aside:
        aside.write_bytes(page)
    return path


def _embedded(file: Path) -> str:
    """Give a PNG file as an address that holds it."""
    held = file.read_bytes() if file.is_file() else b""
    if not held.startswith(b"\x89PNG"):
        raise ValueError(f"expected a figure (PNG) in {str(file)!r}, got {'another file' if held else 'none'}")
    return f"data:image/png;base64,{base64.b64encode(held).decode()}"


def _link(folder: Path, start: Path) -> str:
    there = Path(os.path.relpath((folder / NAME).resolve(), start.resolve()))
    return quote(there.as_posix())


def _run(run: RunFiles, link: str) -> dict[str, Any]:
    states = [knowledge(row) for row in run.findings]
    summary = run.summary or {}
    ideal, unigram = summary.get("ideal"), summary.get("unigram")
    beside = ideal if ideal is not None else unigram
    return {
        "name": run.path.resolve().name,
        "link": link,
        "language": run.language,
        "network": f"{run.config.get('cell', 'network')}, {run.relevance.sizes['neuron']} neurons",
        "seed": run.config.get("seed", ""),
        "loss": _four(summary.get("loss")),
        "beside": NONE
        if beside is None
        else f"{beside:.4f} ({'best possible' if ideal is not None else 'frequencies'})",
        "known": f"{states.count('known')} of {sum(state not in ('same', 'constant') for state in states)}",
        "used": NONE
        if run.effects is None
        else str(sum(use(row) == "used" for row in run.findings if not row["same_as"])),
    }


def _four(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _cell(row: dict[str, Any] | None, link: str) -> Cell | None:
    if row is None or knowledge(row) == "constant":
        return None
    continuous = row["kind"] == "continuous"
    score = row["score"] if continuous else row["auc"]
    if score != score:
        return None
    level = LEVELS + round(min(max(float(row["strength"]), 0.0), 1.0) * LEVELS)
    about = f"neuron {row['neurons'][0]}, {'R²' if continuous else 'AUC'} {score:.3f}, {knowledge(row)}"
    about += f", {use(row)}" if use(row) else ""
    return Cell(
        f"{score:.3f}", level, about, f"{link}#feature={quote(str(row['feature']), safe='')}", not row["same_as"]
    )
