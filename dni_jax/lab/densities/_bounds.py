"""Lower bounds of a likelihood with latent variables: ELBO and IWAE, and the ways to keep latents in use."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SCHEDULES = ("linear", "sigmoid", "cyclic")


def elbo(log_weights: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """Estimate the evidence lower bound (Kingma & Welling 2014): the mean of the log-weights.

    Parameters
    ----------
    log_weights
        ``log p(x, z_k) - log q(z_k | x)`` of K draws from q, in nats.
    """
    return log_weights.mean(-1)


def iwae(log_weights: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """Estimate the importance weighted bound L_K (Burda et al. 2016): the log of the weights' mean.

    L_1 is the ELBO; L_K grows with K towards log p(x), and the exponential of its estimate is unbiased for p(x)
    (their theorem 1).

    Examples
    --------
    >>> round(iwae(jnp.log(jnp.asarray([1.0, 3.0]))).item(), 4), round(math.log(2), 4)
    (0.6931, 0.6931)
    """
    return jax.nn.logsumexp(log_weights, axis=-1) - math.log(log_weights.shape[-1])


def iwae_estimate(
    log_weight: Callable[[Array, int], Array], key: Array, k: int, repeats: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Give the mean of L_K over repeated draws, and its standard error.

    Parameters
    ----------
    log_weight
        Draws from q: gives n log-weights for a key and n.
    key
        Of the draws.
    k
        Draws in each estimate.
    repeats
        How many estimates.
    """
    estimates = iwae(log_weight(key, repeats * k).reshape(repeats, k))
    return estimates.mean(), estimates.std(ddof=1) / math.sqrt(repeats)


def gaussian_kl(
    mean: Float[Array, "*batch D"],
    log_variance: Float[Array, "*batch D"],
    prior_mean: Float[Array, "*#batch D"] | float = 0.0,
    prior_log_variance: Float[Array, "*#batch D"] | float = 0.0,
) -> Float[Array, "*batch D"]:
    """KL from a diagonal Gaussian to another one (the standard normal, unless told), in nats, one a dimension.

    Examples
    --------
    >>> gaussian_kl(jnp.ones(2), jnp.zeros(2)).tolist()
    [0.5, 0.5]
    """
    apart = log_variance - prior_log_variance
    precision = jnp.exp(-jnp.asarray(prior_log_variance, mean.dtype))
    return 0.5 * (jnp.exp(apart) + jnp.square(mean - prior_mean) * precision - 1 - apart)


def free_bits(kl: Float[Array, "B D"], floor: float) -> Float[Array, ""]:
    """Give the KL term in which no latent dimension pays less than a floor (Kingma et al. 2016, appendix C.8).

    A dimension whose mean KL over the batch lies below the floor counts as the floor: it has no gradient, so nothing
    drives it to be ignored.

    Parameters
    ----------
    kl
        Of each example and dimension (or group of dimensions), in nats.
    floor
        Nats; ``math.log(2)`` is one bit.

    Raises
    ------
    ValueError
        For a floor below 0.
    """
    if not floor >= 0:
        raise ValueError(f"expected a floor of at least 0 nats, got {floor}")
    return jnp.maximum(kl.mean(0), floor).sum()


def kl_weight(step: int | Array, steps: int, schedule: str = "linear", cycles: int = 4) -> Float[Array, "*steps"]:
    """Give the weight of the KL term at a step: 0 (or nearly) at first, so that latents are used, then 1.

    Parameters
    ----------
    step
        Counted from 0; one, or an array of them.
    steps
        After so many the weight is 1.
    schedule
        ``"linear"``; ``"sigmoid"`` (Bowman et al. 2016), from .0025 to .9975; ``"cyclic"`` (Fu et al. 2019): `cycles`
        times from 0 to 1 in the first half of each cycle, and 1 in its second.
    cycles
        For cyclic.

    Raises
    ------
    ValueError
        For an unknown schedule, or counts below 1.

    Examples
    --------
    >>> [kl_weight(step, 100).item() for step in (0, 50, 100, 200)]
    [0.0, 0.5, 1.0, 1.0]
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"expected schedule to be one of {SCHEDULES}, got {schedule!r}")
    if steps < 1 or cycles < 1:
        raise ValueError(f"expected steps and cycles of at least 1, got {steps} and {cycles}")
    share = jnp.asarray(step, jnp.float32) / steps
    if schedule == "linear":
        return jnp.clip(share, 0, 1)
    if schedule == "sigmoid":
        return jnp.where(share >= 1, 1.0, jax.nn.sigmoid(12 * (share - 0.5)))
    return jnp.where(share >= 1, 1.0, jnp.minimum(2 * jnp.mod(share * cycles, 1), 1))
