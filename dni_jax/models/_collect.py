"""The states of a rollout over a corpus, several steps per call, brought into the corpus' order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Array

from dni_jax import processes
from dni_jax.devices import make_grid
from dni_jax.interventions import Bound
from dni_jax.models._lanes import Lanes
from dni_jax.models._network import zero_carries
from dni_jax.models._rollout import Emit, Text, rollout_sets
from dni_jax.models._trained import TrainedModel

KINDS = ("hidden", "cell", "gates", "logits")


def choose_states(model: TrainedModel, what: Sequence[str], dtype: str) -> Emit:
    """Check what is to be recorded of a network, and in which type; hidden states always are."""
    unknown = set(what) - set(KINDS)
    if unknown:
        raise ValueError(f"expected what to record among {KINDS}, got {sorted(unknown)}")
    if "cell" in what and not model.weights.cell_type.has_memory:
        raise ValueError(
            f"expected 'cell' only for a network with a memory, got a network of {model.weights.cell!r} cells"
        )
    if dtype not in ("float32", "float16"):
        raise ValueError(f"expected dtype 'float32' or 'float16', got {dtype!r}")
    return Emit(tuple(dict.fromkeys(("hidden", *what))), dtype)


def collect_states(
    model: TrainedModel, lanes: Lanes, bound: Bound, emit: Emit, steps: int, n_positions: int, *, shared: bool = False
) -> dict[str, np.ndarray]:
    """Run a network over lanes; return each kind of states as an array ``(T, ...)``.

    With `shared`, several processes each read some of the lanes, and get the states of all.

    Raises
    ------
    ValueError
        For states that are not finite.
    """
    kept: dict[str, np.ndarray] = {}
    for positions, states in iterate_states(model, lanes.share() if shared else lanes, bound, emit, steps):
        for name, values in zip(emit.names, states, strict=True):
            if name not in kept:  # symbols that are no character, boundaries and padding, are written to a last row
                kept[name] = np.empty((n_positions + 1, *values.shape[3:]), values.dtype)
            for shard in values.addressable_shards:  # each from its device's memory, without joining them first
                rows = np.asarray(shard.data)
                kept[name][positions[shard.index[1:3]].reshape(-1)] = rows.reshape(-1, *rows.shape[3:])
    result = {name: array[:-1] for name, array in kept.items()}
    if shared:
        result = _gather(result, lanes)
    if not np.isfinite(result["hidden"]).all():
        raise ValueError(
            "expected finite states, got NaN or infinity: the network's weights, or the values of the intervention, "
            "are not finite or too large"
        )
    return result


def iterate_states(
    model: TrainedModel, lanes: Lanes, bound: Bound, emit: Emit, steps: int
) -> Iterator[tuple[np.ndarray, tuple[Array, ...]]]:
    """Yield the positions and states ``(1, n, B, ...)`` of some steps of all lanes."""
    length, n_lanes = lanes.codes.shape
    weights, devices, drives = model.weights, make_grid(1, n_lanes), lanes.drives(bound.drives)
    overrides = jax.tree.map(lambda array: array[None], processes.to_host(bound.overrides))
    size = steps if length % steps == 0 else length
    carries = None if size == length else jax.tree.map(lambda part: part[None], zero_carries(weights, n_lanes))
    ready: tuple[np.ndarray, tuple[Array, ...]] | None = None
    for first in range(0, length, size):
        part = slice(first, first + size)
        text = Text(lanes.codes[part], lanes.resets[part])
        now = Bound(overrides, jax.tree.map(lambda rows, part=part: rows[part], drives))
        carries, states = rollout_sets(weights, text, now, emit, carries, 1, devices)
        # JAX returns before the states are there, so these are computed while the caller copies those before.
        if ready is not None:
            yield ready
        ready = lanes.positions[part], states
    if ready is not None:
        yield ready


def _gather(states: dict[str, np.ndarray], lanes: Lanes) -> dict[str, np.ndarray]:
    """Fill in what other processes have recorded, in arrays that hold what this one has."""
    if processes.count() == 1:
        return states
    n_lanes, mine = lanes.codes.shape[1], lanes.share()
    inside = lanes.positions >= 0
    filled = {}
    for name, array in states.items():
        # Where a lane has no character, -1 reads whatever the last position holds; it is dropped again below.
        part = np.moveaxis(array[mine.positions], 1, 0)
        whole = np.moveaxis(processes.all_gather(part, n_lanes), 0, 1)
        filled[name] = np.empty_like(array)
        filled[name][lanes.positions[inside]] = whole[inside]
    return filled
