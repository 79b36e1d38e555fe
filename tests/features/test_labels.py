import numpy as np
import pytest

from dni_jax.features import Labels

LABELS = Labels(
    ("digit", "depth", "always"),
    ("binary", "continuous", "binary"),
    (np.array([0, 1, 1, 0], np.int8), np.array([0, 0.5, 1, 0], np.float32), np.array([1, 1, 1, 0], np.int8)),
    np.array([True, True, True, False]),
)


def test_values_are_the_columns():
    assert LABELS.values.dtype == np.float32
    assert LABELS.values.tolist() == [[0, 0, 1], [1, 0.5, 1], [1, 1, 1], [0, 0, 0]]


def test_select_and_of_kind():
    two = LABELS.select(["always", "depth"])
    assert (two.names, two.kinds) == (("always", "depth"), ("binary", "continuous"))
    np.testing.assert_array_equal(two.values, LABELS.values[:, [2, 1]])
    assert LABELS.of_kind("binary").names == ("digit", "always")
    assert len(LABELS.of_kind("continuous")) == 1


def test_constant_looks_at_the_positions_in_use():
    assert LABELS.constant == ("always",)
    nothing = Labels(LABELS.names, LABELS.kinds, LABELS.columns, np.zeros(4, bool))
    assert nothing.constant == LABELS.names


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"one of the 3 features \('digit', .*, got 'digits': did you mean 'digit'"):
        _ = LABELS["digits"]
    with pytest.raises(ValueError, match=r"got 'zzz'$"):
        LABELS.select(["zzz"])
    assert repr(LABELS) == "Labels(4 positions x 3 features, 2 binary)"
