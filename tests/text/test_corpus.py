from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.features import FeatureLibrary, char_feature
from dni_jax.languages import get
from dni_jax.text import Corpus, Vocabulary, check_corpus, segment_corpus
from dni_jax.text._corpus import split_groups

STRINGS = st.lists(st.text("ab(\u20ac\n", min_size=1, max_size=9), min_size=1, max_size=30)
QUICK = settings(max_examples=60, deadline=None, derandomize=True)


@QUICK
@given(STRINGS)
def test_axes_agree(strings):
    corpus = Corpus.from_strings(strings)
    assert corpus.strings == tuple(strings)
    assert (len(corpus), corpus.n_positions) == (len(strings), sum(map(len, strings)))
    assert corpus.codes.shape == corpus.mask.shape == (len(strings), max(map(len, strings)))
    for string, codes, mask in zip(strings, corpus.codes, corpus.mask, strict=True):
        assert mask.sum() == len(string)
        assert mask[: len(string)].all()
        assert corpus.vocabulary.decode(codes[mask]) == string
        assert (codes[~mask] == 0).all()
    np.testing.assert_array_equal(corpus.codes[corpus.mask], corpus.flat_codes)
    np.testing.assert_array_equal(corpus.string_ids, [row for row, s in enumerate(strings) for _ in s])
    np.testing.assert_array_equal(corpus.position_groups, corpus.string_ids)
    assert corpus.begins.all()
    assert corpus.ends.all()


@QUICK
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300)), min_size=1, max_size=60), st.integers(0, 5))
def test_split_assigns_whole_groups(pairs, seed):
    groups, lengths = (np.asarray(column, np.int32) for column in zip(*pairs, strict=True))
    split = split_groups(groups, lengths, seed)
    parts = {group: set(split[groups == group].tolist()) for group in groups.tolist()}
    assert all(len(part) == 1 for part in parts.values())
    used = set(split.tolist())
    assert used == ({0, 1, 2} if len(parts) >= 3 else {0})
    np.testing.assert_array_equal(split, split_groups(groups, lengths, seed))


def test_split_is_80_10_10_by_characters_and_depends_on_the_seed():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, 5_000)
    groups = np.arange(5_000, dtype=np.int32)
    split = split_groups(groups, lengths, seed=1)
    share = np.bincount(split, weights=lengths) / lengths.sum()
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.002)
    assert (split != split_groups(groups, lengths, seed=2)).mean() > 0.2


def test_parts_are_disjoint_and_share_the_vocabulary():
    corpus = get("arithmetic").sample(200, seed=0)
    parts = [corpus.train, corpus.validation, corpus.test]
    assert sum(map(len, parts)) == len(corpus)
    rows = [np.flatnonzero(corpus.split == part) for part in range(3)]
    for part, chosen in zip(parts, rows, strict=True):
        assert part.strings == tuple(corpus.strings[row] for row in chosen)
        assert part.vocabulary is corpus.vocabulary
        np.testing.assert_array_equal(part.groups, chosen)


@pytest.fixture(scope="module")
def twenty():
    return get("parentheses").sample(20, seed=0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_take_returns_strings_and_trees_in_the_order_asked_for(twenty, data):
    corpus = twenty
    rows = np.asarray(data.draw(st.lists(st.integers(0, 19), min_size=1, max_size=30)))
    taken = corpus.take(rows)
    assert taken.strings == tuple(corpus.strings[row] for row in rows)
    for place, row in enumerate(rows):
        assert taken.trees.show(place, taken.strings[place]) == corpus.trees.show(int(row), corpus.strings[row])
        a, b = slice(*taken.trees.offsets[place : place + 2]), slice(*corpus.trees.offsets[row : row + 2])
        np.testing.assert_array_equal(taken.trees.parent[a], corpus.trees.parent[b])
    np.testing.assert_array_equal(taken.groups, rows)


@QUICK
@given(STRINGS, st.integers(0, 60))
def test_head_is_the_longest_start_that_fits(strings, n_positions):
    head = Corpus.from_strings(strings).head(n_positions)
    count = len(head)
    assert head.strings == tuple(strings[:count])
    assert head.n_positions <= n_positions or count == 1
    assert count == len(strings) or sum(map(len, strings[: count + 1])) > n_positions


def test_bad_input():
    with pytest.raises(ValueError, match="at least one string, got an empty corpus"):
        Corpus.from_strings([])
    with pytest.raises(ValueError, match="got an empty one at index 2"):
        Corpus.from_strings(["a", "b", "", "c"])
    two = Corpus.from_strings(["a", "b"])
    with pytest.raises(ValueError, match="too small for this split"):
        _ = two.validation
    limited = Corpus.from_strings(["ab"], vocabulary=Vocabulary.from_text("a"))
    with pytest.raises(ValueError, match="got 'b' at position 1"):
        _ = limited.codes


def test_groups_are_not_divided():
    corpus = Corpus.from_strings(["a", "bb", "c", "d"], groups=[5, 5, 7, 9])
    np.testing.assert_array_equal(corpus.position_groups, [5, 5, 5, 7, 9])
    assert corpus.split[0] == corpus.split[1]


def test_repr_shows_the_sizes():
    assert repr(get("parentheses").sample(100, seed=0)).startswith("Corpus(parentheses: 100 strings, ")


def test_what_a_parser_noted_goes_with_the_characters():
    corpus = Corpus.from_strings(["ab\ncd", "e", "fgh"])
    noted = replace(corpus, parsed=corpus.text != ord("c"), records={"code": corpus.text.astype(np.int16)})
    assert noted.train.parsed is not None
    for part in (noted.take(np.asarray([2, 0])), segment_corpus(noted, 3), noted.shuffle(1)):
        np.testing.assert_array_equal(part.parsed, part.text != ord("c"))
        np.testing.assert_array_equal(part.records["code"], part.text)


def test_characters_that_were_not_parsed_have_no_labels():
    corpus = Corpus.from_strings(["ab", "c"])
    library = FeatureLibrary(()) + char_feature("b", lambda c: c == "b")
    assert library.label(corpus).mask.all()
    assert library.label(replace(corpus, parsed=np.asarray([True, False, True]))).mask.tolist() == [True, False, True]


def test_one_string_is_no_list_of_strings():
    with pytest.raises(ValueError, match=r"expected a list of strings, got one string, 'hello': write \[text\]"):
        Corpus.from_strings("hello")


def test_what_is_no_corpus_is_refused_with_how_to_make_one():
    with pytest.raises(ValueError, match=r"expected a Corpus, got str: make one with dni\.Corpus\.from_strings"):
        check_corpus("0(1)")
