"""Losses of joint distribution matching: adversarial, cycle, supervised; and what they are exactly on small joints.

Two joints of x and z are to agree: the encoder's q(x) q(z|x) and the decoder's p(z) p(x|z). A discriminator gives a
logit, high for the encoder's pairs. Sources: Dumoulin et al. 2017 (ALI), Li et al. 2017 (ALICE), Zhu et al. 2017
(CycleGAN), Goodfellow et al. 2014 (the value at the best discriminator). All values are in nats.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_2PI = math.log(2 * math.pi)


def discriminator_loss(
    real: Float[Array, " R"],
    fake: Float[Array, " P"],
    real_mass: Float[Array, " R"] | None = None,
    fake_mass: Float[Array, " P"] | None = None,
) -> Float[Array, ""]:
    """``-E_real[log s(f)] - E_fake[log(1 - s(f))]``, s the sigmoid: ALI's value function with its sign turned.

    Parameters
    ----------
    real, fake
        The discriminator's logits on pairs of either side. Of ALI: (x, z ~ q(z|x)), and (x ~ p(x|z), z).
    real_mass, fake_mass
        The pairs' probabilities, for an exact expectation over a finite space; a plain mean without.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> round(float(discriminator_loss(jnp.zeros(3), jnp.zeros(5))), 4)  # log 4: it cannot tell
    1.3863
    """
    return jnp.average(jax.nn.softplus(-real), weights=real_mass) + jnp.average(
        jax.nn.softplus(fake), weights=fake_mass
    )


def generator_loss(
    real: Float[Array, " R"],
    fake: Float[Array, " P"],
    real_mass: Float[Array, " R"] | None = None,
    fake_mass: Float[Array, " P"] | None = None,
) -> Float[Array, ""]:
    """The discriminator's loss with the sides exchanged, the form that does not saturate (ALI)."""
    return discriminator_loss(fake, real, fake_mass, real_mass)


def squared_error(x: Float[Array, "B D"], x_hat: Float[Array, "B D"]) -> Float[Array, ""]:
    """``E ||x - x_hat||^2``. With x_hat = g(e(x)) ALICE's explicit cycle term."""
    return jnp.square(x - x_hat).sum(-1).mean()


def cycle_bound(x: Float[Array, "B D"], x_hat: Float[Array, "B D"], scale: Float[Array, ""]) -> Float[Array, ""]:
    """``-E log N(x; x_hat, scale^2 I)``: an upper bound on H(x|z), tight where that Gaussian is the true p(x|z).

    ``H(x|z) = -E_q log q(x|z) <= -E_q log p(x|z)``, since the difference is a KL divergence (ALICE). At a
    fixed scale it is the squared error up to a factor and a constant.
    """
    return squared_error(x, x_hat) / (2 * scale**2) + x.shape[-1] * (LOG_2PI / 2 + jnp.log(scale))


def cycle_pairs(
    x: Float[Array, "B D"], x_hat: Float[Array, "B D"]
) -> tuple[Float[Array, "B 2D"], Float[Array, "B 2D"]]:
    """The real pairs (x, x) and the fake ones (x, x_hat) of ALICE's implicit cycle term."""
    return jnp.concatenate([x, x], -1), jnp.concatenate([x, x_hat], -1)


def two_sided_cycle(
    x: Float[Array, "B D"], x_hat: Float[Array, "B D"], z: Float[Array, "B C"], z_hat: Float[Array, "B C"]
) -> Float[Array, ""]:
    """``E ||x - g(e(x))||_1 + E ||z - e(g(z))||_1`` (CycleGAN, equation 2)."""
    return jnp.abs(x - x_hat).sum(-1).mean() + jnp.abs(z - z_hat).sum(-1).mean()


def paired_error(
    x: Float[Array, "P D"], z: Float[Array, "P C"], x_of_z: Float[Array, "P D"], z_of_x: Float[Array, "P C"]
) -> Float[Array, ""]:
    """``E ||x - g(z)||^2 + E ||z - e(x)||^2`` over given pairs: ALICE's explicit supervised term."""
    return squared_error(x, x_of_z) + squared_error(z, z_of_x)


def best_logits(q: Float[Array, "X Z"], p: Float[Array, "X Z"]) -> Float[Array, "X Z"]:
    """``log q - log p``, the best discriminator's logits where both are positive (Goodfellow et al., prop. 1)."""
    return jnp.log(q) - jnp.log(p)


def jensen_shannon(q: Float[Array, "X Z"], p: Float[Array, "X Z"]) -> Float[Array, ""]:
    """Half of KL(q || m) + KL(p || m) with m their mean: 0 where they agree, log 2 where they never meet."""
    middle = (q + p) / 2
    return (jax.scipy.special.rel_entr(q, middle) + jax.scipy.special.rel_entr(p, middle)).sum() / 2


def conditional_entropy(joint: Float[Array, "X Z"]) -> Float[Array, ""]:
    """H(x|z) of a discrete joint, ``-sum q(x, z) log q(x|z)``; cells of no mass count nothing."""
    return jax.scipy.special.entr(joint).sum() - jax.scipy.special.entr(joint.sum(0)).sum()


def conditional_cross_entropy(joint: Float[Array, "X Z"], model: Float[Array, "X Z"]) -> Float[Array, ""]:
    """``-sum q(x, z) log p(x|z)``, at least H(x|z): `model` holds p(x|z), columns that sum to 1."""
    return -jax.scipy.special.xlogy(joint, model).sum()


def gaussian_conditional_entropy(covariance: Float[Array, "D D"], n_x: int) -> Float[Array, ""]:
    """H(x|z) of a joint Gaussian whose first `n_x` coordinates are x: ``log det(2 pi e S_x|z) / 2``."""

    def entropy(block: Array) -> Array:
        return (len(block) * (LOG_2PI + 1) + jnp.linalg.slogdet(block)[1]) / 2

    return entropy(covariance) - entropy(covariance[n_x:, n_x:])


def coupling(delta: Float[Array, ""]) -> Float[Array, "2 2"]:
    """The joints of two fair bits: they agree with probability delta (ALICE's example of what ALI leaves open).

    Every one has the same marginals. H(x|z) is the binary entropy of delta: 0 at delta = 0 and delta = 1 only.
    """
    other = 1 - delta
    return jnp.stack([jnp.stack([delta, other]), jnp.stack([other, delta])]) / 2
