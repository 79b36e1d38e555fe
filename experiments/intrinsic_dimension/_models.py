"""The networks whose intrinsic dimension is measured, their loss and their accuracy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from experiments._shared.image_rows import average_pool, convolve, max_pool, rows_first


def init(sizes, seed):
    """He-normal weights and zero biases of a fully connected network."""
    keys, pairs = jax.random.split(jax.random.key(seed), len(sizes) - 1), itertools.pairwise(sizes)
    normal = jax.nn.initializers.he_normal()
    return [(normal(key, pair), jnp.zeros(pair[1])) for key, pair in zip(keys, pairs, strict=True)]


def logits(params, x):
    x = x.reshape(len(x), -1)
    for weights, bias in params[:-1]:
        x = jax.nn.relu(x @ weights + bias)
    return x @ params[-1][0] + params[-1][1]


class Conv(nn.Module):
    """A convolution of images in the layout of `image_rows`."""

    features: int
    size: int = 3
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x):
        """Convolve images (rows, channels, columns, images)."""
        shape = (self.size, self.size, x.shape[1], self.features)
        return convolve(x, self.param("kernel", nn.initializers.lecun_normal(), shape), self.padding)


class GroupNorm(nn.Module):
    """Flax's group normalization, of images in the layout of `image_rows`."""

    groups: int = 4

    @nn.compact
    def __call__(self, x):
        """Normalize each group of channels of each image; then scale and shift channels."""
        channels, images = x.shape[1], x.shape[3]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))

        def mean_of_group(values):
            groups = values.mean((0, 2)).reshape(self.groups, -1, images).mean(1, keepdims=True)
            return jnp.repeat(groups, channels // self.groups, axis=1).reshape(channels, images)

        mean = mean_of_group(x)
        variance = jnp.maximum(mean_of_group(x * x) - mean * mean, 0.0)
        factor = scale[:, None] * jax.lax.rsqrt(variance + 1e-6)
        return x * factor[:, None] + (bias[:, None] - mean * factor)[:, None]


class LeNet(nn.Module):
    """Two convolutions and three fully connected layers: 62,006 weights for images of 32 x 32 x 3."""

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10) of images (batch, rows, columns, channels)."""
        x = rows_first(x)
        for features in (6, 16):
            bias = self.param(f"bias_{features}", nn.initializers.zeros, (features,))
            x = max_pool(nn.relu(Conv(features, 5, "VALID")(x) + bias[:, None, None]))
        x = x.reshape(-1, x.shape[-1]).T
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


class ResNet(nn.Module):
    """Three stages of residual blocks (He et al. 2016); between stages, images are averaged to half their size.

    Groups are normalized: batch normalization would keep averages beside the weights, which a subspace of the weights
    does not describe.
    """

    widths: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10) of images (batch, rows, columns, channels)."""
        x = Conv(self.widths[0])(rows_first(x))
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                inner = nn.relu(GroupNorm()(x))
                if stage and not block:
                    x, inner = average_pool(x), average_pool(inner)
                inner = Conv(width)(nn.relu(GroupNorm()(Conv(width)(inner))))
                x = inner + (x if inner.shape == x.shape else Conv(width, 1)(x))
        return nn.Dense(10)(nn.relu(GroupNorm()(x)).mean((0, 2)).T)


def loss_of(network):
    """Return the mean cross entropy of a network's logits, as a function of parameters and a batch."""
    return lambda params, batch: optax.softmax_cross_entropy_with_integer_labels(
        network(params, batch[0]), batch[1]
    ).mean()


def accuracy_on(network, x, y, rows=2_000):
    """Return the accuracy on some images as a function of parameters; `rows` at a time bound the memory."""
    at_once = jax.jit(lambda params, x, y: (network(params, x).argmax(-1) == y).sum())

    def accuracy(params):
        counts = [at_once(params, x[first : first + rows], y[first : first + rows]) for first in range(0, len(x), rows)]
        return np.sum(jax.device_get(counts)) / len(x)

    return accuracy


def crossing(dims, performance, threshold):
    """Return the dimension at which performance reaches a threshold, on a line over log d between two neighbors.

    None where the first dimension is above it, or none reaches it.
    """
    reached = np.flatnonzero(np.asarray(performance) >= threshold)
    if not len(reached) or reached[0] == 0:
        return None
    right = reached[0]
    share = (threshold - performance[right - 1]) / (performance[right] - performance[right - 1])
    return float(np.exp(np.log(dims[right - 1]) + share * np.log(dims[right] / dims[right - 1])))
