"""What a network predicts, under hundreds of overrides at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from dni_jax import processes
from dni_jax.devices import is_accelerated, make_global_grid, make_grid, map_models
from dni_jax.interventions import Bound
from dni_jax.models._lanes import Lanes, choose_lane_count, make_lanes, to_positions
from dni_jax.models._network import compute_logits, compute_losses, network_scan, zero_carries
from dni_jax.models._rollout import SETS_AT_ONCE, Emit, Text, rollout_sets
from dni_jax.models._weights import Weights
from dni_jax.progress import track
from dni_jax.text import Corpus

_READS = (P("models"), *[P(None, "lanes")] * 4)
_SLAB = 16  # sets of neurons per CPU device in one program; accelerators take as many as run at once
_LANES = 128  # texts read in parallel


class Predictions(NamedTuple):
    """Predictions of each character from those before it, under M sets of overrides.

    Attributes
    ----------
    loss
        float32 ``(M, T)``: minus the natural log of the probability of the character that came.
    best
        int32 ``(M, T)``: the code of the most probable character.
    total_loss
        float64 ``(M,)``: mean loss over all predicted symbols, boundaries included.
    predicted
        bool ``(T,)``: False for characters that were not predicted (the first of a piece).
    class_probability
        float16 ``(M, T, X)``: the probability of each of X classes of symbols; X is 0 without classes.
    distance
        float32 ``(M, T)``: how far the state after each character lies from those of the intact network
        (`StateGaussian`); NaN without a Gaussian.
    best_type
        int32 ``(M, T)``: the type of symbols with the largest total probability; -1 without types.
    best_of_type
        bool ``(M, T)``: whether the character that came was the most probable one of its type; False without types.
    """

    loss: Float[np.ndarray, "M T"]
    best: Int[np.ndarray, "M T"]
    total_loss: Float[np.ndarray, " M"]
    predicted: np.ndarray
    class_probability: Float[np.ndarray, "M T X"]
    distance: Float[np.ndarray, "M T"]
    best_type: Int[np.ndarray, "M T"]
    best_of_type: Bool[np.ndarray, "M T"]


class StateGaussian(NamedTuple):
    """A Gaussian over the states that a network visits.

    Attributes
    ----------
    mean
        float32 ``(N,)``.
    whiten
        float32 ``(N, N)``: states less the mean, times this, have a covariance of nearly the identity.
    """

    mean: Any
    whiten: Any

    @classmethod
    def fit(cls, hidden: Float[np.ndarray, "T N"], shrink: float = 1e-3) -> StateGaussian:
        """Fit a Gaussian to recorded states; `shrink` of the mean variance is added to every neuron's."""
        states = hidden.astype(np.float64)
        mean = states.mean(0)
        covariance = np.cov(states - mean, rowvar=False).reshape(len(mean), len(mean))
        covariance += (shrink * max(np.trace(covariance) / len(mean), 1e-12)) * np.eye(len(mean))
        values, vectors = np.linalg.eigh(covariance)
        return cls(mean.astype(np.float32), (vectors / np.sqrt(values)).astype(np.float32))

    def distance(self, hidden: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
        """Return the Mahalanobis distance over the square root of N: around 1 for visited states."""
        whitened = jnp.asarray(hidden - self.mean) @ self.whiten
        return jnp.sqrt(jnp.square(whitened).mean(-1))


def cross_entropy(weights: Weights, corpus: Corpus, limit: int | None = None) -> float:
    """Return the mean loss in nats per symbol on a corpus, or on its first strings up to `limit` characters."""
    some = corpus if limit is None else corpus.head(limit)
    return float(cross_entropies(jax.tree.map(lambda array: array[None], processes.to_host(weights)), some)[0])


def cross_entropies(weights: Weights, corpus: Corpus) -> Float[np.ndarray, " M"]:
    """Return the mean loss of M networks in nats per symbol.

    Parameters
    ----------
    weights
        Of all networks, each array with a leading axis of M.
    corpus
        What they read.
    """
    n_models = weights.head.shape[0]
    lanes = make_lanes(corpus, choose_lane_count(corpus, 64))
    devices = make_global_grid(n_models, lanes.codes.shape[1])
    # Training may have spread the weights over other devices than this text can use.
    parts = (processes.to_host(weights), *lanes[:4])
    return processes.to_host(_mean_losses(*processes.place(parts, _READS, devices), devices))


@partial(jax.jit, static_argnames="devices")
def _mean_losses(
    weights: Weights, codes: Array, targets: Array, counts: Array, resets: Array, devices: Mesh
) -> Float[Array, " M"]:
    def of_one(weights: Weights, codes: Array, targets: Array, counts: Array, resets: Array) -> Array:
        hidden, _ = network_scan(weights, codes, resets, zero_carries(weights, codes.shape[1]))
        losses = compute_losses(compute_logits(weights, hidden), targets)
        summed, counted = jax.lax.psum(((losses * counts).sum(), counts.sum()), "lanes")
        return summed / counted

    def local(weights: Weights, *text: Array) -> Array:
        return map_models(lambda one: of_one(one, *text), devices)(weights)

    spread = jax.shard_map(local, mesh=devices, in_specs=_READS, out_specs=P("models"), check_vma=False)
    return spread(weights, codes, targets, counts, resets)


def predict(
    weights: Weights,
    corpus: Corpus,
    overrides: Bound,
    *,
    classes: Float[np.ndarray, "V X"] | None = None,
    types: Int[np.ndarray, " V"] | None = None,
    gaussian: StateGaussian | None = None,
) -> Predictions:
    """Predict a corpus under M sets of overrides at once, on all devices; several processes share the sets.

    Parameters
    ----------
    weights
        The network.
    corpus
        What it reads, in the network's codes.
    overrides
        From `Intervention.bind` with ``sets=``: arrays ``(M, N)``, and drives that all sets share.
    classes
        0 and 1: which symbols belong to each of X classes.
    types
        The number of each symbol's type.
    gaussian
        The intact network's states, to measure distances from.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> sets = dni.ablate(range(8)).bind(8, corpus.n_positions, sets=np.eye(8, dtype=bool))  # each neuron alone
    >>> dni.models.predict(model.weights, corpus, sets).loss.shape == (8, corpus.n_positions)
    True
    """
    n_sets, total = overrides.overrides[0].mask.shape[0], corpus.n_positions
    emit = Emit(
        (
            "loss",
            "best",
            *(("class_probability",) if classes is not None else ()),
            *(("best_type", "best_of_type") if types is not None else ()),
            *(("distance",) if gaussian is not None else ()),
        ),
        classes=None if classes is None else np.asarray(classes, np.float32),
        types=None if types is None else np.eye(int(types.max()) + 1, dtype=np.float32)[types],
        gaussian=gaussian,
    )
    lanes = make_lanes(corpus, choose_lane_count(corpus, _LANES))
    found = dict(zip(emit.names, _run_slabs(weights, lanes, overrides, emit, total), strict=True))
    where = lanes.target_positions
    predicted = np.zeros(total, bool)
    predicted[where[where >= 0]] = True
    none = np.zeros((n_sets, total, 0), np.float16)
    unknown = np.full((n_sets, total), np.nan, np.float32)
    no_type = {"best_type": np.full((n_sets, total), -1, np.int32), "best_of_type": np.zeros((n_sets, total), bool)}
    of_types = no_type if types is None else {name: to_positions(found[name], where, total) for name in no_type}
    return Predictions(
        loss=to_positions(found["loss"], where, total),
        best=to_positions(found["best"], where, total).astype(np.int32),
        total_loss=found["loss"][:, lanes.weights > 0].mean(axis=1, dtype=np.float64),
        predicted=predicted,
        class_probability=none if classes is None else to_positions(found["class_probability"], where, total),
        distance=unknown if gaussian is None else to_positions(found["distance"], lanes.positions, total),
        best_type=of_types["best_type"].astype(np.int32),
        best_of_type=of_types["best_of_type"],
    )


def states_under(
    weights: Weights, corpus: Corpus, overrides: Bound, positions: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "M n N"]:
    """Return the states at some positions of a corpus under M sets of overrides at once, float32.

    Parameters
    ----------
    weights, corpus, overrides
        As for `predict`.
    positions
        Positions of the corpus.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> sets = dni.ablate(range(8)).bind(8, corpus.n_positions, sets=np.eye(8, dtype=bool))
    >>> states_under(model.weights, corpus, sets, np.arange(3))[0, :, 0].tolist()
    [0.0, 0.0, 0.0]
    """
    lanes = make_lanes(corpus, choose_lane_count(corpus, _LANES))
    step, lane = np.zeros((2, corpus.n_positions), np.int64)
    inside = lanes.positions >= 0
    step[lanes.positions[inside]], lane[lanes.positions[inside]] = np.nonzero(inside)
    at = (slice(None), step[positions], lane[positions])
    return _run_slabs(weights, lanes, overrides, Emit(("hidden",)), corpus.n_positions, at)[0]


def _run_slabs(
    weights: Weights, lanes: Lanes, overrides: Bound, emit: Emit, n_positions: int, at: Any = ...
) -> list[np.ndarray]:
    """Read lanes under M sets of overrides, some at a time, and keep the places `at` of every ``(M, n, B, ...)``."""
    edits, drives = processes.to_host(overrides.overrides), overrides.drives
    n_all = edits[0].mask.shape[0]
    if processes.count() > 1:
        edits = jax.tree.map(lambda a: a[processes.shard(n_all)], edits)
    n_sets = edits[0].mask.shape[0]
    devices = make_grid(n_sets + n_sets % 2, lanes.codes.shape[1])
    n_across = devices.shape["models"]
    n_slabs = -(-n_sets // (n_across * (SETS_AT_ONCE if is_accelerated(devices) else _SLAB)))
    size = -(-n_sets // (n_slabs * n_across)) * n_across  # the same for all slabs, so that one program serves them
    padded = jax.tree.map(lambda a: np.concatenate([a, *[a[:1]] * (n_slabs * size - n_sets)]), edits)
    slabs = [jax.tree.map(lambda a, n=n: a[n * size : (n + 1) * size], padded) for n in range(n_slabs)]
    text, drives = Text(lanes.codes, lanes.resets, lanes.targets), lanes.drives(drives)
    parts = []
    for slab in track(slabs, "overriding", "characters", size * n_positions):
        kept = jax.device_get(rollout_sets(weights, text, Bound(slab, drives), emit, None, size, devices)[1])
        parts.append([array[at] for array in kept])
    whole = (np.concatenate(arrays)[:n_sets] for arrays in zip(*parts, strict=True))
    return [processes.all_gather(array, n_all) for array in whole]
