"""Further analyses of a run: attribution, certainty of the ranking, dimension of features, programs, lags, repair."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.pipeline._inspecting import RANK_BY, Inspection
from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._verifying import choose_headlines
from dni_jax.features import Violation
from dni_jax.files import atomic_write
from dni_jax.inspection import lags, ranking, write_table
from dni_jax.lab.attribution import ablation_effects, attribute, rank_agreement
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.lab.posterior import SamplerConfig, sample_chains, step_size_table
from dni_jax.lab.repair import NoViolationError, repair_table
from dni_jax.languages import Language
from dni_jax.models import record
from dni_jax.programs import Program, depth
from dni_jax.programs import run as run_program
from dni_jax.text import Corpus
from dni_jax.verification import monitor, replace

LAGS = range(11)
_POSITIONS = 500  # number of predictions to attribute
_STEPS = 16  # points on the line from the mean state
_TOP = 10  # best neurons of a ranking
_SIZES = (1e-6, 1e-5, 1e-4, 1e-3)  # step sizes to compare
_REPEATS = 3  # draws of random directions
_TARGET = 0.9  # fraction of the way from chance to the probe of all neurons
_RANDOM = 9  # random sets to compare a repair by chosen neurons with
_EXAMPLES = 100  # maximum number of mistakes to learn from
_STANDS_FOR = 16  # random clusters to compare a replaced one with
_FITTED = 20_000  # characters that lines through a program are fitted to
_ALARMS = 0.001  # share of ordinary characters that a monitor flags
_WRITTEN = 64  # texts to monitor
_EARLIER = range(6)  # states that are read together
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


def program_stage(job: Job, inspection: Inspection) -> pd.DataFrame | None:
    """Let a program stand for the neurons that know a feature best, and compare it with all neurons.

    The program is the language's parser, or counts brackets. Writes ``programs.parquet``: one row per cluster of
    neurons, and ``monitor.parquet``: one row per outcome that disagreement may predict. Returns None if the program
    says the same everywhere.
    """
    start = time.perf_counter()
    program, violation = _choose_program(job)
    fitted = job.corpus.validation if (job.corpus.split == 1).any() else job.corpus.train
    fitted, corpus, seed = fitted.head(_FITTED), job.verified, job.config.train.seed
    language = job.language if isinstance(job.language, Language) else None
    if len(fitted) < 2 or not np.ptp(run_program(program, fitted).values, axis=0).any():
        job.log(f"no program: the output of {program.name} never varies, or there is only one string to fit to")
        return None
    job.log(f"comparing neurons with a program: {program.name}")
    rows = []
    for feature in choose_headlines(job, inspection):
        best = [int(neuron) for neuron in ranking(inspection.relevance, feature, RANK_BY)[:_TOP]]
        stand_in = replace(job.model, best, program, fitted)
        found = stand_in.evaluate(corpus, _STANDS_FOR, language=language, seed=seed)
        row: dict[str, Any] = {"feature": feature, "program": program.name, "neurons": len(best)}
        row |= {"r2": float(stand_in.r2.mean()), "weights_removed": stand_in.n_weights_removed / stand_in.n_weights}
        for name in ("loss", "parses"):
            row |= {f"{name}_{one}": float(found[name].sel(condition=one)) for one in found["condition"].values}
        row |= {name: float(found[name]) for name in ("recovered", "p", "p_used")}
        rows.append(row | {"random_recovered": float(found["random_recovered"].median())})
    watch = monitor(job.model, range(job.model.n_neurons), program, fitted, alarm_rate=_ALARMS)
    outcomes = watch.evaluate(corpus, violation, n_texts=_WRITTEN, seed=seed)
    table = pd.DataFrame(rows)
    for name, one in ((job.folder.programs.name, table), (job.folder.monitor.name, monitor_table(outcomes))):
        with job.folder.writing(name) as path:
            write_table(one, path, job.fingerprint)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return table


def _choose_program(job: Job) -> tuple[Program, Violation | None]:
    """Return the language's parser and what violates the language, or a count of brackets and None."""
    try:
        return job.language.program(), job.language.violations()
    except ValueError:  # the language can only parse whole texts
        return depth(), None


def monitor_table(outcomes: xr.Dataset) -> pd.DataFrame:
    """Return one row per outcome, with the AUC of each signal.

    Parameters
    ----------
    outcomes
        From `dni_jax.verification.Monitor.evaluate`.
    """
    rows = []
    for outcome in outcomes["outcome"].values:
        one = outcomes.sel(outcome=outcome)
        row: dict[str, Any] = {"outcome": str(outcome), **{name: outcomes.attrs[name] for name in ("program", "r2")}}
        row |= {f"auc_{signal}": float(one["auc"].sel(signal=signal)) for signal in one["signal"].values}
        row |= {name: float(one[name]) for name in ("events", "positions", "flagged", "precision")}
        row |= {name: float(outcomes[name]) for name in ("microseconds_program", "microseconds_network")}
        rows.append(row)
    return pd.DataFrame(rows)


def lag_stage(job: Job, inspection: Inspection) -> pd.DataFrame | None:
    """Score several states of a neuron together against the best single one, for the headline features.

    Writes ``lags.parquet``: one row per neuron and feature. Returns None if strings are too short.
    """
    start = time.perf_counter()
    corpus = job.inspected
    labels = inspection.labels.select(choose_headlines(job, inspection))
    job.log(f"scoring {len(_EARLIER)} states together, for {len(labels)} features")
    options: dict[str, Any] = {"joint": True, "folds": _count_folds(corpus), "seed": job.config.train.seed}
    try:
        found = lags(record(job.model, corpus), labels, corpus, _EARLIER, **options)
    except ValueError as error:
        job.log(f"  no lags: {error}")
        return None
    means = found[["score", "single"]].mean("fold")
    table = means.assign({name: found[name] for name in ("lag", "gain", "p", "q")}).to_dataframe().reset_index()
    table = table[["neuron", "feature", "kind", "score", "single", "lag", "gain", "p", "q"]]
    table = table.assign(states=len(_EARLIER), positions=int(found["positions"]))
    with job.folder.writing(job.folder.lags.name) as path:
        write_table(table, path, job.fingerprint)
    job.log(f"  done in {time.perf_counter() - start:.1f} s")
    return table


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
