"""What an imported network can be used for: stores, streams, gates and texts."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models import ImportedModel, Readout, open_states, stream
from dni_jax.models.exchange import from_torch
from dni_jax.text import Corpus

from .test_imported import CORPUS, SYMBOLS, H, sigmoid, torch_weights

LONG = Corpus.from_strings([text * n for n, text in enumerate(["ab", "cab", "bxc", "a"] * 3, 1)])
HEAD = {"weight": np.random.default_rng(5).normal(size=(4, H)), "bias": np.zeros(4)}


def imported(blocks=4, head=None, characters=SYMBOLS, **options):
    """Any option but those of our own networks makes it an imported one."""
    return from_torch(torch_weights(blocks, (H, H)), head, characters, **options)


def test_gates_by_their_formulas():
    state = torch_weights(4, (H, H))
    model = imported(prefix=[2])
    states = dni.record(model, CORPUS, what=("cell", "gates"))
    assert states.gate_names == ("i", "f", "g", "o")
    assert states.gates.shape == (CORPUS.n_positions, 4, H)
    h = c = np.zeros(H)
    for place, code in enumerate([2, *(SYMBOLS.index(one) for one in CORPUS.strings[0])]):
        total = state["weight_ih_l0"][:, code] + state["weight_hh_l0"] @ h + state["bias_ih_l0"] + state["bias_hh_l0"]
        i, f, g, o = np.split(total, 4)
        expected = np.stack([sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)])
        c = expected[1] * c + expected[0] * expected[2]
        h = expected[3] * np.tanh(c)
        if place:
            np.testing.assert_allclose(states.gates[place - 1], expected, atol=1e-5)


def test_gates_show_what_an_override_makes_of_them():
    model = imported(prefix=[2])
    held = dni.clamp([1, 3], 0.25, part="f")
    states = dni.record(model, CORPUS, what=("gates",), intervention=held)
    np.testing.assert_array_equal(states.gates[:, 1, [1, 3]], 0.25)
    assert (states.gates[:, 1, [0, 2, 4]] != 0.25).all()


def test_gates_that_not_all_layers_have_are_refused():
    layers = [torch_weights(4, (H, H)), torch_weights(3, (3, 3), n_in=H)]
    with pytest.raises(ValueError, match="one by one"):
        dni.record(from_torch(layers, None, SYMBOLS), CORPUS, what=("gates",))
    with pytest.raises(ValueError, match=r"among.*gates.*'mood'"):
        dni.record(imported(prefix=[2]), CORPUS, what=("mood",))


def test_a_store_holds_what_is_recorded_in_memory(tmp_path):
    model, what = imported(window=4, pad=2), ("cell", "gates")
    change = dni.clamp_to_labels([0, 2], np.arange(LONG.n_positions) % 3 / 2)
    whole = dni.record(model, LONG, what, intervention=change)
    stored = dni.record(model, LONG, what, store=tmp_path / "states", chunk=17, intervention=change)
    loaded = open_states(tmp_path / "states").load()
    for name in ("hidden", "cell", "gates"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(whole, name), atol=1e-6)
    np.testing.assert_array_equal(loaded.symbols, whole.symbols)
    assert (stored.mask, loaded.gate_names) == (None, whole.gate_names)
    # It is not recorded again, nor taken for that of another network or of other conditions.
    assert dni.record(model, LONG, what, store=tmp_path / "states", chunk=17, intervention=change).path == stored.path
    for other in (imported(window=5, pad=2), imported(window=4, pad=1), imported(3, window=4, pad=2)):
        wanted = what if other.stack.has_memory else ("gates",)
        with pytest.raises(ValueError, match=r"another|gates"):
            dni.record(other, LONG, wanted, store=tmp_path / "states", chunk=17, intervention=change)


@pytest.mark.slow
def test_an_interrupted_store_of_an_imported_network_is_continued_to_the_same_bits(tmp_path, monkeypatch):
    from dni_jax.models.exchange import ImportedReader

    model = imported(begin=2, initial_state=lambda corpus: np.arange(len(corpus) * H).reshape(-1, H) / 100)
    whole = dni.record(model, LONG, store=tmp_path / "whole", chunk=30).load()
    read, calls = ImportedReader.read, []

    def failing(self, strings):
        calls.append(strings)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(self, strings)

    monkeypatch.setattr(ImportedReader, "read", failing)
    with pytest.raises(KeyboardInterrupt):
        dni.record(model, LONG, store=tmp_path / "part", chunk=30)
    with pytest.raises(ValueError, match="interrupted after"):
        open_states(tmp_path / "part")
    again = dni.record(model, LONG, store=tmp_path / "part", chunk=30).load()
    np.testing.assert_array_equal(again.hidden, whole.hidden)
    np.testing.assert_allclose(whole.hidden, dni.record(model, LONG).hidden, atol=1e-6)


def tokens():
    words = Corpus.from_strings([" ".join(list("abxc")[: n % 4 + 1] * 2) for n in range(30)])
    model = imported(3, characters={"a": 1, "b": 3, "x": 2, "c": 0}, split=str.split)
    return words, model


def test_tokens_keep_their_mask_and_their_symbols_in_stores_and_streams(tmp_path):
    words, model = tokens()
    whole = dni.record(model, words)
    stored = dni.record(model, words, store=tmp_path / "states", chunk=40)
    streamed = stream(model, words, dtype="float32", chunk=40)
    assert not whole.mask.all()
    for states in (stored, streamed, stored.load()):
        np.testing.assert_array_equal(states.mask, whole.mask)
        np.testing.assert_array_equal(states.symbols, whole.symbols)
    for states in (stored, streamed):
        read = np.concatenate([hidden for _, hidden in states.chunks()])
        np.testing.assert_allclose(read, whole.hidden, atol=1e-6)
    # Ranges are those of states, not of the zeros where there is none.
    np.testing.assert_allclose(stored.ranges[0], whole.hidden[whole.mask].min(axis=0), atol=1e-6)


@pytest.mark.slow
def test_tokens_in_a_store_have_the_scores_of_those_in_memory(tmp_path):
    words, model = tokens()
    whole, stored = dni.record(model, words), dni.record(model, words, store=tmp_path / "states", chunk=40)
    labels = dni.char_feature("b", lambda c: c == "b").label(words)
    found = dni.inspect(whole, labels, folds=5)
    for states in (stored, stream(model, words, dtype="float32", chunk=40)):
        np.testing.assert_allclose(dni.inspect(states, labels, folds=5)["auc"], found["auc"], atol=1e-6)
    one = found.pipe(dni.baselines, whole, labels, words, n_controls=1)
    other = found.pipe(dni.baselines, stored, labels, words, n_controls=1)
    np.testing.assert_allclose(one["auc_within_symbol"], other["auc_within_symbol"])


def test_what_a_store_of_an_imported_network_cannot_hold_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no 'logits'.*Record them in memory"):
        dni.record(imported(head=HEAD, begin=0), LONG, ("logits",), store=tmp_path / "states")


def next_logits(model, codes):
    """The outputs after some codes, as the original would compute them: the whole string read anew."""
    state = torch_weights(3, (H, H))
    h = np.zeros(H)
    for code in codes:
        a = state["weight_ih_l0"][:, code] + state["bias_ih_l0"]
        b = state["weight_hh_l0"] @ h + state["bias_hh_l0"]
        r, z = (sigmoid(a[part] + b[part]) for part in (slice(0, H), slice(H, 2 * H)))
        n = np.tanh(a[2 * H :] + r * b[2 * H :])
        h = (1 - z) * n + z * h
    return HEAD["weight"] @ h


def test_texts_take_the_most_probable_symbol_of_the_network_at_each_step():
    model = imported(3, HEAD, ["c", "a", None, "b"], begin=2)
    assert isinstance(model, ImportedModel)
    (text,) = dni.generate(model, n=1, length=12, temperature=0)
    codes = [2]
    for _ in range(12):
        codes.append(int(next_logits(model, codes).argmax()))
    assert text == "".join({0: "c", 1: "a", 2: "□", 3: "b"}[code] for code in codes[1:])
    (primed,) = dni.generate(model, n=1, length=12 - 4, temperature=0, prime=text[:4].replace("□", "a"))
    assert "□" in text[:4] or primed == text


def test_windows_move_along_a_text():
    model = imported(3, HEAD, window=3, pad=1)
    (text,) = dni.generate(model, n=1, length=9, temperature=0, prime="b")
    codes = [3]
    for _ in range(9):
        window = [1, 1, *codes][-3:]
        codes.append(int(next_logits(model, window).argmax()))
    assert text == "".join(SYMBOLS[code] for code in codes)


def test_texts_are_drawn_as_often_as_the_network_says_and_strings_end():
    logits = np.log([0.1, 0.2, 0.3, 0.4])
    readout = Readout(lambda trace: np.zeros((*trace.codes.shape, 4)) + logits)
    symbols = ["c", "a", None, "b"]
    model = imported(3, None, symbols, boundary=2, readout=readout)
    texts = dni.generate(model, n=64, length=50, seed=1)
    assert [len(text) for text in texts] == [50] * 64
    shares = [sum(text.count(one) for text in texts) / 3200 for one in ("c", "a", "\n", "b")]
    np.testing.assert_allclose(shares, np.exp(logits), atol=0.03)
    assert texts == dni.generate(model, n=64, length=50, seed=1) != dni.generate(model, n=64, length=50, seed=2)
    # With an end but nothing to begin with, a text is one string.
    ending = dni.generate(imported(3, None, symbols, end=2, readout=readout), n=8, length=50, prime="a")
    assert all("\n" not in text and text[0] == "a" for text in ending)
    assert min(map(len, ending)) < 51


def test_a_string_after_an_end_is_read_anew():
    """The output shows how many symbols were read since the beginning of the string."""
    readout = Readout(lambda trace: -10.0 * (np.arange(4) - trace.mask.cumsum(axis=1)[..., None] + 1) ** 2)
    model = imported(3, None, ["c", "a", "b", None], begin=0, end=3, readout=readout)
    assert dni.generate(model, n=1, length=8, temperature=0) == ["cab\ncab\n"]


def test_overrides_change_texts():
    model = imported(3, HEAD, ["c", "a", None, "b"], begin=2)
    free = dni.generate(model, n=1, length=20, temperature=0)
    held, driven = (
        dni.generate(model, n=1, length=20, temperature=0, intervention=change)
        for change in (dni.clamp(range(H), 1.0), dni.clamp_to_labels(range(H), np.ones(20)))
    )
    assert len(set(held[0])) == 1
    assert held == driven != free
    # The neurons are all at 1 from the first step on, and the head reads nothing else.
    assert held[0][0] == {0: "c", 1: "a", 2: "□", 3: "b"}[int(HEAD["weight"].sum(axis=1).argmax())]


def test_networks_that_cannot_write_are_named():
    for model, message in (
        (imported(3, begin=2), "without a head"),
        (imported(3, HEAD, per="string", begin=2), "predicts the next symbol, got logits per string"),
        (imported(3, HEAD, window=3, pad=1), "prime="),
        (imported(3, HEAD, padding="left", length=9, pad=1, begin=2), "at most length=9 symbols.*generate fewer"),
        (imported(3, {"weight": np.ones((2, H)), "bias": np.zeros(2)}, begin=2), "each of the 4 symbols"),
        (imported(3, HEAD, begin=2, initial_state=lambda corpus: np.zeros(H)), "same for all strings"),
    ):
        with pytest.raises(ValueError, match=message):
            dni.generate(model, n=1, length=20)
    two = torch_weights(3, (H, H)) | torch_weights(3, (H, H), "_l0_reverse")
    both = from_torch(two, {"weight": np.ones((4, 2 * H)), "bias": np.zeros(4)}, SYMBOLS, begin=2)
    with pytest.raises(ValueError, match="left to right"):
        dni.generate(both, n=1, length=3)


def test_words_are_written_with_spaces():
    model = imported(3, HEAD, {"so": 1, "we": 3, "go": 0}, begin=2, split=str.split)
    (text,) = dni.generate(model, n=1, length=5, temperature=0, prime="we go")
    assert text.startswith("we go ")
    assert set(text.split(" ")) <= {"so", "we", "go", "□"}
    assert len(text.split(" ")) == 7
