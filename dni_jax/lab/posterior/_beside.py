"""Three answers to "how sure", side by side: other weights, other strings, other seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dni_jax.features import Labels
from dni_jax.inspection import inspect, intervals
from dni_jax.lab.posterior._credible import strength_of
from dni_jax.lab.posterior._draws import Posterior
from dni_jax.models import Population, record
from dni_jax.text import Corpus


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
    """How sure it is how well a network's best neuron knows each feature: by draws, by strings, and by seeds.

    A posterior's draws stay near one network; a bootstrap over strings keeps the network and changes the text;
    training anew changes everything, and there neuron 3 is another one, so that only the best neuron's strength can be
    compared. Where retraining spreads far more than the draws do, the draws do not tell how sure a finding is.

    Parameters
    ----------
    posterior
        Its network's best neuron for each feature is looked at.
    corpus, labels
        A text, better an unseen one, and labels on it.
    retrained
        Networks trained with other seeds; without them those columns are NaN.
    probe, folds, seed, options
        See `dni_jax.inspect`.
    level
        The share of draws, of texts, of networks within an interval.
    n_draws
        Of the bootstrap.

    Returns
    -------
    DataFrame with one row a feature: ``feature``, ``neuron`` (the best of the network that the chain started from),
    ``strength`` (2 AUC - 1, of continuous features R^2), then ``low`` and ``high`` of three kinds: ``draws_`` (the same
    neuron in the posterior's draws), ``strings_`` (bootstrap), ``seeds_`` (the best neuron of each retrained network).

    Raises
    ------
    ValueError
        As `dni_jax.inspect` and `dni_jax.inspection.intervals` do.
    """
    settings: dict[str, Any] = {"seed": seed, **options}
    states = record(posterior.model, corpus)
    one = inspect(states, labels, probe, folds, **settings)
    sure = intervals(one, states, labels, level=level, n_draws=n_draws, seed=seed, **options)
    drawn = strength_of(inspect(record(posterior.population, corpus), labels, probe, folds, **settings))
    anew = None
    if retrained is not None:
        anew = strength_of(inspect(record(retrained, corpus), labels, probe, folds, **settings))
    own = strength_of(one.expand_dims("model"))[0]
    rows = []
    for place, name in enumerate(labels.names):
        best = int(np.argmax(np.where(np.isnan(own[:, place]), -np.inf, own[:, place])))
        row = {"feature": name, "neuron": best, "strength": float(own[best, place])}
        row |= _between("draws", drawn[:, best, place], level)
        row |= _of_strings(sure, best, place, binary=labels.kinds[place] == "binary")
        row |= _between("seeds", np.empty(0) if anew is None else anew[:, :, place].max(1), level)
        rows.append(row)
    return pd.DataFrame(rows)


def _between(name: str, values: np.ndarray, level: float) -> dict[str, float]:
    outer = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(values, outer) if len(values) else (np.nan, np.nan)
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _of_strings(sure: Any, neuron: int, feature: int, binary: bool) -> dict[str, float]:
    at = {"neuron": neuron, "feature": feature}
    if binary:
        return {f"strings_{side}": 2 * float(sure[f"auc_{side}"].isel(at)) - 1 for side in ("low", "high")}
    return {f"strings_{side}": float(sure[f"score_{side}"].isel(at)) for side in ("low", "high")}
