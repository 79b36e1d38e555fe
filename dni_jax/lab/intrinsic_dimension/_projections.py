"""Random projections from d to D dimensions, whose columns have unit norm and are nearly orthogonal.

Each is a pytree of arrays with two linear maps: ``apply(z)`` is ``P z``, ``transpose(y)`` is ``P' y``; both take any
leading axes, and both can be differentiated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dni_jax.lab.intrinsic_dimension._hadamard import walsh_hadamard

_EXACT = jax.lax.Precision.HIGHEST  # on accelerators, too, P and its transpose must be those of one matrix


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
    """All D dimensions as they are.

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
        """Give z."""
        return z

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Give y."""
        return y


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense:
    """Normal random numbers, each column divided by its norm.

    Attributes
    ----------
    columns
        float32 ``(d, D)``: one column of P a row, so that the first columns lie side by side in memory.
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
        found = jnp.tensordot(self.columns, y, ((1,), (y.ndim - 1,)), precision=_EXACT)
        return jnp.moveaxis(jax.lax.optimization_barrier(found), 0, -1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sparse:
    """Very sparse random projections (Li, Hastie & Church 2006): a share ``1 / sqrt(D)`` of the entries is not zero.

    Where Li et al. let chance decide how many entries a column has, each has the same number here, ``round(sqrt(D))``
    at random places, so that all columns have norm 1 and the size is known beforehand.

    Attributes
    ----------
    rows
        int32 ``(d, k)``: where each column is not zero, in rising order.
    values
        float32 ``(d, k)``: ``1 / sqrt(k)`` or its opposite.
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
        spread = z[..., None] * self.values
        return jnp.zeros((*z.shape[:-1], self.n), z.dtype).at[..., self.rows].add(spread)

    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P'."""
        return (y[..., self.rows] * self.values).sum(-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fastfood:
    """Fastfood (Le, Sarlos & Smola 2013): blocks ``S H G Pi H B`` one above the other, in D log d time and D memory.

    z is padded with zeros to n numbers, the next power of two. H is the Hadamard matrix, B random signs, Pi a random
    order, G normal random numbers. S scales; as with Li et al. 2018 it is one number a block, which makes all rows
    equally long, and all columns of a whole block. (Le et al. draw lengths as those of normal random rows: their
    kernels need that.) Rows of the last block beyond D are left out.

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
        ordered = jnp.take_along_axis(mixed, self._along(mixed, self.order), axis=-1)
        rows = walsh_hadamard(ordered * self.normals)
        return rows.reshape(*z.shape[:-1], -1)[..., : self.n_rows]

    @jax.jit
    def transpose(self, y: Float[Array, "*batch D"]) -> Float[Array, "*batch d"]:
        """Multiply by P'."""
        blocks, n = self.signs.shape
        padded = jnp.concatenate([y, jnp.zeros((*y.shape[:-1], blocks * n - self.n_rows), y.dtype)], axis=-1)
        mixed = walsh_hadamard(padded.reshape(*y.shape[:-1], blocks, n)) * self.normals
        places = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), (blocks, n))
        back = jnp.put_along_axis(jnp.zeros_like(places), self.order, places, axis=-1, inplace=False)
        ordered = jnp.take_along_axis(mixed, self._along(mixed, back), axis=-1)
        return (walsh_hadamard(ordered) * self.signs).sum(-2)[..., : self.d]

    @staticmethod
    def _along(values: Array, order: Array) -> Array:
        return jnp.broadcast_to(order, values.shape)
