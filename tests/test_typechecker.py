"""The checker of types notices a wrong shape, in a package that is imported through jaxtyping's hook."""

import numpy as np
import pytest
from jaxtyping import Float, Int, TypeCheckError, jaxtyped

from dni_jax.text import concatenate_ranges
from tests.support.typechecker import _ALL, _ONE_IN, check


def test_the_package_is_checked():
    with pytest.raises(TypeCheckError):
        concatenate_ranges(np.zeros((2, 2), int), np.zeros(2, int))


def test_every_call_at_first_then_some():
    @jaxtyped(typechecker=check)
    def double(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return 2 * x

    wrong, noticed = np.zeros(2, int), []
    for _ in range(_ALL + 2 * _ONE_IN):
        try:
            double(wrong)
            noticed.append(False)
        except TypeCheckError:
            noticed.append(True)
    assert all(noticed[:_ALL])
    assert sum(noticed[_ALL:]) == 2


def test_shapes_of_arguments_and_result_belong_together():
    @jaxtyped(typechecker=check)
    def first(x: Int[np.ndarray, "n m"], y: Int[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
        return x[0]

    first(np.zeros((3, 3), int), np.zeros(3, int))
    with pytest.raises(TypeCheckError):
        first(np.zeros((2, 3), int), np.zeros(2, int))
    with pytest.raises(TypeCheckError, match="return"):
        first(np.zeros((2, 3), int), np.zeros(3, int))
