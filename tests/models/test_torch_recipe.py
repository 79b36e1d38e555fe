"""A PyTorch LSTM's states, as docs/other_networks.md takes them, against its cell stepped by hand."""

import numpy as np
import pytest

import dni_jax as dni

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'dni-jax[other-networks]'")


class CharLSTM(torch.nn.Module):
    def __init__(self, n_symbols, hidden):
        super().__init__()
        self.embed = torch.nn.Embedding(n_symbols, 8)
        self.lstm = torch.nn.LSTM(8, hidden, batch_first=True)

    def forward(self, codes):
        return self.lstm(self.embed(codes))[0]


@pytest.fixture(scope="module")
def network(held_out):
    torch.manual_seed(0)
    return CharLSTM(len(held_out.vocabulary), 6)


@pytest.fixture(scope="module")
def outputs(network, held_out):
    """Float tensors ``(S, L, N)`` that require gradients: nothing was detached."""
    return network(torch.from_numpy(held_out.codes))


def step_by_step(network, codes):
    cell = torch.nn.LSTMCell(8, network.lstm.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in network.lstm.state_dict().items()})
    state, rows = None, []
    with torch.no_grad():
        for code in codes:
            state = cell(network.embed(torch.tensor([int(code)])), state)
            rows.append(state[0][0].numpy())
    return np.stack(rows)


def test_hidden_states_are_those_of_the_cell_stepped_by_hand(network, held_out, outputs):
    assert outputs.requires_grad
    states = dni.from_arrays(outputs, held_out)
    for string in (0, 1, len(held_out) - 1):
        place = slice(held_out.offsets[string], held_out.offsets[string + 1])
        expected = step_by_step(network, held_out.flat_codes[place])
        np.testing.assert_allclose(states.hidden[place], expected, atol=1e-6)
    assert outputs.requires_grad  # the caller's tensor is as it was


def test_strings_one_by_one_and_other_types(network, held_out, outputs):
    rows = [torch.from_numpy(held_out.vocabulary.encode(string)) for string in held_out.strings]
    one_by_one = [network(codes[None])[0] for codes in rows]
    padded = dni.from_arrays(outputs, held_out).hidden
    np.testing.assert_allclose(dni.from_arrays(one_by_one, held_out).hidden, padded, atol=1e-6)
    for kind, expected in ((torch.bfloat16, np.float32), (torch.float16, np.float32), (torch.float64, np.float64)):
        hidden = dni.from_arrays(outputs.to(kind), held_out).hidden
        assert hidden.dtype == expected
        np.testing.assert_array_equal(hidden, padded.astype(expected) if kind == torch.float64 else hidden)
        np.testing.assert_allclose(hidden, padded, atol=0.01)


def test_a_network_ends_in_a_relevance_dataset(held_out, labels, outputs):
    relevance = dni.inspect(dni.from_arrays(outputs, held_out), labels.select(["digit"]), folds=4)
    assert dict(relevance.sizes) == {"neuron": 6, "feature": 1, "fold": 4}


def test_a_begin_row_is_refused(network, held_out):
    with_begin = np.concatenate([np.zeros((len(held_out), 1), np.int32), held_out.codes], axis=1)
    outputs = network(torch.from_numpy(with_begin))
    with pytest.raises(ValueError, match="begin symbol"):
        dni.from_arrays(outputs, held_out)
    dni.from_arrays(outputs[:, 1:], held_out)


def test_bad_tensors_are_named(held_out, outputs):
    with pytest.raises(ValueError, match="floating type, got int32"):
        dni.from_arrays(torch.zeros(held_out.n_positions, 2, dtype=torch.int32), held_out)
    with pytest.raises(ValueError, match="states as an array, got Tensor"):
        dni.from_arrays(torch.zeros(held_out.n_positions, 2, device="meta"), held_out)
    broken = outputs.detach().clone()
    broken[1, 0, 2] = torch.inf
    with pytest.raises(ValueError, match="got inf for neuron 2 at character 0 of string 1"):
        dni.from_arrays(broken, held_out)
