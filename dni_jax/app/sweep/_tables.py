"""Many runs as tables: one row a run, or a run and feature, or a run, step and feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dni_jax.app.run_folder import NOT_OF_THE_RUN, RunFolder, read_config
from dni_jax.app.sweep._states import state_of
from dni_jax.inspection import read_table

_COLUMNS = ("feature", "kind", "score", "auc", "strength", "effect", "p_effect")
_STEP_COLUMNS = ("step", "feature", "kind", "strength")


def sweep_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Give one row a run: what was asked for, and what came out.

    Parameters
    ----------
    runs
        A sweep's folder, or the folders of some runs.

    Returns
    -------
    DataFrame with ``run`` (the folder's name), every setting (those of a part without its name), ``state`` (how far it
    is: training, inspecting, verifying, reporting, done or failed), ``step`` (the last look of the training), ``loss``
    and ``ideal`` (nats a symbol, on held-out strings), ``gap`` (``loss / ideal - 1``), ``auc`` (of the best neuron for
    each distinct feature that is on or off, the median over features), ``seconds``, ``error`` and ``path``. What a run
    does not have is missing.

    Raises
    ------
    ValueError
        Where there is no run, or a folder cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from dni_jax.app.config import RunConfig
    >>> folder = RunFolder.claim(RunConfig(out=tempfile.mkdtemp() + "/first"))
    >>> sweep_table([folder.path])[["run", "state", "hidden", "seed"]].values.tolist()
    [['first', 'training', 128, 0]]
    """
    return pd.DataFrame([_row(path) for path in run_folders(runs)])


def run_folders(runs: str | Path | Sequence[str | Path]) -> list[Path]:
    """Give the folders of a sweep's runs that were begun, by name, or those that are named."""
    if not isinstance(runs, str | Path):
        found = [Path(one) for one in runs]
    else:
        found = sorted(file.parent for file in Path(runs).glob("[!.]*/config.toml"))
    if not found:
        raise ValueError(f"expected the folder of a sweep, or folders of runs, got no run in {str(runs)!r}")
    return found


def _row(path: Path) -> dict[str, Any]:
    state = state_of(path)
    has_config = (path / "config.toml").is_file()
    summary = RunFolder(path).summary()
    loss, ideal = summary.get("loss"), summary.get("ideal")
    return {
        "run": path.name,
        **(settings_row(path) if has_config else {}),
        "state": state.stage,
        "step": state.step,
        "loss": loss,
        "ideal": ideal,
        "gap": None if loss is None or not ideal else loss / ideal - 1,
        "auc": state.auc,
        "seconds": state.seconds,
        "error": state.error,
        "path": str(path),
    }


def settings_row(path: Path) -> dict[str, Any]:
    """Give a run's settings in one row; none of two parts has the same name."""
    row: dict[str, Any] = {}
    for name, value in asdict(read_config(path / "config.toml")).items():
        if isinstance(value, Mapping):
            row |= {each: ", ".join(held) if isinstance(held, tuple) else held for each, held in value.items()}
        elif name not in NOT_OF_THE_RUN:
            row[name] = value
    return row


def features_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Give one row a run and feature: what its best neurons know, and what silencing them does.

    Parameters
    ----------
    runs
        As in `sweep_table`; runs that were not inspected have no row.

    Returns
    -------
    DataFrame with ``run``, ``feature``, ``kind``, ``score``, ``auc`` and ``strength`` of the best neuron (2 AUC - 1, of
    continuous features R^2), ``effect`` and ``p_effect`` of silencing the best ones, and the run's settings. Features
    that do not vary, or are an earlier one once more, are left out.
    """
    parts = []
    for path in run_folders(runs):
        findings = RunFolder(path).findings
        if not findings.is_file():
            continue
        table = pd.read_csv(findings)
        table["strength"] = _strength(table)
        table = table[table["same_as"].isna() & table["strength"].notna()]
        parts.append(_beside(path, table[[name for name in _COLUMNS if name in table]]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *_COLUMNS])


def steps_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Give one row a run, step of its training and feature: its ``kind``, ``strength`` of the best neuron.

    Runs that were not watched while they learnt (``inspect_every``) have a row a feature for the step at which their
    training ended.
    """
    parts = []
    for path in run_folders(runs):
        folder = RunFolder(path)
        if folder.dynamics.is_file():
            watched = read_table(folder.dynamics)
            watched["strength"] = _strength(watched)
            watched["kind"] = np.where(watched["auc"].notna(), "binary", "continuous")
            best = watched.groupby(["step", "feature", "kind"], as_index=False)["strength"].max()
        elif folder.findings.is_file() and folder.metrics.is_file():
            known = features_table([path])
            best = known[["feature", "kind", "strength"]].assign(step=int(pd.read_csv(folder.metrics)["step"].iloc[-1]))
        else:
            continue
        parts.append(_beside(path, best))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *_STEP_COLUMNS])


def _strength(table: pd.DataFrame) -> pd.Series:
    """2 AUC - 1, of continuous features R^2: 0 for what knows nothing, 1 for what knows all."""
    return (2 * table["auc"] - 1).fillna(table["score"])


def _beside(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    own = {"run": path.name, **settings_row(path)}
    both = table.assign(**{name: [value] * len(table) for name, value in own.items() if name not in table})
    return both[["run", *[name for name in both if name != "run"]]]


def seed_groups(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of a sweep's table that differ in nothing but their seed, two or more at a time."""
    results = ("run", "seed", "text_seed", "state", "step", "loss", "ideal", "gap", "auc", "seconds", "error", "path")
    keys = [name for name in table if name not in results]
    for _, rows in table.groupby([table[key].map(repr) for key in keys], sort=False):
        if len(rows) > 1:
            yield rows
