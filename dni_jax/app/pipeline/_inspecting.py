"""The inspection stage: scores of neurons for features, their significance, and baselines."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.pipeline._job import Job
from dni_jax.app.report import make_excerpt, relevance_figure, save
from dni_jax.app.run_folder import RunFolder
from dni_jax.features import Labels
from dni_jax.files import atomic_write
from dni_jax.inspection import (
    baselines,
    best_per_feature,
    inspect,
    read_relevance,
    relevance_table,
    significance,
    write_table,
)
from dni_jax.models import record
from dni_jax.progress import spinner

RANK_BY = "auc"  # also ranks rare features, on which the accuracy of every neuron is the baseline


@dataclass(frozen=True, eq=False)
class Inspection:
    """The result of the inspection stage.

    Attributes
    ----------
    relevance
        Dataset (neuron, feature, fold) with p-values and baselines.
    best
        One row per feature, with its best neurons.
    labels
        Labels of the inspected text.
    """

    relevance: xr.Dataset
    best: pd.DataFrame
    labels: Labels

    @classmethod
    def from_relevance(cls, relevance: xr.Dataset, labels: Labels) -> Inspection:
        """Find the best neurons for every feature."""
        return cls(relevance, best_per_feature(relevance, by=RANK_BY), labels)

    @property
    def names(self) -> list[str]:
        """Names of the features that vary."""
        return [name for name in self.labels.names if name not in self.labels.constant]

    @property
    def distinct(self) -> list[str]:
        """Names of the features that vary and do not repeat the labels of an earlier one."""
        return [name for name in self.names if name not in self.labels.duplicates]


def inspect_stage(job: Job) -> Inspection:
    """Score all neurons on all features, with p-values and baselines.

    Writes ``relevance.parquet``, ``relevance.png``, ``findings.csv``, ``excerpt.npz`` and ``positions`` in the summary,
    and removes the results of earlier scores. Nothing changes before all scores are known.
    """
    job.check_folds()
    corpus, model = job.inspected, job.model
    labels = job.library.label(corpus)
    folds, seed = job.count_folds(corpus), job.config.train.seed
    grid = f"{model.n_neurons} neurons x {len(labels)} features x {folds} folds"
    job.log(f"inspecting: {grid} on {corpus.n_positions:,} characters")
    start = time.perf_counter()
    with spinner("inspecting"):
        states = record(model, corpus)
        relevance = inspect(states, labels, job.config.inspect.probe, folds, seed=seed)
    job.log(f"  {model.n_neurons * len(labels) * folds:,} probes in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    language = job.language if job.config.is_sampled else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        relevance = significance(relevance, states, labels, corpus, language=language)
    for warning in caught:
        job.log(f"  warning: {warning.message}")
    with spinner("comparing with an untrained network and control tasks"):
        relevance = baselines(relevance, states, labels, corpus, model=model, n_controls=1, seed=seed)
    null = f"{relevance.attrs['n_null']} repetitions of the null {relevance.attrs['null']!r}"
    job.log(f"  {null}, an untrained network and a control task in {time.perf_counter() - start:.1f} s")
    inspection = Inspection.from_relevance(relevance, labels)
    job.begin_results("inspect", "verify", "analyse", "report")
    write_findings(job.folder, inspection)
    save(relevance_figure(relevance.sel(feature=inspection.distinct)), job.folder.path / "relevance.png")
    with job.folder.writing(job.folder.excerpt.name) as path:
        make_excerpt(corpus, states, labels, relevance=relevance).save(path, job.fingerprint)
    job.folder.update_summary(positions=relevance.attrs["positions"])
    with job.folder.writing(job.folder.relevance.name) as path:
        write_table(relevance_table(relevance), path, job.fingerprint)
    return inspection


def write_findings(folder: RunFolder, inspection: Inspection, effects: xr.Dataset | None = None) -> pd.DataFrame:
    """Write the table of features, with the `effects` of ablation if they are known, and return it."""
    findings = findings_table(inspection.best, inspection.labels.duplicates, effects)
    with folder.writing(folder.findings.name) as path, atomic_write(path) as part:
        findings.to_csv(part, index=False)
    return findings


def findings_table(best: pd.DataFrame, duplicates: Mapping[str, str], effects: xr.Dataset | None) -> pd.DataFrame:
    """Return one row per feature, sorted by the score of its best neuron.

    The columns are those of `dni_jax.inspection.best_per_feature`, ``same_as`` (an earlier feature with the same
    labels, or empty) and, for the largest number k of ablated neurons: ``effect`` (change of the loss where the feature
    holds, in nats per character, with its k best neurons ablated), ``random`` and ``random_high`` (mean and 97.5th
    percentile of the same for random neurons) and ``p_effect``. The effects are NaN before verification.
    """
    table = best.assign(same_as=[duplicates.get(name, "") for name in best["feature"]])
    columns = {"effect": "top_effect", "random": "random_effect", "random_high": "random_effect_high", "p_effect": "p"}
    if effects is None:
        merged = table.assign(**dict.fromkeys(columns, np.nan))
    else:
        last = effects.isel(k=-1).sel(measure="loss_on")
        extra = pd.DataFrame({name: last[source].values for name, source in columns.items()})
        extra["feature"] = [str(name) for name in last["feature"].values]
        merged = table.merge(extra, on="feature", how="left")
    return merged.sort_values(["strength", "lift"], ascending=False, kind="stable").reset_index(drop=True)


def load_inspection(job: Job) -> Inspection:
    """Load the result of the inspection stage. Raises a ValueError if there is none."""
    return Inspection.from_relevance(load_relevance(job), job.library.label(job.inspected))


def load_relevance(job: Job) -> xr.Dataset:
    """Load the scores of the inspection stage. Raises a ValueError if there are none."""
    if not job.folder.has_results("inspect"):
        raise ValueError(
            f"expected scores in {str(job.folder.relevance)!r}, got none: run dni inspect {job.folder.path}"
        )
    job.folder.check_files(job.folder.relevance.name)
    return read_relevance(job.folder.relevance)
