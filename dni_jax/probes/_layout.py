"""Positions arranged for the solvers: only those in use, fold after fold, in blocks that never cross a fold."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt

from dni_jax.probes import _bits

# Rows of a block at most, about; and the step in which its length grows.
_BLOCK, _STEP = 2_560, 64


class FoldBlocks(NamedTuple):
    """Rows of equal length that cover every position in use once.

    Attributes
    ----------
    rows : int32 (J, R)
        Positions; the padding repeats position 0.
    real : bool (J, R)
        False at the padding.
    fold : int32 (J,)
        The fold that each block lies in.
    """

    rows: Int[np.ndarray | Array, "J R"]
    real: Bool[np.ndarray | Array, "J R"]
    fold: Int[np.ndarray | Array, " J"]


def used_positions(folds: Int[np.ndarray, " T"]) -> Int[np.ndarray, " U"]:
    """Positions in use, ordered by fold."""
    order = np.argsort(folds, kind="stable").astype(np.int32)
    return order[np.count_nonzero(folds < 0) :]


def put_padded(array: Any, *sizes: int, mode: Any = "constant") -> Array:
    """Put an array on the device, its first axes padded to some sizes; NumPy's are padded before they are sent."""
    widths = [(0, size - n) for n, size in zip(array.shape, sizes, strict=False)]
    widths += [(0, 0)] * (array.ndim - len(widths))
    if not any(after for _, after in widths):
        return jax.device_put(array)
    return jnp.pad(array, widths, mode) if isinstance(array, jax.Array) else jax.device_put(np.pad(array, widths, mode))


def make_blocks(fold_of: Int[np.ndarray, " T"], n_folds: int) -> FoldBlocks:
    """Cut positions, already ordered by fold, into blocks; `fold_of` is their fold."""
    sizes = np.bincount(fold_of, minlength=n_folds)
    # Every fold ends in a padded block, so the length is one that divides folds of about the same size.
    fold_size = min(int(sizes.max()), int(1.1 * sizes.mean()) + 1)
    length = -(-fold_size // -(-fold_size // _BLOCK))
    length = -(-length // _STEP) * _STEP
    per_fold = -(-sizes // length)
    fold = np.repeat(np.arange(n_folds, dtype=np.int32), per_fold)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    number = np.arange(len(fold)) - np.repeat(np.cumsum(per_fold) - per_fold, per_fold)
    within = number[:, None] * length + np.arange(length)
    real = within < sizes[fold][:, None]
    rows = np.where(real, starts[fold][:, None] + within, 0).astype(np.int32)
    return FoldBlocks(rows, real, fold)


def fixed_blocks(folds: Int[np.ndarray, " T"], n_folds: int, length: int = 512) -> FoldBlocks:
    """Cut positions in any order into blocks whose number and length depend on T and `n_folds` alone.

    A block without a position is all padding, in fold 0.
    """
    order = used_positions(folds)
    sizes = np.bincount(folds[order], minlength=n_folds)
    per_fold = -(-sizes // length)
    first_block = np.cumsum(per_fold) - per_fold
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    block = np.repeat(first_block, sizes) + place // length
    n_blocks = len(folds) // length + n_folds
    rows, real = np.zeros((n_blocks, length), np.int32), np.zeros((n_blocks, length), bool)
    rows[block, place % length], real[block, place % length] = order, True
    fold = np.zeros(n_blocks, np.int32)
    fold[: per_fold.sum()] = np.repeat(np.arange(n_folds, dtype=np.int32), per_fold)
    return FoldBlocks(rows, real, fold)


def pack_folds(fold_of: Int[np.ndarray, " T"], n_folds: int, word: int) -> UInt[np.ndarray, "T V"]:
    """Pack the folds' members into bits."""
    return _bits.pack_columns(fold_of[:, None] == np.arange(n_folds), word)


def valid_words(n_positions: int, word: int) -> UInt[np.ndarray, " B"]:
    """Bits of the ranks that exist."""
    n_words = -(-n_positions // word)
    exists = np.arange(n_words * word) < n_positions
    return _bits.pack_columns(exists.reshape(n_words, word), word)[:, 0]


def prefix_sums(rows: Shaped[Array, "B *fits"]) -> Shaped[Array, "B1 *fits"]:
    """Sum the rows before each, and all of them (the last row), in parallel."""
    return jnp.pad(jnp.cumsum(rows, axis=0, dtype=rows.dtype), ((1, 0), *[(0, 0)] * (rows.ndim - 1)))


def fold_products(
    left: Float[Array, "T N"],
    right: Shaped[Array, "T F"],
    blocks: FoldBlocks,
    n_folds: int,
    parallel: bool = False,
) -> Float[Array, "K N F"]:
    """Compute ``left.T @ right`` over each fold's positions in float64, block after block or all at once."""
    if parallel:
        a = jnp.where(blocks.real[..., None], left[blocks.rows], 0).astype(jnp.float64)
        each = jnp.einsum("jrn,jrf->jnf", a, right[blocks.rows].astype(jnp.float64))
        return jnp.zeros((n_folds, *each.shape[1:]), jnp.float64).at[blocks.fold].add(each)

    def add(total: Array, block: tuple) -> tuple[Array, None]:
        rows, real, fold = block
        a = jnp.where(real[:, None], left[rows], 0).astype(jnp.float64)
        return total.at[fold].add(a.T @ right[rows].astype(jnp.float64)), None

    start = jnp.zeros((n_folds, left.shape[1], right.shape[1]), jnp.float64)
    return lax.scan(add, start, blocks)[0]
