"""What the uncertainty of a ranking depends on: the step size of the sampler, and draws, strings or seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.features import Labels
from dni_jax.inspection import inspect, intervals
from dni_jax.lab.posterior._chains import SamplerConfig
from dni_jax.lab.posterior._intervals import strength
from dni_jax.lab.posterior._posterior import Posterior, sample_chains
from dni_jax.models import Population, TrainedModel, record
from dni_jax.text import Corpus


def step_size_sweep(
    model: TrainedModel,
    corpus: Corpus,
    step_sizes: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    sampler: str | SamplerConfig = "psgld",
    *,
    labels: Labels | None = None,
    text: Corpus | None = None,
    probe: str = "svm",
    folds: int = 5,
    k: int | None = None,
    seed: int = 0,
    validation: Corpus | None = None,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Draw with several step sizes, and compare the likelihood of unseen text, the spread and the width of intervals.

    All chains run as one program. If the width of an interval follows the step size, it says something about the step
    size: expect it to grow as the root of it, as long as the chains have not filled the mode they are in.

    Parameters
    ----------
    model, corpus, sampler, seed, validation, progress, settings
        See `sample_posterior`.
    step_sizes
        One per row.
    labels, text
        Labels of features on a text; with them the width of the neurons' intervals is reported.
    probe, folds, k
        See `Posterior.relevance`.

    Returns
    -------
    DataFrame with one row per step size: ``step_size``; ``unseen_each``, ``unseen_average`` and ``unseen_start`` (nats
    per symbol of validation text: the mean over draws, their average, the network the chain started from);
    ``train_loss``; ``spread`` and ``moved`` (`Posterior.spread` and `Posterior.distance`); ``autocorrelation`` of
    successive draws, near 1 for a chain that has hardly moved between them. With `labels` also ``width``, the median
    width of the interval of the strength (2 AUC - 1 or R^2) over neurons and features, and ``sure``, the share of the
    k top places that are taken by a neuron with ``p_top`` of at least 0.9. NaN for a chain that diverged.

    Raises
    ------
    ValueError
        For labels without text; and as `sample_posterior` does.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> sweep = step_size_sweep(model, corpus, (1e-4,), n_draws=3, thin=2, burn_in=2, progress=False)
    >>> bool(sweep["unseen_average"][0] <= sweep["unseen_each"][0])
    True
    """
    if (labels is None) != (text is None):
        raise ValueError("expected labels= and text= together, got one of them")
    config = SamplerConfig.from_settings(sampler, settings)
    chains = sample_chains(model, corpus, config, step_sizes, seed, validation, progress)
    relevance = [
        None if draws is None or labels is None or text is None else draws.relevance(text, labels, probe, folds, k=k)
        for draws in chains
    ]
    return step_size_table(step_sizes, chains, relevance)


def step_size_table(
    step_sizes: Sequence[float], chains: Sequence[Posterior | None], relevance: Sequence[xr.Dataset | None]
) -> pd.DataFrame:
    """Make the table of `step_size_sweep` from chains that were drawn, and the relevance of their neurons if known."""
    rows = []
    for step_size, draws, scores in zip(step_sizes, chains, relevance, strict=True):
        row = {"step_size": float(step_size)}
        if draws is not None:
            row |= {
                "unseen_each": float(draws.validation.each.mean()),
                "unseen_average": draws.validation.average,
                "unseen_start": draws.start_loss,
                "train_loss": float(draws.train_loss.mean()),
                "spread": draws.spread,
                "moved": draws.distance,
                "autocorrelation": draws.autocorrelation,
            }
        if scores is not None:
            width = (scores["strength_high"] - scores["strength_low"]).values
            certain = (scores["p_top"] >= 0.9).sum("neuron").values / scores.attrs["k"]
            scored = ~np.isnan(width).all(0)
            row |= {"width": float(np.nanmedian(width[:, scored])), "sure": float(certain[scored].mean())}
        rows.append(row)
    return pd.DataFrame(rows)


def compare_uncertainty(
    posterior: Posterior,
    corpus: Corpus,
    labels: Labels,
    retrained: Population | None = None,
    *,
    probe: str = "svm",
    folds: int = 5,
    level: float = 0.95,
    n_draws: int = 200,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Compare how uncertain the strength of a network's best neuron is over draws, over strings, and over seeds.

    The draws of a posterior stay near one network. A bootstrap over strings keeps the network and changes the text.
    Retraining changes everything; neuron 3 is then another neuron, so only the best neuron's strength can be compared.
    If retraining spreads far more than the draws, the draws understate how uncertain a finding is.

    Parameters
    ----------
    posterior
        The best neuron of its network is evaluated for each feature.
    corpus, labels
        A text, best an unseen one, and labels on it.
    retrained
        Networks trained with other seeds; without them those columns are NaN.
    probe, folds, seed, options
        See `dni_jax.inspect`.
    level
        The share of draws, of texts, of networks within an interval.
    n_draws
        The number of bootstrap draws.

    Returns
    -------
    DataFrame with one row per feature: ``feature``, ``neuron`` (the best of the network that the chain started from),
    ``strength`` (2 AUC - 1; R^2 for continuous features), then ``low`` and ``high`` of three kinds: ``draws_`` (the
    same neuron in the posterior's draws), ``strings_`` (bootstrap), ``seeds_`` (the best neuron of each retrained
    network).

    Raises
    ------
    ValueError
        As `dni_jax.inspect` and `dni_jax.inspection.intervals` do.
    """
    settings: dict[str, Any] = {"seed": seed, **options}
    states = record(posterior.model, corpus)
    relevance = inspect(states, labels, probe, folds, **settings)
    by_string = intervals(relevance, states, labels, level=level, n_draws=n_draws, seed=seed, **options)
    by_draw = strength(inspect(record(posterior.population, corpus), labels, probe, folds, **settings))
    by_seed = None
    if retrained is not None:
        by_seed = strength(inspect(record(retrained, corpus), labels, probe, folds, **settings))
    own = strength(relevance.expand_dims("model"))[0]
    rows = []
    for place, name in enumerate(labels.names):
        best = int(np.argmax(np.where(np.isnan(own[:, place]), -np.inf, own[:, place])))
        row = {"feature": name, "neuron": best, "strength": float(own[best, place])}
        row |= _quantile_interval("draws", by_draw[:, best, place], level)
        row |= _bootstrap_interval(by_string, best, place, binary=labels.kinds[place] == "binary")
        row |= _quantile_interval("seeds", np.empty(0) if by_seed is None else by_seed[:, :, place].max(1), level)
        rows.append(row)
    return pd.DataFrame(rows)


def _quantile_interval(name: str, values: np.ndarray, level: float) -> dict[str, float]:
    outer = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(values, outer) if len(values) else (np.nan, np.nan)
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _bootstrap_interval(intervals: xr.Dataset, neuron: int, feature: int, binary: bool) -> dict[str, float]:
    at = {"neuron": neuron, "feature": feature}
    if binary:
        return {f"strings_{side}": 2 * float(intervals[f"auc_{side}"].isel(at)) - 1 for side in ("low", "high")}
    return {f"strings_{side}": float(intervals[f"score_{side}"].isel(at)) for side in ("low", "high")}
