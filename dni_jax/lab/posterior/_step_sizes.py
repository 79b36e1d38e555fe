"""What the step size does to a posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dni_jax.features import Labels
from dni_jax.lab.posterior._averaging import PredictiveLoss
from dni_jax.lab.posterior._draws import Posterior, moved_of, sample_chains
from dni_jax.lab.posterior._plan import SamplerConfig
from dni_jax.models import TrainedModel, Weights, named_arrays
from dni_jax.text import Corpus


def step_size_sweep(
    model: TrainedModel,
    corpus: Corpus,
    step_sizes: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    sampler: str = "psgld",
    *,
    labels: Labels | None = None,
    text: Corpus | None = None,
    probe: str = "svm",
    folds: int = 5,
    k: int = 10,
    seed: int = 0,
    validation: Corpus | None = None,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Draw with several step sizes: the likelihood of unseen text, the draws' spread, the width of intervals.

    All chains run as one program. An interval whose width follows the step size tells of the step size: expect it to
    grow as the root of it, for as long as chains have not filled the mode they are in.

    Parameters
    ----------
    model, corpus, sampler, seed, validation, progress
        See `dni_jax.lab.posterior`; `settings` are its others.
    step_sizes
        One a row.
    labels, text
        Features' labels on a text; with them the width of the neurons' intervals is told.
    probe, folds, k
        See `Posterior.relevance`.

    Returns
    -------
    DataFrame with one row a step size: ``step_size``; ``unseen_each``, ``unseen_average`` and ``unseen_start`` (nats a
    symbol: the mean over draws, their average, the network the chain started from); ``train_loss``; ``spread`` (see
    `Posterior.spread`); ``moved``, the distance of the last draw from the start, in the same units;
    ``autocorrelation`` of successive draws, near 1 where a chain has hardly moved between them; with `labels` also
    ``width``, the median width of the AUC's (or R^2's) interval over neurons and features, and ``sure``, the share of
    the k top places that are taken by a neuron with ``p_top`` of at least 0.9. A chain that ran away has NaN.

    Raises
    ------
    ValueError
        For labels without text; and as `dni_jax.lab.posterior` does.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax.lab.posterior import step_size_sweep
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> found = step_size_sweep(model, corpus, (1e-4,), n_draws=3, thin=2, burn_in=2, progress=False)
    >>> bool(found["unseen_average"][0] <= found["unseen_each"][0])
    True
    """
    if (labels is None) != (text is None):
        raise ValueError("expected labels= and text= together, got one of them")
    plan = SamplerConfig.from_settings(sampler, settings)
    chains = sample_chains(model, corpus, plan, step_sizes, seed, validation, progress)
    scored = [
        None if draws is None or labels is None or text is None else draws.relevance(text, labels, probe, folds, k=k)
        for draws in chains
    ]
    return step_size_table(step_sizes, chains, scored)


def step_size_table(
    step_sizes: Sequence[float], chains: Sequence[Posterior | None], scored: Sequence[xr.Dataset | None]
) -> pd.DataFrame:
    """What `step_size_sweep` tells, of chains that were drawn, and their neurons' relevance where it is known."""
    rows = []
    for step_size, draws, relevance in zip(step_sizes, chains, scored, strict=True):
        row = {"step_size": float(step_size)}
        row |= {} if draws is None else _told(draws)
        row |= {} if relevance is None else _sureness(relevance)
        rows.append(row)
    return pd.DataFrame(rows)


def _told(draws: Posterior) -> dict[str, float]:
    unseen: PredictiveLoss = draws.validation
    return {
        "unseen_each": float(unseen.each.mean()),
        "unseen_average": unseen.average,
        "unseen_start": draws.start_loss,
        "train_loss": float(draws.train_loss.mean()),
        "spread": draws.spread,
        "moved": moved_of(draws.weights, draws.model.weights),
        "autocorrelation": autocorrelation(draws.weights),
    }


def autocorrelation(weights: Weights) -> float:
    """The correlation of successive draws about their mean, all weights together; NaN where nothing moved."""
    along, across = 0.0, 0.0
    for array in named_arrays(weights).values():
        off = array - array.mean(0, dtype=np.float64)
        along += float((off[1:] * off[:-1]).sum()) / (len(off) - 1)
        across += float((off * off).sum()) / len(off)
    return along / across if across > 0 else float("nan")


def _sureness(relevance: xr.Dataset) -> dict[str, float]:
    width = (relevance["strength_high"] - relevance["strength_low"]).values
    sure = (relevance["p_top"] >= 0.9).sum("neuron").values / relevance.attrs["k"]
    known = ~np.isnan(width).all(0)
    return {"width": float(np.nanmedian(width[:, known])), "sure": float(sure[known].mean())}
