"""The progress of runs, read from their folders, so that processes need not communicate it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._workers import ERROR

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True)
class RunState:
    """The progress of one run.

    Attributes
    ----------
    name
        Name of the run.
    stage
        waiting, training, inspecting, verifying, reporting, done or failed.
    step
        The last training step with an evaluation.
    loss
        Nats per symbol on held-out strings; during training, on the validation text.
    auc
        Median, over distinct binary features that vary, of the best neuron's AUC.
    seconds
        Time since the run was last started or resumed, until its end.
    error
        First line of the error message.
    """

    name: str
    stage: str
    step: int | None = None
    loss: float | None = None
    auc: float | None = None
    seconds: float | None = None
    error: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the run is done or has failed."""
        return self.stage in (DONE, FAILED)


def read_state(path: Path) -> RunState:
    """Read the progress of a run from its folder."""
    folder, name = RunFolder(path), path.name
    error = path / ERROR
    started = _modified(path / "config.toml")
    summary = folder.summary()  # read first, and once: a run that has ended by now does not change below
    step, loss = _last_evaluation(folder.metrics)
    loss = summary.get("loss", loss)
    if error.is_file():
        first = error.read_text(encoding="utf-8").partition("\n")[0]
        return RunState(name, FAILED, step, loss, seconds=_elapsed(started, _modified(error)), error=first)
    if started is None:
        return RunState(name, WAITING)
    auc = median_auc(folder.findings) if folder.findings.is_file() else None
    if summary and summary.get("finished", True):
        return RunState(name, DONE, step, loss, auc, _elapsed(started, _modified(path / "summary.json")))
    stage = "training" if not folder.model.exists() else "inspecting"
    if folder.has_results("inspect"):
        stage = "reporting" if folder.has_results("verify") else "verifying"
    return RunState(name, stage, step, loss, auc, _elapsed(started, time.time()))


def median_auc(findings: Path) -> float | None:
    """Return the median, over features, of the best neuron's AUC; see `RunState`."""
    table = pd.read_csv(findings)
    if "same_as" in table:
        table = table[table["same_as"].isna()]
    found = table["auc"].dropna()  # continuous features have none
    return float(found.median()) if len(found) else None


class RunMonitor:
    """Reads the progress of runs repeatedly, and that of ended runs only once."""

    def __init__(self, folder: Path, names: Sequence[str], waiting: Sequence[str]) -> None:
        """Monitor these runs. An error of a `waiting` run is from an earlier attempt, and does not count."""
        self.folder, self.names = folder, tuple(names)
        self._ended: dict[str, RunState] = {}
        self._old_errors = {name: _modified(folder / name / ERROR) for name in waiting}

    def read(self) -> list[RunState]:
        """Return the current progress of each run."""
        return [self._ended.get(name) or self._read(name) for name in self.names]

    def _read(self, name: str) -> RunState:
        path = self.folder / name
        old_error = self._old_errors.get(name)
        if old_error is not None and _modified(path / ERROR) == old_error:
            return RunState(name, WAITING)
        try:
            state = read_state(path)
        except (OSError, ValueError):  # the folder is being written or removed
            return RunState(name, WAITING)
        if state.has_ended:
            self._ended[name] = state
        return state


def _last_evaluation(metrics: Path) -> tuple[int | None, float | None]:
    if not metrics.is_file():
        return None, None
    last = pd.read_csv(metrics).iloc[-1]
    return int(last["step"]), float(last["validation_loss"])


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _elapsed(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)
