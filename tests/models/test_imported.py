"""Imported networks that our own cells do not describe: exact, or refused by name."""

import inspect
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dni_jax as dni
from dni_jax.models import ImportedModel, TrainedModel
from dni_jax.models.exchange import from_flax, from_keras, from_torch
from tests.support.imported_networks import CODES, CORPUS, SYMBOLS, D, H, sigmoid, torch_weights


def rows_of(states, string):
    return states.hidden[CORPUS.offsets[string] : CORPUS.offsets[string + 1]]


def assert_states(model, theirs, neurons=slice(None), atol=1e-5):
    """`theirs` are one array (L_s, N) a string."""
    states = dni.record(model, CORPUS)
    for string, expected in enumerate(theirs):
        np.testing.assert_allclose(rows_of(states, string)[:, neurons], expected, atol=atol)


def keras_or_skip(monkeypatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    return pytest.importorskip("keras", reason="needs the extra: pip install 'dni-jax[other-networks]'")


def built(keras, layers, n_inputs=4):
    """Return a network whose weights are drawn large, so that a wrong function shows; and what it computes."""
    network = keras.Sequential([keras.layers.Input((None, n_inputs)), *layers])
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(size=array.shape) for array in network.get_weights()])
    return [np.asarray(network(np.eye(n_inputs, dtype="float32")[codes[None]]))[0] for codes in CODES]


KERAS_NETWORKS = {
    "bidirectional sum": lambda k: [k.layers.Bidirectional(k.layers.LSTM(H, return_sequences=True), merge_mode="sum")],
    "bidirectional ave": lambda k: [k.layers.Bidirectional(k.layers.GRU(H, return_sequences=True), merge_mode="ave")],
    "bidirectional mul": lambda k: [k.layers.Bidirectional(k.layers.LSTM(H, return_sequences=True), merge_mode="mul")],
    "bidirectional": lambda k: [k.layers.Bidirectional(k.layers.SimpleRNN(H, return_sequences=True))],
    "relu LSTM cell": lambda k: [k.layers.RNN(k.layers.LSTMCell(H, activation="relu"), return_sequences=True)],
    "reset before": lambda k: [k.layers.RNN(k.layers.GRUCell(H, reset_after=False), return_sequences=True)],
    "stacked cells": lambda k: [k.layers.RNN([k.layers.LSTMCell(H), k.layers.LSTMCell(4)], return_sequences=True)],
    "hard sigmoid": lambda k: [k.layers.GRU(H, recurrent_activation="hard_sigmoid", return_sequences=True)],
    "LSTM and GRU": lambda k: [k.layers.LSTM(H, return_sequences=True), k.layers.GRU(4, return_sequences=True)],
    "norm between": lambda k: [
        k.layers.LSTM(H, return_sequences=True),
        k.layers.LayerNormalization(),
        k.layers.LSTM(4, return_sequences=True),
    ],
    "dense between": lambda k: [
        k.layers.GRU(H, return_sequences=True),
        k.layers.Dense(3, activation="softplus"),
        k.layers.Dropout(0.5),
        k.layers.Bidirectional(k.layers.RNN(k.layers.SimpleRNNCell(4, activation="selu"), return_sequences=True)),
    ],
    "norm on top": lambda k: [k.layers.LSTM(H, return_sequences=True), k.layers.LayerNormalization(center=False)],
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' own, under NumPy 2
@pytest.mark.parametrize("kind", KERAS_NETWORKS)
def test_keras_networks_compute_what_they_compute_in_keras(kind, monkeypatch):
    keras = keras_or_skip(monkeypatch)
    layers = KERAS_NETWORKS[kind](keras)
    top = built(keras, layers)
    # The reference compares the top layer's output; a Sequential of two layers is imported whole.
    model = from_keras(keras.Sequential(layers), None, SYMBOLS, reference=(CODES, top))
    assert isinstance(model, ImportedModel)
    assert model.reference_difference < 1e-5
    assert dni.record(model, CORPUS).hidden.shape == (CORPUS.n_positions, model.n_neurons)


@pytest.mark.filterwarnings("ignore")
def test_keras_layers_that_compute_something_else_are_named(monkeypatch):
    keras = keras_or_skip(monkeypatch)

    class Mine(keras.layers.LSTM):
        pass

    layers = keras.layers
    for made, message in (
        (layers.LSTM(H, go_backwards=True), "go_backwards=False"),
        (layers.LSTM(H, activation=lambda x: x * 0.3), "with activation among"),
        (Mine(H), "Keras' own layers.*got Mine"),
        (layers.Bidirectional(layers.LSTM(H, return_sequences=True), merge_mode=None), "merge_mode"),
        (layers.LSTM(H, dtype="mixed_bfloat16"), "float32.*bfloat16"),
        (layers.LSTM(H, stateful=True), "stateful"),
        (layers.Conv1D(H, 1), "got Conv1D"),
    ):
        made.build((1, 2, 4))
        with pytest.raises(ValueError, match=message):
            from_keras(made, None, SYMBOLS)
    with pytest.raises(ValueError, match="call the network once"):
        from_keras(layers.LSTM(H), None, SYMBOLS)


def test_a_keras_layer_is_read_from_a_file_without_keras():
    rng = np.random.default_rng(0)
    wx, wh, b = (rng.normal(size=shape).astype("float32") for shape in ((4, 15), (5, 15), (15,)))
    config = {"activation": "tanh", "recurrent_activation": "hard_sigmoid"}
    layer = {"class_name": "GRU", "config": config, "weights": [wx, wh, b]}
    with pytest.raises(ValueError, match="keras_version"):
        from_keras(layer, None, SYMBOLS)
    model = from_keras({**layer, "keras_version": "2.0.6"}, None, SYMBOLS)
    theirs = []
    for codes in CODES:
        h, rows = np.zeros(5), []
        for code in codes:
            z, r, _ = np.split(np.clip(0.2 * (wx[code] + b + np.append(h @ wh[:, :10], np.zeros(5))) + 0.5, 0, 1), 3)
            n = np.tanh(wx[code, 10:] + b[10:] + (r * h) @ wh[:, 10:])
            h = z * h + (1 - z) * n
            rows.append(h)
        theirs.append(rows)
    assert_states(model, theirs)


FLAX_CELLS = {
    "residual": lambda rngs: nnx.SimpleCell(4, H, residual=True, rngs=rngs),
    "relu GRU": lambda rngs: nnx.GRUCell(4, H, activation_fn=nnx.relu, rngs=rngs),
    "hard sigmoid": lambda rngs: nnx.OptimizedLSTMCell(4, H, gate_fn=nnx.hard_sigmoid, rngs=rngs),
    "its own function": lambda rngs: nnx.GRUCell(4, H, activation_fn=lambda x: jnp.sin(x), rngs=rngs),
}


@pytest.mark.parametrize("kind", FLAX_CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_flax_cells_compute_what_they_compute_in_flax(kind, reverse):
    rnn = nnx.RNN(FLAX_CELLS[kind](nnx.Rngs(0)), reverse=reverse, keep_order=True)
    model = from_flax(rnn, None, SYMBOLS)
    assert isinstance(model, ImportedModel)
    assert_states(model, [rnn(jnp.eye(4)[codes[None]])[0] for codes in CODES])


def test_flax_networks_of_several_kinds_of_layers():
    rngs = nnx.Rngs(0)
    two = nnx.Bidirectional(nnx.RNN(nnx.GRUCell(4, H, rngs=rngs)), nnx.RNN(nnx.GRUCell(4, H, rngs=rngs)))
    norm, top = nnx.LayerNorm(2 * H, rngs=rngs), nnx.RNN(nnx.OptimizedLSTMCell(2 * H, 3, rngs=rngs))
    model = from_flax([two, norm, jax.nn.relu, top], None, SYMBOLS)
    theirs = [top(jax.nn.relu(norm(two(jnp.eye(4)[codes[None]]))))[0] for codes in CODES]
    assert_states(model, theirs, slice(2 * H, None))


def test_flax_modules_that_compute_something_else_are_named():
    rngs = nnx.Rngs(0)
    cell = nnx.GRUCell(4, H, rngs=rngs)
    for module, message in (
        (nnx.RNN(cell, reverse=True), "keep_order=True"),
        (nnx.Bidirectional(nnx.RNN(cell), nnx.RNN(cell), merge_fn=jnp.add), "merge_fn"),
        (nnx.GRUCell(4, H, dtype=jnp.bfloat16, rngs=rngs), "bfloat16"),
        (nnx.Conv(4, H, (3,), rngs=rngs), "got Conv"),
    ):
        with pytest.raises(ValueError, match=message):
            from_flax(module, None, SYMBOLS)


def test_a_projected_lstm_by_pytorchs_formulas():
    state = torch_weights(4, (H, 3)) | {"weight_hr_l0": np.random.default_rng(1).normal(size=(3, H))}
    model = from_torch(state, None, SYMBOLS)
    theirs = []
    for codes in CODES:
        h, c, rows = np.zeros(3), np.zeros(H), []
        for code in codes:
            total = state["weight_ih_l0"][:, code] + state["weight_hh_l0"] @ h
            i, f, g, o = np.split(total + state["bias_ih_l0"] + state["bias_hh_l0"], 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = state["weight_hr_l0"] @ (sigmoid(o) * np.tanh(c))
            rows.append(h)
        theirs.append(rows)
    assert_states(model, theirs)
    assert model.parts == ("h",)


def test_the_state_dict_of_a_relu_network_must_say_so():
    state = torch_weights(1, (H, H))
    with pytest.raises(ValueError, match="nonlinearity='tanh' or 'relu'"):
        from_torch(state, None, SYMBOLS)
    theirs = []
    for codes in CODES:
        h, rows = np.zeros(H), []
        for code in codes:
            total = (
                state["weight_ih_l0"][:, code] + state["weight_hh_l0"] @ h + state["bias_ih_l0"] + state["bias_hh_l0"]
            )
            h = np.maximum(total, 0)
            rows.append(h)
        theirs.append(rows)
    assert_states(from_torch(state, None, SYMBOLS, nonlinearity="relu"), theirs)
    with pytest.raises(ValueError, match="states of reference= to within"):
        from_torch(state, None, SYMBOLS, nonlinearity="tanh", reference=(CODES, theirs))


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's own
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("options", [{"bidirectional": True}, {"proj_size": 2}, {"nonlinearity": "relu"}])
def test_pytorch_layers_compute_what_they_compute_in_pytorch(kind, options):
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'dni-jax[other-networks]'")
    if ("proj_size" in options and kind != "LSTM") or ("nonlinearity" in options and kind != "RNN"):
        pytest.skip("PyTorch has no such layer")
    torch.manual_seed(0)
    recurrent = getattr(torch.nn, kind)(D, H, num_layers=2, batch_first=True, **options)
    embedding = torch.nn.Embedding(4, D)
    with torch.no_grad():
        theirs = [recurrent(embedding(torch.from_numpy(codes)[None]))[0][0] for codes in CODES]
    model = from_torch(recurrent, None, SYMBOLS, embedding=embedding, reference=(CODES, theirs))
    assert model.reference_difference < 1e-5


def test_pytorch_modules_that_compute_something_else_are_named():
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'dni-jax[other-networks]'")

    class Mine(torch.nn.LSTM):
        pass

    weighted = torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(4, H), "weight_hh_l0")
    for module, message in (
        (Mine(4, H), "got Mine"),
        (weighted, "parametrizations|ParametrizedLSTM"),
        (torch.nn.Conv1d(4, H, 3), "got Conv1d"),
        (torch.nn.LSTM(4, H).state_dict() | {"noise": torch.ones(3)}, "extra weights noise"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torch(module, None, SYMBOLS)


def test_heads_of_several_layers_and_packed_states():
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'dni-jax[other-networks]'")
    torch.manual_seed(0)
    lstm, nn = torch.nn.LSTM(4, H), torch.nn
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(H, 4)).eval()
    assert isinstance(from_torch(lstm, head, SYMBOLS), TrainedModel)
    deep = nn.Sequential(nn.Linear(H, 7), nn.ReLU(), nn.LayerNorm(7), nn.Linear(7, 4), nn.LogSoftmax(-1)).eval()
    logits = dni.record(from_torch(lstm, deep, SYMBOLS), CORPUS, what=("logits",)).logits
    strings = [torch.eye(4)[torch.from_numpy(codes)] for codes in CODES]
    packed = nn.utils.rnn.pack_sequence(strings, enforce_sorted=False)
    with torch.no_grad():
        states = dni.from_arrays(lstm(packed), CORPUS)
        padded, _ = lstm(nn.utils.rnn.pad_sequence(strings))
        ours = np.asarray(logits) - np.log(np.exp(logits).sum(-1, keepdims=True))
        theirs = torch.cat([deep(torch.from_numpy(rows_of(states, n))) for n in range(3)])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(dni.from_arrays(padded, CORPUS, time_major=True).hidden, states.hidden, atol=1e-6)
    with pytest.raises(ValueError, match="time_major=True"):
        dni.from_arrays(padded, CORPUS)


def tiny(**options):
    return from_torch(torch_weights(4, (H, H)), None, options.pop("characters", SYMBOLS), **options)


def test_overrides_are_those_of_our_own_networks():
    state, rng = torch_weights(4, (H, H)), np.random.default_rng(2)
    head = {"weight": rng.normal(size=(4, H)), "bias": rng.normal(size=4)}
    own = from_torch(state, head, SYMBOLS)
    other = from_torch(
        state, None, SYMBOLS, readout=lambda t: t.top @ head["weight"].T.astype("float32") + head["bias"]
    )
    assert isinstance(own, TrainedModel)
    signal = np.linspace(0, 1, CORPUS.n_positions).astype("float32")
    for change in (
        dni.clamp([0], 0.7, part="f", when=signal > 0.4).then(dni.clamp_to_labels([4], signal)),
        dni.ablate([2], where="readout").then(dni.ablate([1, 3], where="recurrent")),
        dni.patch([1], rng.normal(size=(CORPUS.n_positions, H)).astype("float32"), where="readout"),
    ):
        theirs, ours = (
            dni.record(model, CORPUS, what=("cell", "logits"), intervention=change) for model in (own, other)
        )
        np.testing.assert_allclose(ours.hidden, theirs.hidden, atol=1e-6)
        np.testing.assert_allclose(ours.cell, theirs.cell, atol=1e-6)
        np.testing.assert_allclose(ours.logits, theirs.logits[:, [3, 1, 4, 2]], atol=1e-5)  # ours: boundary, a, b, c, x


def test_what_is_asked_of_a_network_without_a_head_is_refused():
    model = tiny()
    with pytest.raises(ValueError, match="without a head: pass readout="):
        dni.record(model, CORPUS, what=("logits",))
    with pytest.raises(ValueError, match="import it with"):
        dni.record(nnx.GRUCell(4, 5, rngs=nnx.Rngs(0)), CORPUS)
    with pytest.raises(ValueError, match="readout that returns"):
        dni.record(tiny(readout=lambda trace: trace.top[0]), CORPUS, what=("logits",))
    with pytest.raises(ValueError, match="head or a readout"):
        from_torch(torch_weights(4, (H, H)), {"weight": np.ones((4, H))}, SYMBOLS, readout=lambda trace: trace.top)


def test_what_an_imported_network_cannot_do_is_named():
    with pytest.raises(AttributeError, match="reported and generated with, but not trained"):
        _ = tiny().weights
    assert not hasattr(tiny(), "weights")
    assert not hasattr(tiny(), "other")


def test_the_same_is_said_in_the_same_words_for_every_framework():
    """From `characters` on: the same parameters in the same order, documented alike but for the embedding's class."""

    def shared(function):
        names = [name for name in inspect.signature(function).parameters if name != "nonlinearity"]
        text = inspect.getdoc(function)
        parts = re.split(r"^(?=\w.*$)", text[text.index("characters\n") : text.index("Returns\n")], flags=re.MULTILINE)
        return names, [part.strip() for part in parts if not part.startswith(("embedding", "nonlinearity"))]

    names, parts = shared(from_torch)
    documented = [name for part in parts if part for name in part.splitlines()[0].split(" :")[0].split(", ")]
    assert documented == [name for name in names[2:] if name != "embedding"]
    assert shared(from_keras) == shared(from_flax) == (names, parts)
