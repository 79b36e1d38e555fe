"""Sets of positions as words of bits: pack, transpose, count and select without touching single positions.

A sorted neuron is cut into words of W neighboring ranks. One word per feature holds its positives, one per fold
its positions. The training positives of feature f without fold k are then ``positives & ~fold``, counted by a popcount.
W is 64, or 32 for devices whose integers have 32 bits.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, UInt

WORD = 64  # bits, unless a plan says otherwise
_SWAPS = (
    (32, 0x00000000FFFFFFFF),
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def word_of(platform: str) -> int:
    """Return how many bits a word has on a platform: a TPU's integers have 32."""
    return 32 if platform == "tpu" else WORD


def width(words: UInt[Array, "*shape"]) -> int:
    """Bits of a word."""
    return words.dtype.itemsize * 8


def pack_columns(columns: Bool[np.ndarray, "T C"], word: int = WORD) -> UInt[np.ndarray, "T V"]:
    """Pack the columns of each row into words, lowest bit first, padding with zeros."""
    n_rows, n_columns = columns.shape
    n_words = max(1, -(-n_columns // word))
    packed = np.zeros((n_rows, word // 8 * n_words), np.uint8)
    packed[:, : -(-n_columns // 8)] = np.packbits(columns, axis=1, bitorder="little")
    return packed.view(f"<u{word // 8}").astype(f"u{word // 8}", copy=False)


def transpose_words(words: UInt[Array, "*batch W"]) -> UInt[Array, "*batch W"]:
    """Transpose W x W bit matrices by swapping ever smaller blocks (Hacker's Delight, section 7-3)."""
    batch, n_bits, kind = words.shape[:-1], width(words), words.dtype.type
    for size, mask in _SWAPS:
        if size == n_bits:
            continue
        shift = kind(size)
        pairs = words.reshape(*batch, n_bits // (2 * size), 2, size)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        swap = ((low >> shift) ^ high) & kind(mask % 2**n_bits)
        words = jnp.stack([low ^ (swap << shift), high ^ swap], axis=-2).reshape(*batch, n_bits)
    return words


def words_by_rank(packed: UInt[Array, "T V"], order: Int[Array, " T"], n_columns: int) -> UInt[Array, "B {n_columns}"]:
    """Reorder the rows and turn them into one word per column for every W neighboring rows."""
    n_bits = width(packed)
    n_words = -(-packed.shape[0] // n_bits)
    rows = jnp.pad(packed[order], ((0, n_words * n_bits - packed.shape[0]), (0, 0)))
    blocks = rows.reshape(n_words, n_bits, -1).swapaxes(1, 2)
    return transpose_words(blocks).reshape(n_words, -1)[:, :n_columns]


def popcount(words: UInt[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Count the set bits of each word."""
    return lax.population_count(words).astype(jnp.int32)


def keep_below(words: UInt[Array, "*shape"], bit: Int[Array, "*shape"]) -> UInt[Array, "*shape"]:
    """Clear the bits from `bit` on, for 0 <= bit < W."""
    one = words.dtype.type(1)
    return words & ((one << bit.astype(words.dtype)) - one)


def select(words: UInt[Array, "*shape"], rank: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Position of each word's set bit number `rank`, counted from 0 at the low end."""
    kind = words.dtype.type
    position, size = jnp.zeros(words.shape, words.dtype), width(words) // 2
    while size:
        count = popcount((words >> position) & kind((1 << size) - 1))
        higher = rank >= count
        rank = jnp.where(higher, rank - count, rank)
        position = jnp.where(higher, position + kind(size), position)
        size //= 2
    return position.astype(jnp.int32)


def expand(words: UInt[Array, "*shape"]) -> Bool[Array, "*shape W"]:
    """Spread each word's bits over a new last axis."""
    shifts = jnp.arange(width(words), dtype=words.dtype)
    return ((words[..., None] >> shifts) & words.dtype.type(1)).astype(bool)
