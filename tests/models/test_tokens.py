"""States of tokens at the characters of hand-made offsets."""

import numpy as np
import pytest

import dni_jax as dni

NONE = 0.0


def corpus_of(*strings):
    return dni.Corpus.from_strings(list(strings))


def read(strings, states, offsets, assign):
    """The states of all characters, and which have one."""
    got = dni.from_tokens(
        [np.asarray(rows, np.float32)[:, None] for rows in states], offsets, corpus_of(*strings), assign
    )
    everywhere = np.ones(len(got.hidden), bool)
    return got.hidden[:, 0].tolist(), (everywhere if got.mask is None else got.mask).tolist()


# The second string's first character is dropped, its last two too; special tokens have state 99.
STRINGS = ("ab c", " xy(z ")
STATES = ([99, 1, 2, 99], [99, 3, 4, 5, 99, 99])
OFFSETS = ([(0, 0), (0, 2), (3, 4), (0, 0)], [(0, 0), (1, 3), (3, 4), (4, 5), (0, 0), (0, 0)])


def test_containing():
    values, stated = read(STRINGS, STATES, OFFSETS, "containing")
    assert values == [1, 1, NONE, 2, NONE, 3, 3, 4, 5, NONE]
    assert stated == [True, True, False, True, False, True, True, True, True, False]


def test_completed_never_knows_more_than_was_read():
    values, stated = read(STRINGS, STATES, OFFSETS, "completed")
    assert values == [NONE, 1, 1, 2, NONE, NONE, 3, 4, 5, 5]
    assert stated == [False, True, True, True, False, False, True, True, True, True]


@pytest.mark.parametrize("assign", ["containing", "completed"])
def test_one_token_a_character_is_the_array(assign):
    assert read(["abc"], [[1, 2, 3]], [[(0, 1), (1, 2), (2, 3)]], assign) == ([1, 2, 3], [True] * 3)
    got = dni.from_tokens([np.ones((3, 2), np.float16)], [[(0, 1), (1, 2), (2, 3)]], corpus_of("abc"), assign)
    assert got.mask is None
    assert got.hidden.dtype == np.float32


def test_padded_arrays_are_the_lists():
    corpus = corpus_of(*STRINGS)
    offsets = np.zeros((2, 6, 2), int)
    states = np.full((2, 6, 1), np.nan)  # the states of tokens that are left out do not matter
    for number in range(2):
        offsets[number, : len(OFFSETS[number])] = OFFSETS[number]
        states[number, : len(STATES[number]), 0] = STATES[number]
    states[states == 99] = np.nan
    for assign in ("containing", "completed"):
        got = dni.from_tokens(states, offsets, corpus, assign)
        assert (got.hidden[:, 0].tolist(), got.mask.tolist()) == read(STRINGS, STATES, OFFSETS, assign)
        np.testing.assert_array_equal(got.groups, corpus.position_groups)


def test_tokens_that_share_a_character():
    # " é!" as " " + first byte, second byte, "!"; then "éé" as 1 byte, 2 bytes, 1 byte
    offsets = [[(0, 2), (1, 2), (2, 3)], [(0, 1), (0, 2), (1, 2)]]
    states = [[1, 2, 3], [4, 5, 6]]
    assert read([" é!", "éé"], states, offsets, "containing")[0] == [1, 2, 3, 5, 6]
    assert read([" é!", "éé"], states, offsets, "completed")[0] == [NONE, 2, 3, 4, 6]


def test_a_truncated_text_is_left_out_or_refused():
    assert read(["abcd"], [[1]], [[(0, 2)]], "containing") == ([1, 1, NONE, NONE], [True, True, False, False])
    with pytest.raises(ValueError, match=r"end of string 0, 4 characters.*end at 2.*truncates"):
        read(["abcd"], [[1]], [[(0, 2)]], "completed")


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([(0, 2), (2, 5)], r"string 1, got \(2, 5\) of token 1: count in characters"),
        ([(-1, 2), (2, 4)], r"got \(-1, 2\) of token 0"),
        ([(2, 0), (2, 4)], r"got \(2, 0\) of token 0"),
        ([(0, 3), (1, 4)], r"overlaps in string 1, got \(1, 4\) of token 1 after \(0, 3\)"),
        ([(2, 4), (0, 2)], r"left to right.*string 1, got \(0, 2\) of token 1"),
        ([(0, 4), (3, 3)], None),
        ([(0, 2)], r"states of string 1 of shape \(1, N\), got \(2, 1\)"),
        ([], r"states of string 1 of shape \(0, N\)"),
        ([(0.0, 2.0), (2.0, 4.0)], "offsets of string 1 as integers"),
        ([0, 2], r"integers \(n, 2\), got int64 of shape \(2,\)"),
        ([(0, 2), (2,)], "offsets of string 1 as an array"),
    ],
)
def test_wrong_offsets_are_named(offsets, message):
    def call():
        return read(["ab", "abcd"], [[1], [2, 3]], [[(0, 2)], offsets], "containing")

    if message is None:  # an empty token is left out wherever it stands
        assert call()[0] == [1, 1, 2, 2, 2, 2]
        return
    with pytest.raises(ValueError, match=message):
        call()


def test_other_bad_input_is_named():
    corpus = corpus_of("ab", "abcd")
    states, offsets = [np.ones((1, 2)), np.ones((1, 2))], [[(0, 2)], [(0, 4)]]
    with pytest.raises(ValueError, match="containing, completed, got 'first'"):
        dni.from_tokens(states, offsets, corpus, "first")
    with pytest.raises(ValueError, match="array of offsets per string, 2 in all, got 1"):
        dni.from_tokens(states, offsets[:1], corpus)
    with pytest.raises(ValueError, match="array of states per string, 2 in all, got 1"):
        dni.from_tokens(states[:1], offsets, corpus)
    with pytest.raises(ValueError, match="states as a list"):
        dni.from_tokens(np.ones((2, 2)), offsets, corpus)
    with pytest.raises(ValueError, match="offsets as a list"):
        dni.from_tokens(states, None, corpus)
    with pytest.raises(ValueError, match="tokens with characters, got none"):
        dni.from_tokens(states, [[(0, 0)], [(0, 0)]], corpus)
    states[1][0, 1] = np.nan
    with pytest.raises(ValueError, match="nan for neuron 1 at character 0 of string 1"):
        dni.from_tokens(states, offsets, corpus)
