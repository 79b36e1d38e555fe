"""Convolutions and pools of images by rows, against XLA's and Flax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments._shared import image_rows
from experiments.intrinsic_dimension._models import GroupNorm, LeNet, ResNet


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def images_first(x):
    return x.transpose(3, 0, 2, 1)


def gradients(function, *at):
    """The value, and its product with fixed numbers differentiated by all arguments."""
    value, back = jax.vjp(function, *at)
    return value, *back(draw(*value.shape, seed=1))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_convolve_and_its_gradients_are_those_of_xla(size, padding):
    x, kernel = draw(2, 7, 6, 3), draw(*size, 3, 4)

    def ours(x, kernel):
        return images_first(image_rows.convolve(image_rows.rows_first(x), kernel, padding))

    def theirs(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    found = jax.jit(gradients, static_argnums=0)(ours, x, kernel)
    for one, other in zip(found, gradients(theirs, x, kernel), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


POOLS = {
    "max_pool": lambda x: nn.max_pool(x, (2, 2), (2, 2)),
    "average_pool": lambda x: x.reshape(2, 3, 2, 4, 2, 3).mean((2, 4)),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_their_gradients(name):
    tied = jnp.asarray(np.random.default_rng(0).integers(0, 3, (2, 6, 8, 3)), jnp.float32)

    def pool(x):
        return images_first(getattr(image_rows, name)(image_rows.rows_first(x)))

    for one, other in zip(gradients(pool, tied), gradients(POOLS[name], tied), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_group_norm_is_that_of_flax():
    x, ours = 3.0 + draw(2, 5, 4, 8), GroupNorm(4)
    params = {"params": {"scale": draw(8, seed=2), "bias": draw(8, seed=3)}}

    def normalize(x):
        return images_first(ours.apply(params, image_rows.rows_first(x)))

    theirs = gradients(lambda x: nn.GroupNorm(4).apply(params, x), x)
    for one, other in zip(gradients(normalize, x), theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.parametrize(("network", "n_weights"), [(LeNet(), 62_006), (ResNet(), 19_858)])
def test_networks_give_each_image_its_own_logits(network, n_weights):
    x = draw(3, 32, 32, 3)
    params = network.init(jax.random.key(0), x[:1])
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == n_weights
    together = network.apply(params, x)
    assert together.shape == (3, 10)
    np.testing.assert_allclose(together[1:2], network.apply(params, x[1:2]), atol=1e-5)
