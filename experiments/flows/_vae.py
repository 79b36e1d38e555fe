"""A variational autoencoder of binary images, whose decoder is plain or masked autoregressive."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dni_jax.lab.densities import elbo, free_bits, gaussian_kl, iwae, made_masks


@dataclass(frozen=True)
class Variant:
    """What a model is, and how it is trained.

    Attributes
    ----------
    masked
        Whether the decoder of a pixel also sees the pixels before it.
    alone
        The share of the steps in which the decoder first learns the images without latents. It then ignores them:
        their weights start at 0, and q(z|x) at the prior.
    k
        Samples of the importance weighted bound that is maximized; 1 is the ELBO.
    anneal
        The share of the steps with latents in which the weight of the KL term rises from 0 to 1.
    floor
        Nats that every latent dimension may cost for free.
    hidden_share
        The share of the pixels before it that a masked decoder does not get to see in training.
    """

    masked: bool = False
    alone: float = 0.0
    k: int = 1
    anneal: float = 0.0
    floor: float = 0.0
    hidden_share: float = 0.0


def init(key, variant, n=196, latent=16, width=100, wide=300):
    """He-normal weights and zero biases of the encoder, and of a plain decoder or a `wide` masked one.

    A masked decoder has two hidden layers, and direct connections from pixels to pixels, which start at 0.
    """
    hidden = wide if variant.masked else width
    sizes = {"encode": (n, width), "q": (width, 2 * latent), "z": (latent, hidden), "out": (hidden, n)}
    if variant.masked:
        sizes |= {"before": (n, hidden), "between": (hidden, hidden)}
    keys, normal = jax.random.split(key, len(sizes)), jax.nn.initializers.he_normal()
    params = {
        name: (normal(one, size), jnp.zeros(size[1])) for one, (name, size) in zip(keys, sizes.items(), strict=True)
    }
    if variant.alone:
        params |= {name: jax.tree.map(jnp.zeros_like, params[name]) for name in ("q", "z")}
    return params | ({"direct": jnp.zeros((n, n))} if variant.masked else {})


def layer(weights, values):
    return values @ weights[0] + weights[1]


def encode(params, x):
    """Return mean and log-variance of q(z|x)."""
    return jnp.split(layer(params["q"], jax.nn.relu(layer(params["encode"], x))), 2, axis=-1)


def decode(params, z, x):
    """Return the logits of p(x_i = 1 | z), or of p(x_i = 1 | z, x_1 .. x_i-1) of a masked decoder (MADE).

    Its first pixel, a corner, sees neither: no hidden unit precedes it.
    """
    hidden = layer(params["z"], z)
    if "before" not in params:
        return layer(params["out"], jax.nn.relu(hidden))
    width, n = hidden.shape[-1], x.shape[-1]
    masked = {
        name: jnp.where(mask, params[name][0], 0)
        for name, mask in zip(("before", "between", "out"), made_masks(n, [width, width], outputs=1), strict=True)
    }
    hidden = jax.nn.relu(hidden + x @ masked["before"])
    hidden = jax.nn.relu(hidden @ masked["between"] + params["between"][1])
    return hidden @ masked["out"] + params["out"][1] + x @ jnp.triu(params["direct"], 1)


def log_bernoulli(logits, x):
    return (x * logits - jax.nn.softplus(logits)).sum(-1)


def log_normal(z, mean=0.0, log_variance=0.0):
    return -0.5 * (jnp.log(2 * jnp.pi) + log_variance + jnp.square(z - mean) * jnp.exp(-log_variance)).sum(-1)


def log_weights(params, x, key, k):
    """Return ``log p(x, z) - log q(z | x)`` of k samples from q, ``(B, k)``."""
    mean, log_variance = (one[:, None] for one in encode(params, x))
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, (len(x), k, mean.shape[-1]))
    joint = log_normal(z) + log_bernoulli(decode(params, z, x[:, None]), x[:, None])
    return joint - log_normal(z, mean, log_variance)


def loss_alone(params, x):
    """Return minus the log-likelihood of images under a decoder whose latents are all 0."""
    return -log_bernoulli(decode(params, jnp.zeros((len(x), params["z"][0].shape[0])), x), x).mean()


def loss(params, x, key, variant, weight):
    """Return minus the bound that a variant maximizes; `weight` is that of the KL term, 1 in the bound itself."""
    if variant.k > 1:
        return -iwae(log_weights(params, x, key, variant.k)).mean()
    draw, hide = jax.random.split(key)
    mean, log_variance = encode(params, x)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(draw, mean.shape)
    seen = jnp.where(jax.random.bernoulli(hide, variant.hidden_share, x.shape), 0.0, x)
    kl = gaussian_kl(mean, log_variance)
    return -log_bernoulli(decode(params, z, seen), x).mean() + weight * free_bits(kl, variant.floor)


def bounds(params, x, key, ks=(1, 5, 50, 500), rows=100):
    """Return the mean bound L_K of images for several K; each by one estimate per image."""
    found = {}
    for k in ks:
        parts = [_bound(params, x[at : at + rows], jax.random.fold_in(key, at), k) for at in range(0, len(x), rows)]
        found[k] = float(np.concatenate(parts).mean(dtype=np.float64))
    return found


@partial(jax.jit, static_argnames="k")
def _bound(params, x, key, k):
    return (elbo if k == 1 else iwae)(log_weights(params, x, key, k))


def usage(params, x, threshold=0.01):
    """Return the mean KL of q(z|x) from the prior in nats, and how many latents are active (Burda et al. 2016).

    A latent is active where its posterior mean varies over images by more than the threshold.
    """
    mean, log_variance = encode(params, x)
    return float(gaussian_kl(mean, log_variance).sum(-1).mean()), int((mean.var(0) > threshold).sum())


def sample(params, key, count):
    """Draw images ``(count, n)``; a masked decoder draws pixel after pixel."""
    first, rest = jax.random.split(key)
    n, latent = params["encode"][0].shape[0], params["z"][0].shape[0]
    z, uniform = jax.random.normal(first, (count, latent)), jax.random.uniform(rest, (count, n))

    def pixel(i, x):
        return x.at[:, i].set((uniform[:, i] < jax.nn.sigmoid(decode(params, z, x)[:, i])).astype(x.dtype))

    x = jnp.zeros((count, n))
    if "before" in params:
        return jax.lax.fori_loop(0, n, pixel, x)
    return (uniform < jax.nn.sigmoid(decode(params, z, x))).astype(x.dtype)
