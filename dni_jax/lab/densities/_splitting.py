"""Which of the recorded states are learnt, which stop the learning, and which are kept to calibrate."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

_STRETCH = 64  # rows that belong together where no groups are known
_LEAST = 20  # groups


def rows_of(states: Any, n_neurons: int | None = None) -> Float[np.ndarray, "T N"]:
    """Give the states of ``Activations`` or of an array as float32 ``(T, N)``.

    Raises
    ------
    ValueError
        For another shape or another number of neurons, NaN or infinity.
    """
    given = getattr(states, "hidden", states)
    rows = np.asarray(given)
    if rows.ndim != 2 or rows.shape[1] == 0:
        hint = "; of a population pass states.of_model(0)" if rows.ndim == 3 else ""
        raise ValueError(f"expected states of shape (T, N) with N of at least 1, got {rows.shape}{hint}")
    if n_neurons is not None and rows.shape[1] != n_neurons:
        raise ValueError(f"expected states of the density's {n_neurons} neurons, got {rows.shape[1]}")
    rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return rows


def groups_of(states: Any, groups: Any, n_positions: int) -> Int[np.ndarray, " T"]:
    """Give the group of each position: those given, those of ``Activations``, or stretches of 64 rows; -1 is left out.

    Raises
    ------
    ValueError
        For groups of another shape, or fewer than 20 of them.
    """
    given = getattr(states, "groups", None) if groups is None else groups
    stretch = max(min(_STRETCH, n_positions // _LEAST), 1)
    found = np.arange(n_positions) // stretch if given is None else np.asarray(given)
    if found.shape != (n_positions,) or found.dtype.kind not in "iu":
        raise ValueError(f"expected integer groups of shape ({n_positions},), got {found.dtype} {found.shape}")
    mask = getattr(states, "mask", None)
    if mask is not None:
        found = np.where(mask, found, -1)
    count = len(np.unique(found[found >= 0]))
    if count < _LEAST:
        raise ValueError(
            f"expected at least {_LEAST} groups (strings), to learn, to stop and to calibrate by, got {count}: record "
            "more strings, or pass finer groups="
        )
    return found


def split(groups: Int[np.ndarray, " T"], seed: int) -> Int[np.ndarray, " T"]:
    """Deal whole groups: 0 is learnt (about 70 %), 1 stops the learning, 2 calibrates (15 % each); -1 is not used."""
    names, member = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(names >= 0))
    part = np.full(len(names), -1)
    kept = max(round(0.15 * len(order)), 1)
    part[order] = 0
    part[order[:kept]], part[order[kept : 2 * kept]] = 2, 1
    return part[member]


def split_states(states: Any, groups: Any = None, seed: int = 0) -> Int[np.ndarray, " T"]:
    """Return the part of each position: 0 is fitted, 1 stops the fit, 2 calibrates percentiles, -1 is not used.

    This is the split that `plausibility` makes with the same states, groups and seed. Positions of one group stay
    together.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    groups
        int ``(T,)``; see `plausibility`.
    seed
        Decides the split.

    Raises
    ------
    ValueError
        For groups of another shape, or fewer than 20 of them.

    Examples
    --------
    >>> parts = split_states(np.zeros((2_000, 3)))
    >>> np.bincount(parts).tolist()
    [1424, 256, 320]
    """
    n_positions = len(getattr(states, "hidden", states))
    return split(groups_of(states, groups, n_positions), seed)
