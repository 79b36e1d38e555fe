"""Drawing random projections, and what they take of memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.lab.intrinsic_dimension._projections import Dense, Fastfood, Sparse


def _dense(n_params: int, d: int, seed: tuple[int, ...]) -> Dense:
    return Dense(_unit_columns(_key(seed), n_params, d))


@partial(jax.jit, static_argnames=("n_params", "d"))
def _unit_columns(key: Array, n_params: int, d: int) -> Float[Array, "d D"]:
    def column(number: Array) -> Array:
        drawn = jax.random.normal(jax.random.fold_in(key, number), (n_params,), jnp.float32)
        return drawn / jnp.linalg.norm(drawn)

    return jax.lax.map(column, jnp.arange(d, dtype=jnp.uint32))  # one after the other: no second matrix beside it


def _sparse(n_params: int, d: int, seed: tuple[int, ...]) -> Sparse:
    k = _entries(n_params)
    rows, signs = np.empty((d, k), np.int32), np.empty((d, k), np.float32)
    for column in range(d):
        rng = np.random.default_rng((*seed, column))
        rows[column] = np.sort(rng.choice(n_params, k, replace=False, shuffle=False))
        signs[column] = rng.choice(np.asarray([-1, 1], np.float32), k)
    return Sparse(jnp.asarray(rows), jnp.asarray(signs / np.float32(math.sqrt(k))), n_params)


def _fastfood(n_params: int, d: int, seed: tuple[int, ...]) -> Fastfood:
    blocks, n = _blocks(n_params, d)
    signs, order, normals = _parts(_key(seed), blocks, n, n_params)
    return Fastfood(signs, order, normals, d, n_params)


@partial(jax.jit, static_argnames=("blocks", "n", "n_params"))
def _parts(key: Array, blocks: int, n: int, n_params: int) -> tuple[Array, Array, Array]:
    for_signs, for_order, for_normals = jax.random.split(key, 3)
    signs = jax.random.rademacher(for_signs, (blocks, n), jnp.float32)
    straight = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), (blocks, n))
    order = jax.random.permutation(for_order, straight, axis=1, independent=True)
    normals = jax.random.normal(for_normals, (blocks, n), jnp.float32)
    # A block's columns have the squared norm n * sum(normals ** 2): n / D of it makes all blocks together 1.
    return signs, order, normals / (jnp.linalg.norm(normals, axis=1, keepdims=True) * math.sqrt(n_params))


def _key(seed: tuple[int, ...]) -> Array:
    key = jax.random.key(seed[0])
    for number in seed[1:]:
        key = jax.random.fold_in(key, number)
    return key


def _entries(n_params: int) -> int:
    return max(1, round(math.sqrt(n_params)))


def _blocks(n_params: int, d: int) -> tuple[int, int]:
    n = 1 << (d - 1).bit_length()
    return -(-n_params // n), n


@dataclass(frozen=True)
class _Kind:
    make: Callable[[int, int, tuple[int, ...]], Any]
    n_bytes: Callable[[int, int], int]


PROJECTIONS: Mapping[str, _Kind] = MappingProxyType(
    {
        "dense": _Kind(_dense, lambda n_params, d: 4 * n_params * d),
        "sparse": _Kind(_sparse, lambda n_params, d: 8 * _entries(n_params) * d),
        "fastfood": _Kind(_fastfood, lambda n_params, d: 12 * math.prod(_blocks(n_params, d))),
    }
)


def projection_bytes(kind: str, n_params: int, d: int) -> int:
    """How many bytes a projection takes, without making it.

    Parameters
    ----------
    kind : {"dense", "sparse", "fastfood"}
        4 D d bytes; 8 sqrt(D) d; 12 D, or up to twice that where d is just above a power of two near D.
    n_params
        D.
    d
        The number of columns.

    Raises
    ------
    ValueError
        For an unknown kind, or a d outside 1 to D.

    Examples
    --------
    >>> [projection_bytes(kind, 199_210, 750) for kind in ("dense", "sparse", "fastfood")]
    [597630000, 2676000, 2396160]
    """
    _check(kind, n_params, d)
    return PROJECTIONS[kind].n_bytes(n_params, d)


def random_projection(kind: str, n_params: int, d: int, seed: int | tuple[int, ...] = 0) -> Any:
    """Draw a projection P from d to D dimensions; the expected value of ``P' P`` is the identity.

    Parameters
    ----------
    kind : {"dense", "sparse", "fastfood"}
        `Dense`, `Sparse` or `Fastfood`.
    n_params
        D.
    d
        The number of columns.
    seed
        One number, or several. With one seed, the first columns of dense and sparse projections are the same for every
        d, and those of Fastfood for all that are padded to the same power of two.

    Returns
    -------
    The projection, a pytree with ``apply`` and ``transpose``.

    Raises
    ------
    ValueError
        For an unknown kind, or a d outside 1 to D.

    Examples
    --------
    >>> p = random_projection("fastfood", 50, 7)
    >>> p.apply(jnp.ones(7)).shape, p.transpose(jnp.ones((2, 50))).shape
    ((50,), (2, 7))
    """
    _check(kind, n_params, d)
    return PROJECTIONS[kind].make(n_params, d, seed if isinstance(seed, tuple) else (seed,))


def _check(kind: str, n_params: int, d: int) -> None:
    if kind not in PROJECTIONS:
        raise ValueError(f"expected a projection among {', '.join(PROJECTIONS)}, got {kind!r}")
    if not 1 <= d <= n_params:
        raise ValueError(f"expected 1 to {n_params} dimensions, as many as there are parameters at most, got {d}")
