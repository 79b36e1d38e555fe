"""Labels made part by part against labels made at once."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.text import Corpus, chunk_bounds, iterate_chunks, segment_corpus


@pytest.fixture(scope="module")
def nested():
    return dni.languages.get("parentheses")


@pytest.fixture(scope="module")
def text(nested):
    return nested.sample(200, seed=1)


def pieces_of(n_strings, rng):
    """Some neighboring stretches that cover the strings."""
    bounds = np.unique(np.concatenate([[0, n_strings], rng.integers(0, n_strings, 7)]))
    return [[(int(first), int(last))] for first, last in itertools.pairwise(bounds)]


def check(library, corpus, rng):
    whole, lazy = library.label(corpus), library.label_lazily(corpus)
    assert (lazy.names, lazy.kinds, len(lazy)) == (whole.names, whole.kinds, len(whole))
    parts = [lazy.label(strings) for strings in pieces_of(len(corpus), rng)]
    np.testing.assert_array_equal(np.concatenate([part.mask for part in parts]), whole.mask)
    for row, column in enumerate(whole.columns):
        joined = np.concatenate([part.columns[row] for part in parts])
        assert joined.dtype == column.dtype
        np.testing.assert_array_equal(joined, column, err_msg=whole.names[row])
    some = [(1, 3), (len(corpus) // 2, len(corpus) // 2 + 2)]
    positions = np.concatenate([np.arange(corpus.offsets[a], corpus.offsets[b]) for a, b in some])
    np.testing.assert_array_equal(lazy.label(some).values, whole.values[positions])
    np.testing.assert_array_equal(lazy.label_all().values, whole.values)


def rich(library):
    digit, opening = dni.char_feature("digits", str.isdigit), dni.char_feature("open", lambda c: c == "(")
    library += (digit & opening.lag(1)).rename("digit after (")
    library += digit.within(3, "next") + opening.within(2) + (~digit).lag(-2)
    library += dni.regex_feature("runs", r"(\d)\1+", where="impulse")
    library += dni.feature("place", lambda s: [i / len(s) for i in range(len(s))])
    return library


def test_every_kind_of_feature_of_sampled_text(nested, text):
    library = rich(nested.features()) + nested.features()["depth"].lag(2)
    check(library, text, np.random.default_rng(0))


def test_pieces_of_one_text_are_labeled_together(nested):
    """Lags look across pieces, and masks where text is missing are those of the whole."""
    whole = nested.sample(60, seed=3)
    pieces = segment_corpus(whole, 7)
    assert len(pieces) > 2 * len(whole)
    library = rich(nested.features()) | dni.features.confounders(pieces)
    check(library, pieces, np.random.default_rng(1))
    shuffled = pieces.shuffle(5)  # most pieces follow others than their own now: labels that look back are masked
    assert not library.label(shuffled).mask.all()
    check(library, shuffled, np.random.default_rng(2))


def test_masks_of_what_did_not_parse(nested):
    corpus = nested.sample(50, seed=0)
    parsed = np.random.default_rng(0).random(corpus.n_positions) > 0.2
    check(nested.features(), replace(corpus, parsed=parsed), np.random.default_rng(0))


def test_the_scale_is_that_of_the_whole_corpus():
    language = dni.languages.get("arithmetic")
    text, depth = language.sample(60, seed=0), language.features().select("depth")
    scaled = depth.label(text).columns[0]
    deepest = np.maximum.reduceat(scaled, text.offsets[:-1])
    shallow = int(np.flatnonzero((deepest < 1) & (deepest > 0))[0])
    alone = depth.label(text.take(np.array([shallow]))).columns[0]
    assert alone.max() == 1  # made from this string alone, the scale would be another
    assert depth.label_lazily(text).label([(shallow, shallow + 1)])["depth"].max() == deepest[shallow]


def test_a_kind_that_changes_is_refused():
    corpus = Corpus.from_strings(["a" * 70_000, "ab"])
    odd = dni.feature("odd", lambda s: np.arange(len(s)) * 0.5 if "b" in s else np.zeros(len(s)))
    lazy = dni.FeatureLibrary((odd,)).label_lazily(corpus)
    assert lazy.kinds == ("binary",)
    with pytest.raises(ValueError, match="'odd': expected labels 0 and 1"):
        lazy.label([(1, 2)])


def test_bad_stretches_are_named(text):
    lazy = dni.FeatureLibrary((dni.char_feature("digit", str.isdigit),)).label_lazily(text)
    for bad in ([], [(3, 3)], [(4, 5), (2, 3)], [(0, 4), (3, 6)], [(-1, 2)], [(0, len(text) + 1)]):
        with pytest.raises(ValueError, match="ascending order"):
            lazy.label(bad)


def test_selected_features_keep_their_place(nested, text):
    lazy = nested.features().label_lazily(text).select("digit", "depth*")
    assert lazy.names[:2] == ("digit", "depth")
    np.testing.assert_array_equal(
        lazy.label([(0, 5)])["digit"], nested.features().label_lazily(text).label([(0, 5)])["digit"]
    )


def test_strings_are_cut_into_spans(text):
    bounds = chunk_bounds(text.offsets, 100)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == len(text)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))
    sizes = [text.offsets[last] - text.offsets[first] for first, last in bounds]
    assert all(size <= 100 or last - first == 1 for size, (first, last) in zip(sizes, bounds, strict=True))
    assert [string for part in iterate_chunks(text, 100) for string in part.strings] == list(text.strings)
