"""Lower bounds on a likelihood with latent variables (ELBO and IWAE), and ways to keep the latents in use."""

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
        ``log p(x, z_k) - log q(z_k | x)`` of K samples from q, in nats.
    """
    return log_weights.mean(-1)


def iwae(log_weights: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """Estimate the importance weighted bound L_K (Burda et al. 2016): the log of the mean weight.

    L_1 is the ELBO. L_K increases with K toward log p(x), and the exponential of its estimate is unbiased for p(x)
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
    """Estimate L_K by the mean over repeated draws; return it with its standard error.

    Parameters
    ----------
    log_weight
        ``log_weight(key, n)`` draws n samples from q and returns their log-weights.
    key
        Of the samples.
    k
        Samples per estimate.
    repeats
        The number of estimates.
    """
    estimates = iwae(log_weight(key, repeats * k).reshape(repeats, k))
    return estimates.mean(), estimates.std(ddof=1) / math.sqrt(repeats)


def gaussian_kl(
    mean: Float[Array, "*batch D"],
    log_variance: Float[Array, "*batch D"],
    prior_mean: Float[Array, "*#batch D"] | float = 0.0,
    prior_log_variance: Float[Array, "*#batch D"] | float = 0.0,
) -> Float[Array, "*batch D"]:
    """Compute the KL from one diagonal Gaussian to another (by default the standard normal), in nats per dimension.

    Examples
    --------
    >>> gaussian_kl(jnp.ones(2), jnp.zeros(2)).tolist()
    [0.5, 0.5]
    """
    log_ratio = log_variance - prior_log_variance
    precision = jnp.exp(-jnp.asarray(prior_log_variance, mean.dtype))
    return 0.5 * (jnp.exp(log_ratio) + jnp.square(mean - prior_mean) * precision - 1 - log_ratio)


def free_bits(kl: Float[Array, "B D"], floor: float) -> Float[Array, ""]:
    """Compute the KL term in which every latent dimension costs at least a floor (Kingma et al. 2016, appendix C.8).

    A dimension whose mean KL over the batch lies below the floor counts as the floor. It then has no gradient, so
    nothing drives the model to ignore it.

    Parameters
    ----------
    kl
        By example and dimension (or group of dimensions), in nats.
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
    """Return the weight of the KL term at a step: (nearly) 0 at first, so that the latents are used, 1 at the end.

    Parameters
    ----------
    step
        Counted from 0; a number or an array.
    steps
        From this step on the weight is 1.
    schedule
        ``"linear"``; ``"sigmoid"`` (Bowman et al. 2016), from .0025 to .9975; ``"cyclic"`` (Fu et al. 2019): `cycles`
        times from 0 to 1 in the first half of each cycle, and 1 in its second half.
    cycles
        Used by ``"cyclic"``.

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
    progress = jnp.asarray(step, jnp.float32) / steps
    if schedule == "linear":
        return jnp.clip(progress, 0, 1)
    if schedule == "sigmoid":
        return jnp.where(progress >= 1, 1.0, jax.nn.sigmoid(12 * (progress - 0.5)))
    return jnp.where(progress >= 1, 1.0, jnp.minimum(2 * jnp.mod(progress * cycles, 1), 1))
