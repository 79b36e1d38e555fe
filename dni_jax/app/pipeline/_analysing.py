"""Further questions to a run's network: what predictions rest on, how sure its ranking is, how hard, how mended."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.pipeline._inspecting import BY, Inspected
from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._verifying import headlines_of
from dni_jax.files import atomic_write
from dni_jax.inspection import ranking, write_table
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.lab.posterior import SamplerConfig, sample_chains, step_size_table
from dni_jax.lab.repair import NoViolationError, repair_table
from dni_jax.models import record
from dni_jax.text import Corpus

LAGS = range(11)
_POSITIONS = 500  # whose predictions are explained
_STEPS = 16  # places on the line from the mean state
_TOP = 10  # neurons that count as the best
_SIZES = (1e-6, 1e-5, 1e-4, 1e-3)  # step sizes that are tried beside each other
_REPEATS = 3  # draws of directions
_TARGET = 0.9  # of the way from chance to the probe of all neurons
_RANDOM = 9  # sets that a repair by chosen neurons is compared with
_EXAMPLES = 100  # mistakes that a repair learns from, at most
_REPAIRED_BY = 3  # features whose best neurons are to repair


def attribute_stage(job: Job, found: Inspected) -> xr.Dataset:
    """Divide the network's predictions among its neurons, as they were some characters before.

    What is explained is the log-probability of the symbol that came next, by integrated gradients from the mean state,
    of all that flows on. Leaves ``attribution.parquet``: one row a neuron and lag, with the completeness error and rank
    correlations with single-neuron ablation at that step and with the relevance of headline features.
    """
    began = time.perf_counter()
    corpus = job.verified
    asked: dict[str, Any] = {"part": "state", "positions": _POSITIONS, "baseline": "mean"}
    asked["seed"] = job.config.train.seed
    job.say(
        f"attributing: {_POSITIONS} predictions to {job.model.n_neurons} neurons up to {max(LAGS)} characters before"
    )
    attribution = attribute(job.model, corpus, "next", LAGS, "integrated_gradients", steps=_STEPS, **asked)
    effects = ablation_effects(job.model, corpus, "next", LAGS, **asked)
    agreed = rank_agreement(attribution, effects, found.relevance, headlines_of(job, found), by=BY)
    write_table(attribution_table(attribution, agreed), job.folder.path / "attribution.parquet")
    job.say(f"  done in {time.perf_counter() - began:.1f} s")
    return attribution


def attribution_table(attribution: xr.Dataset, agreed: xr.Dataset) -> pd.DataFrame:
    """One row a neuron and lag; what has no neuron stands in each of a lag's rows."""
    table = attribution.to_dataframe().reset_index()
    ranks = pd.DataFrame({"lag": agreed["lag"].values, "rank_with_ablation": agreed["magnitude"].values})
    for feature in agreed["feature"].values if "feature" in agreed.dims else ():
        ranks[f"rank_with:{feature}"] = agreed["relevance"].sel(feature=feature).values
    return table.merge(ranks, on="lag")


def posterior_stage(job: Job, found: Inspected, n_draws: int = 20, step_size: float = 1e-4) -> pd.DataFrame:
    """Draw weights near the trained ones, and say how sure the scores and the ranking are.

    Leaves ``posterior.parquet``, one row a neuron and feature, and ``step_sizes.csv``, the same for other step sizes.
    """
    began = time.perf_counter()
    corpus, seed = job.verified, job.config.train.seed
    labels = job.library.label(corpus).select(list(found.distinct))
    job.say(f"drawing {n_draws} networks near this one (pSGLD, step size {step_size:g}), and with other step sizes")
    sizes = sorted({*_SIZES, step_size})
    chains = sample_chains(job.model, job.corpus, SamplerConfig(n_draws=n_draws), sizes, seed)
    k, probe, folds = min(_TOP, job.model.n_neurons), job.config.inspect.probe, folds_of(corpus)
    scored = [None if each is None else each.relevance(corpus, labels, probe, folds, k=k) for each in chains]
    draws, relevance = chains[sizes.index(step_size)], scored[sizes.index(step_size)]
    if draws is None or relevance is None:
        raise ValueError(f"expected draws near the network, got a chain that runs away: go below {step_size:g}")
    table = relevance.to_dataframe().reset_index()
    table = table.assign(
        draws=n_draws,
        step_size=step_size,
        unseen_start=draws.start_loss,
        unseen_average=draws.validation.average,
        top=k,
    )
    write_table(table, job.folder.path / "posterior.parquet")
    sweep = step_size_table(sizes, chains, scored)
    with atomic_write(job.folder.path / "step_sizes.csv") as aside:
        sweep.to_csv(aside, index=False)
    job.say(f"  {draws} in {time.perf_counter() - began:.1f} s")
    return table


def dimension_stage(job: Job, found: Inspected) -> pd.DataFrame:
    """How many random directions of the states a probe needs for each feature, beside how many neurons do alone.

    Leaves ``dimension.parquet``: one row a feature, with ``alone``, the neurons that by themselves come as far.
    """
    began = time.perf_counter()
    corpus = job.inspected
    labels = found.labels.select(list(found.distinct))
    job.say(f"asking how many dimensions {len(labels)} features need of {job.model.n_neurons}")
    states = record(job.model, corpus)
    asked: dict[str, Any] = {"target": _TARGET, "repeats": _REPEATS, "folds": folds_of(corpus)}
    needed = measure_probe_dimension(states, labels, **asked, seed=job.config.train.seed)
    table = dimension_table(needed, found.relevance)
    write_table(table, job.folder.path / "dimension.parquet")
    job.say(f"  done in {time.perf_counter() - began:.1f} s")
    return table


def dimension_table(needed: xr.Dataset, relevance: xr.Dataset) -> pd.DataFrame:
    """One row a feature of `dni_jax.lab.intrinsic_dimension.measure_probe_dimension`, with the neurons whose own score reaches its threshold.

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


def repair_stage(job: Job, found: Inspected) -> pd.DataFrame | None:
    """Mend what the network writes by changing its head, through all neurons or those that know a feature.

    Leaves ``repair.parquet``: one row a set of neurons that were free to change. None where the language cannot tell a
    wrong text, or the network writes none.
    """
    began = time.perf_counter()
    top = job.model.weights.layer_slices[-1]
    sets: dict[str, list[int] | None] = {"all": None}
    for feature in headlines_of(job, found)[:_REPAIRED_BY]:
        best = [int(neuron) for neuron in ranking(found.relevance, feature, BY) if neuron >= top.start]
        sets[feature] = best[: min(_TOP, len(best))]
    try:
        violation = job.language.violations()
    except ValueError as error:
        job.say(f"nothing is repaired: {error}")
        return None
    job.say("repairing what the network writes")
    asked: dict[str, Any] = {"n_examples": _EXAMPLES, "n_random": _RANDOM, "seed": job.config.train.seed}
    try:
        table = repair_table(job.model, job.corpus, violation, sets, **asked)
    except NoViolationError as error:
        job.say(f"  nothing is repaired: {error}")
        return None
    write_table(table, job.folder.path / "repair.parquet")
    job.say(f"  done in {time.perf_counter() - began:.1f} s")
    return table


def folds_of(corpus: Corpus) -> int:
    """A few folds, since each draw is scored."""
    return min(5, len(np.unique(corpus.groups)))


def best_by_lag(attribution: xr.Dataset, most: int = 10) -> list[int]:
    """The neurons with the greatest mean absolute attribution over lags."""
    order = np.argsort(-attribution["magnitude"].sum("lag").values, kind="stable")
    return [int(neuron) for neuron in attribution["neuron"].values[order[:most]]]
