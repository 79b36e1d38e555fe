"""Imported networks: the same states and predictions as where they were trained."""

import os

import numpy as np
import pytest
from flax import nnx

import dni_jax as dni
from dni_jax.models import cross_entropy
from dni_jax.models.exchange import from_flax, from_keras, from_torch, to_flax
from dni_jax.text import Corpus
from tests.support.slow import slow_after

CHARACTERS = ["c", "a", "<s>", "b"]  # neither sorted, nor all of them characters
TEXTS = ["abcab", "c", "bbac"]
H, D = 5, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_state(cell, layers=1, n_inputs=4, seed=0):
    """Weights by PyTorch's names."""
    rng = np.random.default_rng(seed)
    blocks = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    state = {}
    for number in range(layers):
        below = n_inputs if number == 0 else H
        state[f"weight_ih_l{number}"] = rng.normal(size=(blocks * H, below))
        state[f"weight_hh_l{number}"] = rng.normal(size=(blocks * H, H))
        state[f"bias_ih_l{number}"] = rng.normal(size=blocks * H)
        state[f"bias_hh_l{number}"] = rng.normal(size=blocks * H)
    return state, {"weight": rng.normal(size=(4, H)), "bias": rng.normal(size=4)}


def by_hand(cell, state, codes, table, layers=1):
    """Hidden states as PyTorch's documentation writes them, in float64."""
    h, c = np.zeros((layers, H)), np.zeros((layers, H))
    rows = []
    for code in codes:
        x = table[code]
        for number in range(layers):
            wi, wh, bi, bh = (state[f"{kind}_l{number}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            a, b = wi @ x + bi, wh @ h[number] + bh
            if cell == "rnn":
                h[number] = np.tanh(a + b)
            elif cell == "gru":
                r, z = sigmoid(a[:H] + b[:H]), sigmoid(a[H : 2 * H] + b[H : 2 * H])
                n = np.tanh(a[2 * H :] + r * b[2 * H :])
                h[number] = (1 - z) * n + z * h[number]
            else:
                i, f, g, o = np.split(a + b, 4)
                c[number] = sigmoid(f) * c[number] + sigmoid(i) * np.tanh(g)
                h[number] = sigmoid(o) * np.tanh(c[number])
            x = h[number]
        rows.append(h.reshape(-1).copy())
    return np.asarray(rows)


@pytest.mark.parametrize("boundary", [2, None])
@pytest.mark.parametrize(("cell", "layers"), slow_after(3, [("lstm", 2), ("gru", 2), ("rnn", 1), ("lstm", 1)], 2))
def test_states_and_losses_equal_pytorchs_formulas(cell, layers, boundary):
    characters = CHARACTERS if boundary == 2 else ["c", "a", "x", "b"]
    state, head = torch_state(cell, layers)
    model = from_torch(state, head, characters, boundary=boundary, nonlinearity="tanh")  # which a plain RNN needs
    corpus = Corpus.from_strings(TEXTS)
    states = dni.record(model, corpus)
    losses = []
    for string, text in enumerate(TEXTS):
        codes = ([] if boundary is None else [boundary]) + [characters.index(character) for character in text]
        hidden = by_hand(cell, state, codes, np.eye(4), layers)
        place = slice(corpus.offsets[string], corpus.offsets[string + 1])
        np.testing.assert_allclose(states.hidden[place], hidden[-len(text) :], atol=1e-5)
        logits = hidden[:, -H:] @ head["weight"].T + head["bias"]
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        targets = codes[1:] + ([] if boundary is None else [boundary])
        losses += [-logits[at, target] for at, target in enumerate(targets)]
    assert cross_entropy(model.weights, model.encode(corpus)) == pytest.approx(np.mean(losses), abs=1e-5)


def test_an_embedding_is_multiplied_in():
    state, head = torch_state("gru", n_inputs=D)
    table = np.random.default_rng(5).normal(size=(4, D))
    model = from_torch(state, head, CHARACTERS, embedding=table, boundary=2)
    corpus = Corpus.from_strings(["abc"])
    codes = [2, *(CHARACTERS.index(character) for character in "abc")]
    np.testing.assert_allclose(dni.record(model, corpus).hidden, by_hand("gru", state, codes, table)[1:], atol=1e-5)


def test_what_is_asked_of_our_own_networks_is_asked_of_them(tmp_path):
    state, head = torch_state("lstm")
    model = from_torch(state, head, ["c", "a", "x", "b"])
    with pytest.raises(ValueError, match="prime="):
        dni.generate(model, n=1, length=5)
    texts = dni.generate(model, n=30, length=20, prime="ab", intervention=dni.clamp([1], 1.0))
    assert {len(text) for text in texts} == {22}
    assert all(text.startswith("ab") and set(text) <= set("abcx") for text in texts)
    corpus = Corpus.from_strings(texts)
    library = dni.char_feature("a", lambda c: c == "a") + dni.char_feature("b", lambda c: c == "b")
    relevance = dni.inspect(dni.record(model, corpus), library.label(corpus), "ols", folds=3)
    effect = dni.verify(model, corpus, relevance, "a", ks=(1,), n_random=4)
    assert np.isfinite(effect["top_effect"]).all()
    model.save(tmp_path / "net")
    again = dni.load(tmp_path / "net")
    assert again.boundary is False
    assert again.config is None
    np.testing.assert_array_equal(dni.record(again, corpus).hidden, dni.record(model, corpus).hidden)


@pytest.mark.parametrize("cell", slow_after(2, [nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell]))
def test_flax_there_and_back(cell):
    rngs = nnx.Rngs(0)
    stack = [nnx.RNN(cell(4, H, rngs=rngs)), nnx.RNN(cell(H, H, rngs=rngs))]
    model = from_flax(stack, nnx.Linear(H, 4, rngs=rngs), CHARACTERS, boundary=2)
    for theirs, again in zip(stack, to_flax(model), strict=True):
        np.testing.assert_array_equal(again.cell.dense_h.kernel[...], theirs.cell.dense_h.kernel[...])
    codes = np.asarray([[2, *(CHARACTERS.index(character) for character in "abc")]])
    hidden = np.eye(4, dtype=np.float32)[codes]
    for layer in stack:
        hidden = nnx.jit(nnx.RNN.__call__)(layer, hidden)
    ours = dni.record(model, Corpus.from_strings(["abc"])).hidden
    np.testing.assert_allclose(ours[:, H:], hidden[0, 1:], atol=1e-6)


def test_a_gru_whose_state_has_a_bias_does_not_fit_into_flax():
    model = from_torch(*torch_state("gru"), CHARACTERS, boundary=2)
    with pytest.raises(ValueError, match="bias of the state's own"):
        to_flax(model)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_pytorch_itself(kind):
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'dni-jax[other-networks]'")
    torch.manual_seed(0)
    embedding, head = torch.nn.Embedding(4, D), torch.nn.Linear(H, 4)
    recurrent = getattr(torch.nn, kind)(D, H, num_layers=2, batch_first=True)
    model = from_torch(recurrent, head, CHARACTERS, embedding=embedding, boundary=2)
    corpus = Corpus.from_strings(TEXTS)
    states = dni.record(model, corpus, what=("logits",))
    for string, text in enumerate(TEXTS):
        codes = torch.tensor([[2, *(CHARACTERS.index(character) for character in text)]])
        with torch.no_grad():
            top, _ = recurrent(embedding(codes))
            logits = head(top)[0, 1:].numpy()
        place = slice(corpus.offsets[string], corpus.offsets[string + 1])
        np.testing.assert_allclose(states.hidden[place, H:], top[0, 1:].numpy(), atol=1e-6)
        order = [2, 1, 3, 0]  # the boundary, a, b, c
        np.testing.assert_allclose(states.logits[place], logits[:, order], atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' own, under NumPy 2
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_keras_itself(kind, monkeypatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="needs the extra: pip install 'dni-jax[other-networks]'")
    make = getattr(keras.layers, kind)
    layers = [make(H, return_sequences=True, bias_initializer="random_normal") for _ in range(2)]
    embedding, head = keras.layers.Embedding(4, D), keras.layers.Dense(4, activation="softmax")
    network = keras.Sequential([embedding, *layers, head])
    codes = np.asarray([[2, *(CHARACTERS.index(character) for character in "abcab")]])
    probabilities = np.asarray(network(codes))[0, 1:]
    model = from_keras(layers, head, CHARACTERS, embedding=embedding, boundary=2)
    logits = dni.record(model, Corpus.from_strings(["abcab"]), what=("logits",)).logits
    ours = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(ours, probabilities[:, [2, 1, 3, 0]], atol=1e-5)


class FakeKeras:
    """A layer with a config, as Keras' are."""

    def __init__(self, **config):
        self.config = config

    def get_config(self):
        return self.config


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, h: from_torch({}, h, CHARACTERS, boundary=2), "weight_ih_l0"),
        (lambda s, h: from_torch(s, h, CHARACTERS), "different single characters"),
        (lambda s, h: from_torch(s, h, ["a", "a", "b", "c"]), "one twice"),
        (lambda s, h: from_torch(s, h, CHARACTERS, boundary=9), "code from 0 to 3"),
        (lambda s, h: from_torch(s, h, ["a", "b", "c"]), "3 characters, 4 input symbols"),
        (lambda s, h: from_torch(s, h, CHARACTERS, boundary=2, embedding=np.ones((4, 9))), r"\(V, 4\), got \(4, 9\)"),
        (lambda s, h: from_torch({**s, "weight_ih_l0_reverse": 0}, h, CHARACTERS, boundary=2), "one direction"),
        (lambda s, h: from_torch({**s, "bias_ih_l0": np.full(20, np.nan)}, h, CHARACTERS, boundary=2), "finite"),
        (lambda s, h: from_torch({**s, "weight_hh_l0": np.ones((10, 5))}, h, CHARACTERS), "these numbers of blocks"),
        (
            lambda s, h: from_torch(
                {**s, **dict.fromkeys(("weight_ih_l1", "weight_hh_l1"), np.ones((15, 5)))}, h, "abc"
            ),
            "4 blocks of columns for a cell 'lstm'",
        ),
        (lambda s, h: from_torch(3, h, CHARACTERS), "state_dict"),
        (lambda s, h: from_keras(FakeKeras(activation="relu"), h, CHARACTERS), "Keras' own layers.*got FakeKeras"),
        (lambda s, h: from_flax(nnx.LSTMCell(4, 5, rngs=nnx.Rngs(0)), h, CHARACTERS), "OptimizedLSTMCell"),
    ],
)
def test_what_cannot_be_taken_over_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*torch_state("lstm"))
