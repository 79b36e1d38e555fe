"""The verification stage: the effects of overriding the neurons that were found, on the loss and on generated text."""

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
from dni_jax.app.pipeline._inspecting import RANK_BY, Inspection, write_findings
from dni_jax.app.pipeline._job import Job
from dni_jax.app.report import dynamics_figure, effects_figure, effects_table, save
from dni_jax.files import atomic_write
from dni_jax.inspection import ranking, read_table, write_table
from dni_jax.interventions import clamp
from dni_jax.lab.densities import Density, plausibility
from dni_jax.models import generate, record
from dni_jax.verification import measure_texts, verify

KS = (1, 5, 10)
# Preferred features for figures and samples, if the language has them.
_HEADLINES = ("digit", "parenthesis", "range:string", "range:comment", "operator", "depth=1")


def verify_stage(job: Job, inspection: Inspection) -> pd.DataFrame:
    """Ablate the top neurons of every feature; also clamp and drive those of the headline features.

    Writes ``effects.parquet``, ``effects.png``, ``samples.json`` and ``findings.csv``, and returns the findings.
    Nothing changes before all effects are known.
    """
    folder, headlines = job.folder, choose_headlines(job, inspection)
    effects = _measure_effects(job, inspection, headlines)
    job.begin_results("verify", "report")
    write_findings(folder, inspection)
    save(effects_figure(effects, headlines), folder.path / "effects.png")
    if processes.is_first() and folder.dynamics.exists():
        save(dynamics_figure(read_table(folder.dynamics), inspection.distinct), folder.path / "dynamics.png")
    _write_samples(job, inspection, headlines)
    findings = write_findings(folder, inspection, effects["ablate"])
    table = pd.concat([effects_table(dataset) for dataset in effects.values()], ignore_index=True)
    with folder.writing(folder.effects.name) as path:
        write_table(table, path, job.fingerprint)
    return findings


def _fit_density(job: Job) -> Density | None:
    """Fit a Gaussian to visited states, to measure how plausible overridden states are; None for too little text."""
    corpus = job.inspected
    try:
        return plausibility(record(job.model, corpus), "gaussian", seed=job.config.train.seed)
    except ValueError as error:
        job.log(f"  the plausibility of overridden states is unknown: {error}")
        return None


def choose_headlines(job: Job, inspection: Inspection) -> list[str]:
    """Return the features to verify most closely: those of the config, or common ones of the language."""
    names = list(dict.fromkeys(job.config.verify.headlines))
    unknown = [name for name in names if name not in inspection.names]
    if unknown:
        raise ValueError(
            f"expected --headlines among the features that vary in this text, got {unknown}: choose from "
            f"{', '.join(inspection.names)}"
        )
    return names or headline_features(inspection.best, inspection.distinct)


def _measure_effects(job: Job, inspection: Inspection, headlines: Sequence[str]) -> dict[str, xr.Dataset]:
    corpus, model, n_random = job.verified, job.model, job.config.verify.random_sets
    ks = [k for k in KS if k <= model.n_neurons]
    start = time.perf_counter()
    sets = (2 * len(inspection.names) + n_random) * len(ks)
    job.log(f"verifying: {sets} sets of neurons ablated on {corpus.n_positions:,} unseen characters")
    settings: dict[str, Any] = {"ks": ks, "n_random": n_random, "by": RANK_BY, "seed": job.config.train.seed}
    settings |= {"labels": job.library, "density": _fit_density(job)}
    # To save time, all features share their random sets; those of the headlines are matched to the neurons.
    effects = {"ablate": verify(model, corpus, inspection.relevance, inspection.names, match=None, **settings)}
    for kind in ("clamp", "oracle"):
        effects[kind] = verify(model, corpus, inspection.relevance, headlines, intervention=kind, **settings)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return effects


def headline_features(best: pd.DataFrame, names: Sequence[str], n: int = 3) -> list[str]:
    """Return up to n features for figures and samples: common ones first, then those with the best scores."""
    strength = best.set_index("feature")["strength"]
    rest = sorted((name for name in names if name not in _HEADLINES), key=lambda name: -strength[name])
    return [name for name in (*_HEADLINES, *rest) if name in names][:n]


def _write_samples(job: Job, inspection: Inspection, features: Sequence[str]) -> None:
    """Write texts of the intact network, with the top neurons of a feature set to 1, and with random ones."""
    model, seed = job.model, job.config.train.seed
    k = min(10, model.n_neurons)
    random = np.random.default_rng(seed).permutation(model.n_neurons)[:k].tolist()
    samples = {
        "intact": sample_text(job, None, n=16, length=200),
        "random neurons set to 1": sample_text(job, random, n=16, length=200),
    }
    for feature in features:
        best = ranking(inspection.relevance, feature, RANK_BY)[:k].tolist()
        samples[f"{feature} neurons set to 1"] = sample_text(job, best, n=16, length=200)
    for sample in samples.values():
        sample["texts"] = sample["texts"][:4]
    with job.folder.writing(job.folder.samples.name) as path, atomic_write(path) as part:
        part.write_text(json.dumps(samples, indent=1, ensure_ascii=False), encoding="utf-8")


def sample_text(job: Job, neurons: Sequence[int] | None, **options: Any) -> dict[str, Any]:
    """Generate texts with some neurons set to 1, and measure them."""
    intervention = None if neurons is None else clamp(neurons, 1.0)
    texts = generate(job.model, seed=job.config.train.seed, intervention=intervention, **options)
    measures = asdict(measure_texts(texts, job.model.vocabulary.boundary_text, job.language))
    numbers = {name: None if number != number else number for name, number in measures.items()}
    return {"neurons": neurons, **numbers, "texts": texts}
