"""The effect of replacing neurons at one earlier step on a prediction: what attribution approximates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from dni_jax.lab.attribution._problem import Problem, batches, checked_lags
from dni_jax.lab.attribution._unrolled import ablated_values, values_from_states
from dni_jax.models import TrainedModel
from dni_jax.text import Corpus


def ablation_effects(
    model: TrainedModel,
    corpus: Corpus,
    target: Any = "next",
    lags: Iterable[int] = range(11),
    *,
    sets: Bool[np.ndarray, "M N"] | None = None,
    part: str = "hidden",
    positions: Any = None,
    baseline: Any = "zero",
    batch: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Replace neurons at one step only, ``t - lag``, and measure the effect on the prediction at t.

    For a single neuron, `dni_jax.lab.attribution.attribute` estimates this effect to first order. Measuring it takes
    one run of the network per set, lag and position, instead of one reverse pass for all.

    Parameters
    ----------
    model, corpus, target, lags, part, positions, batch, seed
        See `dni_jax.lab.attribution.attribute`.
    sets
        bool ``(M, N)``: the neurons of each set, replaced together. None: each neuron alone.
    baseline
        The replacement: as for `dni_jax.lab.attribution.attribute`; or ``"resample"``: the neurons of a set take their
        joint values at another position of the corpus, drawn for each position and lag, the same for all sets.

    Returns
    -------
    Dataset with dimensions ``(set, lag)``, or ``(neuron, lag)`` without sets: ``effect``, the value with the neurons
    intact minus the value with them replaced, mean over positions; ``magnitude``, the mean of its absolute value; and
    ``positions`` ``(lag,)``.

    Raises
    ------
    ValueError
        As `dni_jax.lab.attribution.attribute`; and for sets of another shape.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> effects = ablation_effects(model, corpus, ")", [0, 2], positions=50)
    >>> dict(effects.sizes)
    {'neuron': 8, 'lag': 2}
    """
    ascending = checked_lags(lags)
    if batch < 1:
        raise ValueError(f"expected batch of at least 1, got {batch}")
    problem = Problem.record(model, corpus, target, positions, part, seed)
    n_neurons, batch = problem.weights.n_neurons, min(batch, len(problem.positions))
    masks = np.eye(n_neurons, dtype=bool) if sets is None else np.asarray(sets)
    if masks.dtype != bool or masks.ndim != 2 or masks.shape[1] != n_neurons or len(masks) == 0:
        raise ValueError(f"expected sets of shape (M, {n_neurons}), bool, got {masks.dtype} of shape {masks.shape}")
    resampled = isinstance(baseline, str) and baseline == "resample"
    rng = np.random.default_rng([seed, 1])
    base = None if resampled else problem.parse_baseline(baseline)
    shape = (len(masks), len(ascending))
    effect, magnitude, count = np.zeros(shape), np.zeros(shape), np.zeros(len(ascending), np.int64)
    for place, lag in enumerate(ascending):
        at_lag = problem.rows_at_lag(lag)
        count[place] = len(at_lag)
        for rows, n_real in batches(at_lag, batch):
            donors = problem.states_at(rng.integers(0, problem.corpus.n_positions, len(rows))) if resampled else base
            change = _effects(problem, rows, lag, max(ascending), donors, masks)[:, :n_real].astype(np.float64)
            effect[:, place] += change.sum(axis=1)
            magnitude[:, place] += np.abs(change).sum(axis=1)
    dim = "neuron" if sets is None else "set"
    return xr.Dataset(
        {
            "effect": ((dim, "lag"), effect / count),
            "magnitude": ((dim, "lag"), magnitude / count),
            "positions": ("lag", count),
        },
        coords={dim: np.arange(len(masks)), "lag": ascending},
        attrs={
            "target": problem.target.description,
            "part": part,
            "seed": seed,
            "baseline": baseline if isinstance(baseline, str) else "given",
        },
    )


def _effects(
    problem: Problem,
    rows: Int[np.ndarray, " B"],
    lag: int,
    steps: int,
    replacement: Any,
    masks: Bool[np.ndarray, "M N"],
) -> Float[np.ndarray, "M B"]:
    """Compute the value minus the value with each set replaced."""
    weights, function = problem.weights, problem.target.function
    states = problem.states_at(problem.positions[rows] - lag)
    context, at_lag = problem.context(rows, steps), np.int32(lag)
    intact = values_from_states(weights, states, context, at_lag, function)
    replaced = problem.baseline_states(states, replacement)
    return np.asarray(intact) - np.asarray(ablated_values(weights, states, replaced, masks, context, at_lag, function))
