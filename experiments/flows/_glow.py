"""A small Glow (Kingma & Dhariwal 2018): a bijection of images by invertible 1 x 1 convolutions and splits."""

from dataclasses import dataclass, field, replace
from itertools import zip_longest

import jax
import jax.numpy as jnp
import numpy as np

from dni_jax.lab.densities import PLU

_MAX_LOG_SCALE = 2.0


def squeeze(x):
    """Turn each 2 x 2 pixels into four channels: ``(..., H, W, C)`` to ``(..., H / 2, W / 2, 4 C)``."""
    *batch, height, width, channels = x.shape
    blocks = x.reshape(*batch, height // 2, 2, width // 2, 2, channels)
    return jnp.moveaxis(blocks, -4, -3).reshape(*batch, height // 2, width // 2, 4 * channels)


def unsqueeze(x):
    """Undo `squeeze`."""
    *batch, height, width, channels = x.shape
    blocks = jnp.moveaxis(x.reshape(*batch, height, width, 2, 2, channels // 4), -3, -4)
    return blocks.reshape(*batch, 2 * height, 2 * width, channels // 4)


def convolve(x, weights, bias):
    """Convolve ``(..., H, W, C)`` with weights ``(size, size, C, out)`` of odd size, zeros beyond the edges.

    As a product of patches, or as patches of a product, where there are fewer channels out than in. On CPUs its
    gradient is several times faster than that of XLA's own convolution.
    """
    size, _, channels, out = weights.shape
    height, width = x.shape[-3:-1]
    places = [(i, j) for i in range(size) for j in range(size)]

    def shifted(images, place):
        i, j = place
        padded = jnp.pad(images, [(0, 0)] * (images.ndim - 3) + [(size // 2,) * 2] * 2 + [(0, 0)])
        return padded[..., i : i + height, j : j + width, :]

    if channels <= out or size == 1:
        return jnp.concatenate([shifted(x, one) for one in places], axis=-1) @ weights.reshape(-1, out) + bias
    by_channel = jnp.moveaxis(weights.reshape(size * size, channels, out), 0, 1).reshape(channels, -1)
    products = jnp.split(x @ by_channel, size * size, axis=-1)
    return sum(map(shifted, products, places)) + bias


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Step:
    """A 1 x 1 convolution of all channels, and an affine coupling whose scale and shift a small network computes.

    The convolution is a bijection of C numbers at every pixel, by a permuted LU decomposition, whose diagonal and bias
    do what Glow's actnorm does. Its log-determinant counts once a pixel.
    """

    mix: PLU
    weights: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]

    @classmethod
    def init(cls, key, channels, width):
        """Start with a random rotation, and a coupling that is the identity."""
        rotation, first, second = jax.random.split(key, 3)
        matrix = np.linalg.qr(np.asarray(jax.random.normal(rotation, (channels, channels)), np.float64))[0]
        half, rest, normal = channels // 2, channels - channels // 2, jax.nn.initializers.he_normal()
        weights = (
            normal(first, (3, 3, half, width)),
            normal(second, (1, 1, width, width)),
            jnp.zeros((3, 3, width, 2 * rest)),
        )
        biases = tuple(jnp.zeros(one.shape[-1]) for one in weights)
        return cls(PLU.from_matrix(matrix, np.zeros(channels)), weights, biases)

    def forward(self, x):
        """Map images, with the log-determinant."""
        x, log_det = self.mix.forward(x)
        fixed, moved = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        log_scale, shift = self._scale_and_shift(fixed)
        y = jnp.concatenate([fixed, moved * jnp.exp(log_scale) + shift], axis=-1)
        return y, log_det.sum((-2, -1)) + log_scale.sum((-3, -2, -1))

    def inverse(self, y):
        """Map back, with the log-determinant of that."""
        fixed, moved = jnp.split(y, [y.shape[-1] // 2], axis=-1)
        log_scale, shift = self._scale_and_shift(fixed)
        x = jnp.concatenate([fixed, (moved - shift) * jnp.exp(-log_scale)], axis=-1)
        x, log_det = self.mix.inverse(x)
        return x, log_det.sum((-2, -1)) - log_scale.sum((-3, -2, -1))

    def _scale_and_shift(self, fixed):
        hidden = jax.nn.relu(convolve(fixed, self.weights[0], self.biases[0]))
        hidden = jax.nn.relu(convolve(hidden, self.weights[1], self.biases[1]))
        scale, shift = jnp.split(convolve(hidden, self.weights[2], self.biases[2]), 2, axis=-1)
        return _MAX_LOG_SCALE * jnp.tanh(scale / _MAX_LOG_SCALE), shift


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Split:
    """Half of the channels become latents, less a mean and over a scale that a convolution computes from the others."""

    weights: jax.Array
    bias: jax.Array

    @classmethod
    def init(cls, channels):
        """Start with means of 0 and scales of 1."""
        return cls(jnp.zeros((3, 3, channels // 2, channels)), jnp.zeros(channels))

    def forward(self, x):
        """Give the latents, what goes on, and the log-determinant."""
        done, x = jnp.split(x, 2, axis=-1)
        mean, log_scale = self._mean_and_scale(x)
        return (done - mean) * jnp.exp(-log_scale), x, -log_scale.sum((-3, -2, -1))

    def inverse(self, latents, x):
        """Map back, with the log-determinant of that."""
        mean, log_scale = self._mean_and_scale(x)
        return jnp.concatenate([latents * jnp.exp(log_scale) + mean, x], axis=-1), log_scale.sum((-3, -2, -1))

    def _mean_and_scale(self, x):
        mean, scale = jnp.split(convolve(x, self.weights, self.bias), 2, axis=-1)
        return mean, _MAX_LOG_SCALE * jnp.tanh(scale / _MAX_LOG_SCALE)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Glow:
    """Levels of squeezing, steps and a split; then each latent less its mean, over its scale.

    A bijection of flat images ``(..., side * side)``, as `dni_jax.lab.densities.fit` takes one. The means and scales
    are Glow's learned prior: they alone know where in the image a latent is.
    """

    levels: tuple[tuple[Step, ...], ...]
    splits: tuple[Split, ...]
    mean: jax.Array
    log_scale: jax.Array
    side: int = field(metadata={"static": True})

    @classmethod
    def init(cls, key, side, levels=2, steps=4, width=32):
        """Start with random rotations of channels."""
        found, splits, channels = [], [], 1
        for level in range(levels):
            channels *= 4
            keys = jax.random.split(jax.random.fold_in(key, level), steps)
            found.append(tuple(Step.init(one, channels, width) for one in keys))
            if level < levels - 1:
                splits.append(Split.init(channels))
            channels //= 2
        return cls(tuple(found), tuple(splits), *jnp.zeros((2, side**2)), side)

    def standardized(self, rows):
        """Give the same with means and scales that make the latents of these images 0 on average, of variance 1."""
        latents = np.asarray(jax.jit(self.forward)(rows)[0])
        mean, log_scale = latents.mean(0), np.log(latents.std(0) + 1e-3)
        scale = jnp.exp(self.log_scale)
        return replace(self, mean=self.mean + scale * mean, log_scale=self.log_scale + log_scale)

    def forward(self, x):
        """Map images to latents, with the log-determinant."""
        batch = x.shape[:-1]
        x, total, latents = x.reshape(*batch, self.side, self.side, 1), jnp.zeros(batch, x.dtype), []
        for level, split in zip_longest(self.levels, self.splits):
            x = squeeze(x)
            for step in level:
                x, log_det = step.forward(x)
                total = total + log_det
            if split is not None:
                done, x, log_det = split.forward(x)
                latents.append(done.reshape(*batch, -1))
                total = total + log_det
        y = jnp.concatenate([*latents, x.reshape(*batch, -1)], axis=-1)
        return (y - self.mean) * jnp.exp(-self.log_scale), total - self.log_scale.sum()

    def inverse(self, y):
        """Map latents to images, with the log-determinant of that."""
        batch, sizes = y.shape[:-1], [self.side**2 // 2 ** (n + 1) for n in range(len(self.levels) - 1)]
        *latents, x = jnp.split(y * jnp.exp(self.log_scale) + self.mean, np.cumsum(sizes), axis=-1)
        total, side = jnp.zeros(batch, y.dtype) + self.log_scale.sum(), self.side // 2 ** len(self.levels)
        x = x.reshape(*batch, side, side, -1)
        for level, split in reversed([*zip_longest(self.levels, self.splits)]):
            if split is not None:
                x, log_det = split.inverse(latents.pop().reshape(x.shape), x)
                total = total + log_det
            for step in reversed(level):
                x, log_det = step.inverse(x)
                total = total + log_det
            x = unsqueeze(x)
        return x.reshape(*batch, -1), total


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Logit:
    """``log(p / (1 - p))`` of ``p = margin + (1 - 2 margin) x``: pixels become unbounded (Dinh et al. 2017)."""

    margin: float = field(default=0.05, metadata={"static": True})

    def forward(self, x):
        """Map pixels from 0 to 1 to all numbers, with the log-determinant."""
        p = self.margin + (1 - 2 * self.margin) * x
        slope = jnp.log(1 - 2 * self.margin) - jnp.log(p) - jnp.log1p(-p)
        return jnp.log(p) - jnp.log1p(-p), slope.sum(-1)

    def inverse(self, y):
        """Map numbers to pixels (those beyond the margin leave 0 to 1), with the log-determinant of that."""
        x = (jax.nn.sigmoid(y) - self.margin) / (1 - 2 * self.margin)
        return x, -self.forward(x)[1]
