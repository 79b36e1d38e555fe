"""How much memory is free, and whether a training fits into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import jax

from dni_jax.lab.intrinsic_dimension._projections import PROJECTIONS, projection_bytes

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Return how many bytes the first device has free.

    Returns
    -------
    On an accelerator: its limit minus what is in use. On a CPU: Linux's estimate of the memory available without
    swapping, or less if the control group (a container) allows less; on other systems half of all memory.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    known = [found for found in (_available(), _left_in_control_group()) if found is not None]
    return min(known) if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _left_in_control_group() -> int | None:
    try:
        limit, used = (
            (_CONTROL_GROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
    except OSError:
        return None
    return None if limit == "max" else max(int(limit) - int(used), 0)


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
