"""Recording by several processes: each reads some of the lanes, and gets the states of all."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from dni_jax import processes
from dni_jax.models._lanes import Lanes


def own_lanes(lanes: Lanes) -> Lanes:
    """Give the lanes that this process reads."""
    if processes.count() == 1:
        return lanes
    mine = processes.shard(lanes.codes.shape[1])
    return Lanes(*(rows[:, mine] for rows in lanes))


def states_of_all(states: dict[str, Shaped[np.ndarray, "T ..."]], lanes: Lanes) -> dict[str, np.ndarray]:
    """Fill in what other processes have recorded.

    Parameters
    ----------
    states
        Arrays of all T characters, filled where this process' lanes are.
    lanes
        Those of all processes.
    """
    if processes.count() == 1:
        return states
    n_lanes = lanes.codes.shape[1]
    own = own_lanes(lanes)
    filled = {}
    for name, array in states.items():
        # A lane's row for a symbol that belongs to no character holds whatever stands at the last one.
        part = np.moveaxis(array[own.positions], 1, 0)
        whole = np.moveaxis(processes.all_gather(part, n_lanes), 0, 1)
        inside = lanes.positions >= 0
        result = np.empty_like(array)
        result[lanes.positions[inside]] = whole[inside]
        filled[name] = result
    return filled
