"""How much memory is free, and whether a training fits into it."""

from __future__ import annotations

from collections.abc import Sequence

from dni_jax.devices import get_host_memory, get_memory, is_accelerated
from dni_jax.lab.intrinsic_dimension._projections import PROJECTIONS, projection_bytes


def free_bytes() -> int:
    """Return how many bytes the first device has free; on a CPU, the machine."""
    return get_memory() if is_accelerated() else get_host_memory()


def training_bytes(projection: str, n_params: int, dims: Sequence[int]) -> int:
    """Compute the bytes of training in several subspaces: the projection, and weights and gradients of each."""
    return projection_bytes(projection, n_params, max(dims)) + 8 * n_params * len(dims)


def check_fits(projection: str, n_params: int, dims: Sequence[int], max_bytes: int | None) -> int:
    """Check that a training fits into memory.

    Parameters
    ----------
    projection, n_params, dims
        What is trained together.
    max_bytes
        The largest number of bytes; None: half of what is free.

    Returns
    -------
    The bytes it takes.

    Raises
    ------
    ValueError
        If it takes more; names the bytes, and those of the other projections.
    """
    needed = training_bytes(projection, n_params, dims)
    limit = free_bytes() // 2 if max_bytes is None else max_bytes
    if needed <= limit:
        return needed
    others = ", ".join(
        f"projection={kind!r} needs {training_bytes(kind, n_params, dims):,}"
        for kind in PROJECTIONS
        if kind != projection
    )
    fewer = ", dims_batch= trains fewer subspaces at a time" if len(dims) > 1 else ""
    raise ValueError(
        f"expected to need at most {limit:,} bytes (max_bytes=; half of what is free by default), got {needed:,}: the "
        f"{projection} projection of {n_params:,} parameters from {max(dims):,} dimensions takes "
        f"{projection_bytes(projection, n_params, max(dims)):,}, and weights and gradients in {len(dims)} subspaces "
        f"the rest. {others}{fewer}"
    )
