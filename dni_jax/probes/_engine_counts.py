"""The binned engine for classes: any number of positions in a fixed amount of memory.

Each neuron is rounded to levels chosen beforehand, and positions are counted by level, fold and feature. Counts are
integers, so they merge to the bit. The probes are then solved exactly on the rounded neurons, at a cost that does not
grow with the number of positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped, UInt16

from dni_jax import devices
from dni_jax.probes import _binned_neuron as binned_neuron
from dni_jax.probes import _check, _layout
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._engine import CHUNK, Engine, Sample, Scores, make_scores
from dni_jax.probes._neuron import Fit, confusion, direction, share_at_threshold
from dni_jax.probes._plan import SETTLED, Plan, make_plan, run_plan
from dni_jax.probes._registry import PROBES
from dni_jax.probes._spec import ProbeSpec

_LARGEST = 2**31 - 1
_COLUMNS = 64  # neurons whose sample is sorted at a time
_ERRORS = ("auc_error", "accuracy_error")


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of the positions seen so far, which add up to the bit.

    They take ``4 * N * B * K * (F + 1)`` bytes, and an update two copies of a chunk. The levels of states in half
    precision are read from a table of ``131,072 * N`` bytes, several times as fast as others.

    Attributes
    ----------
    spec : ProbeSpec
    levels : float64 (N, B)
        Increasing levels that each neuron is rounded to.
    cells : int32 (N', B, K, F + 1)
        Positives by level, fold and feature; the last column counts all positions. Neurons are padded to a multiple of
        the number of devices.
    n_positions : int
    length : int
        Positions that each update is padded to, in whole chunks.
    n_updates : int
    half_levels : uint16 (N', 65536), optional
        The level of every number in half precision, once such states have come.
    """

    spec: ProbeSpec
    levels: Float[np.ndarray, "N B"]
    cells: Any
    n_positions: int = 0
    length: int = 0
    n_updates: int = 0
    half_levels: Any = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of neurons, features and folds."""
        return len(self.levels), self.cells.shape[3] - 1, self.cells.shape[2]

    @property
    def counts(self) -> Int[np.ndarray, "N B K F1"]:
        """The counts, without padding."""
        return np.asarray(self.cells)[: len(self.levels)]

    def __add__(self, other: Counts) -> Counts:
        if self.levels.shape != other.levels.shape or (self.levels != other.levels).any():
            raise ValueError(
                "expected counts on the same levels, got different ones; choose levels once for all chunks"
            )
        if self.cells.shape != other.cells.shape:
            raise ValueError(f"expected counts of shape {self.cells.shape}, got {other.cells.shape}")
        total = _check_total(self.n_positions + other.n_positions)
        cells = np.asarray(self.cells) + np.asarray(other.cells)
        return replace(self, cells=cells, n_positions=total, n_updates=self.n_updates + other.n_updates)


def choose_levels(hidden: Shaped[np.ndarray | Array, "T N"], n_bins: int = 512) -> Float[np.ndarray, "N B"]:
    """Choose levels that hold about equally many of a sample's positions, for each neuron.

    Parameters
    ----------
    hidden : float array (T, N)
        A sample of the states; some hundred positions per level are enough.
    n_bins : int
        Number of levels, at least 2.

    Returns
    -------
    float64 array (N, n_bins)
        The middle value of each of `n_bins` slices of the sorted sample. A neuron with at most `n_bins` distinct values
        has these as its levels, so that nothing is rounded; the last one is repeated, and the repetitions stay empty.

    Raises
    ------
    ValueError
        For fewer than two levels, or a sample that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> choose_levels(np.arange(8.0)[:, None], 4).tolist()
    [[1.0, 3.0, 5.0, 7.0]]
    >>> choose_levels(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])[:, None], 3).tolist()
    [[0.0, 1.0, 1.0]]
    """
    if n_bins < 2:
        raise ValueError(f"expected n_bins >= 2, got {n_bins}")
    sample = np.asarray(_check.check_hidden(hidden))
    middles = (2 * np.arange(n_bins) + 1) * len(sample) // (2 * n_bins)
    levels = []
    for first in range(0, sample.shape[1], _COLUMNS):
        ordered = np.sort(sample[:, first : first + _COLUMNS], axis=0)
        some = ordered[middles].T
        few = np.count_nonzero(ordered[1:] != ordered[:-1], axis=0) < n_bins
        for column in np.flatnonzero(few):
            values = np.unique(ordered[:, column])
            some[column] = np.pad(values, (0, n_bins - len(values)), mode="edge")
        levels.append(some)
    return np.concatenate(levels).astype(np.float64)


def init(spec: ProbeSpec, sample: Sample) -> Counts:
    """Return counts of no position, on levels chosen from the sample."""
    n_neurons, n_features, n_folds = sample.shape
    levels, mesh = choose_levels(sample.used, spec.n_bins), devices.make_mesh("neurons")
    shape = (n_neurons + -n_neurons % mesh.size, spec.n_bins, n_folds, n_features + 1)
    with jax.enable_x64(True):
        cells = jax.device_put(np.zeros(shape, np.int32), NamedSharding(mesh, PartitionSpec("neurons")))
    return Counts(spec, levels, cells, length=min(sample.length, CHUNK))


def update(stats: Counts, hidden: Any, labels: Any, folds: Any) -> Counts:
    """Count some more positions, in the memory of the counts that are passed."""
    chunk = _check.check_chunk((hidden, labels, folds), stats.n_updates, stats.shape, True)
    hidden, labels, folds = chunk
    total = _check_total(stats.n_positions + int(np.count_nonzero(folds >= 0)))
    length = max(stats.length, min(len(folds), CHUNK))
    mesh, cells, table = devices.make_mesh("neurons"), jax.device_put(stats.cells), stats.half_levels
    at_once = count_at_once(stats.spec, stats.cells.shape, length, mesh.size)
    with jax.enable_x64(True):
        edges: Any = (stats.levels[:, 1:] + stats.levels[:, :-1]) / 2.0
        edges = jax.device_put(np.pad(edges, ((0, len(cells) - len(edges)), (0, 0))))
        if hidden.dtype == np.float16:
            edges = table = _half_levels(edges) if table is None else table
        for first in range(0, len(folds), length):
            part = slice(first, first + length)
            pad = length - len(folds[part])
            states = _layout.put_padded(hidden[part], length, len(cells))
            if hidden.dtype == np.float16:
                states = lax.bitcast_convert_type(states, jnp.uint16)
            rows = _layout.put_padded(labels[part], length)
            fold_of = jax.device_put(np.pad(folds[part], (0, pad), constant_values=-1))
            cells = _add_chunk(cells, states, rows, fold_of, edges, at_once, mesh)
            jax.block_until_ready(cells)  # otherwise chunks would queue up, and memory grow with their number
    n_updates = stats.n_updates + 1
    return replace(stats, cells=cells, n_positions=total, length=length, n_updates=n_updates, half_levels=table)


def _check_total(n_positions: int) -> int:
    if n_positions > _LARGEST:
        raise ValueError(f"expected at most {_LARGEST} positions, got {n_positions}; split them into several counts")
    return n_positions


def count_at_once(spec: ProbeSpec, shape: tuple[int, int, int, int], length: int, n_devices: int) -> int:
    """Choose how many neurons an accelerator counts in parallel, each with a copy of the labels; 0 on a CPU."""
    n_neurons, _, _, n_columns = shape
    per_device = n_neurons // n_devices
    plan = make_plan(replace(spec, feature_batch=None), per_device, 1, 8 * length * n_columns)
    if plan.platform == "cpu":
        return 0
    return next(size for size in range(plan.neuron_batch, 0, -1) if per_device % size == 0)


@jax.jit
def _half_levels(edges: Float[Array, "N E"]) -> UInt16[Array, "N 65536"]:
    """Return the level of each of the 65,536 numbers in half precision, by its bits."""
    every = lax.bitcast_convert_type(jnp.arange(2**16, dtype=jnp.uint16), jnp.float16).astype(edges.dtype)
    return lax.map(lambda row: jnp.searchsorted(row, every, side="right").astype(jnp.uint16), edges)


@partial(jax.jit, static_argnames=("at_once", "mesh"), donate_argnums=(0,))
def _add_chunk(
    total: Int[Array, "N B K F1"], states: Array, labels: Array, folds: Array, edges: Array, at_once: int, mesh: Mesh
) -> Int[Array, "N B K F1"]:
    """Add one chunk's positions to the counts, in place; `edges` is a table where states are bits of half precision.

    `at_once` neurons are counted in parallel; 0 counts them one after another, without copies of the labels.
    """

    def shard(total: Array, states: Array, labels: Array, folds: Array, edges: Array) -> Array:
        n_neurons, n_bins, n_folds, n_columns = total.shape
        rows = jnp.concatenate([labels.astype(jnp.int32), jnp.ones((len(folds), 1), jnp.int32)], axis=1)
        across = states.T

        def find_cells(edges: Array, x: Array) -> Array:
            if x.dtype == jnp.uint16:
                level = edges[x.astype(jnp.int32)].astype(jnp.int32)
            else:
                level = jnp.searchsorted(edges, x.astype(edges.dtype), side="right").astype(jnp.int32)
            return jnp.where(folds < 0, n_bins * n_folds, level * n_folds + folds)

        def one(neuron: Array, flat: Array) -> Array:
            return flat.at[neuron, find_cells(edges[neuron], across[neuron])].add(rows, mode="drop")

        def several(part: tuple[Array, Array, Array]) -> Array:
            edges, x, flat = part
            return jax.vmap(lambda flat, cell: flat.at[cell].add(rows, mode="drop"))(
                flat, jax.vmap(find_cells)(edges, x)
            )

        flat = total.reshape(n_neurons, n_bins * n_folds, n_columns)
        if at_once:
            parts = (part.reshape(-1, at_once, *part.shape[1:]) for part in (edges, across, flat))
            return lax.map(several, tuple(parts)).reshape(total.shape)
        return lax.fori_loop(0, n_neurons, one, flat).reshape(total.shape)

    by_neuron = PartitionSpec("neurons")
    specs = (by_neuron, PartitionSpec(None, "neurons"), PartitionSpec(), PartitionSpec(), by_neuron)
    sharded = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=by_neuron, check_vma=False)
    return sharded(total, states, labels, folds, edges)


def score(stats: Counts) -> Scores:
    """Fit and score every neuron, feature and fold.

    In ``attrs``, "auc_error" bounds the rounding's effect on any AUC of a neuron: half the share of held-out pairs
    within one level. "accuracy_error" estimates that on accuracy: the largest share of held-out positions in the two
    levels next to a threshold.
    """
    spec = stats.spec
    table = np.asarray(stats.cells[0]).sum(0, dtype=np.int64)
    positives, sizes = table[:, :-1], table[:, -1]
    _check.check_fold_sizes(sizes)
    mesh = devices.make_mesh("neurons")
    plan = plan_levels(spec, stats.cells.shape, mesh.size)

    def run(plan: Plan, neurons: np.ndarray | slice) -> dict[str, np.ndarray]:
        with jax.enable_x64(True):
            some = stats.levels[neurons]
            # All neurons are padded to the number of devices already.
            cells = stats.cells if isinstance(neurons, slice) else stats.cells[neurons]
            n_padded = len(some) + -len(some) % (mesh.size * plan.neuron_batch)
            levels = _layout.put_padded(some, n_padded, mode="edge")
            strengths = np.asarray(spec.strengths, np.float64)
            scores = _score(levels, _layout.put_padded(cells, n_padded), strengths, spec.compiled(), plan, mesh)
            return {name: np.asarray(part)[: len(some)] for name, part in scores.items()}

    # (neuron, strength, fold, feature) -> (strength, neuron, feature, fold)
    arrays = {name: part.transpose(1, 0, 3, 2) for name, part in run_plan(run, plan).items()}
    errors = {name: float(np.nanmax(arrays.pop(name), initial=0.0)) for name in _ERRORS}
    attrs = {"engine": "binned", "n_bins": stats.levels.shape[1], "n_devices": mesh.size, **errors}
    return make_scores(spec, arrays, metrics.majority_baseline(positives, sizes), attrs)


def plan_levels(spec: ProbeSpec, shape: tuple[int, int, int, int], n_devices: int) -> Plan:
    """Choose how many neurons' prefixes, which take about 40 bytes per cell, each device holds at a time."""
    n_neurons, n_bins, n_folds, n_columns = shape
    return make_plan(
        replace(spec, feature_batch=None), -(-n_neurons // n_devices), 1, 40 * n_bins * n_folds * n_columns
    )


@partial(jax.jit, static_argnames=("spec", "plan", "mesh"))
def _score(levels: Array, cells: Array, strengths: Array, spec: ProbeSpec, plan: Plan, mesh: Mesh) -> dict[str, Array]:
    probe, solver = PROBES[spec.probe], plan.solver(spec)
    assert probe.classify is not None

    def one(strengths: Array, neuron: tuple) -> dict[str, Array]:
        levels, cells = neuron
        binned = binned_neuron.bin_neuron(levels, cells[:, :, :-1], cells[:, :, -1], plan.parallel)
        rank_sum, tied = binned_neuron.rank_sums(binned), binned_neuron.tied_pairs(binned)

        def solve(strength: Array) -> dict[str, Array]:
            fit: Fit = probe.classify(binned, strength, solver)  # type: ignore[misc]
            counts = confusion(binned, fit)
            scores = {name: metrics.FROM_COUNTS[name](counts) for name in spec.names if name != "auc"}
            if "auc" in spec.names:
                scores["auc"] = metrics.auc(rank_sum, counts, direction(binned, fit.weight))
            scores["auc_error"] = metrics.tie_bound(tied, counts)
            scores["accuracy_error"] = share_at_threshold(binned, fit)
            scores[SETTLED] = jnp.asarray(fit.spread().settled)
            return scores | fit.moved(binned.center).line()

        return lax.map(solve, strengths)

    def shard(levels: Array, cells: Array, strengths: Array) -> dict[str, Array]:
        batches = [part.reshape(-1, plan.neuron_batch, *part.shape[1:]) for part in (levels, cells)]
        scores = lax.map(partial(plan.map, partial(one, strengths)), tuple(batches))
        return {name: part.reshape(-1, *part.shape[2:]) for name, part in scores.items()}

    by_neuron = PartitionSpec("neurons")
    specs = (by_neuron, by_neuron, PartitionSpec())
    sharded = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=by_neuron, check_vma=False)
    return sharded(levels, cells, strengths)


ENGINE = Engine("binned", init, update, score)
