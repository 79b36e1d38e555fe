"""Sets of positions as 64-bit words: pack, transpose, count and select without touching single positions.

A sorted neuron is cut into words of 64 neighbouring ranks. One word per feature holds its positives, one per fold
its positions. The training positives of feature f without fold k are then ``positives & ~fold``, counted by a popcount.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, UInt64

WORD = 64
_SWAPS = (
    (32, 0x00000000FFFFFFFF),
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def pack_columns(columns: Bool[np.ndarray, "T C"]) -> UInt64[np.ndarray, "T W"]:
    """Pack the columns of each row into 64-bit words, lowest bit first, padding with zeros."""
    n_rows, n_columns = columns.shape
    n_words = max(1, -(-n_columns // WORD))
    packed = np.zeros((n_rows, 8 * n_words), np.uint8)
    packed[:, : -(-n_columns // 8)] = np.packbits(columns, axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def transpose_words(words: UInt64[Array, "*batch 64"]) -> UInt64[Array, "*batch 64"]:
    """Transpose 64 x 64 bit matrices by swapping ever smaller blocks (Hacker's Delight, section 7-3)."""
    batch = words.shape[:-1]
    for width, mask in _SWAPS:
        shift = jnp.uint64(width)
        pairs = words.reshape(*batch, WORD // (2 * width), 2, width)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        swap = ((low >> shift) ^ high) & jnp.uint64(mask)
        words = jnp.stack([low ^ (swap << shift), high ^ swap], axis=-2).reshape(*batch, WORD)
    return words


def words_by_rank(
    packed: UInt64[Array, "T W"], order: Int[Array, " T"], n_columns: int
) -> UInt64[Array, "B {n_columns}"]:
    """Reorder the rows and turn them into one word a column for every 64 neighbouring rows."""
    n_words = -(-packed.shape[0] // WORD)
    rows = jnp.pad(packed[order], ((0, n_words * WORD - packed.shape[0]), (0, 0)))
    blocks = rows.reshape(n_words, WORD, -1).swapaxes(1, 2)
    return transpose_words(blocks).reshape(n_words, -1)[:, :n_columns]


def popcount(words: UInt64[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Count the set bits of each word."""
    return lax.population_count(words).astype(jnp.int32)


def below(bit: Int[Array, "*shape"]) -> UInt64[Array, "*shape"]:
    """Mask of the bits lower than `bit`, for 0 <= bit < 64."""
    return (jnp.uint64(1) << bit.astype(jnp.uint64)) - jnp.uint64(1)


def select(words: UInt64[Array, "*shape"], rank: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Position of each word's set bit number `rank`, counted from 0 at the low end."""
    position = jnp.zeros(words.shape, jnp.uint64)
    for width in (32, 16, 8, 4, 2, 1):
        count = popcount((words >> position) & jnp.uint64((1 << width) - 1))
        higher = rank >= count
        rank = jnp.where(higher, rank - count, rank)
        position = jnp.where(higher, position + jnp.uint64(width), position)
    return position.astype(jnp.int32)


def expand(words: UInt64[Array, "*shape"]) -> Bool[Array, "*shape 64"]:
    """Spread each word's bits over a new last axis."""
    shifts = jnp.arange(WORD, dtype=jnp.uint64)
    return ((words[..., None] >> shifts) & jnp.uint64(1)).astype(bool)
