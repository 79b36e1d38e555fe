"""An imported network reads as it was trained to read: its symbols, padding, windows, initial states."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models.exchange import from_keras, from_torch
from dni_jax.text import Corpus

H = 3
SYMBOLS = [None, "<s>", "</s>", "a", "b", "c"]  # 0 is padding, 1 and 2 begin and end a string
CORPUS = Corpus.from_strings(["abc", "b", "cabba"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(n_symbols=6):
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (3 * H, n_symbols), "weight_hh_l0": (3 * H, H), "bias_ih_l0": 3 * H, "bias_hh_l0": 3 * H}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def by_hand(codes, h=None, skip=None):
    """States of a GRU after each code, as PyTorch's documentation writes it."""
    state, rows = weights(), []
    h = np.zeros(H) if h is None else h
    for code in codes:
        if code != skip:
            a = state["weight_ih_l0"][:, code] + state["bias_ih_l0"]
            b = state["weight_hh_l0"] @ h + state["bias_hh_l0"]
            r, z = sigmoid(a[:H] + b[:H]), sigmoid(a[H : 2 * H] + b[H : 2 * H])
            h = (1 - z) * np.tanh(a[2 * H :] + r * b[2 * H :]) + z * h
        rows.append(h)
    return np.asarray(rows)


def codes_of(text):
    return [SYMBOLS.index(character) for character in text]


def check(model, expected, corpus=CORPUS):
    """`expected` are the states at the characters of each string."""
    states = dni.record(model, corpus)
    np.testing.assert_allclose(states.hidden, np.concatenate(expected), atol=1e-5)
    return states


def test_begin_and_end_are_codes_of_their_own():
    model = from_torch(weights(), None, SYMBOLS, begin=1, end=2)
    states = check(model, [by_hand([1, *codes_of(text), 2])[1:-1] for text in CORPUS.strings])
    assert states.symbols.tolist() == [code for text in CORPUS.strings for code in codes_of(text)]


def test_a_dict_of_codes_and_an_unknown_symbol():
    model = from_torch(weights(), None, {"a": 3, "b": 4}, unknown=5)
    check(model, [by_hand(codes_of(text)) for text in CORPUS.strings])  # c has no code of its own
    with pytest.raises(ValueError, match=r"got 'c' at character 2 of string 0.*unknown="):
        dni.record(from_torch(weights(), None, {"a": 3, "b": 4}), CORPUS)


def test_a_window_begins_anew_at_every_character():
    """Its states are those of the last three symbols, filled up in front."""
    model = from_torch(weights(), None, SYMBOLS, window=3, pad=0, begin=1)
    expected = []
    for text in CORPUS.strings:
        codes = [0, 0, 1, *codes_of(text)]
        expected.append([by_hand(codes[place - 2 : place + 1])[-1] for place in range(3, len(codes))])
    check(model, expected)


def test_strings_are_filled_up_in_front_to_the_length_of_training():
    model = from_torch(weights(), None, SYMBOLS, padding="left", length=7, pad=0)
    check(model, [by_hand([0] * (7 - len(text)) + codes_of(text))[7 - len(text) :] for text in CORPUS.strings])
    with pytest.raises(ValueError, match="at most length=4"):
        dni.record(from_torch(weights(), None, SYMBOLS, padding="left", length=4, pad=0), CORPUS)


def test_a_prefix_and_an_initial_state():
    h = np.asarray([0.3, -0.2, 0.9], np.float32)
    model = from_torch(weights(), None, SYMBOLS, prefix="ca", initial_state=h)
    check(model, [by_hand([5, 3, *codes_of(text)], h)[2:] for text in CORPUS.strings])
    rows = np.random.default_rng(1).normal(size=(3, H))
    model = from_torch(weights(), None, SYMBOLS, initial_state=lambda corpus: rows[: len(corpus)])
    check(model, [by_hand(codes_of(text), row) for text, row in zip(CORPUS.strings, rows, strict=True)])


def test_kerass_mask_leaves_the_padding_out():
    rng = np.random.default_rng(0)
    wx, wh, b = (rng.normal(size=shape).astype("float32") for shape in ((2, 3 * H), (H, 3 * H), (2, 3 * H)))
    gru = {"class_name": "GRU", "config": {"recurrent_activation": "sigmoid"}, "weights": [wx, wh, b]}
    table = {"class_name": "Embedding", "config": {"mask_zero": True}, "weights": [rng.normal(size=(6, 2))]}
    plain = from_keras(gru, None, SYMBOLS, embedding={**table, "config": {}})
    masked = from_keras(gru, None, SYMBOLS, embedding=table, padding="left", length=9)
    filled = from_keras(gru, None, SYMBOLS, embedding={**table, "config": {}}, padding="left", length=9, pad=0)
    expected = dni.record(plain, CORPUS).hidden
    np.testing.assert_allclose(dni.record(masked, CORPUS).hidden, expected, atol=1e-6)
    assert np.abs(dni.record(filled, CORPUS).hidden - expected).max() > 0.01


def test_tokens_have_one_state_each():
    corpus = Corpus.from_strings(["ab  c", "cab ab"])
    words = {"ab": 3, "c": 4, "cab": 5}
    split = from_torch(weights(), None, words, split=str.split)
    states = check_tokens(split, corpus)
    assert states.symbols[states.mask].tolist() == [3, 4, 5, 3]

    def tokenizer(string):
        ends = [
            place + 1
            for place in range(len(string))
            if string[place] != " " and string[place + 1 : place + 2] in ("", " ")
        ]
        starts = [end - len(string[:end].split()[-1]) for end in ends]
        return [words[string[a:b]] for a, b in zip(starts, ends, strict=True)], list(zip(starts, ends, strict=True))

    check_tokens(from_torch(weights(), None, tokenizer), corpus)


def check_tokens(model, corpus):
    states = dni.record(model, corpus)
    assert np.flatnonzero(states.mask).tolist() == [1, 4, 7, 10]  # the last characters of the words
    np.testing.assert_allclose(states.hidden[[1, 4]], by_hand([3, 4]), atol=1e-5)
    np.testing.assert_allclose(states.hidden[[7, 10]], by_hand([5, 3]), atol=1e-5)
    return states


def test_the_next_symbol_is_predicted_in_the_networks_own_windows():
    """The loss is that of the windows, and the end is no character."""
    kernel = np.random.default_rng(3).normal(size=(H, 6)).astype("float32")
    model = from_torch(
        weights(), None, SYMBOLS, window=2, begin=1, end=2, readout=lambda trace: trace.top[:, -1] @ kernel
    )
    labels = dni.char_feature("a", lambda c: c == "a").label(CORPUS)
    relevance = dni.inspect(dni.record(model, CORPUS), labels, "ols", folds=2)
    effect = dni.verify(model, CORPUS, relevance, "a", ks=(1,), n_random=2, labels=labels)
    losses = []
    for text in CORPUS.strings:
        codes = [1, *codes_of(text)]
        for place, target in enumerate(codes[1:]):
            logits = by_hand(codes[max(place - 1, 0) : place + 1])[-1] @ kernel
            losses.append(np.log(np.exp(logits).sum()) - logits[target])
    np.testing.assert_allclose(effect["intact"].sel(measure="loss"), np.mean(losses), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": 9}, "begin to be a code from 0 to 5"),
        ({"padding": "front"}, "padding"),
        ({"padding": "left", "pad": 0}, "padding= and length= together"),
        ({"padding": "left", "length": 9}, "pad="),
        ({"window": 0}, "window of at least 1"),
        ({"padding": "left", "pad": 0, "window": 2, "length": 9}, "without length="),
        ({"initial_state": np.zeros(7)}, r"initial_state of shape \(3,\)"),
        ({"initial_state": {"c": np.zeros(H)}}, "initial_state of 'h' only"),
        ({"unknown": 6}, "unknown to be a code"),
        ({"boundary": 9}, "boundary to be a code"),
    ],
)
def test_conditions_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dni.record(from_torch(weights(), None, SYMBOLS, **options), CORPUS)


def test_a_condition_of_another_name_is_refused():
    with pytest.raises(TypeError, match="wimdow"):
        from_torch(weights(), None, SYMBOLS, wimdow=3)


def test_symbols_that_cannot_be_are_refused():
    for symbols, message in (
        (["a"], "1 characters, 6 input symbols"),
        (["a"] * 6, "same one twice"),
        ({"a": 6}, "code of its own"),
        ({"a": 1, "b": 1}, "code that two symbols share"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torch(weights(), None, symbols)
