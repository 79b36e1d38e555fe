"""Features combined, lagged and looked for nearby, against a walk from character to character."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dni_jax as dni
from dni_jax.languages import get
from dni_jax.text import Corpus, join_segments, segment_corpus
from tests.support.drawn import few_of_many

STRINGS = st.lists(st.text("ab(", min_size=1, max_size=9), min_size=1, max_size=6)
A, B = dni.char_feature("a", lambda c: c == "a"), dni.char_feature("b", lambda c: c == "b")
DEPTH = get("arithmetic").features()["depth"]


CORPORA = st.tuples(
    STRINGS,
    st.integers(1, 5),
    st.sampled_from(["whole", "pieces", "unparsed"]),
    st.lists(st.booleans(), min_size=3, max_size=7),
)


def corpus_of(strings, size, how, parsed):
    """Whole strings; pieces that nothing joins; strings with characters that were not parsed."""
    whole = Corpus.from_strings(strings)
    if how == "unparsed":
        whole = replace(whole, parsed=np.resize(np.asarray(parsed), whole.n_positions))
    return replace(segment_corpus(whole, size), records={}) if how == "pieces" else whole


def windows(corpus, n):
    """For each position: the n positions before it (after it, n negative), and whether text is missing there."""
    for string in range(len(corpus)):
        low, high = corpus.offsets[string : string + 2].tolist()
        for t in range(low, high):
            wanted = [t - i if n > 0 else t + i for i in range(1, abs(n) + 1)]
            there = [u for u in wanted if low <= u < high]
            whole = corpus.begins[string] if n > 0 else corpus.ends[string]
            yield t, there, len(there) < len(wanted) and not whole


@few_of_many(25, 100, CORPORA, st.integers(-4, 4), derandomize=True)
def test_lag(drawn, n):
    corpus = corpus_of(*drawn)
    labels = A.lag(n).label(corpus)
    source = A.label(corpus)
    for t, there, missing in windows(corpus, n):
        far = there[-1] if len(there) == abs(n) and n else t if n == 0 else None
        assert labels.columns[0][t] == (source.columns[0][far] if far is not None else 0)
        assert labels.mask[t] == (source.mask[t] and not missing and (far is None or source.mask[far]))


@few_of_many(25, 100, CORPORA, st.integers(0, 4), st.sampled_from(["previous", "next"]), derandomize=True)
def test_within(drawn, n, direction):
    corpus = corpus_of(*drawn)
    labels, source = A.within(n, direction).label(corpus), A.label(corpus)
    for t, there, missing in windows(corpus, n if direction == "previous" else -n):
        assert labels.columns[0][t] == max(source.columns[0][u] for u in [t, *there])
        assert labels.mask[t] == (not missing and all(source.mask[u] for u in [t, *there]))


@few_of_many(12, 50, CORPORA, st.integers(-3, 3), derandomize=True)
def test_and_or_not(drawn, n):
    corpus = corpus_of(*drawn)
    lagged = B.lag(n)
    a, b = A.label(corpus), lagged.label(corpus)
    for one, expected in (
        (A & lagged, a.columns[0] & b.columns[0]),
        (A | lagged, a.columns[0] | b.columns[0]),
        (~lagged, 1 - b.columns[0]),
        ((A & ~lagged) | (lagged & ~A), a.columns[0] ^ b.columns[0]),
    ):
        labels = one.label(corpus)
        np.testing.assert_array_equal(labels.columns[0], expected)
        np.testing.assert_array_equal(labels.mask, a.mask & b.mask)
        assert (labels.kinds, labels.columns[0].dtype) == (("binary",), np.int8)


def test_names():
    assert (A & B).name == "(a & b)"
    assert (A | ~B).name == "(a | ~b)"
    assert (~(A & B)).name == "~(a & b)"
    assert (A.lag(3).name, A.lag(-2).name, A.lag(0).name) == ("a@-3", "a@+2", "a")
    assert (A.within(3).name, A.within(2, "next").name) == ("a@-3..0", "a@0..+2")
    assert (~A).lag(1).name == "(~a)@-1"
    assert (~A.lag(1)).name == "~a@-1"
    assert (A & B).rename("both", "a and b").about == "a and b"
    assert (A & B).rename("both").name == "both"


def test_a_lag_keeps_continuous_labels():
    corpus = get("arithmetic").corpus(["((1))", "1+(2)"])
    before, depth = DEPTH.lag(1).label(corpus), DEPTH.label(corpus)
    assert before.kinds == ("continuous",)
    assert before.columns[0].tolist() == [0, *depth.columns[0][:4].tolist(), 0, *depth.columns[0][5:9].tolist()]


def test_a_mask_holds_for_all_features_of_a_library():
    corpus = replace(segment_corpus(Corpus.from_strings(["abababab"]), 4), records={})
    assert (A + B.lag(2)).label(corpus).mask.tolist() == [True] * 4 + [False, False, True, True]
    assert A.label(corpus).mask.all()


@pytest.mark.parametrize("make", [lambda f: f & A, lambda f: A | f, lambda f: ~f, lambda f: f.within(2)])
def test_continuous_features_do_not_combine(make):
    combined = make(DEPTH)
    with pytest.raises(ValueError, match=r"a binary feature for .*, got 'depth', which is continuous: make"):
        combined.label(get("arithmetic").corpus(["(1)"]))


def test_bad_input():
    with pytest.raises(ValueError, match=r"expected & \| ~ between features, got 'and'.* on feature 'a'"):
        _ = A and B
    with pytest.raises(ValueError, match=r"within\(n, 'previous' or 'next'\) with n of at least 0 .* got n -1 and"):
        A.within(-1)
    with pytest.raises(ValueError, match="got n 1 and 'behind'"):
        A.within(1, "behind")
    with pytest.raises(
        ValueError, match=r"feature 'x': expected one bool .* from its `known`, got int64 of shape \(2,\)"
    ):
        dni.features.Feature("x", lambda corpus: np.zeros(3), known=lambda corpus: np.zeros(2, int)).label(
            Corpus.from_strings(["abc"])
        )


def test_pieces_are_joined_where_their_places_tell():
    whole = Corpus.from_strings(["aab(ab", "bb", "aaaaaaaab"])
    pieces = segment_corpus(whole, 4)
    np.testing.assert_array_equal(join_segments(pieces).offsets, whole.offsets)
    assert join_segments(pieces).begins.all()
    assert join_segments(pieces).ends.all()
    for one in (A.lag(3), A.within(5), A.within(2, "next"), dni.regex_feature("x", "a.*b$")):
        over, under = one.label(whole), one.label(pieces)
        np.testing.assert_array_equal(over.columns[0], under.columns[0])
        assert under.mask.all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STRINGS, st.integers(1, 5), st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_pieces_in_any_order_are_joined_just_where_they_follow(strings, size, order):
    pieces = segment_corpus(Corpus.from_strings(strings), size)
    order = np.asarray(order) % len(pieces)
    follow = (order[1:] == order[:-1] + 1) & ~pieces.begins[order[1:]]
    some = pieces.take(order)
    joined = join_segments(some)
    np.testing.assert_array_equal(joined.offsets[:-1], some.offsets[:-1][np.append(True, ~follow)])
    np.testing.assert_array_equal(joined.begins, some.begins[np.append(True, ~follow)])
    np.testing.assert_array_equal(joined.ends, some.ends[np.append(~follow, True)])


def test_without_places_pieces_stay_apart():
    pieces = replace(segment_corpus(Corpus.from_strings(["abcdefgh"]), 3), records={})
    assert join_segments(pieces).offsets.tolist() == [0, 3, 6, 8]
    assert (join_segments(pieces).begins.tolist(), join_segments(pieces).ends.tolist()) == (
        [True, False, False],
        [False, False, True],
    )
