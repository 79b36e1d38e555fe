"""The networks whose intrinsic dimension is measured, their loss and their accuracy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn


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


class LeNet(nn.Module):
    """Two convolutions and three fully connected layers: 62,006 weights for images of 32 x 32 x 3."""

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10)."""
        for channels in (6, 16):
            x = nn.max_pool(nn.relu(nn.Conv(channels, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


class ResNet(nn.Module):
    """Three stages of residual blocks (He et al. 2016), each half as large as the last; groups are normalized.

    Batch normalization would keep averages beside the weights, which a subspace of the weights does not describe.
    """

    widths: tuple[int, ...] = (8, 16, 32)
    blocks: int = 1

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10)."""
        x = nn.Conv(self.widths[0], (3, 3), use_bias=False)(x)
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                strides = 2 if stage and not block else 1
                inner = nn.Conv(width, (3, 3), strides, use_bias=False)(nn.relu(nn.GroupNorm(4)(x)))
                inner = nn.Conv(width, (3, 3), use_bias=False)(nn.relu(nn.GroupNorm(4)(inner)))
                x = inner + (x if inner.shape == x.shape else nn.Conv(width, (1, 1), strides, use_bias=False)(x))
        return nn.Dense(10)(nn.relu(nn.GroupNorm(4)(x)).mean((1, 2)))


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
