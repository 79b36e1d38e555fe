"""The main job, end to end: text, network, states, labels, scores, verdict, figures, in one run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.config import RunConfig
from dni_jax.corpora import Corpus
from dni_jax.features import Labels
from dni_jax.files import written_aside
from dni_jax.inspection import baselines, best_per_feature, inspect, ranking, relevance_table, significance
from dni_jax.inspection.store import continue_table, dynamics_table, write_table
from dni_jax.interventions import clamp
from dni_jax.languages import BaseLanguage
from dni_jax.models import Look, TrainedModel, cross_entropy, generate, load, record, train
from dni_jax.report import dynamics_figure, effects_figure, relevance_figure
from dni_jax.report.figures import save
from dni_jax.runfolder import RunFolder, taken_up
from dni_jax.texts import describe, language_of, library_of, read_corpus
from dni_jax.verification import measure_texts, verify

Say = Callable[[str], None]

KS = (1, 5, 10)
BY = "auc"  # ranks rare features too, where every accuracy is the majority's
_FOLDS = 20
_HELD_OUT = {"sampled": (20_000, 10_000), "text": (100_000, 30_000)}
_IDEAL_STRINGS = 2_000
_WATCHED = 5_000  # held-out characters that a network is asked about while it learns
# What a reader asks about first, where the language has it.
_HEADLINES = ("digit", "parenthesis", "range:string", "range:comment", "operator", "depth=1")


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


def run(config: RunConfig, say: Say = lambda line: None) -> RunResult:
    """Do the main job and write the run folder.

    Parameters
    ----------
    config
        What to run; see `RunConfig`.
    say
        Takes one line of text at each stage.

    Raises
    ------
    ValueError
        For anything in the config that cannot be done; says what was expected, what came, and what to try.
    """
    config = taken_up(config) if config.resume else config
    config.check()
    language = language_of(config)
    folder = RunFolder.claim(config)
    if config.resume:
        say(f"going on with the run in {folder.path}")
    corpus = read_corpus(config, language)
    for line in describe(corpus):
        say(line)
    held_out = corpus.test.shuffled(config.train.seed)
    _check_folds(config, held_out)
    model = _network(config, folder, language, corpus, held_out, say)
    unseen = _first_strings(held_out)
    loss = cross_entropy(model.weights, unseen)
    ideal = language.ideal_cross_entropy(unseen) if config.is_sampled else None
    if ideal is None:
        frequencies = unigram_cross_entropy(corpus.train, held_out)
        beside = f"a predictor that knows only how frequent each symbol is has {frequencies:.4f}"
    else:
        beside = f"the best possible predictor has {ideal:.4f} (gap {loss / ideal - 1:.2%})"
    say(f"network: {loss:.4f} nats a symbol on unseen text; {beside}")
    relevance, labels = _relevance(config, folder, language, model, held_out, say)
    best = best_per_feature(relevance, by=BY)
    names = [name for name in labels.names if name not in labels.constant]
    distinct = [name for name in names if name not in labels.duplicates]
    headlines = headline_features(best, distinct)
    effects = _effects(config, folder, model, held_out, relevance, names, headlines, say)
    _samples(folder, language, model, relevance, headlines, config.train.seed)
    save(relevance_figure(relevance.sel(feature=distinct)), folder.path / "relevance.png")
    save(effects_figure(effects, headlines), folder.path / "effects.png")
    if config.inspect_every is not None:
        save(dynamics_figure(pd.read_parquet(folder.dynamics), distinct), folder.path / "dynamics.png")
    findings = summarise(best, effects["ablate"], labels.duplicates)
    with written_aside(folder.path / "findings.csv") as aside:
        findings.to_csv(aside, index=False)
    k = int(effects["ablate"]["k"].values[-1])
    summary = {"loss": loss, "ideal": ideal, "positions": relevance.attrs["positions"], "coverage": corpus.coverage}
    folder.finish(summary)
    return RunResult(folder.path, findings, loss, ideal, k, 1 / (1 + config.random_sets))


def _check_folds(config: RunConfig, held_out: Corpus) -> None:
    """Refuse before training what would be refused after it."""
    groups = len(np.unique(held_out.head(_sizes(config)[0]).groups))
    if groups < (config.folds or 2):
        raise ValueError(
            f"expected at least as many held-out strings (or files) as folds, got {groups} strings for "
            f"{config.folds or 2} folds: lower --folds, raise --inspect-characters, or give more text"
        )


def _network(
    config: RunConfig, folder: RunFolder, language: BaseLanguage, corpus: Corpus, held_out: Corpus, say: Say
) -> TrainedModel:
    """Train, or take up where an interrupted run stopped."""
    if folder.model.exists():
        say(f"network: taken from {folder.model}")
        return load(folder.model)
    ideal = language.ideal_cross_entropy(_first_strings(corpus.validation)) if config.is_sampled else None
    began = time.perf_counter()
    model = train(
        corpus,
        config=config.train,
        checkpoints=folder.training,
        ideal=ideal,
        on_look=partial(_note_look, folder),
        inspect_every=config.inspect_every,
        on_inspect=partial(_note_knowledge, config, folder, language, held_out.head(_WATCHED)),
    )
    model.save(folder.model)
    folder.drop_training()
    steps = int(model.history[-1]["step"])
    early = " (stopped early)" if model.config is not None and steps < model.config.steps else ""
    say(f"network: {model} after {steps:,} steps{early}, {time.perf_counter() - began:.0f} s")
    return model


def _note_look(folder: RunFolder, look: Look) -> None:
    row = {**asdict(look), "characters_per_second": look.characters / max(look.seconds, 1e-9)}
    continue_table(folder.metrics, pd.DataFrame([row]))


def _note_knowledge(
    config: RunConfig, folder: RunFolder, language: BaseLanguage, corpus: Corpus, step: int, model: TrainedModel
) -> None:
    """Score the neurons of a network that still learns, on a little text."""
    labels = library_of(config, language).label(corpus)
    folds = config.folds or min(_FOLDS, len(np.unique(corpus.groups)))
    relevance = inspect(record(model, corpus), labels, config.probe, folds, seed=config.train.seed)
    continue_table(folder.dynamics, dynamics_table(relevance, step))


def _first_strings(corpus: Corpus) -> Corpus:
    """As many strings as the ideal predictor is computed on in a second."""
    return corpus.take(np.arange(min(len(corpus), _IDEAL_STRINGS)))


def unigram_cross_entropy(train: Corpus, held_out: Corpus) -> float:
    """Cross entropy, in nats a symbol, of the symbols' frequencies in the training text, boundaries included.

    Each symbol is counted once more than it was seen, so that a new one is not impossible.
    """

    def counts(corpus: Corpus) -> np.ndarray:
        seen = np.bincount(corpus.flat_codes, minlength=len(corpus.vocabulary)).astype(float)
        seen[0] = corpus.ends.sum()
        return seen

    known, asked = counts(train) + 1, counts(held_out)
    return float(-(asked * np.log(known / known.sum())).sum() / asked.sum())


def _sizes(config: RunConfig) -> tuple[int, int]:
    inspected, verified = _HELD_OUT["sampled" if config.is_sampled else "text"]
    return config.inspect_characters or inspected, config.verify_characters or verified


def _relevance(
    config: RunConfig, folder: RunFolder, language: BaseLanguage, model: TrainedModel, held_out: Corpus, say: Say
) -> tuple[xr.Dataset, Labels]:
    corpus = held_out.head(_sizes(config)[0])
    labels = library_of(config, language).label(corpus)
    groups = len(np.unique(corpus.groups))
    folds = config.folds or min(_FOLDS, groups)
    grid = f"{model.n_neurons} neurons x {len(labels)} features x {folds} folds"
    say(f"inspecting: {grid} on {corpus.n_positions:,} characters")
    began = time.perf_counter()
    states = record(model, corpus)
    relevance = inspect(states, labels, config.probe, folds, seed=config.train.seed)
    say(f"  {model.n_neurons * len(labels) * folds:,} probes in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    relevance = significance(relevance, states, labels, corpus, language=language if config.is_sampled else None)
    relevance = baselines(relevance, states, labels, corpus, model=model, n_controls=1, seed=config.train.seed)
    write_table(relevance_table(relevance), folder.path / "relevance.parquet")
    null = f"{relevance.attrs['n_null']} repetitions of the null {relevance.attrs['null']!r}"
    say(f"  {null}, an untrained network and a control task in {time.perf_counter() - began:.1f} s")
    return relevance, labels


def _effects(
    config: RunConfig,
    folder: RunFolder,
    model: TrainedModel,
    held_out: Corpus,
    relevance: xr.Dataset,
    names: Sequence[str],
    headlines: Sequence[str],
    say: Say,
) -> dict[str, xr.Dataset]:
    """Silence the neurons of every feature; set to 1, and drive by labels, those of the headlines."""
    corpus = held_out.head(_sizes(config)[1])
    ks = [k for k in KS if k <= model.n_neurons]
    began = time.perf_counter()
    sets = (2 * len(names) + config.random_sets) * len(ks)
    say(f"verifying: {sets} sets of neurons silenced on {corpus.n_positions:,} unseen characters")
    settings: dict[str, Any] = {"ks": ks, "n_random": config.random_sets, "by": BY, "seed": config.train.seed}
    # So many features share their random sets; those of the headlines are matched to their neurons.
    effects = {"ablate": verify(model, corpus, relevance, names, match=None, **settings)}
    for kind in ("clamp", "oracle"):
        effects[kind] = verify(model, corpus, relevance, headlines, intervention=kind, **settings)
    table = pd.concat([effects_table(dataset) for dataset in effects.values()], ignore_index=True)
    write_table(table, folder.path / "effects.parquet")
    say(f"  done in {time.perf_counter() - began:.1f} s")
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


def _samples(
    folder: RunFolder,
    language: BaseLanguage,
    model: TrainedModel,
    relevance: xr.Dataset,
    features: Sequence[str],
    seed: int,
) -> None:
    """Write texts: the network left alone, with the best neurons of a feature set to 1, and with random ones."""
    k = min(10, model.n_neurons)

    def described(neurons: Sequence[int] | None) -> dict[str, Any]:
        intervention = None if neurons is None else clamp(neurons, 1.0)
        texts = generate(model, n=16, length=200, seed=seed, intervention=intervention)
        measures = measure_texts(texts, model.vocabulary.boundary_text, language)
        numbers = {name: None if number != number else number for name, number in asdict(measures).items()}
        return {"neurons": neurons, **numbers, "texts": texts[:4]}

    drawn = np.random.default_rng(seed).permutation(model.n_neurons)[:k].tolist()
    samples: dict[str, Any] = {"intact": described(None), "random neurons set to 1": described(drawn)}
    for feature in features:
        samples[f"{feature} neurons set to 1"] = described(ranking(relevance, feature, BY)[:k].tolist())
    with written_aside(folder.path / "samples.json") as aside:
        aside.write_text(json.dumps(samples, indent=1, ensure_ascii=False), encoding="utf-8")


def summarise(best: pd.DataFrame, effects: xr.Dataset, duplicates: Mapping[str, str]) -> pd.DataFrame:
    """One row a feature, the best known first.

    Columns as in `dni_jax.inspection.best_per_feature`, and for the largest k verified: ``effect`` (loss in nats a
    character over the characters that the feature holds for, with its best neurons silenced, less the intact
    network's), ``random`` (the same for random neurons, mean), ``random_high`` (their 97.5th percentile) and
    ``p_effect``. ``same_as`` names an earlier feature with the same labels, or is empty.
    """
    table = best.assign(same_as=[duplicates.get(name, "") for name in best["feature"]])
    last = effects.isel(k=-1).sel(measure="loss_on")
    columns = {"effect": "top_effect", "random": "random_effect", "random_high": "random_effect_high", "p_effect": "p"}
    extra = pd.DataFrame({name: last[source].values for name, source in columns.items()})
    extra["feature"] = [str(name) for name in last["feature"].values]
    merged = table.merge(extra, on="feature", how="left")
    return merged.sort_values(["strength", "lift"], ascending=False, kind="stable").reset_index(drop=True)
