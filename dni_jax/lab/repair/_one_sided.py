"""The least change of one class's weights, where scores may be demanded from one side only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from dni_jax.lab.repair._programs import Solved


def least_change(
    states: Float[np.ndarray, "T N"],
    wanted: Float[np.ndarray, " T"],
    above: Float[np.ndarray, " T"],
    below: Float[np.ndarray, " T"],
) -> Solved:
    """Minimise ``||g||_1 + sum_t above_t max(0, x_t g - r_t) + below_t max(0, r_t - x_t g)``.

    A linear program: ``X (g+ - g-) - e+ + e- = r``, all of them 0 or more; solved by HiGHS. With equal prices on both
    sides it is `dni_jax.repair_head`'s. With a price of 0 below, a state's score may fall as it likes.

    Parameters
    ----------
    states
        The T states.
    wanted
        What their scores shall change by.
    above, below
        The prices of a unit of score above, and below, what is wanted; 0 or more.

    Returns
    -------
    The change ``(N,)``, and multipliers y ``(T,)``. For any y with ``|X' y| <= 1`` and ``-above <= y <= below`` no
    change costs less than ``r y``; this one's y reach its cost.

    Raises
    ------
    ValueError
        Where the program is not solved.

    Examples
    --------
    >>> states, wanted = np.array([[1.0, 0.5], [1.0, -0.5]]), np.array([-1.0, 0.0])
    >>> least_change(states, wanted, np.array([9.0, 9.0]), np.array([0.0, 0.0])).change.tolist()  # the second may fall
    [-1.0, 0.0]
    >>> least_change(states, wanted, np.array([9.0, 9.0]), np.array([0.0, 9.0])).change.tolist()  # it may not
    [-0.5, -1.0]
    """
    n_states, n_neurons = states.shape
    prices = np.concatenate([np.ones(2 * n_neurons), above, below])
    equal = np.hstack([states, -states, -np.eye(n_states), np.eye(n_states)])
    found = linprog(prices, A_eq=equal, b_eq=wanted, method="highs-ds")
    if found.status:
        raise ValueError(
            f"the repair's linear program was not solved ({found.message}): take fewer states, or a lower cost"
        )
    return Solved(found.x[:n_neurons] - found.x[n_neurons : 2 * n_neurons], np.asarray(found.eqlin.marginals))
