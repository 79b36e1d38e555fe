"""Checkpoints of a training run: saved whole or not at all, and restored."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dni_jax import processes
from dni_jax.files import FolderLock, check_array_path, check_regular_files
from dni_jax.models._state import Evaluation, TrainingRun
from dni_jax.settings import RENAMED_SETTINGS, TrainPlan
from dni_jax.text import Corpus

# Settings that checkpoints of earlier versions do not know, with the values that say what those did.
_ADDED = {"window_start": "carried", "loss_on": "all", "optimizer": "adam"}


def fingerprint(plans: Sequence[TrainPlan], corpus: Corpus, more: Sequence[np.ndarray] = ()) -> str:
    """Return a short name of everything that a training depends on."""
    digest = hashlib.sha256()
    old_name = {new: old for old, new in RENAMED_SETTINGS.items()}  # so that old checkpoints are still recognized
    for plan in plans:
        settings = {old_name.get(name, name): value for name, value in asdict(plan).items()}
        settings = {name: value for name, value in settings.items() if _ADDED.get(name) != value}
        digest.update(repr(sorted(settings.items())).encode())
    for array in (corpus.text, corpus.offsets, corpus.split, *more):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def import_orbax() -> Any:
    """Return `orbax.checkpoint`, which takes a second to import and is needed only for files."""
    import orbax.checkpoint

    return orbax.checkpoint


def first_process_only() -> Any:
    """Return options with which Orbax works in the first of several processes alone."""
    ocp = import_orbax()
    if not jax.distributed.is_initialized():
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first_process_only"
    )


class Checkpoints:
    """The last two states of one training, under a folder; with no folder, nothing is kept.

    With several processes, only the first reads and writes the folder. It is locked until `close`.
    """

    def __init__(
        self, path: str | Path | None, plans: Sequence[TrainPlan], corpus: Corpus, more: Sequence[np.ndarray] = ()
    ) -> None:
        self.path = None if path is None else check_array_path(path)
        self._name = fingerprint(plans, corpus, more)
        self._manager = None
        self._lock: FolderLock | None = None
        if self.path is not None and processes.is_first():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.path)
            check_regular_files(self.path)
            ocp = import_orbax()
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2,
                enable_async_checkpointing=False,
                create=False,
                multiprocessing_options=first_process_only(),
            )
            self._manager = ocp.CheckpointManager(self.path, options=options)

    def close(self) -> None:
        """Let other processes write into the folder."""
        if self._lock is not None:
            self._lock.release()

    @property
    def latest(self) -> Path | None:
        """The folder of the last checkpoint, if there is one."""
        step = None if self._manager is None else self._manager.latest_step()
        return None if step is None or self.path is None else self.path / str(step)

    def save(self, run: TrainingRun, step: int) -> None:
        """Save the state of a training run."""
        if self.path is None:
            return
        arrays = processes.to_host({"state": run.state, "best": run.best})
        if self._manager is None:
            return
        rows = [[asdict(evaluation) for evaluation in each] for each in run.evaluations]
        about = {"training": self._name, "evaluations": rows, "diverged": run.diverged}
        ocp = import_orbax()
        parts = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=parts)

    def restore_into(self, run: TrainingRun) -> int:
        """Restore a training run from its last whole checkpoint, and return its step (0 without a checkpoint).

        Raises
        ------
        ValueError
            Where the checkpoint belongs to another corpus or other settings, or none can be read.
        """
        if self.path is None:
            return 0
        step, found = processes.broadcast(lambda: self._restored(run))
        if step:
            run.state, run.best, run.diverged = found.state, found.best, found.diverged
            run.evaluations = found.evaluations
        return step

    def _restored(self, run: TrainingRun) -> tuple[int, TrainingRun]:
        steps = [] if self._manager is None else sorted(self._manager.all_steps(), reverse=True)
        problems = []
        for step in steps:
            try:
                self._restore(run, step)
            except (OSError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, _AnotherTrainingError):
                    raise
                problems.append(f"{step}: {str(error).splitlines()[0][:200]}")
                continue
            if problems:
                skipped = f"skipped broken checkpoints ({'; '.join(problems)}); training resumes at step {step}"
                warnings.warn(skipped, stacklevel=2)
            return int(step), run
        if problems:
            raise ValueError(
                f"expected a whole checkpoint in {str(self.path)!r}, got broken ones ({'; '.join(problems)}): "
                "remove the folder to start again"
            )
        return 0, run

    def _restore(self, run: TrainingRun, step: int) -> None:
        ocp = import_orbax()
        about = self._part(step, about=ocp.args.JsonRestore())
        if about["training"] != self._name:
            raise _AnotherTrainingError(
                f"expected a checkpoint of this training in {str(self.path)!r}, got one of another corpus or of other "
                "settings: use another folder, or the settings it was started with"
            )
        wanted = jax.device_get({"state": run.state, "best": run.best})
        arrays = self._part(step, arrays=ocp.args.StandardRestore(wanted))
        run.state, run.best = arrays["state"], arrays["best"]
        rows = about["evaluations"] if "evaluations" in about else about["looks"]  # as earlier versions called them
        run.evaluations = [[Evaluation(**row) for row in each] for each in rows]
        run.diverged = about["diverged"]

    def _part(self, step: int, **what: Any) -> Any:
        assert self._manager is not None
        return self._manager.restore(step, args=import_orbax().args.Composite(**what))[next(iter(what))]


class _AnotherTrainingError(ValueError):
    """A checkpoint that belongs to another training."""
