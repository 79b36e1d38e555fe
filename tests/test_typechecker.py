"""The checker of types notices a wrong shape, in a package that is imported through jaxtyping's hook."""

import numpy as np
import pytest
from jaxtyping import Float, Int, TypeCheckError, jaxtyped

from dni_jax.text import offsets_from_lengths
from tests.support.typechecker import _ALL, _ONE_IN, check


def _is_noticed(call):
    try:
        call()
    except TypeCheckError:
        return True
    return False


def test_the_package_is_checked():
    assert any(_is_noticed(lambda: offsets_from_lengths(np.zeros(3))) for _ in range(_ONE_IN))  # floats


def test_every_call_at_first_then_some():
    @jaxtyped(typechecker=check)
    def double(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return 2 * x

    noticed = [_is_noticed(lambda: double(np.zeros(2, int))) for _ in range(_ALL + 2 * _ONE_IN)]
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
