"""The first stage: a network that has read the text, and how well it predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from dni_jax.app.pipeline._job import Job
from dni_jax.inspection import continue_table, dynamics_table, inspect
from dni_jax.models import Evaluation, TrainedModel, cross_entropy, record, train
from dni_jax.text import Corpus

_IDEAL_STRINGS = 2_000
_WATCHED = 5_000  # held-out characters that a network is asked about while it learns


def train_stage(job: Job) -> TrainedModel:
    """Train the network, or take up where an interrupted training stopped, and note its loss on unseen text.

    Leaves ``checkpoint/``, ``training.csv``, with ``inspect_every`` ``dynamics.parquet``, and the summary's ``loss``,
    ``ideal`` (the best possible one, for sampled text), ``unigram`` and ``coverage``.
    """
    job.check_folds()
    if job.folder.has(job.folder.model.name):
        job.say(f"network: taken from {job.folder.model}")
        model = job.model
    else:
        model = _trained(job)
    unseen = _first_strings(job.held_out)
    loss = cross_entropy(model.weights, unseen)
    ideal = job.language.ideal_cross_entropy(unseen) if job.config.is_sampled else None
    unigram = unigram_cross_entropy(job.corpus.train, job.held_out)
    if ideal is None:
        beside = f"a predictor that knows only how frequent each symbol is has {unigram:.4f}"
    else:
        beside = f"the best possible predictor has {ideal:.4f} (gap {loss / ideal - 1:.2%})"
    job.say(f"network: {loss:.4f} nats a symbol on unseen text; {beside}")
    job.folder.note(loss=loss, ideal=ideal, unigram=unigram, coverage=job.corpus.coverage, finished=False)
    return model


def _trained(job: Job) -> TrainedModel:
    config, folder = job.config, job.folder
    ask = watching(job)
    began = time.perf_counter()
    model = train(
        job.corpus,
        config=config.train,
        checkpoints=folder.training,
        ideal=validation_ideal(job),
        on_evaluation=lambda look: note_look(job, look),
        inspect_every=config.inspect_every,
        on_inspect=ask,
    )
    continue_table(folder.metrics, _rows(model.history))  # one that was cut off between checkpoint and row is there too
    model.save(folder.model)
    folder.drop_training()
    steps = int(model.history[-1]["step"])
    early = " (stopped early)" if model.config is not None and steps < model.config.steps else ""
    job.say(f"network: {model} after {steps:,} steps{early}, {time.perf_counter() - began:.0f} s")
    return model


def note_look(job: Job, look: Evaluation) -> None:
    """Add a look at the validation text to ``training.csv``."""
    continue_table(job.folder.metrics, _rows([asdict(look)]))


def watching(job: Job) -> Callable[[int, TrainedModel], None]:
    """Give what notes in ``dynamics.parquet`` what a network knows at a step of its training."""
    config = job.config
    watched = job.held_out.head(_WATCHED)
    labels = job.library.label(watched)

    def note_knowledge(step: int, model: TrainedModel) -> None:
        states = record(model, watched)
        relevance = inspect(states, labels, config.inspect.probe, job.folds(watched), seed=config.train.seed)
        continue_table(job.folder.dynamics, dynamics_table(relevance, step))

    return note_knowledge


def validation_ideal(job: Job) -> float | None:
    """The best possible cross entropy on the validation text, for sampled languages."""
    if not job.config.is_sampled:
        return None
    return job.language.ideal_cross_entropy(_first_strings(job.corpus.validation))


def _rows(looks: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [{**look, "characters_per_second": look["characters"] / max(look["seconds"], 1e-9)} for look in looks]
    )


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
