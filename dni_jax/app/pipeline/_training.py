"""The training stage: networks of one run, or of several runs at once, and their loss on held-out text."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from dni_jax import processes
from dni_jax.app.pipeline._job import Job
from dni_jax.files import atomic_write
from dni_jax.inspection import continue_table, dynamics_table, inspect, read_table, table_model, write_table
from dni_jax.models import Evaluation, TrainedModel, cross_entropy, record, train, train_population
from dni_jax.text import Corpus

_IDEAL_STRINGS = 2_000
_DYNAMICS_CHARACTERS = 5_000  # held-out characters to inspect a network on during training


def train_stage(job: Job) -> TrainedModel:
    """Train the network, or resume an interrupted training run, and compute its loss on held-out text.

    Writes ``checkpoint/``, ``training.csv`` and, with ``inspect_every``, ``dynamics.parquet``. Adds to the summary:
    ``loss``, ``ideal`` (the best possible loss, for sampled text), ``unigram`` and ``coverage``.
    """
    job.check_folds()
    if job.folder.has(job.folder.model.name):
        job.log(f"network: loaded from {job.folder.model}")
        model = job.model
    else:
        model = _train(job)
    held_out = _head(job.held_out)
    loss = cross_entropy(model.weights, held_out)
    ideal, error = job.language.estimate_ideal_cross_entropy(held_out) if job.config.is_sampled else (None, 0.0)
    unigram = unigram_cross_entropy(job.corpus.train, job.held_out)
    if ideal is None:
        reference = f"symbol frequencies alone reach {unigram:.4f}"
    else:
        spread = f" +- {error:.4f}, estimated on a sample," if error else ""
        reference = f"the best possible predictor reaches {ideal:.4f}{spread} (gap {loss / ideal - 1:.2%})"
    job.log(f"network: {loss:.4f} nats per symbol on held-out text; {reference}")
    _stamp_dynamics(job)
    losses = {"loss": loss, "ideal": ideal, "unigram": unigram}
    job.folder.set_fingerprint(job.fingerprint)
    job.folder.update_summary(**losses, coverage=job.corpus.coverage, finished=False)
    return model


def _stamp_dynamics(job: Job) -> None:
    """Give the table of scores during training the fingerprint of the network that the training ended with."""
    path = job.folder.dynamics
    if processes.is_first() and path.is_file() and table_model(path) is None:
        with job.folder.writing(path.name):
            write_table(read_table(path), path, job.fingerprint)


def _train(job: Job) -> TrainedModel:
    config, folder = job.config, job.folder
    start = time.perf_counter()
    model = train(
        job.corpus,
        config=config.train,
        checkpoints=folder.training,
        ideal=_validation_ideal(job),
        on_evaluation=lambda evaluation: record_evaluation(job, evaluation),
        inspect_every=config.inspect_every,
        on_inspect=make_dynamics_hook(job),
    )
    # If a run stopped between writing a checkpoint and its row, the row is only in the history.
    with folder.writing(folder.metrics.name) as path:
        continue_table(path, _rows(model.history))
    model.save(folder.model)
    folder.remove_training()
    steps = int(model.history[-1]["step"])
    early = " (stopped early)" if model.config is not None and steps < model.config.steps else ""
    job.log(f"network: {model} after {steps:,} steps{early}, {time.perf_counter() - start:.0f} s")
    return model


def record_evaluation(job: Job, evaluation: Evaluation) -> None:
    """Append an evaluation on the validation text to ``training.csv``."""
    with job.folder.writing(job.folder.metrics.name) as path:
        continue_table(path, _rows([asdict(evaluation)]))


def make_dynamics_hook(job: Job) -> Callable[[int, TrainedModel], None]:
    """Return a function that inspects a network during training and appends its scores to ``dynamics.parquet``."""
    config = job.config
    corpus = job.held_out.head(_DYNAMICS_CHARACTERS)
    labels = job.library.label(corpus)

    def inspect_step(step: int, model: TrainedModel) -> None:
        states = record(model, corpus)
        relevance = inspect(states, labels, config.inspect.probe, job.count_folds(corpus), seed=config.train.seed)
        with job.folder.writing(job.folder.dynamics.name) as path:
            continue_table(path, dynamics_table(relevance, step))

    return inspect_step


def train_together(
    jobs: Sequence[Job], seeds: Sequence[int], rates: Sequence[float] | None, checkpoints: Path
) -> dict[int, str]:
    """Train the networks of several runs as one population. Each run's folder gets the files of a training run alone.

    Parameters
    ----------
    jobs
        One per network, ordered by learning rate, then seed. They share their text and all other training settings.
    seeds, rates
        As in `dni_jax.train_population`.
    checkpoints
        Folder for checkpoints, which is removed after the training.

    Returns
    -------
    Error messages of the networks that diverged, by their index. Their folders get no network.

    Raises
    ------
    ValueError
        If all networks diverge, or the settings of a run are invalid.
    """
    first = jobs[0]
    for job in jobs:
        job.check_folds()
    every = first.config.inspect_every
    hooks = [] if every is None else [make_dynamics_hook(job) for job in jobs]

    def record_evaluations(step: int, evaluations: Mapping[int, Evaluation]) -> None:
        for number, evaluation in evaluations.items():
            record_evaluation(jobs[number], evaluation)

    def inspect_step(step: int, models: Mapping[int, TrainedModel]) -> None:
        for number, model in models.items():
            hooks[number](step, model)

    with warnings.catch_warnings():
        # The return value reports diverged networks.
        warnings.filterwarnings("ignore", message=r"seed \d+ with learning rate")
        population = train_population(
            first.corpus,
            seeds,
            rates,
            config=first.config.train,
            checkpoints=checkpoints,
            ideal=_validation_ideal(first),
            on_evaluation=record_evaluations,
            inspect_every=every,
            on_inspect=inspect_step,
        )
    diverged = {}
    for number, (job, model, step) in enumerate(zip(jobs, population, population.diverged, strict=True)):
        if step is not None:
            diverged[number] = (
                f"expected a finite loss, got NaN or infinity at step {step}: lower the learning rate or --clip"
            )
        elif not job.folder.model.exists():
            model.save(job.folder.model)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return diverged


def copy_network(job: Job, other: Job) -> None:
    """Copy the network of another run with the same training settings. The checkpoint is copied last, as a marker."""
    for name in ("metrics", "dynamics"):
        own, theirs = getattr(job.folder, name), getattr(other.folder, name)
        if theirs.exists() and not own.exists():
            with job.folder.writing(own.name), atomic_write(own) as part:
                shutil.copyfile(theirs, part)
    if other.folder.model.exists() and not job.folder.model.exists():
        with atomic_write(job.folder.model) as part:
            shutil.copytree(other.folder.model, part)


def _validation_ideal(job: Job) -> float | None:
    """Return the best possible cross entropy on the validation text, or None if the text is not sampled."""
    if not job.config.is_sampled:
        return None
    return job.language.estimate_ideal_cross_entropy(_head(job.corpus.validation))[0]


def _rows(evaluations: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [{**one, "characters_per_second": one["characters"] / max(one["seconds"], 1e-9)} for one in evaluations]
    )


def _head(corpus: Corpus) -> Corpus:
    """Return the first strings, enough to compare a loss with the best possible one."""
    return corpus.take(np.arange(min(len(corpus), _IDEAL_STRINGS)))


def unigram_cross_entropy(train: Corpus, held_out: Corpus) -> float:
    """Return the cross entropy, in nats per symbol, of a predictor that knows only symbol frequencies.

    Frequencies are those of the training text, string boundaries included, with add-one smoothing.
    """

    def counts(corpus: Corpus) -> np.ndarray:
        symbols = np.bincount(corpus.flat_codes, minlength=len(corpus.vocabulary)).astype(float)
        symbols[0] = corpus.ends.sum()
        return symbols

    frequencies, actual = counts(train) + 1, counts(held_out)
    return float(-(actual * np.log(frequencies / frequencies.sum())).sum() / actual.sum())
