"""Random projections from d to D dimensions, whose columns have unit norm and are nearly orthogonal.

Each is a pytree of arrays with two linear maps: ``apply(z)`` is ``P z`` and ``transpose(y)`` is ``P' y``. Both accept
any leading axes, and both are differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

_EXACT = jax.lax.Precision.HIGHEST  # on accelerators too, P and its transpose must be those of one matrix


@runtime_checkable
class Projection(Protocol):
    """A linear map from d to D dimensions."""

    @property
    def shape(self) -> tuple[int, int]:
        """D and d."""
        ...

    def apply(self, z: Float[Array, "*batch d"]) -> Float[Array, "*batch D"]:
        """Multiply by P."""
        ...

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P'."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Identity:
    """The identity on D dimensions.

    Attributes
    ----------
    n
        D.
    """

    n: int = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        """D and D."""
        return self.n, self.n

    def apply(self, z: Float[Array, "*batch d"]) -> Float[Array, "*batch D"]:
        """Return z."""
        return z

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Return y."""
        return y


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """Normal random numbers, each column divided by its norm.

    Attributes
    ----------
    columns
        float32 ``(d, D)``: one column of P per row, so that the first columns are contiguous in memory.
    """

    columns: Float[Any, "d D"]

    @property
    def shape(self) -> tuple[int, int]:
        """D and d."""
        d, n = self.columns.shape
        return n, d

    def apply(self, z: Float[Array, "*batch d"]) -> Float[Array, "*batch D"]:
        """Multiply by P."""
        return jnp.matmul(z, self.columns, precision=_EXACT)

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P'."""
        # The barrier keeps XLA from turning this into y @ columns.T, which takes a CPU eight times as long.
        product = jnp.tensordot(self.columns, y, ((1,), (y.ndim - 1,)), precision=_EXACT)
        return jnp.moveaxis(jax.lax.optimization_barrier(product), 0, -1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sparse:
    """Very sparse random projections (Li, Hastie & Church 2006): a share ``1 / sqrt(D)`` of the entries is not zero.

    In Li et al. the number of entries of a column is random. Here every column has ``round(sqrt(D))`` of them at random
    places, so that all columns have norm 1 and the size is known in advance.

    Attributes
    ----------
    rows
        int32 ``(d, k)``: the rows of each column's entries, ascending.
    values
        float32 ``(d, k)``: plus or minus ``1 / sqrt(k)``.
    n
        D.
    """

    rows: Int[Any, "d k"]
    values: Float[Any, "d k"]
    n: int = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        """D and d."""
        return self.n, self.rows.shape[0]

    def apply(self, z: Float[Array, "*batch d"]) -> Float[Array, "*batch D"]:
        """Multiply by P."""
        entries = z[..., None] * self.values
        return jnp.zeros((*z.shape[:-1], self.n), z.dtype).at[..., self.rows].add(entries)

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P'."""
        return (y[..., self.rows] * self.values).sum(-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fastfood:
    """Fastfood (Le, Sarlos & Smola 2013): stacked blocks ``S H G Pi H B``, in D log d time and D memory.

    z is padded with zeros to n numbers, the next power of two. H is the Hadamard matrix, B random signs, Pi a random
    permutation, G normal random numbers and S a scale. B and H spread a sparse z over all n numbers; Pi and G make the
    second H independent of the first; so a block acts like a dense normal matrix although it stores only 3 n numbers.
    As in Li et al. 2018, S is one number per block, which gives all rows the same length, and all columns of a whole
    block. (Le et al. draw the lengths of normal random rows, which their kernels need.) Rows of the last block beyond D
    are left out.

    Attributes
    ----------
    signs
        float32 ``(blocks, n)``: B.
    order
        int32 ``(blocks, n)``: Pi; the i-th number of its result is the ``order[i]``-th.
    normals
        float32 ``(blocks, n)``: G times S.
    d, n_rows
        d and D.
    """

    signs: Float[Any, "blocks n"]
    order: Int[Any, "blocks n"]
    normals: Float[Any, "blocks n"]
    d: int = field(metadata={"static": True})
    n_rows: int = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        """D and d."""
        return self.n_rows, self.d

    @jax.jit
    def apply(self, z: Float[Array, "*batch d"]) -> Float[Array, "*batch D"]:
        """Multiply by P."""
        n = self.signs.shape[1]
        padded = jnp.concatenate([z, jnp.zeros((*z.shape[:-1], n - self.d), z.dtype)], axis=-1)
        mixed = walsh_hadamard(padded[..., None, :] * self.signs)
        permuted = jnp.take_along_axis(mixed, jnp.broadcast_to(self.order, mixed.shape), axis=-1)
        rows = walsh_hadamard(permuted * self.normals)
        return rows.reshape(*z.shape[:-1], -1)[..., : self.n_rows]

    @jax.jit
    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P': the factors in reverse order, of which only Pi is not its own transpose."""
        blocks, n = self.signs.shape
        padded = jnp.concatenate([y, jnp.zeros((*y.shape[:-1], blocks * n - self.n_rows), y.dtype)], axis=-1)
        mixed = walsh_hadamard(padded.reshape(*y.shape[:-1], blocks, n)) * self.normals
        places = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), (blocks, n))
        inverse = jnp.put_along_axis(jnp.zeros_like(places), self.order, places, axis=-1, inplace=False)
        permuted = jnp.take_along_axis(mixed, jnp.broadcast_to(inverse, mixed.shape), axis=-1)
        return (walsh_hadamard(permuted) * self.signs).sum(-2)[..., : self.d]


@jax.jit
def walsh_hadamard(x: Shaped[Array, "*batch n"]) -> Shaped[Array, "*batch n"]:
    """Multiply by the n x n Hadamard matrix in Sylvester's order, with n log2 n additions.

    The matrix has entries 1 and -1, is symmetric, and is n times its own inverse. It is built by
    ``H_2n = [[H_n, H_n], [H_n, -H_n]]``, so each round replaces pairs by their sums and differences.

    Parameters
    ----------
    x
        Real numbers of any type; n is a power of two.

    Raises
    ------
    ValueError
        For another n.

    Examples
    --------
    >>> walsh_hadamard(jnp.asarray([1, 0, 1, 0])).tolist()
    [2, 2, 0, 0]
    """
    size = x.shape[-1]
    if size < 1 or size & (size - 1):
        raise ValueError(f"expected a last axis whose length is a power of two, got {size}: pad it with zeros")
    half = 1
    while half < size:
        pairs = x.reshape(*x.shape[:-1], size // (2 * half), 2, half)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        x = jnp.stack([first + second, first - second], axis=-2).reshape(x.shape)
        half *= 2
    return x


def _draw_dense(n_params: int, d: int, seed: tuple[int, ...]) -> Dense:
    return Dense(_unit_columns(_key(seed), n_params, d))


@partial(jax.jit, static_argnames=("n_params", "d"))
def _unit_columns(key: Array, n_params: int, d: int) -> Float[Array, "d D"]:
    def column(number: Array) -> Array:
        values = jax.random.normal(jax.random.fold_in(key, number), (n_params,), jnp.float32)
        return values / jnp.linalg.norm(values)

    return jax.lax.map(column, jnp.arange(d, dtype=jnp.uint32))  # one at a time: no second matrix in memory


def _draw_sparse(n_params: int, d: int, seed: tuple[int, ...]) -> Sparse:
    k = _entries_per_column(n_params)
    rows, signs = np.empty((d, k), np.int32), np.empty((d, k), np.float32)
    for column in range(d):
        rng = np.random.default_rng((*seed, column))
        rows[column] = np.sort(rng.choice(n_params, k, replace=False, shuffle=False))
        signs[column] = rng.choice(np.asarray([-1, 1], np.float32), k)
    return Sparse(jnp.asarray(rows), jnp.asarray(signs / np.float32(math.sqrt(k))), n_params)


def _draw_fastfood(n_params: int, d: int, seed: tuple[int, ...]) -> Fastfood:
    blocks, n = _block_shape(n_params, d)
    signs, order, normals = _fastfood_factors(_key(seed), blocks, n, n_params)
    return Fastfood(signs, order, normals, d, n_params)


@partial(jax.jit, static_argnames=("blocks", "n", "n_params"))
def _fastfood_factors(key: Array, blocks: int, n: int, n_params: int) -> tuple[Array, Array, Array]:
    for_signs, for_order, for_normals = jax.random.split(key, 3)
    signs = jax.random.rademacher(for_signs, (blocks, n), jnp.float32)
    identity = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), (blocks, n))
    order = jax.random.permutation(for_order, identity, axis=1, independent=True)
    normals = jax.random.normal(for_normals, (blocks, n), jnp.float32)
    # A block's columns have the squared norm n * sum(normals ** 2): n / D of it makes all blocks together 1.
    return signs, order, normals / (jnp.linalg.norm(normals, axis=1, keepdims=True) * math.sqrt(n_params))


def _key(seed: tuple[int, ...]) -> Array:
    key = jax.random.key(seed[0])
    for number in seed[1:]:
        key = jax.random.fold_in(key, number)
    return key


def _entries_per_column(n_params: int) -> int:
    return max(1, round(math.sqrt(n_params)))


def _block_shape(n_params: int, d: int) -> tuple[int, int]:
    n = 1 << (d - 1).bit_length()
    return -(-n_params // n), n


@dataclass(frozen=True)
class _Kind:
    draw: Callable[[int, int, tuple[int, ...]], Any]
    n_bytes: Callable[[int, int], int]


PROJECTIONS: Mapping[str, _Kind] = MappingProxyType(
    {
        "dense": _Kind(_draw_dense, lambda n_params, d: 4 * n_params * d),
        "sparse": _Kind(_draw_sparse, lambda n_params, d: 8 * _entries_per_column(n_params) * d),
        "fastfood": _Kind(_draw_fastfood, lambda n_params, d: 12 * math.prod(_block_shape(n_params, d))),
    }
)


def projection_bytes(kind: str, n_params: int, d: int) -> int:
    """Compute how many bytes a projection takes, without drawing it.

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
        Normal random columns; columns with few entries; a product of diagonal, permutation and Hadamard matrices.
    n_params
        D.
    d
        The number of columns.
    seed
        One number, or several. For one seed, the first columns of dense and sparse projections are the same for every
        d, and those of Fastfood for every d that is padded to the same power of two.

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
    return PROJECTIONS[kind].draw(n_params, d, seed if isinstance(seed, tuple) else (seed,))


def _check(kind: str, n_params: int, d: int) -> None:
    if kind not in PROJECTIONS:
        raise ValueError(f"expected a projection among {', '.join(PROJECTIONS)}, got {kind!r}")
    if not 1 <= d <= n_params:
        raise ValueError(f"expected 1 to {n_params} dimensions, at most as many as there are parameters, got {d}")
