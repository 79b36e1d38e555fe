"""The fast transform against SciPy's matrix."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import hadamard

from dni_jax.lab.intrinsic_dimension._hadamard import walsh_hadamard


@pytest.mark.parametrize("n", [1, 2, 32])
def test_is_the_product_with_the_matrix(n):
    x = np.random.default_rng(n).integers(-9, 9, (2, 3, n)).astype(np.int32)
    np.testing.assert_array_equal(walsh_hadamard(jnp.asarray(x)), x @ hadamard(n))


def test_twice_is_n_times_the_same():
    x = jnp.asarray(np.random.default_rng(0).integers(-9, 9, 32).astype(np.float32))
    np.testing.assert_array_equal(walsh_hadamard(walsh_hadamard(x)), 32 * x)


@pytest.mark.parametrize("n", [0, 3, 12])
def test_other_lengths_are_refused(n):
    with pytest.raises(ValueError, match=f"power of two, got {n}"):
        walsh_hadamard(jnp.zeros(n))
