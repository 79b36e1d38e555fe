"""What a network predicts, under as many overrides as asked for at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from dni_jax.corpora import Corpus
from dni_jax.devices import mesh
from dni_jax.interventions import Override, apply_overrides
from dni_jax.models.lanes import Lanes, lane_count, lay_out
from dni_jax.models.lstm import Carry, Weights, hidden_scan, readout, step, zero_carry


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
    lanes = lay_out(some, lane_count(some, 64))
    carry = zero_carry(lanes.codes.shape[1], weights.wh.shape[0])
    return float(_mean_loss(weights, *lanes[:4], carry))


@jax.jit
def _mean_loss(weights: Weights, codes: Array, targets: Array, counts: Array, resets: Array, carry: Carry) -> Array:
    hidden, _ = hidden_scan(weights.wx + weights.b, weights.wh, codes, resets, carry)
    losses = losses_of(readout(weights, hidden), targets)
    return (losses * counts).sum() / counts.sum()


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
    zero = zero_carry(lanes.codes.shape[1], weights.wh.shape[0])
    devices = mesh("sets", n_sets + n_sets % 2)
    padded = jax.tree.map(lambda a: jnp.concatenate([a, a[: -n_sets % devices.size]]), override)
    loss, best = _predict_sets(weights, lanes, per_step, zero, padded, devices)
    return _by_position(np.asarray(loss)[:n_sets], np.asarray(best)[:n_sets], lanes, corpus.n_positions)


@partial(jax.jit, static_argnames="devices")
def _predict_sets(
    weights: Weights, lanes: Lanes, drive: Array | None, zero: Carry, override: Override, devices: Any
) -> tuple[Array, Array]:
    table = weights.wx + weights.b

    def one(single: Override, drive: Array | None, lanes: Lanes, weights: Weights, table: Array) -> tuple[Array, Array]:
        def body(carry: Carry, inputs: Any) -> tuple[Carry, tuple[Array, Array]]:
            codes, targets, resets, now = inputs
            new, _, _ = step(table, weights.wh, carry, codes, resets)
            hidden, shown = apply_overrides((single,), (now,), new.h)
            logits = readout(weights, shown)
            best = jnp.argmax(logits, axis=-1).astype(jnp.uint8 if logits.shape[-1] <= 256 else jnp.int32)
            return Carry(new.c, hidden), (losses_of(logits, targets), best)

        _, outputs = jax.lax.scan(body, zero, (lanes.codes, lanes.targets, lanes.resets, drive))
        return outputs

    def local(sets: Override, drive: Array | None, lanes: Lanes, weights: Weights, table: Array) -> Any:
        return jax.lax.map(lambda single: one(single, drive, lanes, weights, table), sets)

    spread = jax.shard_map(
        local, mesh=devices, in_specs=(P("sets"), P(), P(), P(), P()), out_specs=P("sets"), check_vma=False
    )
    return spread(override, drive, lanes, weights, table)


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
