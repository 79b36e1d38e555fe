"""A drawn tree has one bar a node, as wide as what it holds, at its depth."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax import plot


def bars(axis):
    """Each bar's (level, first, last) in whole columns."""
    found = []
    for patch in axis.patches:
        left, right = patch.get_x(), patch.get_x() + patch.get_width()
        found.append((int(patch.get_y()), round(left), round(right)))
    return sorted(found)


def nodes(corpus, string):
    trees = corpus.trees
    rows = range(*trees.offsets[string : string + 2])
    return sorted(
        (int(trees.depth[row]), int(trees.start[row]), int(trees.end[row]))
        for row in rows
        if trees.kinds[trees.rule[row]].symbol != "brackets"
    )


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_bars_are_the_nodes(name, ax):
    corpus = dni.languages.get(name).sample(30, seed=2)
    string = int(np.argsort(np.diff(corpus.offsets))[15])
    assert plot.tree(corpus, string, ax) is ax
    assert bars(ax) == nodes(corpus, string)
    assert (
        "".join(sign.get_text() for sign in ax.texts[-len(corpus.strings[string]) :]).replace("␣", " ")
        == corpus.strings[string]
    )


def test_names_fit_their_bars(ax):
    corpus = dni.languages.get("c").corpus(["int add(int x) {\n\treturn x + 1;\n}\n"])
    plot.tree(corpus, ax=ax)
    names = [sign.get_text() for sign in ax.texts]
    assert {"FuncDef", "Compound", "Return", "BinaryOp"} <= set(names)
    cut = [name for name in names if name.endswith("…")]
    assert cut
    assert all(any(symbol.startswith(name[:-1]) for symbol in corpus.trees.symbols) for name in cut)
    rule = plot.tree(dni.languages.get("arithmetic").corpus(["1+2"]), rules=True, ax=Figure((9, 3)).subplots())
    assert "e -> e + e" in [sign.get_text() for sign in rule.texts]


def test_a_part_of_a_tree(ax):
    corpus = dni.languages.get("arithmetic").corpus(["1+(2*3)"])
    plot.tree(corpus, ax=ax, start=3, width=3, levels=2)
    whole = [(level, max(first, 3) - 3, min(last, 6) - 3) for level, first, last in nodes(corpus, 0)
             if level < 2 and first < 6 and last > 3]  # fmt: skip
    assert bars(ax) == sorted(whole)
    assert ax.get_title(loc="left") == "string 0 of arithmetic, characters 3 to 5 of 7"


def test_bad_input():
    ax = Figure().subplots()
    parsed = dni.languages.get("arithmetic").corpus(["1"])
    with pytest.raises(ValueError, match=r"a corpus with parse trees, got Corpus\(text"):
        plot.tree(dni.Corpus.from_strings(["1"]), ax=ax)
    with pytest.raises(ValueError, match="a string from 0 to 0, got 1"):
        plot.tree(parsed, 1, ax)
    with pytest.raises(ValueError, match="levels of at least 1, got 0"):
        plot.tree(parsed, ax=ax, levels=0)
