"""A network reads lanes of text, some steps in one call; its states come out part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from dni_jax.devices import make_grid
from dni_jax.interventions import Drive, Override
from dni_jax.models._evaluation import shard_drive
from dni_jax.models._lanes import Lanes
from dni_jax.models._network import Carries, all_hidden, compute_logits, input_table, network_step, zero_carries
from dni_jax.models._shared import own_lanes, states_of_all
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import Weights

KINDS = ("hidden", "cell", "gates", "logits")
Bound = tuple[tuple[Override, ...], tuple[Drive, ...]]  # overrides, and what each follows through the positions


def asked_for(model: TrainedModel, what: Sequence[str], dtype: str) -> tuple[str, ...]:
    """Check what is to be recorded of a network, and in what type."""
    unknown = set(what) - set(KINDS)
    if unknown:
        raise ValueError(f"expected what to record among {KINDS}, got {sorted(unknown)}")
    if "cell" in what and not model.weights.cell_type.has_memory:
        raise ValueError(f"expected 'cell' of an LSTM only, got it with a network of kind {model.weights.cell!r}")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"expected dtype 'float32' or 'float16', got {dtype!r}")
    return tuple(dict.fromkeys(("hidden", *what)))


def states_of(
    model: TrainedModel,
    lanes: Lanes,
    bound: Bound,
    what: tuple[str, ...],
    dtype: str,
    steps: int,
    n_positions: int,
    *,
    shared: bool = False,
) -> dict[str, np.ndarray]:
    """Let a network read lanes; gives each kind of states as an array ``(T, ...)``.

    With `shared`, several processes each read some of the lanes, and get the states of all.

    Raises
    ------
    ValueError
        For states that are not finite.
    """
    kept: dict[str, np.ndarray] = {}
    for positions, states in scattered_states(model, own_lanes(lanes) if shared else lanes, bound, what, dtype, steps):
        for name, values in zip(what, states, strict=True):
            if name not in kept:  # one row more than there are characters takes what belongs to none
                kept[name] = np.empty((n_positions + 1, *values.shape[2:]), values.dtype)
            for shard in values.addressable_shards:  # each as it lies in its device's memory, not joined first
                rows = np.asarray(shard.data)
                kept[name][positions[shard.index[:2]].reshape(-1)] = rows.reshape(-1, *rows.shape[2:])
    result = {name: array[:-1] for name, array in kept.items()}
    if shared:
        result = states_of_all(result, lanes)
    if not np.isfinite(result["hidden"]).all():
        raise ValueError(
            "expected finite states, got NaN or infinity: the network's weights, or the values of the intervention, "
            "are not finite or too large"
        )
    return result


def scattered_states(
    model: TrainedModel, lanes: Lanes, bound: Bound, what: tuple[str, ...], dtype: str, steps: int
) -> Iterator[tuple[np.ndarray, list[Array]]]:
    """Yield the states of some steps of all lanes, and their positions; the next ones are computed meanwhile."""
    overrides, drives = bound
    laid = tuple(shard_drive(drive, lanes) for drive in drives)
    length, n_lanes = lanes.codes.shape
    weights, devices = model.weights, make_grid(1, n_lanes)
    carries = zero_carries(weights, n_lanes)
    size = steps if length % steps == 0 else length
    ready: tuple[np.ndarray, list[Array]] | None = None
    for first in range(0, length, size):
        part = slice(first, first + size)
        now = jax.tree.map(lambda rows, part=part: rows[part], laid)
        carries, states = _run(
            weights, carries, lanes.codes[part], lanes.resets[part], overrides, now, what, dtype, devices
        )
        if ready is not None:
            yield ready
        ready = lanes.positions[part], states
    if ready is not None:
        yield ready


@partial(jax.jit, static_argnames=("what", "dtype", "devices"))
def _run(
    weights: Weights,
    carries: Carries,
    codes: Array,
    resets: Array,
    overrides: tuple[Override, ...],
    drives: tuple[Drive, ...],
    what: tuple[str, ...],
    dtype: str,
    devices: Mesh,
) -> tuple[Carries, list[Array]]:
    def local(
        weights: Weights, carries: Carries, codes: Array, resets: Array, overrides: Any, drives: Any
    ) -> tuple[Carries, list[Array]]:
        table = input_table(weights)

        def body(old: Carries, inputs: Any) -> tuple[Carries, list[Array]]:
            codes, resets, now = inputs
            new, shown, gates = network_step(weights, table, old, codes, resets, overrides, now)
            states = {
                "hidden": lambda: all_hidden(shown),
                "cell": lambda: jnp.concatenate([carry.c for carry in shown], axis=-1),
                "gates": lambda: jnp.concatenate([jnp.stack(each, axis=1) for each in gates], axis=-1),
                "logits": lambda: compute_logits(weights, shown[-1].h),
            }
            return new, [states[name]().astype(dtype) for name in what]

        return jax.lax.scan(body, carries, (codes, resets, drives))

    across, text = P("lanes"), P(None, "lanes")
    spread = jax.shard_map(
        local, mesh=devices, in_specs=(P(), across, text, text, P(), text), out_specs=(across, text), check_vma=False
    )
    return spread(weights, carries, codes, resets, overrides, drives)
