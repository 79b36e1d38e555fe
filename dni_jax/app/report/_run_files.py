"""The files of a run's folder, read for a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.app.report._excerpt import Excerpt
from dni_jax.app.run_folder import RunFolder, config_to_dict, flatten_settings, read_config
from dni_jax.inspection import best_per_feature, read_relevance, read_table
from dni_jax.settings import RENAMED_MEASURES

_BY = "auc"
_VERDICT = "loss_on"  # the measure that decides whether neurons are used
_EFFECT = {"effect": "top_effect", "random": "random_effect", "random_high": "random_effect_high", "p_effect": "p"}
# Present only if the overridden states were evaluated under a density.
_EFFECT |= {"percentile": "percentile_top", "percentile_intact": "percentile_intact"}


@dataclass(frozen=True, eq=False)
class RunFiles:
    """The contents of a run's folder.

    Attributes
    ----------
    path
        The folder.
    config
        ``config.toml`` with its tables flattened: the settings by name.
    relevance
        ``relevance.parquet``.
    findings
        One mapping per feature, the best known first: the columns of `dni_jax.inspection.best_per_feature`,
        ``same_as``, ``most_folds``, ``untrained_strength``, and the effect of setting neurons to 0 if it was measured.
    k
        The number of neurons set to 0 for the effects in the findings; 0 if there are no effects.
    summary, effects, samples, training, dynamics, excerpt, attribution, posterior, step_sizes, dimension, programs,
    monitor, lags, repair
        The other files; None if there is no such file.
    stored
        Whether these are files of a folder; else they were passed.
    """

    path: Path
    config: Mapping[str, Any]
    relevance: xr.Dataset
    findings: list[dict[str, Any]]
    k: int
    summary: Mapping[str, Any] | None
    effects: pd.DataFrame | None
    samples: Mapping[str, Any] | None
    training: pd.DataFrame | None
    dynamics: pd.DataFrame | None
    excerpt: Excerpt | None
    attribution: pd.DataFrame | None
    posterior: pd.DataFrame | None
    step_sizes: pd.DataFrame | None
    dimension: pd.DataFrame | None
    programs: pd.DataFrame | None
    monitor: pd.DataFrame | None
    lags: pd.DataFrame | None
    repair: pd.DataFrame | None
    stored: bool = True

    @classmethod
    def from_parts(
        cls,
        path: Path,
        config: Mapping[str, Any],
        relevance: xr.Dataset,
        same_as: Mapping[str, str],
        effects: pd.DataFrame | None,
        excerpt: Excerpt | None,
    ) -> RunFiles:
        """Return the contents of a report without a folder."""
        k = _largest_k(effects)
        missing = dict.fromkeys(
            (
                "summary",
                "samples",
                "training",
                "dynamics",
                "attribution",
                "posterior",
                "step_sizes",
                "dimension",
                "programs",
                "monitor",
                "lags",
                "repair",
            )
        )
        return cls(
            path=path,
            config=config,
            relevance=relevance,
            findings=_findings(relevance, effects, k, same_as),
            k=k,
            effects=effects,
            excerpt=excerpt,
            stored=False,
            **missing,
        )

    @classmethod
    def read(cls, folder: str | Path) -> RunFiles:
        """Read a run's folder.

        Raises
        ------
        ValueError
            If a required file is missing, or a file cannot be read; names the file and the command that makes it.
        """
        stored = RunFolder(Path(folder))
        path = stored.path
        stored.check_files()
        model = stored.fingerprint
        config = _required(path / "config.toml", _toml, "`dni run LANGUAGE` makes the folder of a run")
        relevance = _required(stored.relevance, read_relevance, f"`dni inspect {path}` makes it")
        effects = _optional(stored.effects, _read_effects)
        k = _largest_k(effects)
        return cls(
            path=path,
            config=config,
            relevance=relevance,
            findings=_findings(relevance, effects, k, _same_as(stored.findings)),
            k=k,
            summary=stored.summary() or None,
            effects=effects,
            samples=_optional(stored.samples, _json),
            training=_optional(stored.metrics, pd.read_csv),
            dynamics=_optional(stored.dynamics, read_table),
            excerpt=_optional(stored.excerpt, lambda file: Excerpt.load(file, model)),
            attribution=_optional(stored.attribution, read_table),
            posterior=_optional(stored.posterior, read_table),
            step_sizes=_optional(stored.step_sizes, pd.read_csv),
            dimension=_optional(stored.dimension, read_table),
            programs=_optional(stored.programs, read_table),
            monitor=_optional(stored.monitor, read_table),
            lags=_optional(stored.lags, read_table),
            repair=_optional(stored.repair, read_table),
        )

    @property
    def language(self) -> str:
        """The language's name, or the grammar file's."""
        grammar = self.config.get("grammar")
        return str(self.config.get("language", "text")) if grammar is None else Path(str(grammar)).stem


def _required(path: Path, read: Callable[[Path], Any], remedy: str) -> Any:
    if not path.is_file():
        raise ValueError(f"expected a file {str(path)!r} to report on, got none: {remedy}")
    return _read(path, read)


def _optional(path: Path, read: Callable[[Path], Any]) -> Any:
    return _read(path, read) if path.is_file() else None


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except (OSError, KeyError, ValueError) as error:  # what JSON, TOML, CSV and Parquet raise are ValueErrors
        raise ValueError(f"expected a file of a run in {str(path)!r}, got: {error}") from error


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _toml(path: Path) -> dict[str, Any]:
    settings = flatten_settings(config_to_dict(read_config(path)))
    return {name.rpartition(".")[2]: value for name, value in settings.items()}


def _read_effects(path: Path) -> pd.DataFrame:
    table = read_table(path)
    return table.assign(measure=table["measure"].replace(RENAMED_MEASURES))


def _same_as(path: Path) -> dict[str, str]:
    """Return the features that have the same labels as an earlier one, which only ``findings.csv`` records."""
    table = _optional(path, lambda file: pd.read_csv(file, keep_default_na=False, dtype=str))
    if table is None or "same_as" not in table:
        return {}
    return dict(zip(table["feature"], table["same_as"], strict=True))


def _largest_k(effects: pd.DataFrame | None) -> int:
    if effects is None:
        return 0
    ablated = effects[effects["intervention"] == "ablate"]
    return int(ablated["k"].max()) if len(ablated) else 0


def _findings(
    relevance: xr.Dataset, effects: pd.DataFrame | None, k: int, same_as: Mapping[str, str]
) -> list[dict[str, Any]]:
    table = best_per_feature(relevance, by=_BY)
    table["same_as"] = [same_as.get(name, "") for name in table["feature"]]
    table["most_folds"] = table["folds"].max()
    if "untrained" in relevance:
        scores = relevance["untrained"].to_series()
        aucs = relevance["untrained_auc"].to_series()
        strength = scores.where(aucs.isna(), 2 * aucs - 1)
        table["untrained_strength"] = strength.reindex(table["feature"]).values
    if effects is not None and k:
        last = effects[(effects["intervention"] == "ablate") & (effects["k"] == k) & (effects["measure"] == _VERDICT)]
        last = last.set_index("feature").reindex(table["feature"])
        present = {name: source for name, source in _EFFECT.items() if source in last}
        table = table.assign(**{name: last[source].values for name, source in present.items()})
    table = table.sort_values(["strength", "lift"], ascending=False, kind="stable")
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
