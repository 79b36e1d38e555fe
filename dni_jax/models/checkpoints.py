"""States of a training on disk, each whole or absent, and the way back to them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from dni_jax.config import TrainPlan
from dni_jax.corpora import Corpus
from dni_jax.models.state import Look, Run


def fingerprint(plan: TrainPlan, corpus: Corpus) -> str:
    """A short name of everything that a training depends on."""
    digest = hashlib.sha256(repr(sorted(asdict(plan).items())).encode())
    for array in (corpus.text, corpus.offsets, corpus.split):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class Checkpoints:
    """The last two states of one training, under a folder; with no folder, nothing is kept."""

    def __init__(self, path: str | Path | None, plan: TrainPlan, corpus: Corpus) -> None:
        self.path = None if path is None else Path(path).resolve()
        self._name = fingerprint(plan, corpus)
        self._manager = None
        if self.path is not None:
            options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
            self._manager = ocp.CheckpointManager(self.path, options=options)

    def save(self, run: Run, step: int) -> None:
        """Write where a training stands."""
        if self._manager is None:
            return
        arrays = jax.device_get({"state": run.state, "best": run.best})
        about = {"training": self._name, "looks": [asdict(look) for look in run.looks]}
        parts = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        self._manager.save(step, args=parts)

    def restore_into(self, run: Run) -> int:
        """Put a training where its last checkpoint stands; gives the step (0 without a checkpoint).

        Raises
        ------
        ValueError
            Where the checkpoint belongs to another corpus or other settings.
        """
        step = None if self._manager is None else self._manager.latest_step()
        if self._manager is None or step is None:
            return 0
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if about["training"] != self._name:
            raise ValueError(
                f"expected a checkpoint of this training in {str(self.path)!r}, got one of another corpus or of other "
                "settings: use another folder, or the settings it was begun with"
            )
        wanted = jax.device_get({"state": run.state, "best": run.best})
        parts = ocp.args.Composite(arrays=ocp.args.StandardRestore(wanted))
        arrays = self._manager.restore(step, args=parts)["arrays"]
        run.state, run.best = arrays["state"], arrays["best"]
        run.looks = [Look(**row) for row in about["looks"]]
        return int(step)
