"""Lanes hold every character exactly once, each with the symbol behind it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.models._lanes import choose_lane_count, make_lanes
from dni_jax.text import Corpus, segment_corpus

strings = st.lists(st.text("ab(", min_size=1, max_size=30), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(strings, st.integers(1, 9), st.integers(0, 100), st.sampled_from([1, 8]))
def test_lanes_read_back_as_the_strings(texts, n_lanes, seed, multiple):
    corpus = Corpus.from_strings(texts)
    order = np.random.default_rng(seed).permutation(len(texts))
    lanes = make_lanes(corpus, n_lanes, order, multiple)
    assert lanes.codes.shape[0] % multiple == 0
    assert sorted(lanes.positions[lanes.positions >= 0]) == list(range(corpus.n_positions))
    read = []
    for codes, targets, weights, resets, positions in zip(*(a.T for a in lanes), strict=True):
        for start in np.flatnonzero(resets):
            assert codes[start] == 0
            stop = start + 1
            while stop < len(codes) and positions[stop] >= 0:
                stop += 1
            string = codes[start + 1 : stop]
            assert targets[start:stop].tolist() == [*string.tolist(), 0]
            assert (weights[start:stop] == 1).all()
            read.append(corpus.vocabulary.decode(string))
    assert sorted(read) == sorted(texts)
    assert lanes.weights.sum() == corpus.n_positions + len(corpus)


def test_target_positions_name_the_predicted_character():
    corpus = Corpus.from_strings(["ab", "cde"])
    lanes = make_lanes(corpus, 1)
    assert lanes.codes[:, 0].tolist() == [0, 1, 2, 0, 3, 4, 5]
    assert lanes.target_positions[:, 0].tolist() == [0, 1, -1, 2, 3, 4, -1]


def test_pieces_begin_without_a_boundary_and_end_without_a_target():
    pieces = segment_corpus(Corpus.from_strings(["one\ntwo\nthree"]), 8)
    lanes = make_lanes(pieces, 2)
    assert lanes.codes[0].tolist() == [0, pieces.vocabulary.encode("t")[0]]
    assert lanes.resets[0].tolist() == [True, True]
    assert lanes.weights.sum() == (1 + 7) + (4 + 1)  # the first piece's last character has no target
    assert set(lanes.target_positions[lanes.target_positions >= 0]) == set(range(13)) - {8}


def test_values_follow_their_positions():
    corpus = Corpus.from_strings(["ab", "cde"])
    lanes = make_lanes(corpus, 2)
    laid = lanes.from_positions(np.arange(10.0).reshape(5, 2))
    held = lanes.positions >= 0
    np.testing.assert_array_equal(laid[held][:, 0], 2.0 * lanes.positions[held])
    assert (laid[~held] == 0).all()


@pytest.mark.parametrize("n_strings", [1, 2, 3, 1000])
def test_lane_count_is_even_or_one(n_strings):
    count = choose_lane_count(Corpus.from_strings(["abc" * 9] * n_strings), 64)
    assert count == 1 or (count % 2 == 0 and count <= min(64, n_strings))
