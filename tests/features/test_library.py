import re

import numpy as np
import pytest

from dni_jax.features import FeatureLibrary, char_feature, default_library, feature
from dni_jax.languages import get
from dni_jax.text import Corpus, NodeKind

A, B = char_feature("a", lambda c: c == "a"), char_feature("b", lambda c: c == "b")


def test_sum_selection_and_access():
    library = FeatureLibrary((A,)) + B
    assert library.names == ("a", "b")
    assert library["b"] is B
    assert tuple(library.select(["b", "a"])) == (B, A)
    assert (library + FeatureLibrary((char_feature("c", str.isdigit),))).names == ("a", "b", "c")


def test_names_must_be_distinct():
    with pytest.raises(ValueError, match=r"distinct names of features, got \['a'\] more than once"):
        _ = FeatureLibrary((A, B)) + char_feature("a", str.isdigit)


def test_unknown_feature_gets_a_suggestion():
    library = get("parentheses").features()
    with pytest.raises(ValueError, match=r"got 'dept': did you mean 'depth'"):
        library.select(["dept"])
    with pytest.raises(ValueError, match=r"did you mean .*'impulse:e1'"):
        _ = library["impuls:e1"]


def test_default_library_of_a_small_grammar():
    kinds = [
        NodeKind("s -> a s", "s"),
        NodeKind("s -> x", "s"),
        NodeKind("x -> 1", "x"),
        NodeKind("brackets", "brackets"),
    ]
    library = default_library(kinds, ["(", ")", "1", "a"])
    nodes = ["s", "x", "s -> a s", "s -> x"]
    assert library.names == (
        "depth",
        *(f"depth={level}" for level in range(5)),
        *("digit", "letter", "parenthesis"),
        *(f"symbol:{c}" for c in "()1a"),
        *(f"{what}:{node}" for node in nodes for what in ("range", "impulse")),
    )
    assert default_library(kinds, ["1"], rules=False).names[-4:] == ("range:s", "impulse:s", "range:x", "impulse:x")


def test_large_alphabets_and_many_rules_are_summed_up():
    kinds = [NodeKind(f"s -> {n}", "s") for n in range(65)]
    names = default_library(kinds, [chr(n) for n in range(33, 66)]).names
    assert not any(name.startswith("symbol:") for name in names)
    assert names[-2:] == ("range:s", "impulse:s")
    assert len(default_library(kinds[:64], ["a"]).names) == len(default_library(kinds, ["a"]).names) + 2 * 64


def test_default_classes_cover_every_character_once():
    corpus = get("python").corpus(["x = f('a', [1])  # é\n"])
    labels = get("python").features().label(corpus)
    classes = ["digit", "letter", "parenthesis", "operator", "quote", "space", "newline", "punctuation"]
    assert (sum(labels[name] for name in classes) == 1).all()


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_every_default_feature_varies_somewhere(name):
    corpus = get(name).sample(2_000, seed=0)
    labels = get(name).features().label(corpus)
    # No character of the parentheses stands outside all brackets but the zeros; nothing without characters has labels.
    expected = {"range:e4 -> epsilon", "impulse:e4 -> epsilon", "range:e0"} if name == "parentheses" else set()
    assert set(labels.constant) == expected
    assert labels.library.names == labels.names
    assert labels.mask.all()


def test_labels_do_not_depend_on_company():
    corpus = get("arithmetic").sample(50, seed=0)
    library = get("arithmetic").features()
    together = library.label(corpus)
    for one in library:
        np.testing.assert_array_equal(FeatureLibrary((one,)).label(corpus).columns[0], together[one.name])


def test_a_users_feature_beside_the_languages():
    corpus = get("parentheses").sample(20, seed=0)
    library = get("parentheses").features() + feature("first", lambda s: [i == 0 for i in range(len(s))])
    labels = library.label(corpus)
    np.testing.assert_array_equal(np.flatnonzero(labels["first"]), corpus.offsets[:-1])


def test_selection_by_pattern_expression_and_kind():
    library = get("arithmetic").features()
    assert library.select("depth=[01]", "digit").names == ("depth=0", "depth=1", "digit")
    assert library.select(re.compile("^depth")).names == tuple(n for n in library.names if n.startswith("depth"))
    assert library.select("symbol:*").names == tuple(n for n in library.names if n.startswith("symbol:"))
    assert library.select(["symbol:*"]).names == ("symbol:*",)  # a list is of exact names
    assert library.select(["range:e -> e * e"]).names == ("range:e -> e * e",)
    assert set(library.select("range:e -> e * e").names) == {f"range:e -> e {sign} e" for sign in "+-*/"}
    assert library.select("symbol:(").names == ("symbol:(",)
    assert library.select(kind="continuous").names == ("depth",)
    assert library.select("dep*", kind="binary").names[0] == "depth=0"
    assert library.select("digit", "d*").names[0] == "digit"
    assert library.select().names == library.names
    assert library.drop("symbol:*", ["digit"]).names == tuple(
        n for n in library.names if n != "digit" and not n.startswith("symbol:")
    )
    assert library.drop(kind="binary").names == ("depth",)
    assert library.drop().names == library.names


def test_selection_that_fits_nothing():
    library = get("parentheses").features()
    with pytest.raises(ValueError, match=r"got 'rnge:\*': did you mean"):
        library.select("rnge:*")
    with pytest.raises(ValueError, match=r"one of the 51 features .*got '\^x'"):
        library.drop(re.compile("^x"))
    with pytest.raises(ValueError, match=r"each feature once, got \['digit'\] more than once"):
        library.select(["digit", "digit"])
    with pytest.raises(ValueError, match="kind 'binary' or 'continuous', got 'ordinal'"):
        library.select(kind="ordinal")


def test_union_keeps_shared_features_once():
    library = get("parentheses").features()
    both = library.select("digit", "depth*") | library.select("d*")
    assert both.names == ("digit", "depth", "depth=0", "depth=1", "depth=2", "depth=3", "depth=4")
    assert (FeatureLibrary((A,)) | A | B).names == ("a", "b")
    assert FeatureLibrary((A,)).union(B, FeatureLibrary((B, A))).names == ("a", "b")
    with pytest.raises(ValueError, match=r"got \['a'\] more than once: rename with feature\.rename"):
        _ = FeatureLibrary((A,)) | char_feature("a", str.isdigit)
    with pytest.raises(ValueError, match=r"got \['a'\] more than once"):
        _ = FeatureLibrary((A,)) + A


def test_single_features_label_and_add_up():
    corpus = Corpus.from_strings(["ab", "b"])
    labels = A.label(corpus)
    assert (labels.names, labels.values.tolist()) == (("a",), [[1], [0], [0]])
    assert labels.library.label(corpus).names == ("a",)
    assert (A + B).names == ("a", "b")
    assert (A + FeatureLibrary((B,))).names == ("a", "b")
    assert "a" in A + B
    assert A in A + B
    assert "c" not in A + B


@pytest.mark.parametrize("name", ["parentheses", "arithmetic", "python"])
def test_every_feature_of_a_language_says_what_it_is_about(name):
    table = get(name).features().to_dataframe()
    assert table.columns.tolist() == ["feature", "kind", "about"]
    assert (table["about"] != "").all()
    assert set(table["kind"]) <= {"binary", "continuous"}
    assert "<table" in get(name).features()._repr_html_()
