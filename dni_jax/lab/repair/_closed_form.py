"""The repair from one state, without a solver: at most one weight a class changes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def from_one_state(
    state: Float[np.ndarray, " N"], wanted: Float[np.ndarray, " C"], cost: float
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, "C 1"]]:
    """Give ``argmin ||g||_1 + cost |x g - r|`` of each class, and the multiplier that proves it.

    A unit of score costs ``1 / |x_j|`` by weight j, so the largest ``|x_j|`` (the first of equals) does all of it, or
    nothing does: where ``cost |x_j| <= 1`` the error is cheaper.
    """
    change = np.zeros((len(wanted), len(state)))
    best = int(np.argmax(np.abs(state)))
    largest = abs(state[best])
    if largest > 0 and cost * largest > 1:
        change[:, best] = wanted / state[best]
        price = 1 / largest
    else:
        price = cost if np.isfinite(cost) else 0.0
    return change, np.sign(wanted)[:, None] * price
