"""The first stage of several runs at once: networks of one shape, on one text, trained as one population."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._training import note_look, validation_ideal, watching
from dni_jax.files import atomic_write
from dni_jax.models import Evaluation, TrainedModel, train_population


def train_together(
    jobs: Sequence[Job], seeds: Sequence[int], rates: Sequence[float] | None, checkpoints: Path
) -> dict[int, str]:
    """Train the networks of several runs together; each run's folder gets what it would have got alone.

    Parameters
    ----------
    jobs
        One a network, the seeds of the first rate first; they share their text and every other setting of the training.
    seeds, rates
        As in `dni_jax.train_population`.
    checkpoints
        A folder for the states of the unfinished training; it is removed when the training has ended.

    Returns
    -------
    For networks that diverged, by their number, what happened; their folders get no network.

    Raises
    ------
    ValueError
        Where all networks diverge, or one run cannot be done.
    """
    first = jobs[0]
    for job in jobs:
        job.check_folds()
    every = first.config.inspect_every
    ask = [] if every is None else [watching(job) for job in jobs]

    def note_looks(step: int, looks: Mapping[int, Evaluation]) -> None:
        for number, look in looks.items():
            note_look(jobs[number], look)

    def note_knowledge(step: int, models: Mapping[int, TrainedModel]) -> None:
        for number, model in models.items():
            ask[number](step, model)

    with warnings.catch_warnings():
        # Is told by what is returned.
        warnings.filterwarnings("ignore", message=r"seed \d+ with learning rate")
        population = train_population(
            first.corpus,
            seeds,
            rates,
            config=first.config.train,
            checkpoints=checkpoints,
            ideal=validation_ideal(first),
            on_evaluation=note_looks,
            inspect_every=every,
            on_inspect=note_knowledge,
        )
    diverged = {}
    for number, (job, model, gone) in enumerate(zip(jobs, population, population.diverged, strict=True)):
        if gone is not None:
            diverged[number] = (
                f"expected a finite loss, got NaN or infinity at step {gone}: lower the learning rate, or clip "
                "gradients at a smaller norm"
            )
        elif not job.folder.model.exists():
            model.save(job.folder.model)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return diverged


def share_network(job: Job, other: Job) -> None:
    """Give a run the network of another one, whose settings of the training are the same; the network comes last."""
    pairs = [(getattr(job.folder, name), getattr(other.folder, name)) for name in ("metrics", "dynamics", "model")]
    for own, theirs in pairs:
        if theirs.exists() and not own.exists():
            with atomic_write(own) as aside:
                (shutil.copytree if theirs.is_dir() else shutil.copyfile)(theirs, aside)
