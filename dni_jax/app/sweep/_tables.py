"""Many runs as tables: one row per run, per feature, per training step, or per group of seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dni_jax.app.run_folder import RunFolder, flatten_config, read_config
from dni_jax.app.sweep._states import read_state
from dni_jax.inspection import read_relevance, read_table, seed_stability

_COLUMNS = ("feature", "kind", "score", "auc", "strength", "effect", "p_effect")
_K = 10  # best-encoded features to compare between seeds
_STEP_COLUMNS = ("step", "feature", "kind", "strength")


def sweep_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return the settings and results of runs, one row per run.

    Parameters
    ----------
    runs
        The folder of a sweep, or the folders of some runs.

    Returns
    -------
    DataFrame with ``run`` (name of the folder); by its short name, every setting that decides a run's results; then
    ``state`` (training, inspecting, verifying, reporting, done or failed), ``step`` (last training step with an
    evaluation), ``loss`` and ``ideal`` (nats per symbol on held-out strings), ``gap`` (``loss / ideal - 1``), ``auc``
    (median, over distinct binary features, of the best neuron's AUC), ``seconds``, ``error`` and ``path``. Values that
    a run does not have are missing.

    Raises
    ------
    ValueError
        If there is no run, or a folder cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from dni_jax.app.config import RunConfig
    >>> folder = RunFolder.claim(RunConfig(out=tempfile.mkdtemp() + "/first"))
    >>> sweep_table([folder.path])[["run", "state", "hidden", "seed"]].values.tolist()
    [['first', 'training', 128, 0]]
    """
    return pd.DataFrame([_row(path) for path in find_run_folders(runs)])


def find_run_folders(runs: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the folders of a sweep's started runs, sorted by name, or the given folders; their files are checked."""
    if not isinstance(runs, str | Path):
        folders = [Path(one) for one in runs]
    else:
        folders = sorted(file.parent for file in Path(runs).glob("[!.]*/config.toml"))
    if not folders:
        raise ValueError(f"expected the folder of a sweep, or folders of runs, got no run in {str(runs)!r}")
    for folder in folders:
        RunFolder(folder).check_files()
    return folders


def _row(path: Path) -> dict[str, Any]:
    state = read_state(path)
    has_config = (path / "config.toml").is_file()
    summary = RunFolder(path).summary()
    loss, ideal = summary.get("loss"), summary.get("ideal")
    return {
        "run": path.name,
        **(_settings_row(path) if has_config else {}),
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


def _settings_row(path: Path) -> dict[str, Any]:
    settings = flatten_config(read_config(path / "config.toml"))
    return {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def features_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return the scores of the best neurons and the effect of ablating them, one row per run and feature.

    Parameters
    ----------
    runs
        As in `sweep_table`. Runs without an inspection have no rows.

    Returns
    -------
    DataFrame with ``run``, ``feature``, ``kind``, ``score``, ``auc`` and ``strength`` of the best neuron (2 AUC - 1, or
    R² for continuous features), ``effect`` and ``p_effect`` of ablating the best neurons, and the settings of the run.
    Features that are constant, or have the labels of an earlier feature, are omitted.
    """
    parts = []
    for path in find_run_folders(runs):
        findings = RunFolder(path).findings
        if not findings.is_file():
            continue
        table = pd.read_csv(findings)
        table["strength"] = _strength(table)
        table = table[table["same_as"].isna() & table["strength"].notna()]
        parts.append(_add_settings(path, table[[name for name in _COLUMNS if name in table]]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *_COLUMNS])


def steps_table(runs: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return the ``strength`` of the best neuron, one row per run, training step and feature.

    Runs without ``inspect_every`` have one row per feature, for the last step of their training.
    """
    parts = []
    for path in find_run_folders(runs):
        folder = RunFolder(path)
        if folder.dynamics.is_file():
            scores = read_table(folder.dynamics)
            scores["strength"] = _strength(scores)
            scores["kind"] = np.where(scores["auc"].notna(), "binary", "continuous")
            best = scores.groupby(["step", "feature", "kind"], as_index=False)["strength"].max()
        elif folder.findings.is_file() and folder.metrics.is_file():
            features = features_table([path])
            best = features[["feature", "kind", "strength"]].assign(
                step=int(pd.read_csv(folder.metrics)["step"].iloc[-1])
            )
        else:
            continue
        parts.append(_add_settings(path, best))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *_STEP_COLUMNS])


def _strength(table: pd.DataFrame) -> pd.Series:
    """Return 2 AUC - 1, or R² for continuous features: 0 at chance, 1 for a perfect score."""
    return (2 * table["auc"] - 1).fillna(table["score"])


def _add_settings(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    settings = {"run": path.name, **_settings_row(path)}
    both = table.assign(**{name: [value] * len(table) for name, value in settings.items() if name not in table})
    return both[["run", *[name for name in both if name != "run"]]]


def seed_groups(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the groups of two or more rows of a sweep's table that differ only in their seeds."""
    results = ("run", "seed", "text_seed", "state", "step", "loss", "ideal", "gap", "auc", "seconds", "error", "path")
    keys = [name for name in table if name not in results]
    for _, rows in table.groupby([table[key].map(repr) for key in keys], sort=False):
        if len(rows) > 1:
            yield rows


def stability_table(runs: str | Path | Sequence[str | Path], axes: Sequence[str] = ()) -> pd.DataFrame:
    """Compare runs that differ only in their seeds, as `dni_jax.inspection.seed_stability` does.

    Neurons of different networks do not correspond. The comparison is therefore between features: the score of the
    best neuron for each, and which features have the best scores.

    Parameters
    ----------
    runs
        As in `sweep_table`. Runs without an inspection are omitted.
    axes
        Settings that distinguish the groups; they become columns.

    Returns
    -------
    DataFrame with one row per group of two or more seeds: `axes`, ``runs``, ``seeds`` (their number), ``features``
    (number that vary in all runs), ``spearman`` (rank correlation over features, mean over pairs of runs),
    ``spearman_low`` (its minimum), ``overlap`` (fraction of the ``k`` best features in common, mean over pairs),
    ``k``, and ``sd`` (standard deviation of the best neuron's strength over seeds, mean over features).
    """
    table = sweep_table(runs)
    inspected = table[[RunFolder(Path(path)).relevance.is_file() for path in table["path"]]]
    rows = [_stability_row(group, axes) for group in seed_groups(inspected)]
    columns = ["runs", "seeds", "features", "spearman", "spearman_low", "overlap", "k", "sd"]
    return pd.DataFrame([row for row in rows if row is not None], columns=[*axes, *columns])


def _stability_row(group: pd.DataFrame, axes: Sequence[str]) -> dict[str, Any] | None:
    features = features_table(group["path"].tolist())
    counts = features["feature"].value_counts()
    common = [name for name in features["feature"].unique() if counts[name] == len(group)]
    if len(common) < 2:
        return None
    relevances = [read_relevance(RunFolder(Path(path)).relevance).sel(feature=common) for path in group["path"]]
    k = min(_K, len(common), *(one.sizes["neuron"] for one in relevances))
    stability = seed_stability(relevances, k=k)
    pairs = np.triu_indices(len(relevances), 1)
    spearman, overlap = stability["spearman"].values[pairs], stability["overlap"].values[pairs]
    return {
        **{axis: group[axis].iloc[0] for axis in axes},
        "runs": ", ".join(group["run"]),
        "seeds": len(group),
        "features": len(common),
        "spearman": float(spearman.mean()),
        "spearman_low": float(spearman.min()),
        "overlap": float(overlap.mean()),
        "k": k,
        "sd": float(stability["profile_sd"].isel(rank=0).mean()),
    }
