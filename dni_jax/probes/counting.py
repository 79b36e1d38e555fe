"""Positions counted by (level, fold, feature): integers that merge to the bit, in a fixed amount of memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

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
    mesh = devices.mesh("neurons")
    n_neurons, n_bins = levels.shape
    edges = (levels[:, 1:] + levels[:, :-1]) / 2.0
    edges = np.pad(edges, ((0, -n_neurons % mesh.size), (0, 0)))
    total, n_positions, length = None, 0, 0
    with jax.enable_x64(True):
        for hidden, labels, folds in _check.check_chunks(chunks, n_neurons, n_folds):
            length = max(length, len(folds))
            n_positions = _check_total(n_positions + int(np.count_nonzero(folds >= 0)))
            if total is None:
                shape = (len(edges), n_bins, n_folds, labels.shape[1] + 1)
                total = jnp.zeros(shape, jnp.int32)
            elif labels.shape[1] + 1 != total.shape[3]:
                raise ValueError(
                    f"expected labels of {total.shape[3] - 1} features in every chunk, got {labels.shape[1]}"
                )
            pad = length - len(folds)
            hidden = jnp.pad(jnp.asarray(hidden), ((0, pad), (0, len(edges) - n_neurons)))
            labels, folds = np.pad(labels, ((0, pad), (0, 0))), np.pad(folds, (0, pad), constant_values=-1)
            total = _add_chunk(total, hidden, jnp.asarray(labels), jnp.asarray(folds), jnp.asarray(edges), mesh)
            jax.block_until_ready(total)  # else chunks would queue up, and memory grow with their number
    if total is None:
        raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
    return Counts(levels, total if len(total) == n_neurons else total[:n_neurons], n_positions)


def _check_total(n_positions: int) -> int:
    if n_positions > _MOST:
        raise ValueError(f"expected at most {_MOST} positions, got {n_positions}; split them into several counts")
    return n_positions


@partial(jax.jit, static_argnames=("mesh",), donate_argnums=(0,))
def _add_chunk(
    total: Int[Array, "N B K F1"], hidden: Array, labels: Array, folds: Array, edges: Array, mesh: Mesh
) -> Int[Array, "N B K F1"]:
    """Add one chunk's positions to the counts."""

    def shard(total: Array, hidden: Array, labels: Array, folds: Array, edges: Array) -> Array:
        _, n_bins, n_folds, n_columns = total.shape
        rows = jnp.concatenate([labels.astype(jnp.int32), jnp.ones((len(folds), 1), jnp.int32)], axis=1)

        def one(neuron: tuple) -> Array:
            total, x, edges = neuron
            level = jnp.searchsorted(edges, x.astype(edges.dtype), side="right").astype(jnp.int32)
            cell = jnp.where(folds < 0, n_bins * n_folds, level * n_folds + folds)
            flat = total.reshape(n_bins * n_folds, n_columns)
            return flat.at[cell].add(rows, mode="drop").reshape(total.shape)

        return lax.map(one, (total, hidden.T, edges))

    by_neuron = PartitionSpec("neurons")
    specs = (by_neuron, PartitionSpec(None, "neurons"), PartitionSpec(), PartitionSpec(), by_neuron)
    sharded = jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=by_neuron, check_vma=False)
    return sharded(total, hidden, labels, folds, edges)
