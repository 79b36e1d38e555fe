"""Projections compared with their explicit matrices; their memory; the norms and products of their columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import hadamard

from dni_jax.lab.intrinsic_dimension._projections import (
    PROJECTIONS,
    Identity,
    projection_bytes,
    random_projection,
    walsh_hadamard,
)

SLOW = [pytest.param(n, d, marks=pytest.mark.slow) for n, d in ((1, 1), (50, 50), (201, 70), (1_001, 130))]
SIZES = [(50, 7), *SLOW]


@jax.jit
def apply(projection, z):
    return projection.apply(z)


@jax.jit
def transpose(projection, y):
    return projection.transpose(y)


def matrix(projection):
    """Return the D x d matrix, column by column."""
    return np.asarray(apply(projection, np.eye(projection.shape[1], dtype=np.float32)), np.float64).T


@pytest.mark.parametrize("kind", PROJECTIONS)
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_apply_and_transpose_are_those_of_one_matrix(kind, n, d):
    rng = np.random.default_rng(n + d)
    p = random_projection(kind, n, d, seed=3)
    assert p.shape == (n, d)
    z, y = (rng.normal(size=(2, size)).astype(np.float32) for size in (d, n))
    up, down = np.asarray(apply(p, z), np.float64), np.asarray(transpose(p, y), np.float64)
    scale = np.linalg.norm(up) * np.linalg.norm(y)
    assert abs((up @ y.T).ravel() - (z.astype(np.float64) @ down.T).ravel()).max() <= 1e-6 * max(scale, 1)
    explicit = matrix(p)
    np.testing.assert_allclose(up, z @ explicit.T, atol=1e-5)
    np.testing.assert_allclose(down, y @ explicit, atol=1e-5)


@pytest.mark.parametrize("kind", PROJECTIONS)
@pytest.mark.slow
def test_jax_differentiates_both_maps(kind):
    p = random_projection(kind, 50, 7, seed=1)
    y, z = jnp.arange(50.0), jnp.arange(7.0)
    (back,) = jax.vjp(p.apply, z)[1](y)
    np.testing.assert_allclose(back, p.transpose(y), rtol=1e-5, atol=1e-4)
    (ahead,) = jax.vjp(p.transpose, y)[1](z)
    np.testing.assert_allclose(ahead, p.apply(z), rtol=1e-5, atol=1e-4)
    both = jax.vmap(p.transpose)(jnp.stack([y, 2 * y]))
    np.testing.assert_allclose(both[1], 2 * p.transpose(y), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", PROJECTIONS)
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_projection_bytes(kind, n, d):
    arrays = jax.tree.leaves(random_projection(kind, n, d))
    assert sum(array.nbytes for array in arrays) == projection_bytes(kind, n, d)


@pytest.mark.parametrize(("kind", "n", "d"), [("dense", 50, 7), ("sparse", 50, 7), ("fastfood", 64, 7)])
def test_columns_have_norm_1(kind, n, d):
    np.testing.assert_allclose(np.linalg.norm(matrix(random_projection(kind, n, d)), axis=0), 1, atol=1e-5)


def test_fastfood_with_a_partial_block_has_columns_of_nearly_norm_1():
    norms = np.linalg.norm(matrix(random_projection("fastfood", 50, 7)), axis=0)
    np.testing.assert_allclose(norms, 1, atol=0.2)
    assert norms.std() > 0


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_columns_are_orthonormal_on_average(kind):
    n, d, draws = 50, 7, 200
    explicit = [matrix(random_projection(kind, n, d, (5, number))) for number in range(draws)]
    grams = [one.T @ one for one in explicit]
    error = np.abs(np.mean(grams, axis=0) - np.eye(d))
    assert error.max() < 5 / np.sqrt(draws * n)  # five standard errors of independent numbers


def test_fastfood_is_the_product_of_its_factors():
    n_rows, d, n = 50, 7, 8
    p = random_projection("fastfood", n_rows, d, seed=2)
    h, blocks = hadamard(n).astype(float), []
    for signs, order, normals in zip(p.signs, p.order, p.normals, strict=True):
        shuffle = np.eye(n)[np.asarray(order)]
        blocks.append(h @ np.diag(normals) @ shuffle @ h @ np.diag(signs))
    assert sorted(set(np.asarray(p.signs).ravel().tolist())) == [-1.0, 1.0]
    np.testing.assert_allclose(np.concatenate(blocks)[:n_rows, :d], matrix(p), atol=1e-6)


def test_sparse_has_the_papers_density():
    explicit = matrix(random_projection("sparse", 900, 3))
    assert (np.count_nonzero(explicit, axis=0) == 30).all()
    assert set(np.round(np.abs(explicit[explicit != 0]), 6)) == {round(1 / np.sqrt(30), 6)}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_first_columns_do_not_depend_on_d(kind):
    few, many = (matrix(random_projection(kind, 50, d, (1, 2))) for d in (3, 7))
    np.testing.assert_array_equal(few, many[:, :3])
    other = matrix(random_projection(kind, 50, 3, (1, 3)))
    assert (few != other).any()


def test_the_identity():
    x = jnp.arange(3.0)
    assert Identity(3).shape == (3, 3)
    assert Identity(3).apply(x) is x
    assert Identity(3).transpose(x) is x


@pytest.mark.parametrize(("kind", "d", "words"), [("gauss", 3, "dense, sparse, fastfood"), ("dense", 11, "1 to 10")])
def test_invalid_arguments(kind, d, words):
    for call in (random_projection, projection_bytes):
        with pytest.raises(ValueError, match=words):
            call(kind, 10, d)


@pytest.mark.parametrize("n", [1, 2, 32])
def test_hadamard_transform_is_the_product_with_the_matrix(n):
    x = np.random.default_rng(n).integers(-9, 9, (2, 3, n)).astype(np.int32)
    np.testing.assert_array_equal(jax.jit(walsh_hadamard)(x), x @ hadamard(n))


def test_hadamard_transform_is_n_times_its_own_inverse():
    x = jnp.asarray(np.random.default_rng(0).integers(-9, 9, 32).astype(np.float32))
    np.testing.assert_array_equal(jax.jit(lambda x: walsh_hadamard(walsh_hadamard(x)))(x), 32 * np.asarray(x))


@pytest.mark.parametrize("n", [0, 3, 12])
def test_hadamard_transform_needs_a_power_of_two(n):
    with pytest.raises(ValueError, match=f"power of two, got {n}"):
        walsh_hadamard(jnp.zeros(n))
