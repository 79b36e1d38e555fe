import numpy as np
import pytest

from dni_jax.languages import get
from dni_jax.text import NodeKind, ParseTrees, concatenate_ranges, concatenate_trees


def test_concatenate_ranges():
    assert concatenate_ranges(np.array([3, 9, 0]), np.array([2, 0, 3])).tolist() == [3, 4, 0, 1, 2]
    assert concatenate_ranges(np.array([], int), np.array([], int)).tolist() == []


def test_concatenate_trees_undoes_take():
    trees = get("parentheses").sample(30, seed=0).trees
    parts = [trees.take(np.arange(first, last)) for first, last in ((0, 1), (1, 11), (11, 30))]
    joined = concatenate_trees(parts)
    for name in ("rule", "start", "end", "parent", "depth", "offsets", "string_ids"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(trees, name), err_msg=name)


def test_concatenate_refuses_other_kinds():
    with pytest.raises(ValueError, match="the same kinds"):
        concatenate_trees([get("parentheses").sample(1).trees, get("arithmetic").sample(1).trees])


def test_show():
    kinds = (NodeKind("a -> x b", "a"), NodeKind("b -> epsilon", "b"))
    columns = [np.array(c, np.int32) for c in ([0, 1], [0, 1], [1, 1], [-1, 0], [0, 1])]
    trees = ParseTrees(kinds, *columns, np.array([0, 2]))
    assert trees.show(0, "x") == "a -> x b  'x'\n  b -> epsilon  ''"
    assert trees.symbols == ("a", "b")
    assert len(trees) == 1
