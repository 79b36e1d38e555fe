"""A run from its config to its report: all stages, one after another, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dni_jax import processes
from dni_jax.app.config import RunConfig
from dni_jax.app.pipeline._inspecting import Inspection, inspect_stage, load_inspection
from dni_jax.app.pipeline._job import Job, Log, ignore
from dni_jax.app.pipeline._training import train_stage
from dni_jax.app.pipeline._verifying import KS, verify_stage
from dni_jax.app.report import make_excerpt, write_overview, write_report
from dni_jax.app.run_folder import RunFolder, resume_config
from dni_jax.inspection import read_relevance
from dni_jax.models import record
from dni_jax.settings import RENAMED_COLUMNS
from dni_jax.text import Corpus


@dataclass(frozen=True, eq=False)
class RunResult:
    """The result of a run.

    Attributes
    ----------
    path
        Folder of the run.
    findings
        One row per feature, sorted by score: best neurons, score, AUC, baseline, effect of ablation.
    loss, ideal
        Cross entropy of the network on held-out strings and, for sampled languages, the best possible one on the same
        strings, in nats per symbol.
    k
        Number of ablated neurons for the effects in `findings`.
    least_p
        Smallest possible p-value of an effect, which the number of random sets determines.
    """

    path: Path
    findings: pd.DataFrame
    loss: float
    ideal: float | None
    k: int
    least_p: float


def run(config: RunConfig, log: Log = ignore) -> RunResult:
    """Execute all stages of a run and write its folder.

    Parameters
    ----------
    config
        Settings of the run. With ``resume``, finished stages are not repeated.
    log
        Called with a line of text at each stage.

    Raises
    ------
    ValueError
        If a setting is invalid.
    """
    with start_run(config, log) as job:
        return finish_run(job)


def finish_run(job: Job) -> RunResult:
    """Execute the stages of a run that are not finished."""
    train_stage(job)
    inspection = _inspect(job)
    findings = _verify(job, inspection)
    report_stage(job.folder)
    job.folder.update_summary(finished=True)
    return make_result(job, findings)


def start_run(config: RunConfig, log: Log = ignore, text: Corpus | None = None) -> Job:
    """Start a run, or resume one. `text` is its text, if it is already loaded."""
    job = Job.start(resume_config(config) if config.resume else config, log, text)
    if config.resume:
        log(f"resuming the run in {job.folder.path}")
    return job


def _inspect(job: Job) -> Inspection:
    if not job.folder.has_results("inspect"):
        return inspect_stage(job)
    job.log(f"scores: loaded from {job.folder.relevance}")
    return load_inspection(job)


def _verify(job: Job, inspection: Inspection) -> pd.DataFrame:
    if not (job.folder.has_results("verify") and job.folder.has(job.folder.findings.name)):
        return verify_stage(job, inspection)
    job.log(f"effects: loaded from {job.folder.effects}")
    return read_findings(job.folder.findings)


def read_findings(path: Path) -> pd.DataFrame:
    """Read the table of findings, also from runs of earlier versions."""
    table = processes.broadcast(lambda: pd.read_csv(path)).rename(columns=RENAMED_COLUMNS)
    return table.assign(
        same_as=lambda table: table["same_as"].fillna(""),
        neurons=lambda table: [tuple(int(n) for n in text.strip("()[]").split(",") if n) for text in table["neurons"]],
    )


def make_result(job: Job, findings: pd.DataFrame) -> RunResult:
    """Return the result of a run so far."""
    summary = job.folder.summary()
    k = max(k for k in KS if k <= job.model.n_neurons)
    least_p = 1 / (1 + job.config.verify.random_sets)
    return RunResult(job.folder.path, findings, summary["loss"], summary["ideal"], k, least_p)


def report_stage(folder: RunFolder, log: Log = ignore) -> Path:
    """Write the report of a run from the results that exist, and return its path.

    Writes ``report.html``, and ``excerpt.npz`` if the run is from an older version without it.

    Raises
    ------
    ValueError
        If the run has no scores yet, or a file is broken.
    """
    if folder.has_results("inspect") and not folder.has(folder.excerpt.name):
        _write_excerpt(folder, log)
    path = processes.broadcast(lambda: write_report(folder.path))
    log(f"report: {path}")
    return path


def write_reports(runs: Sequence[str | Path], out: Path | None, log: Log = ignore) -> list[Path]:
    """Write the reports of runs and, for several runs, an overview; return all paths.

    Parameters
    ----------
    runs
        Folders of the runs.
    out
        Path of the overview. Default: ``overview.html`` next to the first run.

    Raises
    ------
    ValueError
        As in `report_stage`, or for `out` with a single run.
    """
    folders = [RunFolder.open(run) for run in runs]
    if out is not None and len(folders) == 1:
        raise ValueError(f"expected several runs with --out, the path of their overview, got one: {runs[0]}")
    pages = [report_stage(folder, log) for folder in folders]
    if len(folders) > 1:
        paths = [folder.path for folder in folders]
        pages.append(write_overview(paths, out or paths[0].parent / "overview.html"))
        log(f"overview: {pages[-1]}")
    return pages


def _write_excerpt(folder: RunFolder, log: Log) -> None:
    try:
        with Job.open(folder.path, log, hold=True) as job:
            corpus = job.inspected
            states, labels = record(job.model, corpus), job.library.label(corpus)
            excerpt = make_excerpt(corpus, states, labels, relevance=read_relevance(folder.relevance))
            with job.folder.writing(folder.excerpt.name) as path:
                excerpt.save(path, job.fingerprint)
    except ValueError as error:
        log(f"no example text in the report of {folder.path}: {error}")
