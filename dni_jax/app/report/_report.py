"""``dni.report``: the page of a run for any network, without a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from dni_jax.app.report._excerpt import make_excerpt
from dni_jax.app.report._page import write_page
from dni_jax.app.report._run_files import RunFiles
from dni_jax.features import Labels
from dni_jax.text import Corpus


def report(
    relevance: xr.Dataset,
    *,
    states: Any,
    corpus: Corpus,
    labels: Labels,
    effect: xr.Dataset | Mapping[str, xr.Dataset] | None = None,
    path: str | Path = "report.html",
    title: str = "",
) -> Path:
    """Write a page about any network: the findings in sentences, every feature, the text colored by any neuron.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect`, with p-values from `dni_jax.significance` and baselines from `dni_jax.baselines` where
        they were computed.
    states, corpus, labels
        What the relevance was made from.
    effect
        From `dni_jax.verify`, of some of the features; or several, by the name of the intervention.
    path
        The file to write; it appears whole or not at all.
    title
        The page's title; by default it names the text.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        Where the parts do not belong together.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(1)", "00(1)", "(10)1"])
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> states = dni.from_arrays(labels.values + np.linspace(0, 1, corpus.n_positions)[:, None] * [1, 9], corpus)
    >>> relevance = dni.inspect(states, labels, "ols", folds=2)
    >>> file = tempfile.mkdtemp() + "/mine.html"
    >>> dni.report(relevance, states=states, corpus=corpus, labels=labels, path=file).name
    'mine.html'
    """
    path = Path(path)
    if list(map(str, relevance["feature"].values)) != list(labels.names):
        raise ValueError(
            f"expected the labels that the relevance was made from, of {relevance.sizes['feature']} features, got "
            f"{len(labels)}: pass the same labels as to dni.inspect"
        )
    effects = None if effect is None else _table(effect)
    if effects is not None:
        unknown = sorted(set(effects["feature"]) - set(labels.names))
        if unknown:
            raise ValueError(f"expected effects of features of the relevance, got {', '.join(unknown)}")
    excerpt = make_excerpt(corpus, states, labels, relevance=relevance)
    about = {"language": corpus.language, "title": title, "probe": relevance.attrs.get("probe", "")}
    if effects is not None:
        about["random_sets"] = int(_first(effect).attrs["n_random"])
    run = RunFiles.from_parts(path, about, relevance, labels.duplicates, effects, excerpt)
    return write_page(run, path)


def _first(effect: Any) -> xr.Dataset:
    return effect if isinstance(effect, xr.Dataset) else next(iter(effect.values()))


def _table(effect: xr.Dataset | Mapping[str, xr.Dataset]) -> pd.DataFrame:
    each = [effect] if isinstance(effect, xr.Dataset) else list(effect.values())
    tables = [effects_table(one if "feature" in one.dims else one.expand_dims("feature")) for one in each]
    return pd.concat(tables, ignore_index=True)


def effects_table(effects: xr.Dataset) -> pd.DataFrame:
    """Return one row per feature, k and measure of one intervention."""
    frame = effects.drop_vars(["random", "neurons"]).to_dataframe().reset_index()
    frame.insert(0, "intervention", effects.attrs["intervention"])
    neurons = {
        (str(f), int(k)): [int(n) for n in effects["neurons"].sel(feature=f, k=k).values if n >= 0]
        for f in effects["feature"].values
        for k in effects["k"].values
    }
    frame["neurons"] = [neurons[str(row.feature), int(row.k)] for row in frame.itertuples()]
    return frame
