"""The third stage: what the network does, and writes, with those neurons overridden."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax import processes
from dni_jax.app.pipeline._inspecting import BY, Inspected, write_findings
from dni_jax.app.pipeline._job import Job
from dni_jax.app.report import dynamics_figure, effects_figure, save
from dni_jax.files import atomic_write
from dni_jax.inspection import ranking, read_table, write_table
from dni_jax.interventions import clamp
from dni_jax.lab.densities import Density, plausibility
from dni_jax.models import generate, record
from dni_jax.verification import measure_texts, verify

KS = (1, 5, 10)
# What a reader asks about first, where the language has it.
_HEADLINES = ("digit", "parenthesis", "range:string", "range:comment", "operator", "depth=1")


def verify_stage(job: Job, found: Inspected) -> pd.DataFrame:
    """Silence the neurons of every feature; set to 1, and drive by labels, those of the headlines; give the findings.

    Leaves ``effects.parquet``, ``effects.png``, ``samples.json`` and ``findings.csv``.
    """
    folder, headlines = job.folder, headlines_of(job, found)
    write_findings(folder.findings, found)
    effects = _effects(job, found, headlines)
    save(effects_figure(effects, headlines), folder.path / "effects.png")
    if processes.is_first() and folder.dynamics.exists():
        save(dynamics_figure(read_table(folder.dynamics), found.distinct), folder.path / "dynamics.png")
    _write_samples(job, found, headlines)
    findings = write_findings(folder.findings, found, effects["ablate"])
    table = pd.concat([effects_table(dataset) for dataset in effects.values()], ignore_index=True)
    write_table(table, folder.effects)
    return findings


def _density(job: Job) -> Density | None:
    """The Gaussian of visited states, which says how far off them an override goes; None for too little text."""
    corpus = job.inspected
    try:
        return plausibility(record(job.model, corpus), "gaussian", seed=job.config.train.seed)
    except ValueError as error:
        job.say(f"  how plausible overridden states are is not told: {error}")
        return None


def headlines_of(job: Job, found: Inspected) -> list[str]:
    """The features that are asked about most closely: those of the config, or those readers ask about first."""
    asked = list(dict.fromkeys(job.config.verify.headlines))
    unknown = [name for name in asked if name not in found.names]
    if unknown:
        raise ValueError(
            f"expected --headlines among the features that vary in this text, got {unknown}: there are "
            f"{', '.join(found.names)}"
        )
    return asked or headline_features(found.best, found.distinct)


def _effects(job: Job, found: Inspected, headlines: Sequence[str]) -> dict[str, xr.Dataset]:
    corpus, model, n_random = job.verified, job.model, job.config.verify.random_sets
    ks = [k for k in KS if k <= model.n_neurons]
    began = time.perf_counter()
    sets = (2 * len(found.names) + n_random) * len(ks)
    job.say(f"verifying: {sets} sets of neurons silenced on {corpus.n_positions:,} unseen characters")
    settings: dict[str, Any] = {"ks": ks, "n_random": n_random, "by": BY, "seed": job.config.train.seed}
    settings |= {"labels": job.library, "density": _density(job)}
    # So many features share their random sets; those of the headlines are matched to their neurons.
    effects = {"ablate": verify(model, corpus, found.relevance, found.names, match=None, **settings)}
    for kind in ("clamp", "oracle"):
        effects[kind] = verify(model, corpus, found.relevance, headlines, intervention=kind, **settings)
    job.say(f"  done in {time.perf_counter() - began:.1f} s")
    return effects


def headline_features(best: pd.DataFrame, names: Sequence[str], most: int = 3) -> list[str]:
    """The features that figures and samples show: those readers ask about first, then the best known."""
    strength = best.set_index("feature")["strength"]
    rest = sorted((n for n in names if n not in _HEADLINES), key=lambda n: -strength[n])
    return [n for n in (*_HEADLINES, *rest) if n in names][:most]


def effects_table(effects: xr.Dataset) -> pd.DataFrame:
    """One row for each feature, k and measure of one intervention."""
    frame = effects.drop_vars(["random", "neurons"]).to_dataframe().reset_index()
    frame.insert(0, "intervention", effects.attrs["intervention"])
    chosen = {
        (str(f), int(k)): [int(n) for n in effects["neurons"].sel(feature=f, k=k).values if n >= 0]
        for f in effects["feature"].values
        for k in effects["k"].values
    }
    frame["neurons"] = [chosen[str(row.feature), int(row.k)] for row in frame.itertuples()]
    return frame


def _write_samples(job: Job, found: Inspected, features: Sequence[str]) -> None:
    """Write texts: the network left alone, with the best neurons of a feature set to 1, and with random ones."""
    model, seed = job.model, job.config.train.seed
    k = min(10, model.n_neurons)
    drawn = np.random.default_rng(seed).permutation(model.n_neurons)[:k].tolist()
    samples = {
        "intact": written(job, None, n=16, length=200),
        "random neurons set to 1": written(job, drawn, n=16, length=200),
    }
    for feature in features:
        best = ranking(found.relevance, feature, BY)[:k].tolist()
        samples[f"{feature} neurons set to 1"] = written(job, best, n=16, length=200)
    for sample in samples.values():
        sample["texts"] = sample["texts"][:4]
    with atomic_write(job.folder.samples) as aside:
        aside.write_text(json.dumps(samples, indent=1, ensure_ascii=False), encoding="utf-8")


def written(job: Job, neurons: Sequence[int] | None, **options: Any) -> dict[str, Any]:
    """Let the network write with some neurons set to 1, and measure the texts."""
    intervention = None if neurons is None else clamp(neurons, 1.0)
    texts = generate(job.model, seed=job.config.train.seed, intervention=intervention, **options)
    measures = asdict(measure_texts(texts, job.model.vocabulary.boundary_text, job.language))
    numbers = {name: None if number != number else number for name, number in measures.items()}
    return {"neurons": neurons, **numbers, "texts": texts}
