"""Further analyses of a run: attribution, certainty of the ranking, dimension of features, repair."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.pipeline._inspecting import RANK_BY, Inspection
from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._verifying import choose_headlines
from dni_jax.files import atomic_write
from dni_jax.inspection import ranking, write_table
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.lab.posterior import SamplerConfig, sample_chains, step_size_table
from dni_jax.lab.repair import NoViolationError, repair_table
from dni_jax.models import record
from dni_jax.text import Corpus

LAGS = range(11)
_POSITIONS = 500  # number of predictions to attribute
_STEPS = 16  # points on the line from the mean state
_TOP = 10  # best neurons of a ranking
_SIZES = (1e-6, 1e-5, 1e-4, 1e-3)  # step sizes to compare
_REPEATS = 3  # draws of random directions
_TARGET = 0.9  # fraction of the way from chance to the probe of all neurons
_RANDOM = 9  # random sets to compare a repair by chosen neurons with
_EXAMPLES = 100  # maximum number of mistakes to learn from
_REPAIRED_BY = 3  # features whose best neurons are used for a repair


def attribute_stage(job: Job, inspection: Inspection) -> xr.Dataset:
    """Attribute the network's predictions to its neurons, at the same and at earlier characters.

    Integrated gradients, from the mean state, explain the log-probability of the next symbol. Writes
    ``attribution.parquet``: one row per neuron and lag, with the completeness error and the rank correlations with
    single-neuron ablation and with the relevance of headline features.
    """
    start = time.perf_counter()
    corpus = job.verified
    options: dict[str, Any] = {"part": "state", "positions": _POSITIONS, "baseline": "mean"}
    options["seed"] = job.config.train.seed
    job.log(
        f"attributing: {_POSITIONS} predictions to {job.model.n_neurons} neurons up to {max(LAGS)} characters earlier"
    )
    attribution = attribute(job.model, corpus, "next", LAGS, "integrated_gradients", steps=_STEPS, **options)
    effects = ablation_effects(job.model, corpus, "next", LAGS, **options)
    agreed = rank_agreement(attribution, effects, inspection.relevance, choose_headlines(job, inspection), by=RANK_BY)
    with job.folder.writing(job.folder.attribution.name) as path:
        write_table(attribution_table(attribution, agreed), path, job.fingerprint)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return attribution


def attribution_table(attribution: xr.Dataset, agreed: xr.Dataset) -> pd.DataFrame:
    """Return one row per neuron and lag. Values without a neuron axis repeat in all rows of their lag."""
    table = attribution.to_dataframe().reset_index()
    ranks = pd.DataFrame({"lag": agreed["lag"].values, "rank_with_ablation": agreed["magnitude"].values})
    for feature in agreed["feature"].values if "feature" in agreed.dims else ():
        ranks[f"rank_with:{feature}"] = agreed["relevance"].sel(feature=feature).values
    return table.merge(ranks, on="lag")


def posterior_stage(job: Job, inspection: Inspection, n_draws: int = 20, step_size: float = 1e-4) -> pd.DataFrame:
    """Sample weights near the trained ones, to measure how certain the scores and the ranking are.

    Writes ``posterior.parquet``, one row per neuron and feature, and ``step_sizes.csv``, which compares step sizes.
    """
    start = time.perf_counter()
    corpus, seed = job.verified, job.config.train.seed
    labels = job.library.label(corpus).select(list(inspection.distinct))
    job.log(f"drawing {n_draws} networks near this one (pSGLD, step size {step_size:g}), and with other step sizes")
    sizes = sorted({*_SIZES, step_size})
    chains = sample_chains(job.model, job.corpus, SamplerConfig(n_draws=n_draws), sizes, seed)
    k, probe, folds = min(_TOP, job.model.n_neurons), job.config.inspect.probe, _count_folds(corpus)
    scored = [None if each is None else each.relevance(corpus, labels, probe, folds, k=k) for each in chains]
    draws, relevance = chains[sizes.index(step_size)], scored[sizes.index(step_size)]
    if draws is None or relevance is None:
        raise ValueError(f"expected draws near the network, got a diverging chain: use a step size below {step_size:g}")
    table = relevance.to_dataframe().reset_index()
    table = table.assign(
        draws=n_draws,
        step_size=step_size,
        unseen_start=draws.start_loss,
        unseen_average=draws.validation.average,
        top=k,
    )
    with job.folder.writing(job.folder.posterior.name) as path:
        write_table(table, path, job.fingerprint)
    sweep = step_size_table(sizes, chains, scored)
    with job.folder.writing(job.folder.step_sizes.name) as path, atomic_write(path) as part:
        sweep.to_csv(part, index=False)
    job.log(f"  {draws} in {time.perf_counter() - start:.1f} s")
    return table


def dimension_stage(job: Job, inspection: Inspection) -> pd.DataFrame:
    """Measure how many random directions of the state a probe needs for each feature.

    Writes ``dimension.parquet``: one row per feature, with ``alone``, the number of single neurons that score as high.
    """
    start = time.perf_counter()
    corpus = job.inspected
    labels = inspection.labels.select(list(inspection.distinct))
    job.log(f"measuring the dimension of {len(labels)} features in {job.model.n_neurons} neurons")
    states = record(job.model, corpus)
    options: dict[str, Any] = {"target": _TARGET, "repeats": _REPEATS, "folds": _count_folds(corpus)}
    needed = measure_probe_dimension(states, labels, **options, seed=job.config.train.seed)
    table = dimension_table(needed, inspection.relevance)
    with job.folder.writing(job.folder.dimension.name) as path:
        write_table(table, path, job.fingerprint)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return table


def dimension_table(needed: xr.Dataset, relevance: xr.Dataset) -> pd.DataFrame:
    """Return one row per feature, with the number of neurons whose own score reaches the threshold.

    Parameters
    ----------
    needed
        From `dni_jax.lab.intrinsic_dimension.measure_probe_dimension`.
    relevance
        Scores of single neurons, from `dni_jax.inspect`.

    Examples
    --------
    >>> held = {"full": 0.95, "threshold": 0.9, "dimension": 4.0, "below": 3.0}
    >>> needed = xr.Dataset({name: ("feature", [value]) for name, value in held.items()},
    ...                     {"feature": ["digit"], "kind": ("feature", ["binary"])}, {"target": 0.9})
    >>> auc = xr.DataArray([[[0.95]], [[0.6]]], dims=("neuron", "feature", "fold"), coords={"feature": ["digit"]})
    >>> dimension_table(needed, xr.Dataset({"auc": auc, "score": auc}))["alone"].item()
    1
    """
    own = relevance[["score", "auc"]].mean("fold").sel(feature=needed["feature"])
    strength = xr.where(needed["kind"] == "binary", own["auc"], own["score"])
    table = needed[["kind", "full", "threshold", "dimension", "below"]].to_dataframe().reset_index()
    alone = (strength >= needed["threshold"]).sum("neuron").values
    return table.assign(alone=np.where(table["dimension"].isna(), 0, alone), target=needed.attrs["target"])


def repair_stage(job: Job, inspection: Inspection) -> pd.DataFrame | None:
    """Repair the network's head to avoid mistakes in generated text, through all neurons or those for a feature.

    Writes ``repair.parquet``: one row per set of neurons whose weights may change. Returns None if the language cannot
    detect mistakes, or the network makes none.
    """
    start = time.perf_counter()
    top = job.model.weights.layer_slices[-1]
    sets: dict[str, list[int] | None] = {"all": None}
    for feature in choose_headlines(job, inspection)[:_REPAIRED_BY]:
        best = [int(neuron) for neuron in ranking(inspection.relevance, feature, RANK_BY) if neuron >= top.start]
        sets[feature] = best[: min(_TOP, len(best))]
    try:
        violation = job.language.violations()
    except ValueError as error:
        job.log(f"no repair: {error}")
        return None
    job.log("repairing the head")
    options: dict[str, Any] = {"n_examples": _EXAMPLES, "n_random": _RANDOM, "seed": job.config.train.seed}
    try:
        table = repair_table(job.model, job.corpus, violation, sets, **options)
    except NoViolationError as error:
        job.log(f"  no repair: {error}")
        return None
    with job.folder.writing(job.folder.repair.name) as path:
        write_table(table, path, job.fingerprint)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return table


def _count_folds(corpus: Corpus) -> int:
    """Return a small number of folds, because many networks or probes are scored."""
    return min(5, len(np.unique(corpus.groups)))


def rank_attributed(attribution: xr.Dataset, n: int = 10) -> list[int]:
    """Return the n neurons with the largest mean absolute attribution over lags."""
    order = np.argsort(-attribution["magnitude"].sum("lag").values, kind="stable")
    return [int(neuron) for neuron in attribution["neuron"].values[order[:n]]]
