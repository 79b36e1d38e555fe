"""The data inside a report: packed numbers, as JSON that is safe inside HTML."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int, UInt8
from scipy.cluster.hierarchy import leaves_list, linkage

from dni_jax.app.report._excerpt import Excerpt, best_neurons
from dni_jax.app.report._run_files import RunFiles
from dni_jax.inspection import rankings

_CELLS = 150_000  # neurons x features in the page, at most
_NUMBERS = 65_535  # the largest uint16
_STEPS = 32_767  # the largest int16
_MISSING = -32_768  # stands for NaN
_MATRICES = ("auc", "score", "auc_within_symbol", "p_family")
_MEASURES = ("loss_on", "loss_off", "type_accuracy", "class_probability_on")
_MOST_ORDERED = 600  # leaves whose optimal order is computed; beyond that, use the tree's own order
_PARTS = ("top", "random")


def page_data(run: RunFiles) -> dict[str, Any]:
    """Return the data that the scripts of the page need. Features are in the order of the findings throughout."""
    names = [str(row["feature"]) for row in run.findings]
    relevance = run.relevance.sel(feature=names)
    n_neurons = relevance.sizes["neuron"]
    kept = relevance["neuron"].values
    most = max(min(_CELLS // len(names), _NUMBERS), 1)
    if n_neurons > most:
        kept = best_neurons(run.relevance, most)
    shown = relevance.sel(neuron=kept)
    by_number = np.argsort(kept)
    order = by_number[np.searchsorted(kept, rankings(shown, names, "auc"), sorter=by_number)]
    known = relevance_strengths(shown)
    data: dict[str, Any] = {
        "neurons": kept.tolist(),
        "nNeurons": n_neurons,
        "order": _bytes(order.astype("<u2")),
        "matrices": {name: _matrix(shown[name]) for name in _MATRICES if name in shown},
        "baseline": [_number(row["baseline"]) for row in run.findings],
        "map": {"neurons": cluster_rows(known).tolist(), "features": _feature_order(run, known)},
        "strength": _bytes(np.rint(known.T * 255).astype(np.uint8)),
        "k": run.k,
    }
    if "statistic" in shown:
        data["falls"] = _bytes(_falls(shown))
    if run.effects is not None:
        data["effects"] = effect_curves(run.effects, names)
    if run.excerpt is not None:
        data["excerpt"] = excerpt_data(run.excerpt, names)
    if run.training is not None:
        data["training"] = _columns(run.training, ("step", "train_loss", "validation_loss"))
    if run.dynamics is not None:
        data["dynamics"] = best_by_step(run.dynamics, names)
    return data


def _feature_order(run: RunFiles, known: Float[np.ndarray, "N F"]) -> list[int]:
    """Return the rows of the map: features with labels of their own that some neuron knows, clustered."""
    own = [at for at, row in enumerate(run.findings) if not row["same_as"] and known[:, at].any()]
    return [own[at] for at in cluster_rows(known[:, own].T)] if own else []


def _falls(shown: Any) -> UInt8[np.ndarray, "F N"]:
    """Return 1 for each feature and neuron whose activation is lower where the feature holds."""
    statistic = shown["statistic"].transpose("feature", "neuron").values
    middle = np.where(shown["kind"].values == "binary", 0.5, 0.0)[:, None]
    return (statistic < middle).astype(np.uint8)


def _matrix(scores: xr.DataArray) -> dict[str, Any]:
    """Pack the scores of all features and neurons as int16, with one scale per feature; -32768 stands for NaN."""
    variable = scores.mean("fold") if "fold" in scores.dims else scores
    values = variable.transpose("feature", "neuron").values.astype(np.float64)
    finite = np.isfinite(values)
    scale = np.abs(np.where(finite, values, 0)).max(axis=1) / _STEPS
    packed = np.rint(np.where(finite, values, 0) / np.where(scale > 0, scale, 1)[:, None])
    packed = np.where(finite, packed, _MISSING).astype("<i2")
    return {"scale": [float(f"{one:.9g}") for one in scale], "values": _bytes(packed)}


def effect_curves(effects: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Return for each feature the effects by intervention and measure, one value for each k."""
    ordered = effects.sort_values("k", kind="stable")  # once: pandas takes a millisecond for each feature and measure
    columns = {str(name): ordered[name].to_numpy() for name in ordered}
    places = ordered.groupby(["feature", "intervention", "measure"], sort=False).indices
    kinds = list(dict.fromkeys(effects["intervention"]))
    return [_curves_of(columns, places, kinds, name) for name in names]


def _curves_of(
    columns: dict[str, np.ndarray], places: dict[Any, np.ndarray], kinds: list[str], name: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    symbols = None
    for kind in kinds:
        curves, ks = {}, set()
        for measure in _MEASURES:
            rows = places.get((name, kind, measure))
            if rows is None or np.isnan(columns["intact"][rows]).all():
                continue
            ks |= {int(k) for k in columns["k"][rows]}
            symbols = str(columns["symbols"][rows[0]]) if "symbols" in columns else None
            curves[measure] = {
                "intact": _number(columns["intact"][rows[0]]),
                "p": _numbers(columns["p"][rows]),
                **{
                    part + end: _numbers(columns[f"{part}_effect{end}"][rows])
                    for part in _PARTS
                    for end in ("", "_low", "_high")
                },
            }
        if curves:
            found[str(kind)] = {"k": sorted(ks), **curves}
    return found if symbols is None else found | {"symbols": symbols}


def excerpt_data(excerpt: Excerpt, names: list[str]) -> dict[str, Any]:
    """Return the text, states and labels of an excerpt, for the features that the page shows."""
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


def best_by_step(dynamics: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Return the best neuron's AUC (R² for continuous features) at each step; None for a feature that has none."""
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


def relevance_strengths(relevance: xr.Dataset) -> Float[np.ndarray, "N F"]:
    """Return how well each neuron knows each feature, from 0 to 1: 2 AUC - 1, or R²; worse than chance counts as 0."""
    means = relevance[["auc", "score"]].mean("fold").transpose("neuron", "feature")
    binary = relevance["kind"].values == "binary"
    values = np.where(binary[None, :], 2 * means["auc"].values - 1, means["score"].values)
    return np.clip(np.nan_to_num(values.astype(np.float64), nan=0.0), 0, 1)


def cluster_rows(rows: Float[np.ndarray, "N F"]) -> Int[np.ndarray, " N"]:
    """Order rows so that similar ones are neighbors: average linkage of Euclidean distances, leaves in optimal order.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.1], [1.0, 0.9]])
    >>> order = cluster_rows(rows).tolist()
    >>> abs(order.index(0) - order.index(2)), abs(order.index(1) - order.index(3))
    (1, 1)
    """
    if len(rows) < 3:
        return np.arange(len(rows))
    tree = linkage(rows, method="average", optimal_ordering=len(rows) <= _MOST_ORDERED)
    return leaves_list(tree).astype(np.int64)


def safe_json(data: Mapping[str, Any]) -> str:
    r"""Return JSON that cannot end a script element or open a comment, whatever strings it contains.

    Examples
    --------
    >>> safe_json({"text": "</script><!--&"})
    '{"text":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
