"""Convolution and pooling of images laid out as (rows, channels, columns, images).

With images innermost, a convolution is one matrix product per row of its output, and normalizing and pooling are sums
of long vectors. On CPUs this is faster than XLA's own convolutions of few channels: twice, and inside compiled loops,
where their gradients are slow (JAX issue 12868), fifteen to thirty times.
"""

from functools import partial

import jax
import jax.numpy as jnp


def rows_first(x):
    """Transpose images (images, rows, columns, channels) to this module's layout."""
    return x.transpose(1, 3, 2, 0)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x, kernel, padding):
    """Convolve images with a kernel (height, width, channels, features), as Flax's ``nn.Conv`` does.

    `padding` is "SAME" or "VALID".
    """
    return _convolve(_pad(x, _edges(kernel, padding)), kernel)


def _forward(x, kernel, padding):
    return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, kept, change):
    """The images' gradient is the change, convolved with the kernel turned over; the kernel's is a sum over rows."""
    x, kernel = kept
    height, width, channels, features = kernel.shape
    before, after = _edges(kernel, padding)
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    opposite = [(n - 1 - first, n - 1 - last) for n, first, last in zip((height, width), before, after, strict=True)]
    to_x = _convolve(_pad(change, tuple(zip(*opposite, strict=True))), turned)
    padded = _pad(x, (before, after))

    def add(total, row):
        rows = jax.lax.dynamic_index_in_dim(change, row, keepdims=False).reshape(features, -1)
        return total + rows @ _patches(padded, row, height, width).T, None

    start = jnp.zeros((features, width * height * channels), kernel.dtype)
    total, _ = jax.lax.scan(add, start, jnp.arange(len(change)))
    return to_x, total.reshape(features, width, height, channels).transpose(2, 1, 3, 0)


convolve.defvjp(_forward, _backward)


def _convolve(x, kernel):
    height, width, _, features = kernel.shape
    weights = kernel.transpose(3, 1, 0, 2).reshape(features, -1)
    rows, columns = x.shape[0] - height + 1, x.shape[2] - width + 1
    out = jax.lax.map(lambda row: weights @ _patches(x, row, height, width), jnp.arange(rows))
    return out.reshape(rows, features, columns, x.shape[3])


def _patches(x, row, height, width):
    """Return what a row of the output reads, (width * height * channels, columns * images)."""
    read = jax.lax.dynamic_slice_in_dim(x, row, height)
    columns = x.shape[2] - width + 1
    parts = [read[i, :, j : j + columns].reshape(x.shape[1], -1) for j in range(width) for i in range(height)]
    return jnp.concatenate(parts)


def _edges(kernel, padding):
    """Return how many pixels are added before rows and columns, and after them."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    return tuple((n - 1) // 2 for n in kernel.shape[:2]), tuple(n // 2 for n in kernel.shape[:2])


def _pad(x, edges):
    (above, left), (below, right) = edges
    return jnp.pad(x, ((above, below), (0, 0), (left, right), (0, 0)))


def average_pool(x):
    """Return the means of squares of 2 x 2 pixels."""
    return sum(_corners(x)) / 4


@jax.custom_vjp
def max_pool(x):
    """Return the maxima of squares of 2 x 2 pixels; of equal ones the first, row by row, takes the gradient."""
    a, b, c, d = _corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _max_pool_backward(x, change):
    parts, taken = [], jnp.zeros(change.shape, bool)
    highest = max_pool(x)
    for corner in _corners(x):
        first = (corner == highest) & ~taken
        taken = taken | first
        parts.append(jnp.where(first, change, 0.0))
    rows = [jnp.stack(pair, axis=3) for pair in (parts[:2], parts[2:])]
    return (jnp.stack(rows, axis=1).reshape(x.shape),)


max_pool.defvjp(lambda x: (max_pool(x), x), _max_pool_backward)


def _corners(x):
    rows, channels, columns, images = x.shape
    squares = x.reshape(rows // 2, 2, channels, columns // 2, 2, images)
    return [squares[:, i, :, :, j] for i in range(2) for j in range(2)]
