"""Positions counted by (level, fold, feature): integers that merge to the bit, in a fixed amount of memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped, UInt16

from dni_jax import devices
from dni_jax.probes import _check

_MOST = 2**31 - 1
# Positions counted at a time, and those that levels are chosen from.
CHUNK = 65_536
_SAMPLE = 200_000


@dataclass(frozen=True)
class Counts:
    """Counts of positions, which add up: ``count(a) + count(b)`` equals ``count(a and b)`` to the bit.

    Attributes
    ----------
    levels : float64 (N, B)
        Increasing levels that each neuron is rounded to.
    counts : int32 (N, B, K, F + 1)
        Positives by level, fold and feature; the last column counts all positions.
    n_positions : int
    """

    levels: np.ndarray
    counts: Any
    n_positions: int

    def padded(self, multiple: int) -> tuple[Array, Array]:
        """Levels and counts on the device, neurons padded to a multiple; the counts are not copied without need."""
        pad = -len(self.levels) % multiple
        levels, counts = jnp.asarray(self.levels), jnp.asarray(self.counts)
        if pad:
            levels = jnp.pad(levels, ((0, pad), (0, 0)), mode="edge")
            counts = jnp.pad(counts, ((0, pad), (0, 0), (0, 0), (0, 0)), mode="edge")
        return levels, counts

    def __add__(self, other: "Counts") -> "Counts":
        if self.levels.shape != other.levels.shape or (self.levels != other.levels).any():
            raise ValueError(
                "expected counts on the same levels, got different ones; choose levels once for all chunks"
            )
        if self.counts.shape != other.counts.shape:
            raise ValueError(f"expected counts of shape {self.counts.shape}, got {other.counts.shape}")
        total = _check_total(self.n_positions + other.n_positions)
        return Counts(self.levels, np.asarray(self.counts) + np.asarray(other.counts), total)


def in_chunks(
    hidden: Any, labels: np.ndarray, folds: np.ndarray, size: int = CHUNK
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Cut arrays of all positions into chunks."""
    for start in range(0, len(folds), size):
        part = slice(start, start + size)
        yield hidden[part], labels[part], folds[part]


def sample(hidden: Any, folds: np.ndarray) -> Any:
    """Take equally spaced positions in use, some 200,000 at most, to choose levels from."""
    used = np.flatnonzero(folds >= 0)
    return hidden[used[:: max(1, len(used) // _SAMPLE)]]


def choose_levels(hidden: Shaped[np.ndarray | Array, "T N"], n_bins: int = 512) -> Float[np.ndarray, "N B"]:
    """Levels that hold about equally many of a sample's positions, one set a neuron.

    Parameters
    ----------
    hidden : float array (T, N)
        A sample of the states; some hundred positions a level are enough.
    n_bins : int
        Number of levels, at least 2.

    Returns
    -------
    float64 array (N, n_bins)
        The middle value of each of `n_bins` slices of the sorted sample. Neurons with fewer distinct values repeat
        levels, which stay empty.

    Raises
    ------
    ValueError
        For fewer than two levels, or a sample that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_levels
    >>> choose_levels(np.arange(8.0)[:, None], 4).tolist()
    [[1.0, 3.0, 5.0, 7.0]]
    """
    if n_bins < 2:
        raise ValueError(f"expected n_bins >= 2, got {n_bins}")
    sample = np.sort(np.asarray(_check.check_hidden(hidden)), axis=0)
    middles = (2 * np.arange(n_bins) + 1) * len(sample) // (2 * n_bins)
    return np.ascontiguousarray(sample[middles].T).astype(np.float64)


def count(chunks: Iterable[_check.Chunk], levels: Float[np.ndarray, "N B"], n_folds: int) -> Counts:
    """Count positions, chunk after chunk.

    Parameters
    ----------
    chunks : iterable of (hidden, labels, folds)
        Arrays (t, N), (t, F) of 0 and 1, and (t,) with -1 for positions not used. Chunks of one length compile once.
    levels : float array (N, B)
        As from `choose_levels`.
    n_folds : int
        Number of folds K.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        For a bad chunk, no chunk at all, or more than 2 ** 31 - 1 positions.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_levels, count
    >>> x = np.linspace(-1, 1, 100)[:, None]
    >>> chunk = (x, x > 0, np.arange(100) % 2)
    >>> twice = count([chunk, chunk], choose_levels(x, 8), n_folds=2)
    >>> bool((twice.counts == (count([chunk], twice.levels, 2) + count([chunk], twice.levels, 2)).counts).all())
    True
    """
    counter = Counter(levels, n_folds)
    for chunk in chunks:
        counter.add(*chunk)
    return counter.counts()


class Counter:
    """Counts that grow chunk by chunk; what `count` does with an iterable of chunks.

    Memory: ``4 * N * B * K * (F + 1)`` bytes of counts, which chunks are added to in place, and a chunk in two copies.
    States in half precision are looked up in a table of ``131,072 * N`` bytes, several times as fast as others.

    Parameters
    ----------
    levels : float array (N, B)
    n_folds : int
    length : int
        Chunks are padded to this length, so that one program counts them all; longer ones raise it.

    Examples
    --------
    >>> import numpy as np
    >>> counter = Counter(np.array([[0.0, 1.0]]), n_folds=2)
    >>> counter.add(np.array([[0.2], [0.9]]), np.array([[1], [0]]), np.array([0, 1]))
    >>> np.asarray(counter.counts().counts)[0, :, :, 0].tolist()
    [[1, 0], [0, 0]]
    """

    def __init__(self, levels: Float[np.ndarray, "N B"], n_folds: int, length: int = 0) -> None:
        self.levels, self.n_folds, self.n_positions = levels, n_folds, 0
        self._mesh = devices.make_mesh("neurons")
        edges = (levels[:, 1:] + levels[:, :-1]) / 2.0
        self._edges = np.pad(edges, ((0, -len(levels) % self._mesh.size), (0, 0)))
        self._table: Array | None = None
        self._total: Array | None = None
        self._length, self._number = length, 0

    def add(self, hidden: Any, labels: Any, folds: Any) -> None:
        """Count some more positions; arguments as of one chunk in `count`."""
        n_neurons = len(self.levels)
        checked = _check.check_chunk(hidden, labels, folds, self._number, n_neurons, self.n_folds, widen=False)
        hidden, labels, folds = checked
        self._number += 1
        self._length = max(self._length, len(folds))
        self.n_positions = _check_total(self.n_positions + int(np.count_nonzero(folds >= 0)))
        with jax.enable_x64(True):
            if self._total is None:
                shape = (len(self._edges), self.levels.shape[1], self.n_folds, labels.shape[1] + 1)
                spread = NamedSharding(self._mesh, PartitionSpec("neurons"))
                self._total = jnp.zeros(shape, jnp.int32, device=spread)
            elif labels.shape[1] + 1 != self._total.shape[3]:
                raise ValueError(
                    f"expected labels of {self._total.shape[3] - 1} features in every chunk, got {labels.shape[1]}"
                )
            pad = self._length - len(folds)
            states = jnp.pad(jnp.asarray(hidden), ((0, pad), (0, len(self._edges) - n_neurons)))
            edges = jnp.asarray(self._edges)
            if hidden.dtype == np.float16:
                if self._table is None:
                    self._table = _half_levels(edges)
                states, edges = lax.bitcast_convert_type(states, jnp.uint16), self._table
            labels, folds = np.pad(labels, ((0, pad), (0, 0))), np.pad(folds, (0, pad), constant_values=-1)
            self._total = _add_chunk(self._total, states, jnp.asarray(labels), jnp.asarray(folds), edges, self._mesh)
            jax.block_until_ready(self._total)  # else chunks would queue up, and memory grow with their number

    def counts(self) -> Counts:
        """Give what was counted so far; good until the next chunk is added.

        Raises
        ------
        ValueError
            Where no chunk was added.
        """
        if self._total is None:
            raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
        n_neurons = len(self.levels)
        total = self._total if len(self._total) == n_neurons else self._total[:n_neurons]
        return Counts(self.levels, total, self.n_positions)


def _check_total(n_positions: int) -> int:
    if n_positions > _MOST:
        raise ValueError(f"expected at most {_MOST} positions, got {n_positions}; split them into several counts")
    return n_positions


@jax.jit
def _half_levels(edges: Float[Array, "N E"]) -> UInt16[Array, "N 65536"]:
    """The level of each of the 65,536 numbers in half precision, by its bits."""
    every = lax.bitcast_convert_type(jnp.arange(2**16, dtype=jnp.uint16), jnp.float16).astype(edges.dtype)
    return lax.map(lambda row: jnp.searchsorted(row, every, side="right").astype(jnp.uint16), edges)


@partial(jax.jit, static_argnames=("mesh",), donate_argnums=(0,))
def _add_chunk(
    total: Int[Array, "N B K F1"], states: Array, labels: Array, folds: Array, edges: Array, mesh: Mesh
) -> Int[Array, "N B K F1"]:
    """Add one chunk's positions to the counts, in place; `edges` is a table where states are bits of half precision."""

    def shard(total: Array, states: Array, labels: Array, folds: Array, edges: Array) -> Array:
        n_neurons, n_bins, n_folds, n_columns = total.shape
        rows = jnp.concatenate([labels.astype(jnp.int32), jnp.ones((len(folds), 1), jnp.int32)], axis=1)
        across = states.T

        def one(neuron: Array, flat: Array) -> Array:
            x = across[neuron]
            if x.dtype == jnp.uint16:
                level = edges[neuron][x.astype(jnp.int32)].astype(jnp.int32)
            else:
                level = jnp.searchsorted(edges[neuron], x.astype(edges.dtype), side="right").astype(jnp.int32)
            cell = jnp.where(folds < 0, n_bins * n_folds, level * n_folds + folds)
            return flat.at[neuron, cell].add(rows, mode="drop")

        flat = total.reshape(n_neurons, n_bins * n_folds, n_columns)
        return lax.fori_loop(0, n_neurons, one, flat).reshape(total.shape)

    by_neuron = PartitionSpec("neurons")
    specs = (by_neuron, PartitionSpec(None, "neurons"), PartitionSpec(), PartitionSpec(), by_neuron)
    sharded = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=by_neuron, check_vma=False)
    return sharded(total, states, labels, folds, edges)
