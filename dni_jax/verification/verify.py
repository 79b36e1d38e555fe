"""Do the neurons that know a feature matter? Overriding them, against random neurons, in one batched call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Int

from dni_jax.corpora import Corpus
from dni_jax.features import FeatureLibrary, Labels
from dni_jax.inspection.ranking import ranking
from dni_jax.interventions import Drive, Override
from dni_jax.models import TrainedModel, predict
from dni_jax.verification.measures import LOSSES, MEASURES, bootstrap_weights, correct_types, group_sums

INTERVENTIONS = ("ablate", "clamp", "oracle")
_BOOTSTRAP = 500
_INTERVAL = (0.025, 0.975)


def verify(
    model: TrainedModel,
    corpus: Corpus,
    relevance: xr.Dataset,
    features: str | Sequence[str],
    ks: Sequence[int] = (1, 5, 10),
    n_random: int = 32,
    *,
    intervention: str = "ablate",
    by: str = "score",
    labels: Labels | FeatureLibrary | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Override the k best neurons of a feature, and random sets of k, and measure the network's predictions.

    Parameters
    ----------
    model
        The network.
    corpus
        What it reads; text it was not trained on.
    relevance
        From `dni_jax.inspect`; ranks the neurons.
    features
        The name of one feature, or several names: the random sets are then shared.
    ks
        Sizes of the sets.
    n_random
        Number of random sets of each size, drawn from all neurons.
    intervention
        ``"ablate"``: held at 0 (the paper's Rm-Neuron); ``"clamp"``: held at 1; ``"oracle"``: driven by the feature's
        labels of the character just read, from -1 to 1 (Lin & Wu 2017, section 4).
    by
        The score that ranks neurons.
    labels
        The features on this corpus, or the library that labels it; needed where `relevance` no longer holds its
        library (after reading it from disk).
    seed
        Draws the random sets and the bootstrap.

    Returns
    -------
    Dataset with dimensions ``(feature, k, draw, measure)`` (without `feature` if a single name was given). Measures:
    ``type_accuracy``, how often the most probable next character is of the right class (digit, parenthesis, ...);
    ``accuracy_on`` and ``accuracy_off``, the same over the characters that the feature holds for, and over the others
    (a continuous feature holds above the middle of its range); ``loss``, ``loss_on``, ``loss_off``, nats a character
    over the same ones. Variables:

    - ``intact``: without override; ``top`` ``(feature, k, measure)`` and ``random`` ``(feature, k, draw, measure)``;
    - ``top_effect``: top minus intact, with ``top_effect_low`` and ``top_effect_high``, its 95 % interval by a
      bootstrap over strings (files, for text);
    - ``random_effect`` (mean over draws), ``random_effect_low`` and ``random_effect_high`` (the draws' 2.5th and
      97.5th percentile);
    - ``p`` ``(feature, k, measure)``: share of random sets that harm at least as much, the top set counted in;
    - ``neurons`` ``(feature, k, place)``: the neurons overridden, -1 behind the k-th.

    Raises
    ------
    ValueError
        For k above the number of neurons, an unknown feature or intervention, or labels that do not fit.
    """
    names = [features] if isinstance(features, str) else list(features)
    _check(names, ks, n_random, intervention, model)
    corpus = model.reading(corpus)
    marks = _labels(relevance, labels, corpus).select(names)
    tops = np.stack([ranking(relevance, name, by)[: max(ks)] for name in names])
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.permutation(model.n_neurons)[: max(ks)] for _ in range(n_random)])
    if intervention == "oracle":
        parts = [
            _effects(model, corpus, marks.select([n]), tops[i : i + 1], draws, ks, intervention, seed)
            for i, n in enumerate(names)
        ]
        dataset = xr.concat(parts, "feature")
    else:
        dataset = _effects(model, corpus, marks, tops, draws, ks, intervention, seed)
    dataset = dataset.assign_attrs(intervention=intervention, characters=corpus.n_positions, n_random=n_random)
    return dataset.isel(feature=0) if isinstance(features, str) else dataset


def _check(names: list[str], ks: Sequence[int], n_random: int, intervention: str, model: TrainedModel) -> None:
    if not names:
        raise ValueError("expected at least one feature to verify, got none")
    if not ks or min(ks) < 1 or max(ks) > model.n_neurons or list(ks) != sorted(set(ks)):
        raise ValueError(f"expected growing ks from 1 to {model.n_neurons} (the number of neurons), got {tuple(ks)}")
    if n_random < 1:
        raise ValueError(f"expected n_random of at least 1, got {n_random}")
    if intervention not in INTERVENTIONS:
        raise ValueError(f"expected intervention to be one of {INTERVENTIONS}, got {intervention!r}")


def _labels(relevance: xr.Dataset, labels: Labels | FeatureLibrary | None, corpus: Corpus) -> Labels:
    source = relevance.attrs.get("library") if labels is None else labels
    if source is None:
        raise ValueError("expected labels=library.label(corpus) beside a relevance that was read from disk, got none")
    made = source.label(corpus) if isinstance(source, FeatureLibrary) else source
    if len(made.mask) != corpus.n_positions:
        raise ValueError(f"expected labels of the corpus' {corpus.n_positions} positions, got {len(made.mask)}")
    return made


def held_by(column: np.ndarray) -> Bool[np.ndarray, " T"]:
    """Where a feature holds: label 1, or above the middle of a continuous feature's range."""
    return column > (float(column.min()) + float(column.max())) / 2


def neuron_sets(
    tops: Int[np.ndarray, "F k"], draws: Int[np.ndarray, "R k"], ks: Sequence[int], n_neurons: int
) -> Bool[np.ndarray, "M N"]:
    """Masks of all sets: nothing, then the F x K top sets, then the R x K random ones."""
    masks = np.zeros((1 + (len(tops) + len(draws)) * len(ks), n_neurons), bool)
    row = 1
    for order in (*tops, *draws):
        for k in ks:
            masks[row, order[:k]] = True
            row += 1
    return masks


def _effects(
    model: TrainedModel,
    corpus: Corpus,
    marks: Labels,
    tops: Int[np.ndarray, "F k"],
    draws: Int[np.ndarray, "R k"],
    ks: Sequence[int],
    intervention: str,
    seed: int,
) -> xr.Dataset:
    masks = neuron_sets(tops, draws, ks, model.n_neurons)
    low = {"ablate": 0.0, "clamp": 1.0, "oracle": -1.0}[intervention]
    override = Override(jnp.asarray(masks), jnp.full(masks.shape, low), jnp.ones(masks.shape))
    drive = None
    if intervention == "oracle":
        column = marks.columns[0].astype(np.float32)
        signal = (column - column.min()) / max(float(np.ptp(column)), 1e-9)
        drive = Drive(signal, np.ones(len(signal), bool))
    predictions = predict(model.weights, corpus, override, drive)
    correct = correct_types(predictions, corpus)
    counted = predictions.predicted & marks.mask
    groups = corpus.position_groups
    draw = bootstrap_weights(len(np.unique(groups)), _BOOTSTRAP, seed)
    n_features, n_draws, n_ks = len(tops), len(draws), len(ks)
    values: dict[str, list[Any]] = {name: [] for name in ("intact", "top", "random", "low", "high")}
    for place, column in enumerate(marks.columns):
        own = 1 + place * n_ks + np.arange(n_ks)
        rows = np.concatenate([[0], own, 1 + n_features * n_ks + np.arange(n_draws * n_ks)])
        sums = group_sums(correct[rows], predictions.loss[rows], counted, held_by(column), groups)
        means = sums.means()
        values["intact"].append(means[0])
        values["top"].append(means[1 : 1 + n_ks])
        values["random"].append(means[1 + n_ks :].reshape(n_draws, n_ks, len(MEASURES)).swapaxes(0, 1))
        again = sums._replace(total=sums.total[: 1 + n_ks]).resampled(draw)
        effect = again[:, 1:] - again[:, :1]
        values["low"].append(_quantile(effect, _INTERVAL[0]))
        values["high"].append(_quantile(effect, _INTERVAL[1]))
    arrays = {name: np.asarray(rows) for name, rows in values.items()}
    return _dataset(arrays, tops, marks.names, ks)


def _quantile(values: np.ndarray, q: float) -> np.ndarray:
    usable = ~np.isnan(values).all(axis=0)
    result = np.full(values.shape[1:], np.nan)
    result[usable] = np.nanquantile(values[:, usable], q, axis=0)
    return result


def _dataset(arrays: dict[str, np.ndarray], tops: np.ndarray, names: Sequence[str], ks: Sequence[int]) -> xr.Dataset:
    intact, top, random = arrays["intact"], arrays["top"], arrays["random"]
    harm = np.asarray([1.0 if measure in LOSSES else -1.0 for measure in MEASURES])
    change = random - intact[:, None, None]
    at_least = (harm * random >= harm * top[:, :, None] - 1e-12).sum(axis=2)
    neurons = np.full((len(names), len(ks), max(ks)), -1)
    for column, k in enumerate(ks):
        neurons[:, column, :k] = tops[:, :k]
    one, many = ("feature", "k", "measure"), ("feature", "k", "draw", "measure")
    return xr.Dataset(
        {
            "intact": (("feature", "measure"), intact),
            "top": (one, top),
            "random": (many, random),
            "top_effect": (one, top - intact[:, None]),
            "top_effect_low": (one, arrays["low"]),
            "top_effect_high": (one, arrays["high"]),
            "random_effect": (one, change.mean(axis=2)),
            "random_effect_low": (one, np.quantile(change, _INTERVAL[0], axis=2)),
            "random_effect_high": (one, np.quantile(change, _INTERVAL[1], axis=2)),
            "p": (one, np.where(np.isnan(top), np.nan, (1 + at_least) / (1 + random.shape[2]))),
            "neurons": (("feature", "k", "place"), neurons),
        },
        coords={"feature": list(names), "k": list(ks), "measure": list(MEASURES)},
    )
