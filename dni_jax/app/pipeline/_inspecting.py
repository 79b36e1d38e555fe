"""The second stage: which neurons know which features, and whether chance or simpler things explain it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.pipeline._job import Job
from dni_jax.app.report import make_excerpt, relevance_figure, save
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

BY = "auc"  # ranks rare features too, where every accuracy is the majority's


@dataclass(frozen=True, eq=False)
class Inspected:
    """What the stage has found.

    Attributes
    ----------
    relevance
        Dataset (neuron, feature, fold) with p-values and baselines.
    best
        One row a feature: its best neurons.
    labels
        Of the text that neurons were scored on.
    """

    relevance: xr.Dataset
    best: pd.DataFrame
    labels: Labels

    @classmethod
    def of(cls, relevance: xr.Dataset, labels: Labels) -> Inspected:
        """Find the best neurons of every feature."""
        return cls(relevance, best_per_feature(relevance, by=BY), labels)

    @property
    def names(self) -> list[str]:
        """Features that vary."""
        return [name for name in self.labels.names if name not in self.labels.constant]

    @property
    def distinct(self) -> list[str]:
        """Features that vary and are not an earlier one once more."""
        return [name for name in self.names if name not in self.labels.duplicates]


def inspect_stage(job: Job) -> Inspected:
    """Score all neurons on all features, with p-values and baselines.

    Leaves ``relevance.parquet``, ``relevance.png``, ``findings.csv``, ``excerpt.npz`` and the summary's ``positions``.
    """
    corpus, model = job.inspected, job.model
    labels = job.library.label(corpus)
    folds, seed = job.folds(corpus), job.config.train.seed
    grid = f"{model.n_neurons} neurons x {len(labels)} features x {folds} folds"
    job.say(f"inspecting: {grid} on {corpus.n_positions:,} characters")
    began = time.perf_counter()
    with spinner("inspecting"):
        states = record(model, corpus)
        relevance = inspect(states, labels, job.config.inspect.probe, folds, seed=seed)
    job.say(f"  {model.n_neurons * len(labels) * folds:,} probes in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    language = job.language if job.config.is_sampled else None
    relevance = significance(relevance, states, labels, corpus, language=language)
    with spinner("comparing with an untrained network and control tasks"):
        relevance = baselines(relevance, states, labels, corpus, model=model, n_controls=1, seed=seed)
    null = f"{relevance.attrs['n_null']} repetitions of the null {relevance.attrs['null']!r}"
    job.say(f"  {null}, an untrained network and a control task in {time.perf_counter() - began:.1f} s")
    found = Inspected.of(relevance, labels)
    write_findings(job.folder.findings, found)
    save(relevance_figure(relevance.sel(feature=found.distinct)), job.folder.path / "relevance.png")
    make_excerpt(corpus, states, labels, relevance=relevance).save(job.folder.excerpt)
    job.folder.note(positions=relevance.attrs["positions"])
    write_table(relevance_table(relevance), job.folder.relevance)
    return found


def write_findings(path: Path, found: Inspected, effects: xr.Dataset | None = None) -> pd.DataFrame:
    """Write the table of features, and give it; `effects` of silencing all of them complete it."""
    findings = summarise(found.best, found.labels.duplicates, effects)
    with atomic_write(path) as aside:
        findings.to_csv(aside, index=False)
    return findings


def summarise(best: pd.DataFrame, duplicates: Mapping[str, str], effects: xr.Dataset | None) -> pd.DataFrame:
    """One row a feature, the best known first.

    Columns as in `dni_jax.inspection.best_per_feature`, and for the largest k verified: ``effect`` (loss in nats a
    character over the characters that the feature holds for, with its best neurons silenced, less the intact
    network's), ``random`` (the same for random neurons, mean), ``random_high`` (their 97.5th percentile) and
    ``p_effect``; NaN before that. ``same_as`` names an earlier feature with the same labels, or is empty.
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


def inspected_before(job: Job) -> Inspected:
    """Read back what the stage has left.

    Raises
    ------
    ValueError
        Where it has not.
    """
    return Inspected.of(relevance_before(job), job.library.label(job.inspected))


def relevance_before(job: Job) -> xr.Dataset:
    """Read back the scores that the stage has left.

    Raises
    ------
    ValueError
        Where it has not.
    """
    if not job.folder.holds("inspect"):
        raise ValueError(
            f"expected scores in {str(job.folder.relevance)!r}, got none: dni inspect {job.folder.path} makes them"
        )
    return read_relevance(job.folder.relevance)
