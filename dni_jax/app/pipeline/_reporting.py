"""The last stage: one page that shows what the others have left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dni_jax import processes
from dni_jax.app.pipeline._job import Job, Say, silent
from dni_jax.app.report import make_excerpt, write_overview, write_report
from dni_jax.app.run_folder import RunFolder
from dni_jax.inspection import read_relevance
from dni_jax.models import record


def report_stage(folder: RunFolder, say: Say = silent) -> Path:
    """Write the page of a run, of what there is; give its path.

    Leaves ``report.html``, and ``excerpt.npz`` where an older version has left none.

    Raises
    ------
    ValueError
        Where the run holds no scores yet, or a file is broken.
    """
    if folder.holds("inspect") and not folder.has(folder.excerpt.name):
        _make_excerpt(folder, say)
    path = processes.broadcast(lambda: write_report(folder.path))
    say(f"report: {path}")
    return path


def report_all(runs: Sequence[str | Path], out: Path | None, say: Say = silent) -> list[Path]:
    """Write the pages of runs and, for several, one that compares them (at `out`, or beside them); give all paths.

    Raises
    ------
    ValueError
        As `report_stage`, and for `out` with a single run.
    """
    folders = [RunFolder.of(run) for run in runs]
    if out is not None and len(folders) == 1:
        raise ValueError(f"expected several runs with --out, which compares them, got one: {runs[0]}")
    pages = [report_stage(folder, say) for folder in folders]
    if len(folders) > 1:
        paths = [folder.path for folder in folders]
        pages.append(write_overview(paths, out or paths[0].parent / "overview.html"))
        say(f"overview: {pages[-1]}")
    return pages


def _make_excerpt(folder: RunFolder, say: Say) -> None:
    try:
        job = Job.of(folder.path, say)
        corpus = job.inspected
        states, labels = record(job.model, corpus), job.library.label(corpus)
        make_excerpt(corpus, states, labels, relevance=read_relevance(folder.relevance)).save(folder.excerpt)
    except ValueError as error:
        say(f"no text to show in the report of {folder.path}: {error}")
