"""Tables of a run's further analyses, for the page: attribution, posterior, dimensions, programs, lags, repairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from dni_jax.app.report._numbers import decimals

_NEURONS = 12  # rows of the attribution table
_FEATURES = 12  # rows of the posterior table and of the dimension table
_HARDEST = 6  # further rows of the dimension table
_GAINS = 3  # neurons of each feature whose earlier states add most
_INCOMPLETE = 0.1  # fraction of the change; an attribution with a larger completeness error counts as incomplete


def attribution_view(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return the neurons with the largest attributions, by lag, as shares of the sum over all neurons.

    Parameters
    ----------
    table
        The content of ``attribution.parquet``, or None.

    Returns
    -------
    ``lags``; ``rows``: a neuron, its share at each lag in percent and the intensity of the cell from 0 to 1;
    ``incomplete``: the lags whose completeness error exceeds a tenth of the change; ``ranks``: what the attributions
    are correlated with, and the rank correlation at each lag. None without a table.
    """
    if table is None or not len(table):
        return None
    magnitude = table.pivot_table("magnitude", "neuron", "lag")
    share = magnitude / magnitude.sum()
    best = share.sum(axis=1).nlargest(_NEURONS).index
    top = float(share.loc[best].to_numpy().max()) or 1.0
    by_lag = table.drop_duplicates("lag").set_index("lag").sort_index()
    error = by_lag["completeness_error"] / by_lag["change"]
    names = {"rank_with_ablation": "the measured effect of setting each neuron to its mean"}
    names |= {name: f"relevance for {name.partition(':')[2]}" for name in by_lag if name.startswith("rank_with:")}
    return {
        "lags": [int(lag) for lag in share.columns],
        "rows": [
            {"neuron": int(neuron), "cells": [(f"{100 * x:.1f}", round(float(x) / top, 3)) for x in share.loc[neuron]]}
            for neuron in best
        ],
        "incomplete": [int(lag) for lag in error.index if not error[lag] <= _INCOMPLETE],
        "ranks": [(other, [decimals(value, 2) for value in by_lag[name]]) for name, other in names.items()],
    }


def posterior_view(
    table: pd.DataFrame | None, sizes: pd.DataFrame | None, features: list[str]
) -> dict[str, Any] | None:
    """Return how certain draws of the weights are about the best neurons of the best known features.

    Parameters
    ----------
    table, sizes
        The content of ``posterior.parquet`` and ``step_sizes.csv``, or None.
    features
        Names of features, the best known first.
    """
    if table is None or not len(table):
        return None
    rows = []
    for feature in [name for name in features if name in set(table["feature"])][:_FEATURES]:
        one = table[table["feature"] == feature]
        strength = one["strength"]
        if not np.isfinite(strength).any():
            continue
        best = one.loc[strength.idxmax()]
        measure = "auc" if np.isfinite(best["auc"]) else "score"
        sure = one.nlargest(3, "p_top")
        rows.append(
            {
                "feature": feature,
                "neuron": int(best["neuron"]),
                "measure": "AUC" if measure == "auc" else "R²",
                "value": f"{best[measure]:.3f}",
                "between": f"{best[f'{measure}_low']:.3f} to {best[f'{measure}_high']:.3f}",
                "top": [(int(row.neuron), f"{row.p_top:.2f}") for row in sure.itertuples()],
                "always": int((one["p_top"] >= 1).sum()),
            }
        )
    first = table.iloc[0]
    return {
        "rows": rows,
        "k": int(first["top"]),
        "draws": int(first["draws"]),
        "start": f"{first['unseen_start']:.4f}",
        "average": f"{first['unseen_average']:.4f}",
        "sizes": [] if sizes is None else _sizes(sizes, float(first["step_size"])),
    }


def _sizes(sizes: pd.DataFrame, used: float) -> list[dict[str, str]]:
    return [
        {
            "step": f"{row.step_size:g}" + (" (above)" if np.isclose(row.step_size, used) else ""),
            "unseen": decimals(row.unseen_average, 4),
            "spread": decimals(row.spread, 4),
            "width": decimals(getattr(row, "width", np.nan), 4),
            "sure": decimals(getattr(row, "sure", np.nan), 2),
        }
        for row in sizes.itertuples()
    ]


def dimension_view(table: pd.DataFrame | None, features: list[str], n_neurons: int) -> dict[str, Any] | None:
    """Return how many directions of the states features need, and how many neurons predict them alone.

    The best known features come first, then those of the others that need the most directions.

    Parameters
    ----------
    table
        The content of ``dimension.parquet``, or None.
    features
        Names of features, the best known first.
    n_neurons
        The number of neurons of the network.
    """
    if table is None or not len(table):
        return None
    by_name = table.set_index("feature")
    hard = by_name[by_name["dimension"].notna()]
    known = [name for name in features if name in hard.index]
    rest = hard.loc[known[_FEATURES:], "dimension"].sort_values(ascending=False, kind="stable")
    rows = []
    for feature in [*known[:_FEATURES], *rest.index[:_HARDEST]]:
        one = hard.loc[feature]
        rows.append(
            {
                "feature": feature,
                "full": f"{'AUC' if one['kind'] == 'binary' else 'R²'} {one['full']:.3f}",
                "threshold": f"{one['threshold']:.3f}",
                "between": _between(int(one["below"]), int(one["dimension"])),
                "strength": round(float(one["dimension"] / hard["dimension"].max()), 3),
                "alone": int(one["alone"]),
            }
        )
    varied = len(hard) > 2 and np.ptp(hard["dimension"]) > 0 and np.ptp(hard["alone"]) > 0
    return {
        "rows": rows,
        "target": round(100 * float(table["target"].iloc[0])),
        "unknown": sorted(by_name.index[by_name["dimension"].isna() & by_name["full"].notna()]),
        "rare": sorted(by_name.index[by_name["full"].isna()]),
        "known": len(hard),
        "rank": decimals(spearmanr(hard["dimension"], hard["alone"]).statistic, 2) if varied else None,
        "n_neurons": n_neurons,
    }


def _between(below: int, dimension: int) -> str:
    return str(dimension) if dimension - below <= 1 else f"{below + 1} to {dimension}"


def programs_view(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return what a program restores that stands for the best neurons of some features.

    Parameters
    ----------
    table
        The content of ``programs.parquet``, or None.
    """
    if table is None or not len(table):
        return None
    return {
        "program": str(table["program"].iloc[0]),
        "loss": decimals(table["loss_intact"].iloc[0], 4),
        "rows": [
            {
                "feature": row.feature,
                "neurons": int(row.neurons),
                "r2": decimals(row.r2, 2),
                "program": decimals(row.loss_program, 4),
                "mean": decimals(row.loss_mean, 4),
                "recovered": _percent(row.recovered),
                "random": _percent(row.random_recovered),
                "p": decimals(row.p, 2),
                "p_used": decimals(row.p_used, 2),
                "removed": _percent(row.weights_removed),
            }
            for row in table.itertuples()
        ],
    }


def _percent(share: float) -> str:
    return f"{decimals(100 * share, 0)} %" if np.isfinite(share) else decimals(share, 0)


_OUTCOMES = {
    "wrong": "the most probable character is not the one that comes",
    "ungrammatical": "what the network writes becomes ungrammatical",
}


def monitor_view(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return how well disagreement between neurons and a program predicts what goes wrong.

    Parameters
    ----------
    table
        The content of ``monitor.parquet``, or None.
    """
    if table is None or not len(table):
        return None
    first = table.iloc[0]
    return {
        "program": str(first["program"]),
        "r2": decimals(first["r2"], 2),
        "microseconds": decimals(first["microseconds_program"], 2),
        "network": decimals(first["microseconds_network"], 2),
        "rows": [
            {
                "outcome": _OUTCOMES.get(row.outcome, row.outcome),
                "per_1000": decimals(1000 * row.events / row.positions if row.positions else np.nan, 2),
                "disagreement": decimals(row.auc_disagreement, 3),
                "entropy": decimals(row.auc_entropy, 3),
                "both": decimals(row.auc_both, 3),
            }
            for row in table.itertuples()
        ],
    }


def lags_view(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return the neurons whose earlier states add most to the best single one, by feature.

    Parameters
    ----------
    table
        The content of ``lags.parquet``, or None.
    """
    if table is None or not table["gain"].notna().any():
        return None
    rows = []
    for feature, some in table.groupby("feature", sort=False):
        for row in some.nlargest(_GAINS, "gain").itertuples():
            rows.append(
                {
                    "feature": feature,
                    "neuron": int(row.neuron),
                    "measure": "AUC" if row.kind == "binary" else "R²",
                    "single": f"{row.single:.3f}",
                    "lag": int(row.lag),
                    "score": f"{row.score:.3f}",
                    "gain": f"{row.gain:+.3f}",
                    "q": decimals(row.q, 3),
                }
            )
    return {"rows": rows, "states": int(table["states"].iloc[0])}


def repair_view(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return what changing the head repairs, by the neurons whose weights were free to change.

    Parameters
    ----------
    table
        The content of ``repair.parquet``, or None.
    """
    if table is None or not len(table):
        return None
    first = table.iloc[0]
    return {
        "rows": [
            {
                "free": f"all {row.neurons}" if row.free == "all" else f"{row.neurons} best for",
                "feature": "" if row.free == "all" else row.free,
                "changed": row.changed,
                "size": f"{row.size:.3g}",
                "per_1000": f"{row.per_1000:.2f}",
                "between": f"{row.per_1000_low:.2f} to {row.per_1000_high:.2f}",
                "loss": decimals(row.loss, 4),
                "random": "" if not np.isfinite(row.random_per_1000) else f"{row.random_per_1000:.2f}",
                "random_loss": "" if not np.isfinite(row.random_loss) else decimals(row.random_loss, 4),
                "p": "" if not np.isfinite(row.p_per_1000) else f"{row.p_per_1000:.2f}",
            }
            for row in table.itertuples()
        ],
        "examples": int(first["examples"]),
        "before": f"{first['per_1000_before']:.2f}",
        "loss_before": decimals(first["loss_before"], 4),
    }
