"""The main job, stage after stage in one run folder: network, scores, verdict, page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dni_jax import processes
from dni_jax.app.config import RunConfig
from dni_jax.app.pipeline._inspecting import Inspected, inspect_stage, inspected_before
from dni_jax.app.pipeline._job import Job, Say, silent
from dni_jax.app.pipeline._reporting import report_stage
from dni_jax.app.pipeline._training import train_stage
from dni_jax.app.pipeline._verifying import KS, verify_stage
from dni_jax.app.run_folder import taken_up
from dni_jax.text import Corpus


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run has found.

    Attributes
    ----------
    path
        The run's folder.
    findings
        One row a feature, the best known first: neurons, score, AUC, baseline, effect of silencing.
    loss, ideal
        The network's cross entropy on held-out strings and, for sampled languages, the best possible one on the same
        strings; nats a symbol.
    k
        How many neurons the effects in `findings` are about.
    least_p
        The smallest p there can be with the run's number of random sets.
    """

    path: Path
    findings: pd.DataFrame
    loss: float
    ideal: float | None
    k: int
    least_p: float


def run(config: RunConfig, say: Say = silent) -> RunResult:
    """Do the main job and write the run folder.

    Parameters
    ----------
    config
        What to run; see `RunConfig`. With ``resume``, stages that have left their results are not done again.
    say
        Takes one line of text at each stage.

    Raises
    ------
    ValueError
        For anything in the config that cannot be done; says what was expected, what came, and what to try.
    """
    return complete(begun(config, say))


def complete(job: Job) -> RunResult:
    """Do what is left of a run: stages that have left their results are not done again."""
    train_stage(job)
    found = _inspected(job)
    findings = _findings(job, found)
    report_stage(job.folder)
    job.folder.note(finished=True)
    return result_of(job, findings)


def begun(config: RunConfig, say: Say = silent, text: Corpus | None = None) -> Job:
    """Begin a run, or take one up; `text` is what it names, where that has been read already."""
    job = Job.begin(taken_up(config) if config.resume else config, say, text)
    if config.resume:
        say(f"going on with the run in {job.folder.path}")
    return job


def _inspected(job: Job) -> Inspected:
    if not job.folder.holds("inspect"):
        return inspect_stage(job)
    job.say(f"scores: taken from {job.folder.relevance}")
    return inspected_before(job)


def _findings(job: Job, found: Inspected) -> pd.DataFrame:
    if not job.folder.holds("verify"):
        return verify_stage(job, found)
    job.say(f"effects: taken from {job.folder.effects}")
    return read_findings(job.folder.findings)


def read_findings(path: Path) -> pd.DataFrame:
    """Read the table of features as `run` gives it."""
    table = processes.broadcast(lambda: pd.read_csv(path, keep_default_na=True))
    return table.assign(
        same_as=lambda table: table["same_as"].fillna(""),
        neurons=lambda table: [tuple(int(n) for n in text.strip("()[]").split(",") if n) for text in table["neurons"]],
    )


def result_of(job: Job, findings: pd.DataFrame) -> RunResult:
    """Give what a run has found so far."""
    summary = job.folder.summary()
    k = max(k for k in KS if k <= job.model.n_neurons)
    least = 1 / (1 + job.config.verify.random_sets)
    return RunResult(job.folder.path, findings, summary["loss"], summary["ideal"], k, least)
