"""Whether chains agree, and how many independent draws theirs are worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Convergence(NamedTuple):
    """Diagnostics of quantities that several chains drew, one number per quantity.

    Attributes
    ----------
    r_hat
        Near 1 where the chains agree; 1.01 is the usual limit, and more means that they have not mixed.
    ess_bulk, ess_tail
        The number of independent draws that would estimate the mean, and the 5 % and 95 % quantiles, as well.
    """

    r_hat: Float[np.ndarray, "*quantity"]
    ess_bulk: Float[np.ndarray, "*quantity"]
    ess_tail: Float[np.ndarray, "*quantity"]


def convergence(values: Float[np.ndarray, "C D *quantity"]) -> Convergence:
    """Compute the rank-normalized split R-hat and effective sample sizes of C chains of D draws, by ArviZ.

    Choose quantities that do not depend on how neurons are numbered, such as losses and probabilities: neurons can be
    permuted without any change of the network, so chains from different starts never agree about single weights.
    Chains that start at the same point agree by construction at first: start them apart.

    Parameters
    ----------
    values
        Any number of quantities by chain and draw, such as ``draws.each(f)``.

    Returns
    -------
    Convergence

    Raises
    ------
    ValueError
        For fewer than two chains or four draws, or values that are not finite.
    ImportError
        Without ArviZ, the extra ``diagnostics``.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, "Rank-normalization, folding, and localization: an improved
    R-hat for assessing convergence of MCMC".
    """
    array = np.asarray(values, np.float64)
    if array.ndim < 2 or array.shape[0] < 2 or array.shape[1] < 4:
        raise ValueError(
            f"expected values by chain and draw, of at least 2 chains and 4 draws, got shape {array.shape}: R-hat "
            "compares chains"
        )
    if not np.isfinite(array).all():
        raise ValueError("expected finite values, got NaN or infinity: a chain diverged, take a smaller step size")
    try:
        from arviz_stats.base import array_stats
    except ImportError as error:
        raise ImportError("R-hat and effective sample sizes need ArviZ: pip install 'dni-jax[diagnostics]'") from error
    axes = {"chain_axis": 0, "draw_axis": 1}
    return Convergence(
        np.asarray(array_stats.rhat(array, **axes, method="rank")),
        np.asarray(array_stats.ess(array, **axes, method="bulk")),
        np.asarray(array_stats.ess(array, **axes, method="tail", prob=(0.05, 0.95))),
    )
