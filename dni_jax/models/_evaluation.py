"""What a network predicts, under as many overrides as asked for at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, Shaped

from dni_jax import processes
from dni_jax.devices import make_global_grid, make_mesh, map_models
from dni_jax.interventions import Drive, Override
from dni_jax.models._lanes import Lanes, choose_lane_count, make_lanes
from dni_jax.models._network import (
    Carries,
    all_hidden,
    compute_logits,
    input_table,
    network_scan,
    network_step,
    zero_carries,
)
from dni_jax.models._weights import Weights
from dni_jax.progress import track
from dni_jax.text import Corpus

_SETS_AT_ONCE = 64  # neuron sets that an accelerator works on in parallel
_READS = (P("models"), *[P(None, "lanes")] * 4)
_SLAB = {"cpu": 16}  # neuron sets a device in one program, elsewhere as many as at once


class Predictions(NamedTuple):
    """Predictions of each character from what stands before it, by M networks that differ in what is overridden.

    Attributes
    ----------
    loss
        float32 ``(M, T)``: minus the natural log of the probability given to the character that came.
    best
        int32 ``(M, T)``: the code of the most probable character.
    total_loss
        float64 ``(M,)``: mean loss over all predicted symbols, boundaries included.
    predicted
        bool ``(T,)``: False for characters that nothing was predicted for (a piece's first).
    class_probability
        float16 ``(M, T, X)``: the probability given to each of X classes of symbols; X is 0 where none was asked for.
    distance
        float32 ``(M, T)``: how far the state after each character lies from those of the intact network
        (`StateGaussian`); NaN where it was not asked for.
    """

    loss: Float[np.ndarray, "M T"]
    best: Int[np.ndarray, "M T"]
    total_loss: Float[np.ndarray, " M"]
    predicted: np.ndarray
    class_probability: Float[np.ndarray, "M T X"]
    distance: Float[np.ndarray, "M T"]


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
    def of(cls, hidden: Float[np.ndarray, "T N"], shrink: float = 1e-3) -> StateGaussian:
        """Fit it to recorded states; `shrink` of the mean variance is added to every neuron's."""
        states = hidden.astype(np.float64)
        mean = states.mean(0)
        covariance = np.cov(states - mean, rowvar=False).reshape(len(mean), len(mean))
        covariance += (shrink * max(np.trace(covariance) / len(mean), 1e-12)) * np.eye(len(mean))
        values, vectors = np.linalg.eigh(covariance)
        return cls(mean.astype(np.float32), (vectors / np.sqrt(values)).astype(np.float32))

    def distance(self, hidden: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
        """Mahalanobis distance over the square root of N: around 1 for visited states."""
        whitened = jnp.asarray(hidden - self.mean) @ self.whiten
        return jnp.sqrt(jnp.square(whitened).mean(-1))


def cross_entropy(weights: Weights, corpus: Corpus, limit: int | None = None) -> float:
    """Mean loss in nats a symbol on a corpus, or on its first strings up to `limit` characters."""
    some = corpus if limit is None else corpus.head(limit)
    return float(cross_entropies(jax.tree.map(lambda array: array[None], weights), some)[0])


def cross_entropies(weights: Weights, corpus: Corpus) -> Float[np.ndarray, " M"]:
    """Mean loss of M networks in nats a symbol.

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
        return map_models(lambda one: of_one(one, *text))(weights)

    spread = jax.shard_map(local, mesh=devices, in_specs=_READS, out_specs=P("models"), check_vma=False)
    return spread(weights, codes, targets, counts, resets)


def compute_losses(logits: Float[Array, "*batch V"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Minus the log-probability of each target."""
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def predict(
    weights: Weights,
    corpus: Corpus,
    override: Override,
    drive: Drive | None = None,
    *,
    classes: Float[np.ndarray, "V X"] | None = None,
    visited: StateGaussian | None = None,
) -> Predictions:
    """Predict a corpus under M overrides at once, on all devices; several processes share the overrides.

    Parameters
    ----------
    weights
        The network.
    corpus
        What it reads.
    override
        Arrays ``(M, N)``: one override a set.
    drive
        What all sets follow, arrays ``(T,)``; None where the override needs nothing.
    classes
        0 and 1: which symbols belong to each of X classes.
    visited
        The intact network's states, to measure distances from.
    """
    n_all = override.mask.shape[0]
    override = jax.tree.map(lambda a: a[processes.shard(n_all)], override) if processes.count() > 1 else override
    n_sets = override.mask.shape[0]
    lanes = make_lanes(corpus, choose_lane_count(corpus, 128))
    devices = make_mesh("sets", n_sets + n_sets % 2)
    n_slabs = -(-n_sets // (devices.size * _SLAB.get(jax.default_backend(), _SETS_AT_ONCE)))
    size = -(-n_sets // (n_slabs * devices.size)) * devices.size  # the same for all slabs: one program serves them
    padded = jax.tree.map(lambda a: jnp.concatenate([a, *[a[:1]] * (n_slabs * size - n_sets)]), override)
    slabs = [jax.tree.map(lambda a, n=n: a[n * size : (n + 1) * size], padded) for n in range(n_slabs)]
    n_classes = 0 if classes is None else classes.shape[1]
    # Never without a column: an axis of length 0 cannot be mapped in batches.
    sums = np.zeros((weights.head.shape[-1], 1), np.float32) if classes is None else np.asarray(classes, np.float32)
    now = shard_drive(drive or Drive(), lanes)
    parts = [
        jax.device_get(_predict_sets(weights, lanes, now, slab, sums, visited, devices))
        for slab in track(slabs, "overriding", "characters", size * corpus.n_positions)
    ]
    whole = (np.concatenate(arrays)[:n_sets] for arrays in zip(*parts, strict=True))
    loss, best, class_probability, distance = (processes.all_gather(array, n_all) for array in whole)
    where, total = lanes.target_positions, corpus.n_positions
    predicted = np.zeros(total, bool)
    predicted[where[where >= 0]] = True
    return Predictions(
        loss=_by_position(loss, where, total),
        best=_by_position(best, where, total).astype(np.int32),
        total_loss=loss[:, lanes.weights > 0].mean(axis=1, dtype=np.float64),
        predicted=predicted,
        class_probability=_by_position(class_probability[..., :n_classes], where, total),
        distance=_by_position(distance, lanes.positions, total),
    )


@partial(jax.jit, static_argnames="devices")
def _predict_sets(
    weights: Weights,
    lanes: Lanes,
    drive: Drive,
    override: Override,
    classes: Array,
    visited: StateGaussian | None,
    devices: Mesh,
) -> tuple[Array, ...]:
    def local(sets: Override, drive: Drive, lanes: Lanes, weights: Weights, classes: Array, visited: Any) -> Any:
        table = input_table(weights)

        def body(single: Override, carries: Carries, inputs: Any) -> tuple[Carries, tuple[Array, ...]]:
            codes, targets, resets, now = inputs
            new, shown, _ = network_step(weights, table, carries, codes, resets, (single,), (now,))
            logits = compute_logits(weights, shown[-1].h)
            best = jnp.argmax(logits, axis=-1).astype(jnp.uint8 if logits.shape[-1] <= 256 else jnp.int32)
            class_probability = (jax.nn.softmax(logits) @ classes).astype(jnp.float16)
            distance = jnp.full(codes.shape, jnp.nan) if visited is None else visited.distance(all_hidden(shown))
            return new, (compute_losses(logits, targets), best, class_probability, distance)

        def one(single: Override) -> tuple[Array, ...]:
            start, text = zero_carries(weights, lanes.codes.shape[1]), (lanes.codes, lanes.targets, lanes.resets, drive)
            return jax.lax.scan(partial(body, single), start, text)[1]

        return map_models(one, _SETS_AT_ONCE)(sets)

    specs = (P("sets"), P(), P(), P(), P(), P())
    spread = jax.shard_map(local, mesh=devices, in_specs=specs, out_specs=P("sets"), check_vma=False)
    return spread(override, drive, lanes, weights, classes, visited)


def shard_drive(drive: Drive, lanes: Lanes) -> Drive:
    """Lay a drive ``(T, ...)`` out like the lanes, with a last axis to broadcast over neurons; none between strings."""
    rows = (None if values is None else at_positions(values, lanes) for values in drive)
    return Drive(*(laid[..., None] if laid is not None and laid.ndim == 2 else laid for laid in rows))


def at_positions(values: np.ndarray, lanes: Lanes) -> np.ndarray:
    """Lay values that belong to corpus positions ``(T, ...)`` out like the lanes; 0 where there is no position."""
    laid = values[np.maximum(lanes.positions, 0)]
    inside = lanes.positions.reshape(lanes.positions.shape + (1,) * (values.ndim - 1)) >= 0
    return np.where(inside, laid, np.zeros((), laid.dtype))


def _by_position(values: Shaped[np.ndarray, "M n B *x"], where: Int[np.ndarray, "n B"], total: int) -> np.ndarray:
    """Bring what belongs to lanes into the corpus' order; 0 at positions without."""
    result = np.zeros((len(values), total, *values.shape[3:]), values.dtype)
    inside = where >= 0
    result[:, where[inside]] = values[:, inside]
    return result
