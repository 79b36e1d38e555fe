"""States of a training on disk, each whole or absent, and the way back to them."""

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
from dni_jax.models._state import Evaluation, Run
from dni_jax.settings import RENAMED_SETTINGS, TrainPlan
from dni_jax.text import Corpus


def fingerprint(plans: Sequence[TrainPlan], corpus: Corpus) -> str:
    """A short name of everything that a training depends on."""
    digest = hashlib.sha256()
    old_name = {new: old for old, new in RENAMED_SETTINGS.items()}  # so that old checkpoints are still recognised
    for plan in plans:
        settings = {old_name.get(name, name): value for name, value in asdict(plan).items()}
        digest.update(repr(sorted(settings.items())).encode())
    for array in (corpus.text, corpus.offsets, corpus.split):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def import_orbax() -> Any:
    """Return `orbax.checkpoint`, which takes a second to import, and only files need it."""
    import orbax.checkpoint

    return orbax.checkpoint


def first_alone() -> Any:
    """Let Orbax work in the first of several processes without the others."""
    ocp = import_orbax()
    if not jax.distributed.is_initialized():
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first_alone"
    )


class Checkpoints:
    """The last two states of one training, under a folder; with no folder, nothing is kept.

    Of several processes the first alone reads and writes the folder.
    """

    def __init__(self, path: str | Path | None, plans: Sequence[TrainPlan], corpus: Corpus) -> None:
        self.path = None if path is None else Path(path).resolve()
        self._name = fingerprint(plans, corpus)
        self._manager = None
        if self.path is not None and processes.is_first():
            self.path.mkdir(parents=True, exist_ok=True)
            ocp = import_orbax()
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2,
                enable_async_checkpointing=False,
                create=False,
                multiprocessing_options=first_alone(),
            )
            self._manager = ocp.CheckpointManager(self.path, options=options)

    @property
    def latest(self) -> Path | None:
        """The folder of the last state, if there is one."""
        step = None if self._manager is None else self._manager.latest_step()
        return None if step is None or self.path is None else self.path / str(step)

    def save(self, run: Run, step: int) -> None:
        """Write where a training stands."""
        if self.path is None:
            return
        arrays = processes.to_host({"state": run.state, "best": run.best})
        if self._manager is None:
            return
        looks = [[asdict(look) for look in looks] for looks in run.looks]
        about = {"training": self._name, "looks": looks, "diverged": run.diverged}
        ocp = import_orbax()
        parts = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=parts)

    def restore_into(self, run: Run) -> int:
        """Put a training where its last whole checkpoint stands; gives the step (0 without a checkpoint).

        Raises
        ------
        ValueError
            Where the checkpoint belongs to another corpus or other settings, or none can be read.
        """
        if self.path is None:
            return 0
        step, found = processes.broadcast(lambda: self._restored(run))
        if step:
            run.state, run.best, run.looks, run.diverged = found.state, found.best, found.looks, found.diverged
        return step

    def _restored(self, run: Run) -> tuple[int, Run]:
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
                told = f"broken checkpoints were passed over ({'; '.join(problems)}); going on from step {step}"
                warnings.warn(told, stacklevel=2)
            return int(step), run
        if problems:
            raise ValueError(
                f"expected a whole checkpoint in {str(self.path)!r}, got broken ones ({'; '.join(problems)}): "
                "remove the folder to begin anew"
            )
        return 0, run

    def _restore(self, run: Run, step: int) -> None:
        ocp = import_orbax()
        about = self._part(step, about=ocp.args.JsonRestore())
        if about["training"] != self._name:
            raise _AnotherTrainingError(
                f"expected a checkpoint of this training in {str(self.path)!r}, got one of another corpus or of other "
                "settings: use another folder, or the settings it was begun with"
            )
        wanted = jax.device_get({"state": run.state, "best": run.best})
        arrays = self._part(step, arrays=ocp.args.StandardRestore(wanted))
        run.state, run.best = arrays["state"], arrays["best"]
        run.looks = [[Evaluation(**row) for row in looks] for looks in about["looks"]]
        run.diverged = about["diverged"]

    def _part(self, step: int, **what: Any) -> Any:
        assert self._manager is not None
        return self._manager.restore(step, args=import_orbax().args.Composite(**what))[next(iter(what))]


class _AnotherTrainingError(ValueError):
    """A checkpoint that belongs to another training."""
