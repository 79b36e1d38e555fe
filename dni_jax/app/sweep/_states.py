"""How far the runs of a sweep are, read from what their folders hold: no process needs to tell another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep._task import ERROR

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True)
class RunState:
    """How far one run is.

    Attributes
    ----------
    name
        Of the run.
    stage
        waiting, training, inspecting, verifying, reporting, done or failed.
    step
        The last step that was looked at, while it trains.
    loss
        Nats a symbol: on held-out strings, while it trains on the validation text.
    auc
        Of the features that are either on or off, that vary, and that are not an earlier one once more: the AUC of the
        best neuron for each, and of these the median.
    seconds
        Since the run was last taken up, to its end.
    error
        The first line of what went wrong.
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
        """Whether nothing more happens to it."""
        return self.stage in (DONE, FAILED)


def state_of(path: Path) -> RunState:
    """Read how far a run is."""
    folder, name = RunFolder(path), path.name
    error = path / ERROR
    begun = _time(path / "config.toml")
    summary = folder.summary()
    step, loss = _last_look(folder.metrics)
    loss = summary.get("loss", loss)
    if error.is_file():
        first = error.read_text(encoding="utf-8").partition("\n")[0]
        return RunState(name, FAILED, step, loss, seconds=_between(begun, _time(error)), error=first)
    if begun is None:
        return RunState(name, WAITING)
    auc = median_auc(folder.findings) if folder.findings.is_file() else None
    if folder.is_whole:
        return RunState(name, DONE, step, loss, auc, _between(begun, _time(path / "summary.json")))
    stage = "training" if not folder.model.exists() else "inspecting"
    if folder.holds("inspect"):
        stage = "reporting" if folder.holds("verify") else "verifying"
    return RunState(name, stage, step, loss, auc, _between(begun, time.time()))


def median_auc(findings: Path) -> float | None:
    """Give the median over features of the best neuron's AUC; see `RunState`."""
    table = pd.read_csv(findings)
    if "same_as" in table:
        table = table[table["same_as"].isna()]
    found = table["auc"].dropna()  # continuous features have none
    return float(found.median()) if len(found) else None


class Watch:
    """Reads the states of runs again and again; what has ended is read once."""

    def __init__(self, folder: Path, names: Sequence[str], waiting: Sequence[str]) -> None:
        """Watch these runs; those that wait to be tried again have not failed yet."""
        self.folder, self.names = folder, tuple(names)
        self._ended: dict[str, RunState] = {}
        self._before = {name: _time(folder / name / ERROR) for name in waiting}

    def states(self) -> list[RunState]:
        """How far each run is now."""
        return [self._ended.get(name) or self._read(name) for name in self.names]

    def _read(self, name: str) -> RunState:
        path = self.folder / name
        failed_before = self._before.get(name)
        if failed_before is not None and _time(path / ERROR) == failed_before:
            return RunState(name, WAITING)
        try:
            state = state_of(path)
        except (OSError, ValueError):  # a folder that is being written, or removed
            return RunState(name, WAITING)
        if state.has_ended:
            self._ended[name] = state
        return state


def _last_look(metrics: Path) -> tuple[int | None, float | None]:
    if not metrics.is_file():
        return None, None
    last = pd.read_csv(metrics).iloc[-1]
    return int(last["step"]), float(last["validation_loss"])


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _between(begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else max(ended - begun, 0.0)
