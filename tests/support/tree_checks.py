"""What must hold of any trees, checked node by node."""

import numpy as np


def nodes_of(trees, string):
    """Rows of one string as dicts, children's rows included."""
    first, last = trees.offsets[string], trees.offsets[string + 1]
    nodes = [
        {
            "kind": trees.kinds[trees.rule[row]],
            "start": int(trees.start[row]),
            "end": int(trees.end[row]),
            "parent": int(trees.parent[row]),
            "depth": int(trees.depth[row]),
            "children": [],
        }
        for row in range(first, last)
    ]
    for row, node in enumerate(nodes):
        if node["parent"] >= 0:
            nodes[node["parent"]]["children"].append(row)
    return nodes


def check_shape(trees, string, length):
    """Pre-order, depth, children within their parent from left to right, brackets as roots behind the tree."""
    nodes = nodes_of(trees, string)
    brackets = [node for node in nodes if node["kind"].symbol == "brackets"]
    tree = nodes[: len(nodes) - len(brackets)]
    assert all(node["kind"].symbol == "brackets" for node in nodes[len(tree) :])
    assert [(n["start"], n["end"]) for n in brackets] == sorted((n["start"], n["end"]) for n in brackets)
    assert all(n["parent"] == -1 and n["depth"] == 0 and not n["children"] for n in brackets)
    order = []

    def walk(row, depth):
        order.append(row)
        node = tree[row]
        assert node["depth"] == depth
        assert 0 <= node["start"] <= node["end"] <= length
        place = node["start"]
        for child in node["children"]:
            assert tree[child]["start"] >= place
            place = tree[child]["end"]
            walk(child, depth + 1)
        assert place <= node["end"]

    for row, node in enumerate(tree):
        if node["parent"] < 0:
            walk(row, 0)
    assert order == list(range(len(tree)))


def assert_same_trees(a, b):
    """Field by field; kinds by name."""
    np.testing.assert_array_equal(a.offsets, b.offsets)
    assert [a.kinds[r] for r in a.rule] == [b.kinds[r] for r in b.rule]
    for name in ("start", "end", "depth", "parent"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
