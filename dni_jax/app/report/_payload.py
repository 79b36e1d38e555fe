"""The data inside a report: numbers packed into few bytes, as JSON that is safe inside HTML."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from dni_jax.app.report._clustering import clustered, strengths
from dni_jax.app.report._excerpt import Excerpt, best_neurons
from dni_jax.app.report._runfiles import RunFiles
from dni_jax.inspection import ranking

_CELLS = 150_000  # neurons x features in the page
_NUMBERS = 65_535  # of a uint16
_STEPS = 32_767  # of an int16
_MISSING = -32_768
_MATRICES = {
    "auc": "auc",
    "score": "score",
    "given": "auc_within_symbol",
    "selectivity": "selectivity",
    "p": "p_family",
    "q": "q",
}
_MEASURES = ("loss_on", "loss_off", "type_accuracy", "class_probability_on")
_PARTS = ("top", "random")


def page_data(run: RunFiles) -> dict[str, Any]:
    """Give all that the page's scripts need; features stand in the findings' order throughout."""
    names = [str(row["feature"]) for row in run.findings]
    relevance = run.relevance.sel(feature=names)
    n_neurons = relevance.sizes["neuron"]
    kept = relevance["neuron"].values
    most = max(min(_CELLS // len(names), _NUMBERS), 1)
    if n_neurons > most:
        kept = best_neurons(run.relevance, most)
    shown = relevance.sel(neuron=kept)
    place = {int(neuron): at for at, neuron in enumerate(kept)}
    order = np.stack([[place[int(n)] for n in ranking(shown, name, "auc")] for name in names])
    known = strengths(shown)
    data: dict[str, Any] = {
        "neurons": kept.tolist(),
        "nNeurons": n_neurons,
        "order": _bytes(order.astype("<u2")),
        "matrices": {name: _matrix(shown, source) for name, source in _MATRICES.items() if source in shown},
        "baseline": [_number(row["baseline"]) for row in run.findings],
        "map": {"neurons": clustered(known).tolist(), "features": _feature_order(run, known)},
        "strength": _bytes(np.rint(known.T * 255).astype(np.uint8)),
        "k": run.k,
    }
    if "statistic" in shown:
        data["falls"] = _bytes(_falls(shown))
    if run.effects is not None:
        data["effects"] = [effects_of(run.effects, name) for name in names]
    if run.excerpt is not None:
        data["excerpt"] = excerpt_data(run.excerpt, names)
    if run.training is not None:
        data["training"] = _columns(run.training, ("step", "train_loss", "validation_loss"))
    if run.dynamics is not None:
        data["dynamics"] = dynamics_of(run.dynamics, names)
    return data


def _feature_order(run: RunFiles, known: Float[np.ndarray, "N F"]) -> list[int]:
    """The map's columns: features with labels of their own that some neuron knows, clustered."""
    own = [at for at, row in enumerate(run.findings) if not row["same_as"] and known[:, at].any()]
    return [own[at] for at in clustered(known[:, own].T)] if own else []


def _falls(shown: Any) -> UInt8[np.ndarray, "F N"]:
    """1 where a neuron is lower where the feature holds."""
    statistic = shown["statistic"].transpose("feature", "neuron").values
    middle = np.where(shown["kind"].values == "binary", 0.5, 0.0)[:, None]
    return (statistic < middle).astype(np.uint8)


def _matrix(shown: Any, source: str) -> dict[str, Any]:
    """A score of every feature and neuron as int16, with one scale a feature; -32768 is none."""
    variable = shown[source].mean("fold") if "fold" in shown[source].dims else shown[source]
    values = variable.transpose("feature", "neuron").values.astype(np.float64)
    there = np.isfinite(values)
    scale = np.abs(np.where(there, values, 0)).max(axis=1) / _STEPS
    packed = np.rint(np.where(there, values, 0) / np.where(scale > 0, scale, 1)[:, None])
    packed = np.where(there, packed, _MISSING).astype("<i2")
    return {"scale": [float(f"{one:.9g}") for one in scale], "values": _bytes(packed)}


def effects_of(effects: pd.DataFrame, name: str) -> dict[str, Any]:
    """The curves of one feature: by intervention and measure, for each k."""
    mine = effects[effects["feature"] == name]
    found: dict[str, Any] = {}
    for kind, rows in mine.groupby("intervention", sort=False):
        curves = {}
        for measure in _MEASURES:
            one = rows[rows["measure"] == measure].sort_values("k")
            if len(one) == 0 or one["intact"].isna().all():
                continue
            curves[measure] = {"intact": _number(one["intact"].iloc[0]), "p": _numbers(one["p"])}
            for part in _PARTS:
                for end in ("", "_low", "_high"):
                    curves[measure][part + end] = _numbers(one[f"{part}_effect{end}"])
        if curves:
            found[str(kind)] = {"k": sorted({int(k) for k in rows["k"]}), **curves}
    if found and "symbols" in mine:
        found["symbols"] = str(mine["symbols"].iloc[0])
    return found


def excerpt_data(excerpt: Excerpt, names: list[str]) -> dict[str, Any]:
    """The text, states and labels; features that the page does not show are left out."""
    column = {name: at for at, name in enumerate(excerpt.names)}
    labels: list[dict[str, Any] | None] = []
    for name in names:
        at = column.get(name)
        if at is None:
            labels.append(None)
        elif excerpt.kinds[at] == "binary":
            labels.append({"bits": _bytes(np.packbits(excerpt.labels[:, at]))})
        else:
            low, high = float(excerpt.low[at]), float(excerpt.high[at])
            labels.append({"shades": _bytes(excerpt.labels[:, at]), "low": low, "high": high})
    return {
        "text": excerpt.text.tolist(),
        "offsets": excerpt.offsets.tolist(),
        "strings": excerpt.strings.tolist(),
        "starts": excerpt.starts.tolist(),
        "neurons": excerpt.neurons.tolist(),
        "scale": [float(f"{one:.6g}") for one in excerpt.scale],
        "hidden": _bytes(excerpt.hidden.T),
        "known": None if excerpt.known.all() else _bytes(np.packbits(excerpt.known)),
        "labels": labels,
    }


def dynamics_of(dynamics: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """The best neuron's AUC (R^2 of continuous features) at each step, for every feature that has one."""
    strength = dynamics["auc"].fillna(dynamics["score"])
    best = dynamics.assign(strength=strength).pivot_table("strength", "step", "feature", "max")
    return {
        "steps": [int(step) for step in best.index],
        "best": [_numbers(best[name]) if name in best else None for name in names],
    }


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _numbers(table[name]) for name in names if name in table}


def _numbers(values: Any) -> list[float | None]:
    return [_number(value) for value in np.asarray(values, np.float64)]


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _bytes(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def safe_json(data: Mapping[str, Any]) -> str:
    r"""Give JSON that ends no script element and opens no comment, whatever its texts hold.

    Examples
    --------
    >>> safe_json({"text": "</script><!--&"})
    '{"text":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
