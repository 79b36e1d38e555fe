"""Sorting values, and ranks among equal ones."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def sort_order(x: Float[Array, " T"], word: int = 64) -> Int[Array, " T"]:
    """Return the stable ascending order of finite values.

    With words of 64 bits, float32 values and their positions share one key: sorting single integers is several times
    faster in XLA than sorting pairs.
    """
    if x.dtype != jnp.float32:
        return jnp.argsort(x, stable=True).astype(jnp.int32)
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    # Read as integers, floats are in order of their distance from 0; flipped like this they are in their own order.
    negative = (bits >> jnp.uint32(31)) == jnp.uint32(1)
    key = jnp.where(negative, ~bits, bits | jnp.uint32(1 << 31))
    if word == 32:
        return lax.sort((key, jnp.arange(x.shape[0], dtype=jnp.int32)), num_keys=1)[1]
    position = jnp.arange(x.shape[0], dtype=jnp.uint64)
    keys = lax.sort((key.astype(jnp.uint64) << jnp.uint64(32)) | position)
    return (keys & jnp.uint64(0xFFFFFFFF)).astype(jnp.int32)


def tied_ranges(differs: Bool[Array, " T1"]) -> tuple[Int[Array, " T"], Int[Array, " T"]]:
    """Return where the tie that each place belongs to begins, and the place after its end.

    `differs` says whether each place from the second on begins a new tie. The midrank of a place, from 1, is
    ``(first + after + 1) / 2``.
    """
    edge, n = jnp.ones(1, bool), differs.shape[0] + 1
    place = jnp.arange(n, dtype=jnp.int32)
    first = lax.cummax(jnp.where(jnp.concatenate([edge, differs]), place, 0))
    after = lax.cummin(jnp.where(jnp.concatenate([differs, edge]), place + 1, n), reverse=True)
    return first, after
