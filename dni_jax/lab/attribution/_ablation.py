"""What replacing neurons at one earlier step does to a prediction: the intervention that attribution stands for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from dni_jax.lab.attribution._explained import Explained, baseline_of, batches, checked_lags
from dni_jax.lab.attribution._unrolled import replaced_values, values_from
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
    """Replace neurons at one step only, ``t - lag``, and measure what that does to the prediction at t.

    To first order this is what `dni_jax.lab.attribution.attribute` estimates for a single neuron, measured instead of differentiated:
    one run of the network for each set, lag and position, against one reverse pass for all.

    Parameters
    ----------
    model, corpus, target, lags, part, positions, batch, seed
        As for `dni_jax.lab.attribution.attribute`.
    sets
        bool ``(M, N)``: the neurons of each set, replaced together. None: each neuron alone.
    baseline
        What they are replaced by: as for `dni_jax.lab.attribution.attribute`; or ``"resample"``: the neurons of a set take the values
        they have together at another position of the corpus, drawn for each position and lag, the same for all sets.

    Returns
    -------
    Dataset with dimensions ``(set, lag)``, or ``(neuron, lag)`` where no sets are given: ``effect``, the value with
    the neurons as they are less the value with them replaced, mean over positions; ``magnitude``, the mean of its
    absolute value; and ``positions`` ``(lag,)``.

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
    chosen = checked_lags(lags)
    if batch < 1:
        raise ValueError(f"expected batch of at least 1, got {batch}")
    explained = Explained.of(model, corpus, target, positions, part, seed)
    n_neurons, batch = explained.weights.n_neurons, min(batch, len(explained.positions))
    masks = np.eye(n_neurons, dtype=bool) if sets is None else np.asarray(sets)
    if masks.dtype != bool or masks.ndim != 2 or masks.shape[1] != n_neurons or len(masks) == 0:
        raise ValueError(f"expected sets of shape (M, {n_neurons}), bool, got {masks.dtype} of shape {masks.shape}")
    donors = np.random.default_rng([seed, 1]) if isinstance(baseline, str) and baseline == "resample" else None
    nothing = None if donors is not None else baseline_of(baseline, explained)
    shape = (len(masks), len(chosen))
    effect, magnitude, count = np.zeros(shape), np.zeros(shape), np.zeros(len(chosen), np.int64)
    for place, lag in enumerate(chosen):
        reaching = explained.reaching(lag)
        count[place] = len(reaching)
        for rows, real in batches(reaching, batch):
            other = nothing if donors is None else _drawn(explained, len(rows), donors)
            change = _changes(explained, rows, lag, max(chosen), other, masks)[:, :real].astype(np.float64)
            effect[:, place] += change.sum(axis=1)
            magnitude[:, place] += np.abs(change).sum(axis=1)
    over = "neuron" if sets is None else "set"
    return xr.Dataset(
        {"effect": ((over, "lag"), effect / count), "magnitude": ((over, "lag"), magnitude / count),
         "positions": ("lag", count)},
        coords={over: np.arange(len(masks)), "lag": chosen},
        attrs={"target": explained.target.about, "part": part, "seed": seed,
               "baseline": baseline if isinstance(baseline, str) else "given"},
    )  # fmt: skip


def _drawn(explained: Explained, n: int, donors: np.random.Generator) -> Float[np.ndarray, "B P N"]:
    """States of the network at positions drawn at random."""
    return explained.state(donors.integers(0, explained.corpus.n_positions, n))


def _changes(
    explained: Explained, rows: np.ndarray, lag: int, steps: int, other: Any, masks: Bool[np.ndarray, "M N"]
) -> Float[np.ndarray, "M B"]:
    """The value less the value with a set replaced."""
    weights, function = explained.weights, explained.target.function
    state = explained.state(explained.positions[rows] - lag)
    read, back = explained.read(rows, steps), np.int32(lag)
    replacing: tuple[Any, ...] = (state, explained.freed(state, other), masks, read, back, function)
    intact = np.asarray(values_from(weights, state, read, back, function))
    return intact - np.asarray(replaced_values(weights, *replacing))
