"""What a network predicts, under as many overrides as asked for at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from dni_jax.corpora import Corpus
from dni_jax.devices import grid, mesh
from dni_jax.interventions import Override
from dni_jax.models.lanes import Lanes, lane_count, lay_out
from dni_jax.models.network import Carries, network_scan, network_step, readout, table_of, zero_carries
from dni_jax.models.weights import Weights


class Predictions(NamedTuple):
    """Predictions of each character from what stands before it.

    Attributes
    ----------
    loss
        float32 ``(M, T)``: minus the natural log of the probability given to the character that came; M sets.
    best
        int32 ``(M, T)``: the code of the most probable character.
    total_loss
        float64 ``(M,)``: mean loss over all predicted symbols, boundaries included.
    predicted
        bool ``(T,)``: False for characters that nothing was predicted for (a piece's first).
    """

    loss: Float[np.ndarray, "M T"]
    best: Int[np.ndarray, "M T"]
    total_loss: Float[np.ndarray, " M"]
    predicted: np.ndarray


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
    lanes = lay_out(corpus, lane_count(corpus, 64))
    devices = grid(n_models, lanes.codes.shape[1])
    # Training may have spread the weights over other devices than this text can use.
    return np.asarray(_mean_losses(jax.device_get(weights), *lanes[:4], devices))


@partial(jax.jit, static_argnames="devices")
def _mean_losses(
    weights: Weights, codes: Array, targets: Array, counts: Array, resets: Array, devices: Mesh
) -> Float[Array, " M"]:
    def of_one(weights: Weights, codes: Array, targets: Array, counts: Array, resets: Array) -> Array:
        hidden, _ = network_scan(weights, codes, resets, zero_carries(weights, codes.shape[1]))
        losses = losses_of(readout(weights, hidden), targets)
        summed, counted = jax.lax.psum(((losses * counts).sum(), counts.sum()), "lanes")
        return summed / counted

    def local(weights: Weights, *text: Array) -> Array:
        return jax.lax.map(lambda one: of_one(one, *text), weights)

    text = P(None, "lanes")
    spread = jax.shard_map(
        local, mesh=devices, in_specs=(P("models"), text, text, text, text), out_specs=P("models"), check_vma=False
    )
    return spread(weights, codes, targets, counts, resets)


def losses_of(logits: Float[Array, "*batch V"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Minus the log-probability of each target."""
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def predict(weights: Weights, corpus: Corpus, override: Override, drive: np.ndarray | None = None) -> Predictions:
    """Predict a corpus under M overrides at once, on all devices.

    Parameters
    ----------
    weights
        The network.
    corpus
        What it reads.
    override
        Arrays ``(M, N)``: one override a set.
    drive
        float32 ``(T,)``: the signal all sets share; None where the override needs none.
    """
    n_sets = override.mask.shape[0]
    lanes = lay_out(corpus, lane_count(corpus, 128))
    per_step = None if drive is None else at_positions(drive, lanes)[..., None]
    devices = mesh("sets", n_sets + n_sets % 2)
    padded = jax.tree.map(lambda a: jnp.concatenate([a, a[: -n_sets % devices.size]]), override)
    loss, best = _predict_sets(weights, lanes, per_step, padded, devices)
    return _by_position(np.asarray(loss)[:n_sets], np.asarray(best)[:n_sets], lanes, corpus.n_positions)


@partial(jax.jit, static_argnames="devices")
def _predict_sets(
    weights: Weights, lanes: Lanes, drive: Array | None, override: Override, devices: Mesh
) -> tuple[Array, Array]:
    def one(single: Override, drive: Array | None, lanes: Lanes, weights: Weights) -> tuple[Array, Array]:
        table = table_of(weights)

        def body(carries: Carries, inputs: Any) -> tuple[Carries, tuple[Array, Array]]:
            codes, targets, resets, now = inputs
            new, shown, _ = network_step(weights, table, carries, codes, resets, (single,), (now,))
            logits = readout(weights, shown[-1].h)
            best = jnp.argmax(logits, axis=-1).astype(jnp.uint8 if logits.shape[-1] <= 256 else jnp.int32)
            return new, (losses_of(logits, targets), best)

        start = zero_carries(weights, lanes.codes.shape[1])
        return jax.lax.scan(body, start, (lanes.codes, lanes.targets, lanes.resets, drive))[1]

    def local(sets: Override, drive: Array | None, lanes: Lanes, weights: Weights) -> Any:
        return jax.lax.map(lambda single: one(single, drive, lanes, weights), sets)

    spread = jax.shard_map(
        local, mesh=devices, in_specs=(P("sets"), P(), P(), P()), out_specs=P("sets"), check_vma=False
    )
    return spread(override, drive, lanes, weights)


def at_positions(values: np.ndarray, lanes: Lanes) -> np.ndarray:
    """Lay values that belong to corpus positions ``(T, ...)`` out like the lanes; 0 where there is no position."""
    laid = values[np.maximum(lanes.positions, 0)]
    return np.where(lanes.positions.reshape(lanes.positions.shape + (1,) * (values.ndim - 1)) >= 0, laid, 0)


def _by_position(loss: np.ndarray, best: np.ndarray, lanes: Lanes, n_positions: int) -> Predictions:
    where = lanes.target_positions
    inside = where >= 0
    losses = np.zeros((len(loss), n_positions), np.float32)
    codes = np.zeros((len(best), n_positions), np.int32)
    losses[:, where[inside]] = loss[:, inside]
    codes[:, where[inside]] = best[:, inside]
    predicted = np.zeros(n_positions, bool)
    predicted[where[inside]] = True
    counted = lanes.weights > 0
    total = loss[:, counted].mean(axis=1, dtype=np.float64)
    return Predictions(losses, codes, total, predicted)
